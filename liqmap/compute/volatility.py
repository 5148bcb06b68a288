"""Measure how far a price usually moves in an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from liqmap.compute.values import PricePath

_HOUR_MS = 3_600_000


def hourly_volatility(path: PricePath) -> float | None:
    """Return the realised volatility of an hour as a share of the price; None where price never moved.

    It is the root of the squared log returns of the path's bins, summed and divided by the hours between
    the first and the last bin.
    """
    if len(path.time) < 2:
        return None
    squares = float(np.square(np.diff(np.log(path.close))).sum())
    hours = (int(path.time[-1]) - int(path.time[0])) / _HOUR_MS
    return float(np.sqrt(squares / hours)) if squares else None
