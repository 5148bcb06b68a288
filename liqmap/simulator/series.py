"""Series of the simulated market: mark prices that follow its trades, and open interest within its volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model.window import TimeWindow

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

    from liqmap.simulator.listings import Listing, MarketDay

MINUTE_MS: Final = 60_000
STEP_MS: Final = 300_000
STEPS: Final = 288
"""Open interest is published every five minutes."""

_SECONDS = 86_400
_SMOOTHED_OVER = 20  # seconds, so that short wicks of the trades do not reach the mark price
_WIGGLE = 0.05  # how far open interest strays from its trend, as a share of the volume of five minutes
_MOST_SIGMA = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class SeriesDay:
    """A day's series of one symbol.

    `interest` is the one-sided open interest at 00:00, 00:05 … 24:00, in base currency or, of inverse
    contracts, in US dollars. `opening`, `low`, `high` and `close` are the mark prices of its minutes.
    """

    symbol: str
    day: date
    listing: Listing
    interest: NDArray[np.float64]
    opening: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    close: NDArray[np.float64]

    @property
    def start_ms(self) -> int:
        """The day's first millisecond since 1970."""
        return TimeWindow.of_day(self.day).start_ms


def series_of(
    day: MarketDay, *, rng: np.random.Generator, opening_interest: float, closing_interest: float
) -> SeriesDay:
    """Return the series of a day whose open interest is given at both its midnights."""
    mark = mark_seconds(day).reshape(-1, 60)
    before = np.r_[mark[0, 0], mark[:-1, -1]]
    return SeriesDay(
        day.symbol,
        day.day,
        day.listing,
        _interest(day, rng, opening_interest, closing_interest),
        opening=before,
        low=np.minimum(mark.min(axis=1), before),
        high=np.maximum(mark.max(axis=1), before),
        close=mark[:, -1],
    )


def mark_seconds(day: MarketDay) -> NDArray[np.float64]:
    """Return the mark price of each second: the mean of the last prices of some seconds."""
    trades = day.trades
    start = TimeWindow.of_day(day.day).start_ms
    ends = start + 1000 * np.arange(1, _SECONDS + 1)
    last = np.maximum(trades.time.searchsorted(ends) - 1, 0)
    total = np.r_[0.0, np.cumsum(trades.price[last])]
    upto = np.arange(1, _SECONDS + 1)
    since = np.maximum(upto - _SMOOTHED_OVER, 0)
    mark: NDArray[np.float64] = (total[upto] - total[since]) / (upto - since)
    return np.round(mark, day.listing.price_decimals + 2)


def _interest(
    day: MarketDay, rng: np.random.Generator, opening: float, closing: float
) -> NDArray[np.float64]:
    """Return open interest from midnight to midnight; no step changes it by more than its volume."""
    step = (day.trades.time - TimeWindow.of_day(day.day).start_ms) // STEP_MS
    volume = np.bincount(step, weights=day.trades.size, minlength=STEPS)
    share = volume / volume.sum()
    # Cut off, so that no step changes by more than its volume, which real open interest cannot either.
    stray = _WIGGLE * volume * np.clip(rng.standard_normal(STEPS), -_MOST_SIGMA, _MOST_SIGMA)
    # The last term takes back what has strayed: the day ends where the next one begins.
    change = (closing - opening) * share + stray - share * stray.sum()
    interest: NDArray[np.float64] = opening + np.r_[0.0, np.cumsum(change)]
    return interest.round(day.listing.size_decimals)
