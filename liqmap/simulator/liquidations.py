"""Choose the simulated market's liquidations: some of each day's trades, where the price moved fastest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

    from liqmap.simulator.listings import Listing, MarketDay

_A_DAY: Final = 200
_AT_LEAST: Final = 4
_MOVE_MS: Final = 30_000  # the time over which a move is measured


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


def liquidations_of(day: MarketDay, *, seed: int, scale: float) -> Liquidations:
    """Return a day's liquidations: trades in fast moves. A fall liquidates longs, a rise shorts."""
    trades = day.trades
    rng = np.random.default_rng([seed, *f"{day.symbol} liquidations".encode(), day.day.toordinal()])
    before = trades.price[trades.time.searchsorted(trades.time - _MOVE_MS)]
    move = np.log(trades.price / before)
    # To the fourth power, so that they cluster: a move twice as fast liquidates sixteen times as often.
    weight = move**4 + 1e-30
    number = min(len(trades), max(_AT_LEAST, round(_A_DAY * scale)))
    rows = np.sort(rng.choice(len(trades), number, replace=False, p=weight / weight.sum()))
    is_long = move[rows] < 0
    return Liquidations(
        day.symbol, day.day, day.listing, trades.time[rows], trades.price[rows], trades.size[rows], is_long
    )
