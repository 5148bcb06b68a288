"""Fills: the parts in which an order was filled -> the one trade that it was.

Binance publishes a taker's order as one trade per price. Bybit and OKX publish every fill, so that an order
of a million can be a thousand trades of a thousand: without merging, "the largest trades" would mean another
thing there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model import Trades
from liqmap.model.exact import rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE: Final = 1 << 17  # rows: they fit into the CPU's cache


def merged_fills(fills: Trades, ids: NDArray[np.int64] | None = None) -> Trades:
    """Return fills, in the order in which they were made, with those of one order and price put together.

    Those are neighbours of one millisecond, side and price; with `ids`, such whose ids follow each other.
    """
    first = first_fills(fills, ids)
    if first is None:
        return fills
    size = summed(fills.size, first)
    return Trades(fills.time[first], fills.price[first], size, fills.is_buy[first], fills.inverse)


def first_fills(fills: Trades, ids: NDArray[np.int64] | None) -> NDArray[np.uint32] | None:
    """Return the place of each order's first fill, as `merged_fills` puts them together; None if all are."""
    is_first = np.ones(len(fills), np.bool_)
    for its in parts(len(fills) - 1):
        following = slice(its.start + 1, its.stop + 1)
        goes_on = (fills.time[following] == fills.time[its]) & (fills.price[following] == fills.price[its])
        goes_on &= fills.is_buy[following] == fills.is_buy[its]
        if ids is not None:
            goes_on &= ids[following] - ids[its] == 1
        is_first[following] = ~goes_on
    return None if is_first.all() else np.flatnonzero(is_first).astype(np.uint32)


def summed(size: NDArray[np.float64], first: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return the sums of sizes from each place in `first` to the next."""
    # A sum of decimals is a decimal: 0.1 + 0.2 is 0.3.
    return _rounded(np.add.reduceat(size, first))


def in_base(trades: Trades, unit: float) -> Trades:
    """Return trades whose sizes count contracts with sizes in base currency, `unit` a contract."""
    if unit == 1 or not len(trades):
        return trades
    # On paper, 30.14 contracts of 0.01 are 0.3014; in floats, 0.30140000000000003.
    size = _rounded(trades.size * unit)
    return Trades(trades.time, trades.price, size, trades.is_buy, trades.inverse)


def parts(count: int) -> list[slice]:
    """Return slices of so many rows: what is computed in passes needs memory for a part only."""
    return [slice(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE)]


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    for part in parts(len(values)):
        values[part] = rounded(values[part])
    return values
