"""What the simulated market lists, and a day of one symbol's trades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model import Trades

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Listing:
    """A symbol's properties: typical price, daily volatility, trades a day, median notional, decimals.

    Sizes of inverse contracts are in US dollars, in whole contracts of `dollars` each.
    """

    price: float
    price_decimals: int
    size_decimals: int
    volatility: float
    trades_a_day: int
    median_notional: float
    dollars: float | None = None

    @property
    def day_notional(self) -> float:
        """Roughly what is traded in a day [quote currency], as if every trade had the median notional."""
        return self.trades_a_day * self.median_notional


LISTINGS: Final = {
    "BTCUSDT": Listing(29_000, 1, 3, 0.018, 1_200_000, 400),
    "ETHUSDT": Listing(1_850, 2, 3, 0.024, 1_000_000, 330),
    "SOLUSDT": Listing(24, 3, 0, 0.035, 450_000, 260),
    "XRPUSDT": Listing(0.62, 4, 1, 0.032, 300_000, 220),
    "DOGEUSDT": Listing(0.071, 5, 0, 0.036, 220_000, 200),
    "SHIBUSDT": Listing(0.00001234, 8, 0, 0.040, 150_000, 180),
    # Inverse contracts: Binance's COIN-M spelling, then Bybit's.
    "BTCUSD_PERP": Listing(29_000, 1, 0, 0.018, 250_000, 500, dollars=100),
    "BTCUSD": Listing(29_000, 1, 0, 0.018, 250_000, 500, dollars=1),
}


@dataclass(frozen=True, slots=True, eq=False)
class MarketDay:
    """One day of one symbol: trades in time order, with contiguous ids from `first_id`."""

    symbol: str
    day: date
    listing: Listing
    trades: Trades
    first_id: int

    @property
    def ids(self) -> NDArray[np.int64]:
        """Aggregate trade ids, one a trade."""
        return np.arange(self.first_id, self.first_id + len(self.trades))

    def part(self, start: int, stop: int) -> MarketDay:
        """Return the trades at places [start, stop), without copying them."""
        rows, trades = slice(start, stop), self.trades
        some = Trades(
            trades.time[rows], trades.price[rows], trades.size[rows], trades.is_buy[rows], trades.inverse
        )
        return MarketDay(self.symbol, self.day, self.listing, some, self.first_id + start)
