"""A grid of price buckets: one 1-2-5 size, aligned to its multiples, at any scale of prices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


_ROUNDING: Final = 1e-15  # relative error of a quotient of floats, and of an edge, at most


@dataclass(frozen=True, slots=True)
class PriceGrid:
    """Half-open buckets [edge, next edge) of size `digits` × 10^`power`, from index `first` to `last`."""

    digits: int
    power: int
    first: int
    last: int

    @classmethod
    def over(cls, low: float, high: float, *, buckets: int, least_span: float) -> Self:
        """Return the finest grid that covers [low, high] with at most about `buckets` buckets.

        There can be two more, because buckets are aligned. A span below `least_span` counts as `least_span`,
        so that a single price gets buckets of a useful size.
        """
        digits, power = _nice_step(max(high - low, least_span) / buckets)
        bounds = _index(np.array([low, high]), digits, power)
        return cls(digits, power, int(bounds[0]), int(bounds[1]))

    @classmethod
    def decimal(cls, low: float, high: float, *, buckets: int) -> Self:
        """Return the finest grid of a power-of-ten size that covers [low, high] with at most about `buckets`.

        The edges of every coarser grid are also edges of this one.
        """
        power = math.ceil(math.log10((high - low) / buckets))
        bounds = _index(np.array([low, high]), 1, power)
        return cls(1, power, int(bounds[0]), int(bounds[1]))

    @property
    def size(self) -> float:
        """Width of a bucket."""
        return float(_edge(np.array([1]), self.digits, self.power)[0])

    @property
    def edges(self) -> NDArray[np.float64]:
        """All edges, ascending: one more than there are buckets."""
        return _edge(np.arange(self.first, self.last + 2), self.digits, self.power)

    def __len__(self) -> int:
        return self.last - self.first + 1

    def bucket_of(self, price: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the index of each price's bucket; it is outside [0, len) for prices beyond the grid."""
        return _index(price, self.digits, self.power) - self.first


def _nice_step(minimum: float) -> tuple[int, int]:
    """Return the smallest (digits, power) with digits 1, 2 or 5 whose digits × 10^power reaches `minimum`."""
    power = math.floor(math.log10(minimum))
    for digits in (1, 2, 5):
        if digits * 10.0**power >= minimum:
            return digits, power
    return 1, power + 1


def with_room(
    low: float, high: float, *, last_price: float, below: float, above: float
) -> tuple[float, float]:
    """Return [low, high], widened so that the last price keeps off its ends.

    At least the share `below` of the new range lies below the last price, and at least `above` above it. The
    two are together less than 1.
    """
    low = min(low, last_price - (high - last_price) * below / (1 - below))
    # If this takes some of the share below again, what is left of it is 1 - above, and so is enough.
    return low, max(high, last_price + (last_price - low) * above / (1 - above))


def _edge(index: NDArray[Any], digits: int, power: int) -> NDArray[np.float64]:
    # Dividing by a whole power of ten rounds once, so 0.3 is 0.3 and not 0.30000000000000004.
    steps = index.astype(np.float64, copy=False) * digits
    return steps * 10.0**power if power >= 0 else steps / 10.0**-power


def _index(price: NDArray[np.float64], digits: int, power: int) -> NDArray[np.int64]:
    steps = price / _edge(np.array([1]), digits, power)
    index = np.floor(steps)
    # The division may round across an edge. Comparing prices near one with the edges themselves settles it.
    error = _ROUNDING * (1 + np.abs(index).max(initial=0.0))
    steps -= np.rint(steps)
    (near,) = np.nonzero(np.abs(steps, out=steps) <= error)
    if len(near):
        found = index[near]
        found -= price[near] < _edge(found, digits, power)
        found += price[near] >= _edge(found + 1, digits, power)
        index[near] = found
    return index.astype(np.int64)
