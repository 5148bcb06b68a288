"""Add up how far the fetching of a window has come."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from liqmap.collect.day import Day
from liqmap.collect.published import DOWNLOAD_SHARE
from liqmap.exchanges import EXCHANGES
from liqmap.model import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from liqmap.model import Exchange
    from liqmap.model.window import TimeWindow

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
        """Return a callback for the share of a day's work that is done; the day is one of `days`."""
        self._weights[day] = 1.0
        if len(self._weights) == 1:  # words from the beginning, before the first bytes have arrived
            self._report(f"Fetching {self._days(days)}")

        def report(share: float) -> None:
            self._shares[day] = share
            shares = [share for key, share in self._shares.items() if isinstance(key, Day)]
            if all(share >= DOWNLOAD_SHARE for share in shares):
                stored = sum(share >= 1 for share in shares)
                self._report(f"Storing {self._days(days, min(stored + 1, len(shares)))}")
            else:
                self._report(f"Fetching {self._days(days, len(shares))}")

        return report

    def of_hours(self, windows: Sequence[TimeWindow]) -> Callable[[float, float], None]:
        """Return a callback for the share of recent trades that is done, and the seconds that are left."""
        key, hours = tuple(windows), sum((each.length for each in windows), timedelta()) / timedelta(hours=1)
        self._weights[key] = max(hours, _LEAST_HOURS)
        length = f"{hours:.0f} h" if hours >= 1 else f"{hours * 60:.0f} min"
        text = f"Fetching the last {length} of {self._symbol} from {EXCHANGES[self._exchange].label}"
        if len(self._weights) == 1:
            self._report(text)

        def report(share: float, left: float) -> None:
            self._shares[key], self._left = share, left
            self._report(text)

        return report

    def _days(self, days: int, number: int | None = None) -> str:
        """Return which days, in words: 3 days of BTCUSDT from Binance, or with a `number` 2 of 3 days."""
        counted = "1 day" if days == 1 else f"{days} days" if number is None else f"{number} of {days} days"
        return f"{counted} of {self._symbol} from {EXCHANGES[self._exchange].label}"

    def _report(self, text: str) -> None:
        done = sum(self._weights[key] * share for key, share in self._shares.items())
        # More to fetch may come to light on the way, which must not look like going back.
        self._reported = max(self._reported, done / sum(self._weights.values()))
        self._progress(Progress(text, self._reported, left=self._left))
