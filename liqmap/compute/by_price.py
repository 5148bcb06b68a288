"""Sum trades up by their entry prices, where these are far fewer than the trades.

A long window has millions of selected trades, but an exchange's ticks allow only some ten thousand prices
in it. In the first tier of the brackets, where nearly all trades lie, the levels of a trade depend on its
entry price alone. A nearer level is touched before a farther one, so of its levels those at the lowest
leverages stand, and what became of them is one number. The notional is summed up by price and number; the
levels are computed once a price.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from liqmap.compute.margin import first_tier, liquidation_price, shares
from liqmap.model import Side
from liqmap.model.exact import DIGITS, rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from liqmap.compute.buckets import LevelSums
    from liqmap.compute.margin import MarginRules
    from liqmap.compute.values import PricePath, SideTrades
    from liqmap.model import MapRequest

MANY: Final = 4_000
"""Of fewer trades, nearly each has a price of its own."""

_MOST_SUMS: Final = 2_500_000  # 20 MB a side: half a million prices at four leverages
_NEARLY: Final = 1e-11  # of quotients, more than the rounding to twelve digits changes


@dataclass(frozen=True, slots=True, eq=False)
class PriceSums:
    """The notional of one side's trades, by their prices and by how many of their levels stand.

    `sums` has a row for each price from `first` / `unit` on, in steps of 1 / `unit`, and a column for each
    number of levels that stand. `multiples` are the levels of an entry price of 1, leverages ascending, and
    `share` is the part of a trade that counts at each. `most` is up to which value or size trades are summed
    up here.
    """

    side: Side
    rules: MarginRules
    leverages: tuple[int, ...]
    unit: float
    first: int
    sums: NDArray[np.float64]
    multiples: tuple[float, ...]
    share: NDArray[np.float64]
    most: float

    @classmethod
    def of(cls, side: Side, request: MapRequest, rules: MarginRules, path: PricePath) -> Self:
        """Return empty sums of trades whose prices lie within those of `path`."""
        one, nothing, leverages = np.ones(1), np.zeros(1), request.leverages
        share = shares(rules, leverages, request.weights, entry_price=one, notional=nothing)[:, 0]
        unit = _unit(np.concatenate([path.low, path.high]))
        first, last = (round(float(end) * unit) for end in (path.low.min(), path.high.max()))
        shape = last - first + 1, len(leverages) + 1
        # Beyond these, and where a trade may have none of the leverages, levels are computed one by one.
        fits = math.prod(shape) <= _MOST_SUMS and share[0] > 0
        return cls(
            side,
            rules,
            leverages,
            unit,
            first,
            np.zeros(shape if fits else (0, shape[1])),
            tuple(_levels(side, rules, leverages, one)[:, 0].tolist()),
            share,
            first_tier(rules, side, leverages) if fits else -np.inf,
        )

    def add(self, trades: SideTrades, bound: NDArray[np.float64]) -> NDArray[np.int64] | slice:
        """Add the trades of the first tier, and return the places of the others.

        Levels stand below `bound` (of buys), or above it (of sells), a price for each trade.
        """
        inside = self.rules.tiered(trades.price, trades.notional) <= self.most
        rows = rows_of(inside)
        price, notional = trades.price[rows], trades.notional[rows]
        tick = price * self.unit
        np.rint(tick, out=tick)
        if not len(price) or not np.array_equal(tick / self.unit, price):
            return slice(None)
        lowest, highest = int(tick.min()), int(tick.max())
        if not self.first <= lowest <= highest < self.first + len(self.sums):
            raise ValueError("a trade's price lies outside the price path")
        place = tick.astype(np.int64)
        place -= lowest
        place *= self.sums.shape[1]
        place += self._standing(price, bound[rows])
        found = np.bincount(place, weights=notional)
        start = (lowest - self.first) * self.sums.shape[1]
        self.sums.ravel()[start : start + len(found)] += found
        return np.flatnonzero(~inside)

    def put_into(self, sums: LevelSums, *, ratio: float) -> None:
        """Add the levels to `sums`, times `ratio`."""
        by_number = np.ascontiguousarray(self.sums.T)
        (used,) = np.nonzero(by_number.sum(axis=0))
        by_number = by_number.take(used, axis=1)
        price = (self.first + used) / self.unit
        levels = _levels(self.side, self.rules, self.leverages, price)
        for row, (level, share) in enumerate(zip(levels, self.share.tolist(), strict=True)):
            if share:
                aligned = level if ratio == 1 else rounded(level * ratio)
                swept, standing = by_number[: row + 1].sum(axis=0), by_number[row + 1 :].sum(axis=0)
                for notional, stands in ((standing, True), (swept, False)):
                    (some,) = np.nonzero(notional)
                    sums.add_row(
                        self.side,
                        row,
                        price=aligned[some],
                        notional=share * notional[some],
                        standing=np.full(len(some), stands),
                    )

    def _standing(self, price: NDArray[np.float64], bound: NDArray[np.float64]) -> NDArray[np.int8]:
        """Return how many levels of each entry stand."""
        # Shorts are mirrored, so that a level of either side stands below the bound.
        sign = 1 if self.side is Side.BUY else -1
        quotient = sign * bound / price
        surely, nearly = np.zeros((2, len(price)), np.int8)
        for level in self.multiples:
            surely += quotient > sign * level + _NEARLY * level
            nearly += quotient > sign * level - _NEARLY * level
        # Only where level and bound are nearly equal does the rounding of levels decide.
        (near,) = np.nonzero(surely != nearly)
        if len(near):
            levels, bounds = _levels(self.side, self.rules, self.leverages, price[near]), bound[near]
            stands = levels < bounds if self.side is Side.BUY else levels > bounds
            surely[near] = stands.sum(axis=0)
        return surely


def rows_of(mask: NDArray[np.bool_]) -> NDArray[np.int64] | slice:
    """Return the places that `mask` marks, as a slice if they are exactly a tail: slicing copies nothing."""
    marked = int(np.count_nonzero(mask))
    # They usually are: trades come largest first, and only the largest are barred from high leverages.
    if mask[len(mask) - marked :].all():
        return slice(len(mask) - marked, len(mask))
    return np.flatnonzero(mask)


def _levels(
    side: Side, rules: MarginRules, leverages: Sequence[int], price: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the levels of entries of the first tier at `price`, a row for each leverage."""
    nothing = np.zeros(len(price))
    return np.stack(
        [
            liquidation_price(rules, side, leverage=each, entry_price=price, notional=nothing)
            for each in leverages
        ]
    )


def _unit(prices: NDArray[np.float64]) -> float:
    """Return the smallest power of ten of which all `prices` times it are whole numbers."""
    units = [10.0**decimals for decimals in range(DIGITS)]
    return next((unit for unit in units if np.array_equal(np.rint(prices * unit) / unit, prices)), 1.0)
