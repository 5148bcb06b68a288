"""The simulated market's liquidations: positions whose levels the mark price reaches."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.simulator.positions import PositionBook

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

    from liqmap.simulator.listings import Listing, MarketDay
    from liqmap.simulator.series import SeriesDay

WARM_DAYS: Final = 1
"""The days before the first liquidation on which positions begin; older open interest has no levels."""

OPENERS: Final = 10
"""The trades in five minutes that open positions with levels: a busy day has some thousand liquidations."""

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, eq=False)
class Liquidations:
    """Liquidated positions of one symbol in time order, as arrays of one length.

    time int64 [ms since 1970], price and size float64, is_long bool: whether longs were liquidated.
    """

    symbol: str
    day: date
    listing: Listing
    time: NDArray[np.int64]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    is_long: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.time)

    def between(self, start_ms: int, end_ms: int) -> Liquidations:
        """Return the liquidations with start_ms <= time < end_ms."""
        return self.chosen(slice(*self.time.searchsorted((start_ms, end_ms)).tolist()))

    def latest_a_second(self) -> Liquidations:
        """Return the last liquidation of each second: Binance reports only those."""
        return self.chosen(np.diff(self.time // 1000, append=-1) != 0)

    def chosen(self, rows: slice | NDArray[np.bool_]) -> Liquidations:
        """Return the liquidations at `rows`, in the same order."""
        time, price, size, is_long = self.time[rows], self.price[rows], self.size[rows], self.is_long[rows]
        return Liquidations(self.symbol, self.day, self.listing, time, price, size, is_long)


def liquidation_days(day: date) -> list[date]:
    """Return the days, oldest first, in which the positions opened that a day liquidates."""
    return [day - timedelta(days=back) for back in range(WARM_DAYS, -1, -1)]


def liquidations_of(days: Sequence[tuple[MarketDay, SeriesDay]], *, seed: int) -> Liquidations:
    """Return the liquidations of the last of some days, whose positions began with the first of them.

    A position is liquidated within a second after the mark price has reached its level, at the last price
    that was paid.
    """
    day, series = days[-1]
    inverse = day.listing.dollars is not None
    interest = float(days[0][1].interest[0])
    book = PositionBook(seed=seed, interest=interest, inverse=inverse, most_openers=OPENERS)
    for each, its in days:
        book.add(each, its)
    second = np.concatenate([np.empty(0, np.int64), *(each.second for each in book.forced)])
    size = np.concatenate([np.empty(0), *(each.size for each in book.forced)])
    is_long = np.repeat([each.is_long for each in book.forced], [len(each.size) for each in book.forced])
    rng = np.random.default_rng([seed, 19, day.day.toordinal()])
    # What the last second liquidates still belongs to this day.
    time = np.minimum((second + 1) * 1000 + rng.integers(0, 1000, len(second)), _DAY_MS - 1)
    lots = day.listing.dollars or 10.0**-day.listing.size_decimals
    size = np.round(np.rint(size / lots) * lots, day.listing.size_decimals)
    order = np.argsort(time, kind="stable")
    order = order[size[order] > 0]  # a remainder smaller than a lot cannot be traded
    time = time[order] + series.start_ms
    last = np.maximum(day.trades.time.searchsorted(time, side="right") - 1, 0)
    price = day.trades.price[last]
    return Liquidations(
        day.symbol, day.day, day.listing, time, price, size[order], is_long[order].astype(np.bool_)
    )
