"""Sum: levels, stretch by stretch -> buckets of the price, clusters, and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.compute.grid import PriceGrid
from liqmap.model import Cluster, DepthCurve, LevelBuckets, Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from liqmap.model import LiquidationLevels

MAX_BUCKETS: Final = 240
"""At most this many buckets between the lowest and the highest standing level (plus one at each end)."""

CLUSTER_SHARE: Final = 0.5
"""A cluster is a run of adjacent buckets of at least this share of its side's largest bucket."""

_FINE_BUCKETS = 100 * MAX_BUCKETS


class LevelSums:
    """Sums up levels that come in stretches, so that no more than one stretch is ever held.

    How wide the standing levels spread is known only at the end, so they are summed in fine buckets
    over [lowest, highest], inside of which every level must lie; readable ones are made of those.
    """

    def __init__(self, lowest: float, highest: float, *, leverages: Sequence[int]) -> None:
        self._grid = PriceGrid.decimal(lowest, highest, buckets=_FINE_BUCKETS)
        self._leverages = tuple(leverages)
        shape = (len(leverages), len(self._grid))
        self._standing = {side: np.zeros(shape) for side in Side}
        self._swept = {side: np.zeros(len(self._grid)) for side in Side}

    def add(self, levels: Sequence[LiquidationLevels]) -> None:
        """Add levels of one side, leverages in the order of the sums."""
        fine = len(self._grid)
        for row, each in enumerate(levels):
            # One count for both, those that are swept behind the end of those that stand.
            place = self._grid.bucket_of(each.price) + fine * ~each.standing
            sums = np.bincount(place, weights=each.notional, minlength=2 * fine)
            self._standing[each.side][row] += sums[:fine]
            self._swept[each.side] += sums[fine:]

    def swept(self, side: Side) -> float:
        """Return the notional of one side's levels that do not stand."""
        return float(self._swept[side].sum())

    def buckets(self, *, last_price: float) -> LevelBuckets:
        """Return the sums in buckets of one 1-2-5 size, aligned to its multiples.

        Buckets are half-open and cover every standing level, so their totals equal the levels' totals.
        What was swept is summed as far as it lies in the same range.
        """
        grid = self._readable_grid(last_price)
        bucket = grid.bucket_of(self._grid.edges[:-1])
        inside = (bucket >= 0) & (bucket < len(grid))

        def total(fine: NDArray[np.float64]) -> NDArray[np.float64]:
            # Without any weights, bincount forgets that they are floats.
            return np.bincount(bucket[inside], weights=fine[inside], minlength=len(grid)).astype(np.float64)

        return LevelBuckets(
            size=grid.size,
            edges=grid.edges,
            leverages=self._leverages,
            long=np.stack([total(fine) for fine in self._standing[Side.BUY]]),
            short=np.stack([total(fine) for fine in self._standing[Side.SELL]]),
            swept=total(self._swept[Side.BUY] + self._swept[Side.SELL]),
        )

    def _readable_grid(self, last_price: float) -> PriceGrid:
        used = np.flatnonzero(sum(sums.sum(axis=0) for sums in self._standing.values()))
        prices = self._grid.edges[used] if len(used) else np.array([last_price])
        return PriceGrid.over(
            float(prices[0]),
            float(prices[-1]),
            buckets=MAX_BUCKETS,
            # A bucket is not finer than the fine ones, whose edges its own are among.
            least_span=max(last_price / 1000, MAX_BUCKETS * self._grid.size),
        )


def find_clusters(
    edges: NDArray[np.float64], totals: NDArray[np.float64], *, last_price: float
) -> tuple[Cluster, ...]:
    """Return the clusters of one side, by ascending price: runs of buckets ≥ CLUSTER_SHARE of the largest."""
    if not totals.any():
        return ()
    high = np.r_[False, totals >= CLUSTER_SHARE * totals.max(), False]
    changes = np.flatnonzero(high[1:] != high[:-1])
    middles = (edges[:-1] + edges[1:]) / 2
    clusters = []
    for first, end in zip(changes[::2], changes[1::2], strict=True):
        price = float(np.average(middles[first:end], weights=totals[first:end]))
        clusters.append(
            Cluster(
                low=float(edges[first]),
                high=float(edges[end]),
                price=price,
                distance=price / last_price - 1,
                notional=float(totals[first:end].sum()),
            )
        )
    return tuple(clusters)


def depth(edges: NDArray[np.float64], totals: NDArray[np.float64], *, last_price: float) -> DepthCurve:
    """Return the running total of buckets' totals, both going away from the last price."""
    return DepthCurve(np.r_[last_price, edges], np.r_[0.0, 0.0, np.cumsum(totals)])
