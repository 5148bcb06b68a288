"""Merged segments: where an exchange publishes fills, the orders that they make up, stored as a segment too.

Selecting the largest orders would take all fills of a day, so they are put together once. The orders lie
below `orders` in the store, named after the content of the fills: in the segment's own folder, those of a
day that has been replaced meanwhile would pass for the new one's. They go when no map has read them for a
while, or when the store is full.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import xxhash

from liqmap.model import Side, Trades
from liqmap.model.exact import rounded
from liqmap.store.leftovers import ORDERS
from liqmap.store.reading import read_table
from liqmap.store.segments import TABLES, Part, open_segment
from liqmap.store.writer import write_segment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from liqmap.store.segments import Segment


def merged_parts(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return parts with the orders of their segments in place of the fills, made and stored if need be.

    Raises DamagedSegment, UnreadableStore or StoreError.
    """
    return tuple(Part(_merged(each.segment), each.window) for each in parts)


def _merged(segment: Segment) -> Segment:
    root = segment.path.parents[3]
    path = _path(root, segment)
    found = open_segment(path)
    if found is not None:
        with suppress(OSError):  # a disk that is only read: nothing is removed there
            os.utime(path)
        return found
    columns = [_orders(segment, side) for side in Side]
    time, price, size, is_buy = (np.concatenate(each) for each in zip(*columns, strict=True))
    order = np.argsort(time, kind="stable")
    trades = Trades(time[order], price[order], size[order], is_buy[order], segment.origin.inverse)
    return write_segment(path, segment.origin, trades, incoming=root / "incoming")


def _path(root: Path, segment: Segment) -> Path:
    """Return the folder of a segment's orders."""
    origin = segment.origin
    # Segments of earlier versions have no checks, and then their sizes and their file must do.
    content = [segment.path.name, origin.sha256]
    content += (segment.checks.get(each, f"{segment.sizes[each]} ") for each in TABLES)
    name = xxhash.xxh3_64_hexdigest("".join(content).encode())
    return root / ORDERS / origin.exchange / origin.symbol / name


def _orders(
    segment: Segment, side: Side
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return time, price, size and side of one side's orders: fills of equal millisecond and price."""
    table = read_table(segment, side.value)
    order = np.lexsort((table["price"], table["time"]))
    time = table["time"][order].astype(np.int64) + segment.origin.window.start_ms
    price, size = table["price"][order], table["size"][order]
    new = (np.diff(time) != 0) | (np.diff(price) != 0)
    first = np.flatnonzero(np.r_[len(time) > 0, new]) if len(time) else np.empty(0, np.intp)
    # A sum of decimals is a decimal: 0.1 + 0.2 is 0.3.
    total = rounded(np.add.reduceat(size, first)) if len(first) else size
    return time[first], price[first], total, np.full(len(first), side is Side.BUY)
