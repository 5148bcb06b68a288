"""Sum levels into price buckets, bands around the last price, and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.compute.grid import PriceGrid
from liqmap.compute.values import DepthCurve, LevelBuckets
from liqmap.model import BAND_DISTANCES, Band, Side
from liqmap.model.exact import rounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from liqmap.compute.values import LiquidationLevels

MAX_BUCKETS: Final = 240
"""At most this many buckets between the lowest and the highest standing level (plus one at each end)."""

# Fine enough that a readable bucket of any final spread consists of many fine ones, and still only 24,000
# floats for each leverage and side.
_FINE_BUCKETS = 100 * MAX_BUCKETS


class LevelSums:
    """Sums up levels that arrive in stretches of the window, holding none of them.

    How wide the standing levels spread is known only at the end. So they are summed in fine buckets over
    [lowest, highest], within which every level must lie, and readable buckets are made from those.
    """

    def __init__(self, lowest: float, highest: float, *, leverages: Sequence[int], last_price: float) -> None:
        self._grid = PriceGrid.decimal(lowest, highest, buckets=_FINE_BUCKETS)
        self._leverages = tuple(leverages)
        self._last_price = last_price
        bounds = {
            side: np.array([band_bound(side, each, last_price=last_price) for each in BAND_DISTANCES])
            for side in Side
        }
        # A band's bound rarely falls on an edge of the fine buckets. The bucket that it cuts is summed
        # exactly, level by level, in `_cut`; all other buckets lie wholly inside or outside the band.
        self._bounds: dict[Side, list[tuple[float, int]]] = {
            side: [*zip(prices.tolist(), self._grid.bucket_of(prices).tolist(), strict=True)]
            for side, prices in bounds.items()
        }
        self._cut = {side: [0.0] * len(BAND_DISTANCES) for side in Side}
        shape = (len(leverages), len(self._grid))
        self._standing = {side: np.zeros(shape) for side in Side}
        self._swept = {side: np.zeros(len(self._grid)) for side in Side}

    def add(self, levels: Sequence[LiquidationLevels]) -> None:
        """Add levels of one side, leverages in the order of the sums."""
        for row, each in enumerate(levels):
            if not len(each.price):
                continue
            # One bincount for both, over the few buckets that a stretch reaches: what stands is summed in
            # even places, what is swept in odd ones.
            place = self._grid.bucket_of(each.price)
            lowest = int(place.min())
            place -= lowest
            place *= 2
            place += ~each.standing
            sums = np.bincount(place, weights=each.notional).astype(np.float64, copy=False)
            self._add_buckets(each.side, row, lowest, sums[::2], sums[1::2])
            for number, bucket in self._cut_in(each.side, lowest, sums[::2]):
                self._add_cut(each.side, number, each.price, each.notional, place == 2 * bucket)

    def add_prices(
        self,
        side: Side,
        row: int,
        price: NDArray[np.float64],
        *,
        standing: NDArray[np.float64],
        swept: NDArray[np.float64],
    ) -> None:
        """Add the notional that stands and that was swept at each price, at the leverage in place `row`."""
        if not len(price):
            return
        place = self._grid.bucket_of(price)
        lowest = int(place.min())
        place -= lowest
        stands, gone = (
            np.bincount(place, weights=each).astype(np.float64, copy=False) for each in (standing, swept)
        )
        self._add_buckets(side, row, lowest, stands, gone)
        for number, bucket in self._cut_in(side, lowest, stands):
            self._add_cut(side, number, price, standing, place == bucket)

    def add_sums(self, other: LevelSums) -> None:
        """Add the sums of another market, which were made over the same range around the same last price."""
        for side in Side:
            self._standing[side] += other._standing[side]
            self._swept[side] += other._swept[side]
            self._cut[side] = [
                mine + its for mine, its in zip(self._cut[side], other._cut[side], strict=True)
            ]

    def swept(self, side: Side) -> float:
        """Return the notional of one side's levels that do not stand."""
        return float(self._swept[side].sum())

    def bands(self) -> tuple[Band, ...]:
        """Return what stands within each distance of the last price, the bounds included."""
        return tuple(
            Band(distance, *(self._within(side, number) for side in Side))
            for number, distance in enumerate(BAND_DISTANCES)
        )

    def readable_grid(self) -> PriceGrid:
        """Return the buckets of one 1-2-5 size that cover every standing level."""
        used = np.flatnonzero(sum(sums.sum(axis=0) for sums in self._standing.values()))
        if not len(used):  # one bucket, so that no price is written more exactly than the last one
            last = self._last_price
            return PriceGrid.over(last, last, buckets=1, least_span=max(last / 1000, self._grid.size))
        prices = self._grid.edges[used]
        return PriceGrid.over(
            float(prices[0]),
            float(prices[-1]),
            buckets=MAX_BUCKETS,
            # Readable buckets consist of whole fine ones, so they must not be smaller.
            least_span=max(self._last_price / 1000, MAX_BUCKETS * self._grid.size),
        )

    def buckets(self, grid: PriceGrid | None = None) -> LevelBuckets:
        """Return the sums in the buckets of `grid`, or else of `readable_grid`: aligned to their size.

        Buckets are half-open and cover every standing level, so their totals equal the levels' totals.
        Swept levels are included as far as they lie in the same range.
        """
        grid, edges = grid or self.readable_grid(), self._grid.edges
        bucket = grid.bucket_of(edges[:-1])
        inside = slice(*np.searchsorted(bucket, (0, len(grid))).tolist())

        def total(fine: NDArray[np.float64]) -> NDArray[np.float64]:
            # bincount returns integers if the weights are empty, even of floats.
            return np.bincount(bucket[inside], weights=fine[inside], minlength=len(grid)).astype(np.float64)

        def mean_price(side: Side) -> NDArray[np.float64]:
            fine = self._standing[side].sum(axis=0)
            notional = total(fine)
            middles = (edges[:-1] + edges[1:]) / 2
            mean = np.full(len(grid), np.nan)
            np.divide(total(fine * middles), notional, out=mean, where=notional > 0)
            # Rounding errors can push the mean just outside its bucket.
            clipped: NDArray[np.float64] = np.clip(mean, grid.edges[:-1], grid.edges[1:])
            return clipped

        def nearest_price(side: Side) -> NDArray[np.float64]:
            (used,) = np.nonzero(self._standing[side].sum(axis=0))
            nearest = np.full(len(grid), np.nan)
            # Assigned from far to near: where several fine buckets fall into one, the nearest is kept.
            used = used if side is Side.BUY else used[::-1]
            nearest[bucket[used]] = edges[used + (side is Side.BUY)]
            return nearest

        return LevelBuckets(
            size=grid.size,
            edges=grid.edges,
            leverages=self._leverages,
            long=np.stack([total(fine) for fine in self._standing[Side.BUY]]),
            short=np.stack([total(fine) for fine in self._standing[Side.SELL]]),
            long_price=mean_price(Side.BUY),
            short_price=mean_price(Side.SELL),
            long_near=nearest_price(Side.BUY),
            short_near=nearest_price(Side.SELL),
            swept=total(self._swept[Side.BUY] + self._swept[Side.SELL]),
        )

    def _add_buckets(
        self,
        side: Side,
        row: int,
        lowest: int,
        standing: NDArray[np.float64],
        swept: NDArray[np.float64],
    ) -> None:
        self._standing[side][row, lowest : lowest + len(standing)] += standing
        self._swept[side][lowest : lowest + len(swept)] += swept

    def _cut_in(self, side: Side, lowest: int, standing: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
        """Yield the bands that cut a bucket in which something stands, and its place from `lowest` on."""
        for number, (_, bucket) in enumerate(self._bounds[side]):
            if 0 <= bucket - lowest < len(standing) and standing[bucket - lowest]:
                yield number, bucket - lowest

    def _add_cut(
        self,
        side: Side,
        number: int,
        price: NDArray[np.float64],
        notional: NDArray[np.float64],
        in_bucket: NDArray[np.bool_],
    ) -> None:
        """Add what of a cut bucket lies inside the band."""
        (rows,) = np.nonzero(in_bucket)
        bound = self._bounds[side][number][0]
        inside = price[rows] >= bound if side is Side.BUY else price[rows] <= bound
        self._cut[side][number] += float(notional[rows[inside]].sum())

    def _within(self, side: Side, number: int) -> float:
        _, bucket = self._bounds[side][number]
        fine = self._standing[side].sum(axis=0)
        # Longs stand below the last price, so their band reaches from its bound upwards; shorts' downwards.
        beside = fine[max(bucket + 1, 0) :] if side is Side.BUY else fine[: max(bucket, 0)]
        return float(beside.sum()) + self._cut[side][number]


def band_bound(side: Side, distance: float, *, last_price: float) -> float:
    """Return the price at a relative distance from the last price, on the side of `side`'s levels."""
    bound = last_price * (1 - distance if side is Side.BUY else 1 + distance)
    return float(rounded(np.array([bound]))[0])


def depth(edges: NDArray[np.float64], totals: NDArray[np.float64], *, last_price: float) -> DepthCurve:
    """Return the running total of `totals`. Both arrays start at the last price and lead away from it."""
    return DepthCurve(np.r_[last_price, edges], np.r_[0.0, 0.0, np.cumsum(totals)])
