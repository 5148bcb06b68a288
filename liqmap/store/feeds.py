"""Feeds: when the liquidations of a symbol were really received, as spans of a day.

A span is a line of fixed width, so that one that goes on is lengthened in place::

    1791072000000,1791072060000
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from liqmap.window import TimeWindow, at_ms, merged

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from liqmap.model import Exchange

_DIGITS: Final = 13  # of ms since 1970, from 2001 to 2286
_ROW = 2 * _DIGITS + 2


def note_feed(root: Path, exchange: Exchange, symbol: str, window: TimeWindow) -> None:
    """Note that every liquidation that was told in `window`, which lies within a day, was stored.

    Raises OSError if that is not possible.
    """
    path = feed_path(root, exchange, symbol, window.start.date())
    path.parent.mkdir(parents=True, exist_ok=True)
    start, end = (f"{moment:0{_DIGITS}}".encode() for moment in (window.start_ms, window.end_ms))
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:  # noqa: PTH123
        whole = file.seek(0, os.SEEK_END) // _ROW * _ROW  # a row cut off by a crash is written over
        file.seek(max(whole - _ROW, 0))
        goes_on = file.read(_ROW)[_DIGITS + 1 : -1] == start
        file.seek(whole - _DIGITS - 1 if goes_on else whole)
        file.write(end + b"\n" if goes_on else start + b"," + end + b"\n")


def feed_windows(root: Path, exchange: Exchange, symbol: str, day: date) -> list[TimeWindow]:
    """Return when the liquidations of a day were received, oldest first; lines that are none are left out."""
    found = []
    with suppress(FileNotFoundError):
        content = feed_path(root, exchange, symbol, day).read_text("ascii", errors="replace")
        for line in content.split("\n"):
            with suppress(ValueError, OverflowError, OSError):
                start, end = map(int, line.split(","))
                # An empty or backward window raises an error of its own, so look first.
                if start < end and len(line) == _ROW - 1:
                    found.append(TimeWindow(at_ms(start), at_ms(end)))
    return merged(found)


def feed_coverage(root: Path, exchange: Exchange, symbol: str, window: TimeWindow) -> float:
    """Return which share of `window` the liquidations of a symbol were received in."""
    received = [each for day in window.days for each in feed_windows(root, exchange, symbol, day)]
    inside = [part for part in map(window.overlap, received) if part is not None]
    return sum(part.length / window.length for part in inside)


def feed_path(root: Path, exchange: Exchange, symbol: str, day: date) -> Path:
    """Return where a day's spans are kept: beside its liquidations."""
    return root / "liquidations" / exchange / symbol / f"{day}.feed"
