"""How well one map did: what its density and its marked buckets knew beyond the distance from the price.

Every figure of a window is a sum over buckets: the share of USD that was liquidated there, times what a
dollar there counts. What a dollar counts is sealed before anything is liquidated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from liqmap.ledger.buckets import CELL_EDGES, IS_SHORT, shifted, top_buckets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAP_SHARE: Final = 0.95
"""The map's share of the mixed density; the rest is the baseline's, so that no loss is infinite."""

GAIN: Final = "information gain"
MATCHED_GAIN: Final = "gain at equal distance"
MARKED: Final = "marked zones"
DIFFERENCE: Final = "difference"
PLACEBO: Final = "shifted maps"
SIDES: Final = ("longs", "shorts")

SIGMA_EDGES: Final = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
"""Where a report's bins of distance begin [sigmas]; the last has no end."""

BINS: Final = tuple(f"{side} from {edge:g} sigma" for side in SIDES for edge in SIGMA_EDGES)

SHIFTS: Final = tuple(sign * step / 1000 for sign in (-1, 1) for step in range(3, 11))
"""By how much of the price a map is moved as a placebo: 0.3 to 1 % both ways, in steps of a bucket."""

# Every bin begins where a cell begins, so a cell lies in one bin.
_BIN_OF_CELL = np.searchsorted(SIGMA_EDGES, CELL_EDGES, side="right") - 1


class Capture(NamedTuple):
    """The share of USD in marked buckets, and in equally distant unmarked ones."""

    marked: float
    matched: float

    @property
    def lift(self) -> float:
        """How much more fell into the marked ones."""
        return self.marked - self.matched


def counts_of(
    density: NDArray[np.float64],
    reach: NDArray[np.float64],
    baseline: NDArray[np.float64],
    cells: NDArray[np.int64],
) -> dict[str, NDArray[np.float64]]:
    """Return what a dollar in each bucket counts in each figure, by the figure's name.

    `density` is the map's and `reach` how likely the price gets to each bucket.
    """
    difference = contrast(top_buckets(density), cells)
    # A marked bucket and its peers lie in one cell and so in one bin: the bins' differences add up to the
    # whole one.
    bins = len(SIGMA_EDGES) * IS_SHORT + _BIN_OF_CELL[cells % len(CELL_EDGES)]
    # If a shifted map did as well as the map, its shape alone would explain the difference.
    placebo = [contrast(top_buckets(shifted(density, distance)), cells) for distance in SHIFTS]
    return {
        GAIN: bits(reachable(density, reach), baseline),
        MATCHED_GAIN: bits(at_equal_distance(density, baseline, cells), baseline),
        MARKED: np.where(difference > 0, 1.0, 0.0),
        DIFFERENCE: difference,
        PLACEBO: np.mean(placebo, axis=0),
        **{name: np.where(side == IS_SHORT, difference, 0.0) for side, name in enumerate(SIDES)},
        **{name: np.where(bins == number, difference, 0.0) for number, name in enumerate(BINS)},
    }


def bits(
    density: NDArray[np.float64], baseline: NDArray[np.float64], *, map_share: float = MAP_SHARE
) -> NDArray[np.float64]:
    """Return by how many bits a dollar in each bucket is less surprising by the map than by the baseline.

    Both densities sum to 1. The mean over all liquidated dollars is the information gain.
    """
    found: NDArray[np.float64] = np.log2((map_share * density + (1 - map_share) * baseline) / baseline)
    return found


def reachable(density: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the map's density, weighted by how likely the price reaches each bucket, with the sum 1.

    Most of a map stands at prices that are not reached within hours. That is no mistake of the map: it says
    what would be liquidated at a price, and not how likely the price gets there.
    """
    likely = density * reach
    return likely / likely.sum() if likely.any() else likely


def at_equal_distance(
    density: NDArray[np.float64], baseline: NDArray[np.float64], cells: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the map's density, scaled to the baseline's share of each cell.

    Cells in which the map has nothing take the baseline's density. So only what the map knows inside cells is
    left: of distances the baseline knows more.
    """
    share = np.bincount(cells, weights=baseline)[cells]
    its = np.bincount(cells, weights=density)[cells]
    return np.where(its > 0, density * np.divide(share, its, out=np.zeros(len(its)), where=its > 0), baseline)


def contrast(
    marked: Sequence[int] | NDArray[np.int64],
    cells: NDArray[np.int64],
    *,
    among: Sequence[int] | None = None,
) -> NDArray[np.float64]:
    """Return weights whose sum over USD is that in marked buckets minus the mean of their unmarked peers.

    Peers are unmarked buckets of the same cell. A marked bucket counts 1, or 0 if it has no peers, and its
    peers share −1. With `among`, all other buckets count 0.
    """
    counts = np.ones(len(cells), np.bool_) if among is None else np.isin(np.arange(len(cells)), among)
    chosen = np.isin(np.arange(len(cells)), marked)
    is_marked, is_peer = chosen & counts, ~chosen & counts
    of_cell, peers = (np.bincount(cells, weights=each)[cells] for each in (is_marked, is_peer))
    taken_off = np.divide(of_cell, peers, out=np.zeros(len(cells)), where=peers > 0)
    return np.where(is_marked & (peers > 0), 1.0, 0.0) - np.where(is_peer, taken_off, 0.0)


def margin_gap(price: NDArray[np.float64], bankruptcy: NDArray[np.float64]) -> float | None:
    """Return the median distance of bankruptcy prices from the fills, None without liquidations.

    It estimates the maintenance margin rate whatever the leverage was: a position is liquidated when just
    that share of its value is left, and at the bankruptcy price nothing is left.
    """
    return float(np.median(np.abs(1 - bankruptcy / price))) if len(price) else None
