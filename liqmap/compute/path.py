"""Price paths: how fine they are, how they are made coarser and joined, and the price at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.compute.values import PricePath

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LAST_MS: Final = 60_000  # a market's price is the median of its last minute

# Each divides a day, and each above a minute is whole minutes, so that bins align to UTC and to minute bars.
_PATH_BINS_SECONDS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


def path_bin_seconds(window_seconds: int, *, bins: int) -> int:
    """Return the shortest bin that cuts a window into at most `bins` parts, or the longest there is."""
    return next((s for s in _PATH_BINS_SECONDS if window_seconds <= s * bins), _PATH_BINS_SECONDS[-1])


def coarsened(path: PricePath, bin_seconds: int) -> PricePath:
    """Return `path` in bins of `bin_seconds`, aligned to UTC, ascending; empty bins are left out."""
    width = bin_seconds * 1000
    start = path.time // width * width
    first = np.flatnonzero(np.diff(start, prepend=-1))
    if len(first) == len(start):  # each bar is a bin of its own, or there is none
        return PricePath(start, path.low, path.high, path.close)
    last = np.r_[first[1:], len(start)] - 1
    return PricePath(
        start[first],
        np.minimum.reduceat(path.low, first),
        np.maximum.reduceat(path.high, first),
        path.close[last],
    )


def joined(paths: Sequence[PricePath]) -> PricePath:
    """Join paths that follow each other in time."""
    return PricePath(
        *(
            np.concatenate([getattr(path, name) for path in paths])
            for name in ("time", "low", "high", "close")
        )
    )


def median_prices(seconds: PricePath, moments: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, for each moment [ms], the median of the 60 s before it, of the last price of each second.

    `seconds` is a path of seconds. Seconds without trades do not count. Where nobody traded in those 60 s,
    it is the median of the 60 s that end with the last trade before. Moments before the path have its first
    price.
    """
    end = np.maximum(np.searchsorted(seconds.time, moments), 1)
    newest = seconds.time[end - 1]
    since = np.where(newest >= moments - _LAST_MS, moments, newest + 1000) - _LAST_MS
    start = np.minimum(np.searchsorted(seconds.time, since), end - 1)
    place = start[:, np.newaxis] + np.arange(int((end - start).max(initial=1)))
    inside = place < end[:, np.newaxis]
    # Sorted, what is not inside comes last.
    prices = np.sort(np.where(inside, seconds.close[np.where(inside, place, 0)], np.inf), axis=1)
    middles = np.stack([(end - start - 1) // 2, (end - start) // 2], axis=1)
    median: NDArray[np.float64] = np.take_along_axis(prices, middles, axis=1).mean(axis=1)
    return median


def price_at(path: PricePath, time: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, for each time [ms since 1970], the last price of the newest bin that had begun by then.

    Times before the path have the last price of its first bin.
    """
    place = np.searchsorted(path.time, time, side="right") - 1
    price: NDArray[np.float64] = path.close[np.maximum(place, 0)]
    return price
