"""How well one map did: what its density, and its marked buckets, knew beyond the distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAP_SHARE: Final = 0.95
"""The map's share of the mixed density; the rest is the baseline's, so that no loss is infinite."""


class Capture(NamedTuple):
    """What fell into marked buckets, and into equally distant unmarked ones."""

    marked: float
    matched: float

    @property
    def lift(self) -> float:
        """How much more fell into the marked ones."""
        return self.marked - self.matched


def information_gain(
    usd: NDArray[np.float64],
    density: NDArray[np.float64],
    baseline: NDArray[np.float64],
    *,
    map_share: float = MAP_SHARE,
) -> float:
    """Return how many bits a liquidated dollar is less surprising by the map than by the baseline.

    Both densities sum to 1; `usd` is what was liquidated in each bucket, not nothing.
    """
    mixed = map_share * density + (1 - map_share) * baseline
    hit = usd > 0
    return float((usd[hit] / usd.sum() * np.log2(mixed[hit] / baseline[hit])).sum())


def at_equal_distance(
    density: NDArray[np.float64], baseline: NDArray[np.float64], cells: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the map's density with the baseline's share of each cell, where the map has something in it.

    What the map says of distances, which the baseline knows better, is left out.
    """
    share = np.bincount(cells, weights=baseline)[cells]
    its = np.bincount(cells, weights=density)[cells]
    return np.where(its > 0, density * np.divide(share, its, out=np.zeros(len(its)), where=its > 0), baseline)


def capture(
    values: NDArray[np.float64], marked: Sequence[int] | NDArray[np.int64], cells: NDArray[np.int64]
) -> Capture:
    """Return the values in the marked buckets, and in those that match them.

    Each marked bucket is matched by the mean of all unmarked ones of its cell; where there are none, it
    counts on neither side.
    """
    pairs = matches(values, marked, cells)
    return Capture(sum(each.marked for _, each in pairs), sum(each.matched for _, each in pairs))


def matches(
    values: NDArray[np.float64],
    marked: Sequence[int] | NDArray[np.int64],
    cells: NDArray[np.int64],
    *,
    among: Sequence[int] | None = None,
) -> list[tuple[int, Capture]]:
    """Return each marked bucket that has peers, with its own value and its peers' mean.

    With `among`, other buckets count on neither side.
    """
    counts = np.ones(len(values), np.bool_) if among is None else np.isin(np.arange(len(values)), among)
    unmarked = counts.copy()
    unmarked[list(marked)] = False
    peers = np.bincount(cells[unmarked], minlength=cells.max() + 1)
    sums = np.bincount(cells[unmarked], weights=values[unmarked], minlength=cells.max() + 1)
    return [
        (int(bucket), Capture(float(values[bucket]), float(sums[cells[bucket]] / peers[cells[bucket]])))
        for bucket in marked
        if peers[cells[bucket]] and counts[bucket]
    ]


def margin_gap(price: NDArray[np.float64], bankruptcy: NDArray[np.float64]) -> float | None:
    """Return the median distance of bankruptcy prices from the fills, None without any.

    It estimates the maintenance margin rate, whatever the leverage was.
    """
    return float(np.median(np.abs(1 - bankruptcy / price))) if len(price) else None
