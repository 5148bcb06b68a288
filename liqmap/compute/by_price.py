"""Sum trades up by their entry prices, where these are far fewer than the trades.

A long window has millions of selected trades, but an exchange's ticks allow only some ten thousand prices
in it. In the first tier of the brackets, where nearly all trades lie, the levels of a trade depend on its
entry price alone. A nearer level is touched before a farther one, so of its levels those at the lowest
leverages stand, and what became of them is one number. The notional is summed up by price and number; the
levels are computed once a price.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from liqmap.compute.margin import first_tier, liquidation_price, shares
from liqmap.model import LevelFilter, Side
from liqmap.model.exact import DIGITS, rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.compute.buckets import LevelSums
    from liqmap.compute.margin import MarginRules
    from liqmap.compute.open_shares import OpenShares
    from liqmap.compute.standing import EntryShares, Positions, SweptSearch
    from liqmap.compute.values import PricePath, SideTrades
    from liqmap.model import MapRequest

MANY: Final = 4_000
"""Of fewer trades, nearly each has a price of its own."""

_MOST_SUMS: Final = 2_500_000  # 20 MB a side: half a million prices at four leverages
_NEARLY: Final = 1e-11  # of quotients, more than the rounding to twelve digits changes


class _Swept(NamedTuple):
    """What was left of swept levels: a row for each leverage, and in it an element for each price.

    `levels` are those of the prices, mirrored for shorts, and `search` finds when they were swept.
    """

    sums: NDArray[np.float64]
    levels: NDArray[np.float64]
    search: SweptSearch


class PriceSums:
    """The notional of one side's trades, by their prices and by how many of their levels stand.

    With `positions`, what open interest leaves of it counts. `selected` is then what was added, in full,
    `opened` what of it opened positions, and `left` what of those was left, once for each leverage.
    """

    def __init__(
        self,
        side: Side,
        request: MapRequest,
        rules: MarginRules,
        path: PricePath,
        positions: Positions | None = None,
    ) -> None:
        """Begin with nothing; the prices of all trades lie within those of `path`."""
        one, nothing, leverages = np.ones(1), np.zeros(1), request.leverages
        self._side, self._rules, self._leverages, self._positions = side, rules, leverages, positions
        self._share = shares(rules, leverages, request.weights, entry_price=one, notional=nothing)[:, 0]
        self._multiples = self._levels(one)[:, 0].tolist()
        self._unit = _unit(np.concatenate([path.low, path.high]))
        self._first, last = (round(float(end) * self._unit) for end in (path.low.min(), path.high.max()))
        shape = last - self._first + 1, len(leverages) + 1
        # Beyond these, and where a trade may have none of the leverages, levels are computed one by one.
        fits = math.prod(shape) <= _MOST_SUMS and self._share[0] > 0
        self._most = first_tier(rules, side, leverages) if fits else -np.inf
        # A row for each price in steps of the unit, and a column for each number of levels that stand.
        self._sums = np.zeros(shape if fits else (0, shape[1]))
        # What is swept is weighed only where only what stands is shown.
        self._weighs_swept = positions is not None and request.levels is LevelFilter.STANDING
        self._swept: _Swept | None = None
        self.selected = self.opened = self.left = 0.0

    def add(
        self,
        trades: SideTrades,
        bound: NDArray[np.float64],
        own_minute: NDArray[np.float64] | None = None,
    ) -> NDArray[np.int64] | slice:
        """Add the trades of the first tier, and return the places of the others.

        Levels stand below `bound` (of buys), or above it (of sells), a price for each trade. `own_minute` is
        as in `Positions.entries`.
        """
        inside = self._rules.tiered(trades.price, trades.notional) <= self._most
        rows = rows_of(inside)
        price, notional = trades.price[rows], trades.notional[rows]
        tick = price * self._unit
        np.rint(tick, out=tick)
        if not len(price) or not np.array_equal(tick / self._unit, price):
            return slice(None)
        place = tick.astype(np.int64)
        place -= self._first
        lowest, highest = int(place.min()), int(place.max())
        if not 0 <= lowest <= highest < len(self._sums):
            raise ValueError("a trade's price lies outside the price path")
        standing = self._standing(price, bound[rows])
        if self._positions is not None:
            own_minute = None if own_minute is None else own_minute[rows]
            entries = self._positions.entries(self._side, trades.time[rows], own_minute)
            self.selected += float(notional.sum())
            notional = notional * entries.opened
            self.opened += float(notional.sum())
            if self._weighs_swept:
                self._swept = self._swept or self._nothing_swept(self._positions)
                self._add_swept(self._positions.shares, self._swept, place, standing, notional, entries)
            notional *= entries.left
        place -= lowest
        place *= self._sums.shape[1]
        place += standing
        found = np.bincount(place, weights=notional)
        start = lowest * self._sums.shape[1]
        self._sums.ravel()[start : start + len(found)] += found
        return np.flatnonzero(~inside)

    def put_into(self, sums: LevelSums, *, ratio: float) -> None:
        """Add the levels to `sums`, times `ratio`."""
        by_number = np.ascontiguousarray(self._sums.T)
        total = by_number.sum(axis=0)
        if self._swept is not None:
            total += self._swept.sums.sum(axis=0)
        used = np.flatnonzero(total)
        by_number = by_number.take(used, axis=1)
        if self._swept is None:
            levels = self._levels((self._first + used) / self._unit)
        else:
            levels = np.abs(self._swept.levels.take(used, axis=1))
        for row, (level, share) in enumerate(zip(levels, self._share.tolist(), strict=True)):
            if not share:
                continue
            aligned = level if ratio == 1 else rounded(level * ratio)
            swept, standing = by_number[: row + 1].sum(axis=0), by_number[row + 1 :].sum(axis=0)
            if self._swept is not None:
                swept = self._swept.sums[row].take(used)
            standing, swept = share * standing, share * swept
            self.left += float(standing.sum() + swept.sum())
            sums.add_prices(self._side, row, aligned, standing=standing, swept=swept)

    @property
    def times(self) -> float:
        """How often the notional of a trade counts, at all of its leverages together."""
        return float(self._share.sum())

    def _nothing_swept(self, positions: Positions) -> _Swept:
        price = (self._first + np.arange(len(self._sums))) / self._unit
        sums = np.zeros((len(self._leverages), len(price)))
        sign = 1 if self._side is Side.BUY else -1
        return _Swept(sums, sign * self._levels(price), positions.search(self._side, self._levels))

    def _add_swept(
        self,
        shares: OpenShares,
        swept: _Swept,
        place: NDArray[np.int64],
        standing: NDArray[np.int8],
        opened: NDArray[np.float64],
        entries: EntryShares,
    ) -> None:
        """Add what was left of each level when it was swept."""
        # Sorted by how many of their levels stand, those that have lost a level are always the first ones.
        order = np.argsort(standing, kind="stable")
        counts = np.cumsum(np.bincount(standing, minlength=len(self._leverages)))
        place, opened = place.take(order), opened.take(order)
        interval, rest = entries.interval.take(order), entries.rest.take(order)
        lowest, end = int(place.min()), int(place.max()) + 1
        place -= lowest
        # Few reach even the nearest level in their own interval.
        (soon,) = np.nonzero(rest <= swept.levels[-1, lowest:end].take(place))
        # What is left is a quotient of two factors, of which one is the same at all leverages.
        if shares.factors is not None:
            opened /= shares.factors.take(interval)
        for row in np.flatnonzero(self._share).tolist():
            gone = slice(int(counts[row]))
            level = swept.levels[row, lowest:end].take(place[gone])
            until = swept.search.reached(row, level, interval[gone])
            its = soon[: int(np.searchsorted(soon, gone.stop))]
            its = its[rest[its] <= level[its]]
            until[its] = interval[its]
            if shares.factors is None:
                left = opened[gone] * shares.kept(interval[gone], np.minimum(until, shares.last))
            else:
                left = opened[gone] * shares.factors.take(until)
            found = np.bincount(place[gone], weights=left)
            swept.sums[row, lowest : lowest + len(found)] += found

    def _standing(self, price: NDArray[np.float64], bound: NDArray[np.float64]) -> NDArray[np.int8]:
        """Return how many levels of each entry stand."""
        # Shorts are mirrored, so that a level of either side stands below the bound.
        sign = 1 if self._side is Side.BUY else -1
        quotient = sign * bound / price
        surely, nearly = np.zeros((2, len(price)), np.int8)
        for level in self._multiples:
            surely += quotient > sign * level + _NEARLY * level
            nearly += quotient > sign * level - _NEARLY * level
        # Only where level and bound are nearly equal does the rounding of levels decide.
        (near,) = np.nonzero(surely != nearly)
        if len(near):
            levels, bounds = self._levels(price[near]), bound[near]
            stands = levels < bounds if self._side is Side.BUY else levels > bounds
            surely[near] = stands.sum(axis=0)
        return surely

    def _levels(self, price: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the levels of entries of the first tier at `price`, a row for each leverage."""
        nothing = np.zeros(len(price))
        return np.stack(
            [
                liquidation_price(self._rules, self._side, leverage=each, entry_price=price, notional=nothing)
                for each in self._leverages
            ]
        )


def rows_of(mask: NDArray[np.bool_]) -> NDArray[np.int64] | slice:
    """Return the places that `mask` marks, as a slice if they are exactly a tail: slicing copies nothing."""
    marked = int(np.count_nonzero(mask))
    # They usually are: trades come largest first, and only the largest are barred from high leverages.
    if mask[len(mask) - marked :].all():
        return slice(len(mask) - marked, len(mask))
    return np.flatnonzero(mask)


def _unit(prices: NDArray[np.float64]) -> float:
    """Return the smallest power of ten of which all `prices` times it are whole numbers."""
    units = [10.0**decimals for decimals in range(DIGITS)]
    return next((unit for unit in units if np.array_equal(np.rint(prices * unit) / unit, prices)), 1.0)
