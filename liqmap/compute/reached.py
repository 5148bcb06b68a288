"""Find where a price first reaches each of many levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def lowest_spans(price: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return, for spans of 1, 2, 4 and so on places, the lowest price of the one that begins in each place.

    It is -inf where the span goes on beyond the last place.
    """
    spans, length = [np.append(price, -np.inf)], 1
    while 2 * length <= len(price):
        half = spans[-1]
        whole = np.full(len(half), -np.inf)
        np.minimum(half[:-length], half[length:], out=whole[:-length])
        spans.append(whole)
        length *= 2
    return spans


def first_reached(
    lowest: Sequence[NDArray[np.float64]], level: NDArray[np.float64], first: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return, for each level, the first place from `first` on whose price is not above the level.

    That is the number of places if there is none. `lowest` are the `lowest_spans` of the prices.
    """
    place = first.copy()
    # What lies above a level is passed over in spans that are halved, as bisection does.
    for power in reversed(range(len(lowest))):
        # Clipping is quicker than checking the places, which all lie inside.
        place += (lowest[power].take(place, mode="clip") > level).astype(np.int64) << power
    return place


def next_lower(lowest: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
    """Return, for each place, the next one whose price is lower; the number of places if there is none."""
    price = lowest[0][:-1]
    return first_reached(lowest, np.nextafter(price, -np.inf), np.arange(1, len(price) + 1))


def reached_from(
    price: NDArray[np.float64],
    lower: NDArray[np.int64],
    level: NDArray[np.float64],
    first: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return what `first_reached` returns, faster where levels are reached soon.

    `price` ends with -inf, behind the last place, and `lower` is its `next_lower`.
    """
    place = first.copy()
    (above,) = np.nonzero(price.take(place) > level)
    # Whatever lies between a price and the next lower one cannot reach what that price has not.
    while len(above):
        next_place = lower.take(place.take(above))
        place[above] = next_place
        above = above.compress(price.take(next_place) > level.take(above))
    return place
