"""Word the state of this machine and its store: clock, series, damaged files."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from liqmap.exchanges import EXCHANGES
from liqmap.text.numbers import size_text
from liqmap.text.times import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date, datetime

    from liqmap.model import Exchange
    from liqmap.model.series import SeriesKind


def series_text(newest: Iterable[tuple[SeriesKind, datetime]]) -> str:
    """Return the end of each stored series: mark price until Oct 09 12:09 UTC; "" if none is stored."""
    parts = [f"{kind.replace('_', ' ')} until {end:%b %d %H:%M}" for kind, end in newest]
    return f"{', '.join(parts)} UTC" if parts else ""


def clock_text(exchange: Exchange, ahead: timedelta) -> str:
    """Return a sentence about this machine's clock, which is `ahead` of an exchange's (negative: behind)."""
    side = "ahead of" if ahead > timedelta(0) else "behind"
    length = duration_text(abs(ahead))
    label = EXCHANGES[exchange].label
    return f"This machine's clock is about {length} {side} {label}'s; set it, for example with NTP."


def damage_text(count: int, size: int, *, oldest: date | None) -> str:
    """Return a sentence on damaged files that were set aside: how many, their size [bytes], what to do."""
    files = "1 damaged file is" if count == 1 else f"{count:,} damaged files are"
    day = f", the oldest of {oldest}" if oldest else ""
    return (
        f"{files} set aside in the store's folder `damaged` ({size_text(size)}{day}). Published days are"
        " fetched again when a map needs them; what was recorded is a gap. Check the disk, and remove the"
        " folder once you do not need it."
    )
