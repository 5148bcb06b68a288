"""A day as an exchange publishes it: its file's 24 hours, and what is said where there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from liqmap.errors import NotPublished
from liqmap.exchanges import EXCHANGES
from liqmap.model.window import DAY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from liqmap.model import Exchange
    from liqmap.model.window import TimeWindow


@dataclass(frozen=True, slots=True)
class FileDay:
    """A day as an exchange's files have it, and its 24 hours."""

    day: date
    window: TimeWindow


def file_days(exchange: Exchange, window: TimeWindow) -> list[FileDay]:
    """Return the days of an exchange's files that a window touches, oldest first."""
    span = EXCHANGES[exchange].files.span
    # One more on each side, because the day of a file need not be that of UTC.
    days = [window.days[0] - DAY, *window.days, window.days[-1] + DAY]
    return [each for each in (FileDay(day, span(day)) for day in days) if each.window.overlap(window)]


@dataclass(frozen=True, slots=True)
class Day:
    """One symbol's day at one exchange, as its files have it."""

    exchange: Exchange
    symbol: str
    day: date

    @property
    def window(self) -> TimeWindow:
        """Its 24 hours."""
        return EXCHANGES[self.exchange].files.span(self.day)

    @classmethod
    def touched(cls, exchange: Exchange, symbol: str, windows: Iterable[TimeWindow]) -> list[Self]:
        """Return the days of the exchange's files that windows touch, each once, oldest first in each."""
        days = (each.day for window in windows for each in file_days(exchange, window))
        return [cls(exchange, symbol, day) for day in dict.fromkeys(days)]

    def shifted(self, days: int) -> Day:
        """Return the day so many days later."""
        return replace(self, day=self.day + timedelta(days=days))


def absence(day: Day) -> NotPublished:
    """Return the error that says that the exchange has no file of `day`."""
    market = EXCHANGES[day.exchange].contract(day.symbol).label
    return NotPublished(f"{market} has published no {day.symbol} trades of {day.day}.")
