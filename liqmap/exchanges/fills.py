"""Fills: the parts in which an order was filled -> the one trade that it was.

Binance publishes a taker's order as one trade per price. Bybit and OKX publish every fill, so that an order
of a million can be a thousand trades of a thousand: without merging, "the largest trades" would mean another
thing there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from liqmap.model import Trades
from liqmap.model.exact import rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray


def merged_fills(fills: Trades, ids: NDArray[np.int64] | None = None) -> Trades:
    """Return fills, in the order in which they were made, with those of one order and price put together.

    Those are neighbours of one millisecond, side and price; with `ids`, such whose ids follow each other.
    """
    if len(fills) < 2:
        return fills
    same = (np.diff(fills.time) == 0) & (np.diff(fills.price) == 0) & (fills.is_buy[1:] == fills.is_buy[:-1])
    if ids is not None:
        same &= np.diff(ids) == 1
    if not same.any():
        return fills
    first = np.flatnonzero(np.r_[True, ~same])
    # A sum of decimals is a decimal: 0.1 + 0.2 is 0.3.
    size = rounded(np.add.reduceat(fills.size, first))
    return Trades(fills.time[first], fills.price[first], size, fills.is_buy[first], fills.inverse)


def in_base(trades: Trades, unit: float) -> Trades:
    """Return trades whose sizes count contracts with sizes in base currency, `unit` a contract."""
    if unit == 1 or not len(trades):
        return trades
    # On paper, 30.14 contracts of 0.01 are 0.3014; in floats, 0.30140000000000003.
    size = rounded(trades.size * unit)
    return Trades(trades.time, trades.price, size, trades.is_buy, trades.inverse)
