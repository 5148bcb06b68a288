"""What chance could have done: intervals by whole days, and p-values of several questions at once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from numpy.typing import NDArray

DRAWS: Final = 10_000
# A fixed seed, so that anybody who computes a report from the same lines gets the same intervals.
SEED: Final = 20

LOOKS: Final = (90, 180, 360)
"""The numbers of scored days after which a verdict is given."""

LOOK_LEVEL: Final = 1 - 0.0221
"""Level of a look's interval. By Pocock, three looks that err in 2.21 % of cases err together in 5 %."""


class Interval(NamedTuple):
    """A mean, and the bounds within which it lies at some level."""

    value: float
    low: float
    high: float


def drawn_means(
    days: Sequence[date],
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> NDArray[np.float64]:
    """Return weighted means of `draws` samples of whole days, drawn with replacement.

    Days are drawn instead of windows, because the windows and symbols of one day move together.
    `values` has a row a window, and may have further axes; the result has a row a draw.
    """
    unique, day = np.unique(np.array(days, "datetime64[D]"), return_inverse=True)
    # A sample of days depends only on the days' sums, so all samples are one product of matrices.
    sums = np.zeros((len(unique), *values.shape[1:]))
    np.add.at(sums, day, (values.T * weights).T)
    weight = np.bincount(day, weights=weights)
    times = _times_drawn(len(unique), draws, seed)
    means: NDArray[np.float64] = ((times @ sums.reshape(len(unique), -1)).T / (times @ weight)).T
    return means.reshape(draws, *values.shape[1:])


@lru_cache(maxsize=2)
def _times_drawn(days: int, draws: int, seed: int) -> NDArray[np.float64]:
    """Return how often each day is drawn in each sample; all figures of a report share these samples."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(days, np.full(days, 1 / days), size=draws).astype(np.float64)


def interval(
    days: Sequence[date], values: NDArray[np.float64], weights: NDArray[np.float64], *, level: float = 0.95
) -> Interval:
    """Return the weighted mean and its percentile interval by `drawn_means`."""
    outside = 50 * (1 - level)
    low, high = np.percentile(drawn_means(days, values, weights), (outside, 100 - outside))
    return Interval(float(np.average(values, weights=weights)), float(low), float(high))


def p_value(means: NDArray[np.float64]) -> float:
    """Return the two-sided p-value of `means` of samples: how likely they are if the true mean is zero."""
    # One is added to both counts: no finite number of samples shows that something is impossible.
    below, above = np.count_nonzero(means <= 0), np.count_nonzero(means >= 0)
    return float(min(1.0, 2 * (min(below, above) + 1) / (len(means) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's method, in the same order."""
    order = np.argsort(p_values)
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        # Never below the one before: a smaller p-value must stay smaller after the correction.
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
