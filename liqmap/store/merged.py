"""Merged segments: where an exchange publishes fills, the orders that they make up, kept beside the fills.

Selecting the largest orders would take all fills of a day. So a segment's orders are stored once, as a
segment in its folder `merged`, and go with it when it is evicted. Those of bundled segments are below
`orders` in the store, named after the segment's content, and go when they have not been read for a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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

MERGED: Final = "merged"
"""The folder of a segment's orders, inside the segment's own."""


def merged_parts(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return parts with the orders of their segments in place of the fills, made and stored if need be.

    Raises DamagedSegment, UnreadableStore or StoreError.
    """
    return tuple(Part(_merged(each.segment), each.window) for each in parts)


def _merged(segment: Segment) -> Segment:
    root = segment.path.parents[3]
    path = segment.path / MERGED if segment.record is None else _beside(root, segment)
    found = open_segment(path)
    if found is not None:
        return found
    columns = [_orders(segment, side) for side in Side]
    time, price, size, is_buy = (np.concatenate(each) for each in zip(*columns, strict=True))
    order = np.argsort(time, kind="stable")
    trades = Trades(time[order], price[order], size[order], is_buy[order], segment.origin.inverse)
    return write_segment(path, segment.origin, trades, incoming=root / "incoming")


def _beside(root: Path, segment: Segment) -> Path:
    """Return the folder of the orders of a segment that has none of its own."""
    name = xxhash.xxh3_64_hexdigest("".join(segment.checks[each] for each in TABLES).encode())
    return root / ORDERS / segment.origin.exchange / segment.origin.symbol / name


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
