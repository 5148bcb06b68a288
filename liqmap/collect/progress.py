"""Add up how far the fetching of a window has come."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from liqmap.collect.days import Day
from liqmap.exchanges import EXCHANGES
from liqmap.model import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from liqmap.model import Exchange
    from liqmap.window import TimeWindow

_LEAST_HOURS = 0.1


class FetchProgress:
    """Adds up the progress of what is being fetched: days from files, and hours by REST.

    A day's file weighs as much as an hour by REST.
    """

    def __init__(self, exchange: Exchange, symbol: str, progress: Callable[[Progress], None]) -> None:
        self._exchange = exchange
        self._symbol = symbol
        self._progress = progress
        self._shares: dict[object, float] = {}
        self._weights: dict[object, float] = {}
        self._reported = 0.0
        self._left: float | None = None

    def of_day(self, day: Day, days: int) -> Callable[[float], None]:
        """Return a callback for the share of a day's download that is done; the day is one of `days`."""
        self._weights[day] = 1.0

        def report(share: float) -> None:
            self._shares[day] = share
            begun = sum(isinstance(key, Day) for key in self._shares)
            self._report("1 day" if days == 1 else f"{begun} of {days} days")

        return report

    def of_hours(self, windows: Sequence[TimeWindow]) -> Callable[[float, float], None]:
        """Return a callback for the share of recent trades that is done, and the seconds that are left."""
        key, hours = tuple(windows), sum((each.length for each in windows), timedelta()) / timedelta(hours=1)
        self._weights[key] = max(hours, _LEAST_HOURS)

        def report(share: float, left: float) -> None:
            self._shares[key], self._left = share, left
            self._report(f"the last {hours:.0f} h" if hours >= 1 else f"the last {hours * 60:.0f} min")

        return report

    def _report(self, what: str) -> None:
        done = sum(self._weights[key] * share for key, share in self._shares.items())
        # More to fetch may come to light on the way, which must not look like going back.
        self._reported = max(self._reported, done / sum(self._weights.values()))
        text = f"Fetching {what} of {self._symbol} from {EXCHANGES[self._exchange].label}"
        self._progress(Progress(text, self._reported, left=self._left))
