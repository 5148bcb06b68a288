"""Decimal numbers in binary floats: rounded to twelve significant digits before they are compared.

A level is a decimal number on paper: 142.5 × (1 - 1/25) is 136.8, and a low of 136.8 touches it. Computed in
floats it is 136.79999999999998, which 136.8 does not reach. Rounding to fewer digits than a float's noise,
and more than any price or threshold has, gives back the very float that `136.8` is read as.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIGITS: Final = 12

# Only up to 1e22 are powers of ten floats, without which the division would round a second time.
_DECADES: Final = np.array([float(f"1e{power}") for power in range(DIGITS - 22, DIGITS)])
_SCALES: Final = np.array([float(f"1e{22 - place}") for place in range(len(_DECADES) + 1)])
_NEXT: Final = np.append(_DECADES, np.nan)
# The decade in which the floats of each binary exponent begin; at most one other begins among them.
_BINARY: Final = np.searchsorted(
    _DECADES, np.ldexp(1.0, np.minimum(np.arange(2048) - 1023, 1023)), side="right"
)


def rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values from 0 on, each as the float nearest to its first twelve significant digits.

    Values below 1e-11 are rounded to 22 decimals, and those from 1e12 on to whole numbers. Order is kept:
    of two values, the larger never becomes the smaller.
    """
    if not len(values):
        return values
    ends = np.searchsorted(_DECADES, (values.min(), values.max()), side="right")
    # Prices and levels mostly lie within one decade, and that is ten times faster.
    scale = _SCALES[ends[0]] if ends[0] == ends[1] else _SCALES[_decade(values)]
    result: NDArray[np.float64] = values * scale
    np.rint(result, out=result)
    result /= scale
    return result


def _decade(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return how many of the decades each value has reached, ten times faster than a search does."""
    place: NDArray[np.intp] = _BINARY[np.ascontiguousarray(values).view(np.int64) >> 52]
    place += values >= _NEXT[place]
    return place
