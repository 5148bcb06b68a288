"""Feeds: when the liquidations of a symbol were really received, one sealed table of spans a symbol and day.

A span is a line, and one that goes on is lengthened::

    # xxh3: 0123456789abcdef
    # received from, until [ms]
    1791072000000,1791072060000

Tables of before there were seals are lines of spans alone. They are sealed when a span is added.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from liqmap.files import locked, make_synced, replace_file, unreadable
from liqmap.files.seals import BrokenSeal, sealed_table, unsealed_table
from liqmap.model.window import TimeWindow, at_ms, merged, overlaps
from liqmap.store.damaged import set_file_aside

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from pathlib import Path

    from liqmap.model import Exchange

log = logging.getLogger(__name__)

_HEADER: Final = "# received from, until [ms]\n"
_SPAN = re.compile(r"(\d{13}),(\d{13})\n")  # thirteen digits, until 2286
_UNSEALED = re.compile(rb"(?:\d{13},\d{13}\n)+[\d,]{0,27}")  # the last row may be cut off


def note_feed(root: Path, exchange: Exchange, symbol: str, window: TimeWindow) -> None:
    """Note that every liquidation that was reported in `window`, which lies within a day, was stored.

    A damaged table is set aside, and a new one begins. Raises OSError if that is not possible.
    """
    path = feed_path(root, exchange, symbol, window.start.date())
    make_synced(path.parent)
    # What a recorder receives and what is fetched of the same day are noted by several threads and processes.
    with locked(path.parent):
        noted = _noted(root, path)
        replace_file(path, sealed_table(_HEADER + _text(merged([*noted, window]))), mode=0o600, sync=True)


def forget_feed(root: Path, exchange: Exchange, symbol: str, day: date) -> None:
    """Forget when the liquidations of a day were received, as they are lost. Raises OSError."""
    path = feed_path(root, exchange, symbol, day)
    if path.parent.is_dir():
        # Else who is noting a span just now would write the others again.
        with locked(path.parent):
            path.unlink(missing_ok=True)


def feed_windows(root: Path, exchange: Exchange, symbol: str, day: date) -> list[TimeWindow]:
    """Return when the liquidations of a day were received, oldest first.

    A damaged table says nothing of that, so they count as not received. Raises UnreadableStore.
    """
    path = feed_path(root, exchange, symbol, day)
    try:
        return _spans(path.read_bytes())
    except (FileNotFoundError, BrokenSeal):
        return []
    except OSError as error:
        raise unreadable(error) from error


def received_windows(root: Path, exchange: Exchange, symbol: str, window: TimeWindow) -> list[TimeWindow]:
    """Return when the liquidations of the days that `window` touches were received, oldest first.

    Raises UnreadableStore.
    """
    return [each for day in window.days for each in feed_windows(root, exchange, symbol, day)]


def feed_coverage(root: Path, exchange: Exchange, symbol: str, window: TimeWindow) -> float:
    """Return which share of `window` the liquidations of a symbol were received in.

    Raises UnreadableStore.
    """
    received = received_windows(root, exchange, symbol, window)
    # Whole milliseconds add up exactly: a window that was received in spans was received in full.
    inside = sum(part.end_ms - part.start_ms for part in overlaps(window, received))
    return inside / (window.end_ms - window.start_ms)


def verify_feed(path: Path) -> None:
    """Verify the table in `path`. Raises BrokenSeal or OSError."""
    _spans(path.read_bytes())


def feed_path(root: Path, exchange: Exchange, symbol: str, day: date) -> Path:
    """Return where a day's spans are kept: beside its liquidations."""
    return root / "liquidations" / exchange / symbol / f"{day}.feed"


def _noted(root: Path, path: Path) -> list[TimeWindow]:
    """Return the spans of a table, none where there is none that is sound. Raises OSError."""
    try:
        return _spans(path.read_bytes())
    except FileNotFoundError:
        return []
    except BrokenSeal as error:
        set_file_aside(root, path)
        symbol = path.parent.name
        log.warning("damaged and set aside: when liquidations of %s were received, %s", symbol, error)
        return []


def _spans(content: bytes) -> list[TimeWindow]:
    """Return a table's spans, oldest first. Raises BrokenSeal."""
    if _UNSEALED.fullmatch(content):
        text = content.decode()
    else:
        text = unsealed_table(content)
        if not text.startswith(_HEADER):
            raise BrokenSeal("other columns")
    spans = [(int(start), int(end)) for start, end in _SPAN.findall(text)]
    # The chunks that spans are made of begin and end at whole seconds.
    if any(start >= end or (start % 1000, end % 1000) != (0, 0) for start, end in spans):
        raise BrokenSeal("a span that cannot be one")
    return merged([TimeWindow(at_ms(start), at_ms(end)) for start, end in spans])


def _text(spans: Iterable[TimeWindow]) -> str:
    return "".join(f"{each.start_ms:013},{each.end_ms:013}\n" for each in spans)
