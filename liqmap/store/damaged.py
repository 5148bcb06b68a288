"""Damaged segments: set aside in the store's folder `damaged`, because they may be had nowhere else.

They lie there as EXCHANGE/SYMBOL/WINDOW.NUMBER, as they were found.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

from liqmap.model import Exchange
from liqmap.store.segments import is_segment, names_in, segment_windows, window_of
from liqmap.window import TimeWindow, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLDER: Final = "damaged"


class SetAside(NamedTuple):
    """A segment that was set aside: where it lies now, and what it was of."""

    path: Path
    exchange: Exchange
    symbol: str
    window: TimeWindow


def set_aside(root: Path, segment: Path) -> None:
    """Move the segment in the folder `segment` out of the store at `root`. Raises OSError."""
    symbol = segment.parent
    target = root / FOLDER / symbol.parent.name / symbol.name / f"{segment.name}.{uuid4().hex[:8]}"
    target.parent.mkdir(parents=True, exist_ok=True)
    segment.rename(target)


def damaged_segments(root: Path) -> Iterator[SetAside]:
    """Yield the segments set aside of which the store still lacks something. Raises UnreadableStore."""
    for each in _all(root):
        if _is_lacking(root, each):
            yield each


def damaged_windows(root: Path, exchange: Exchange, symbol: str) -> list[TimeWindow]:
    """Return the windows of a symbol's segments that were set aside. Raises UnreadableStore."""
    return [each.window for each in _of_symbol(root, exchange, symbol)]


def remove_replaced(root: Path) -> None:
    """Remove what was set aside and is all in the store again. Raises UnreadableStore."""
    for each in _all(root):
        if not _is_lacking(root, each):
            shutil.rmtree(each.path, ignore_errors=True)


def _is_lacking(root: Path, each: SetAside) -> bool:
    return bool(missing(each.window, segment_windows(root, each.exchange, each.symbol)))


def _all(root: Path) -> Iterator[SetAside]:
    for exchange in Exchange:
        for symbol in sorted(names_in(root / FOLDER / exchange)):
            yield from _of_symbol(root, exchange, symbol)


def _of_symbol(root: Path, exchange: Exchange, symbol: str) -> Iterator[SetAside]:
    folder = root / FOLDER / exchange / symbol
    for name in sorted(names_in(folder)):
        window = name.partition(".")[0]
        if is_segment(window):
            yield SetAside(folder / name, exchange, symbol, window_of(window))
