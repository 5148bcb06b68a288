"""Find: buckets -> the clusters that pictures label and words name, one list for all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from liqmap.compute.buckets import band_bound
from liqmap.exact import rounded
from liqmap.model import Cluster, Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from liqmap.compute.values import LevelBuckets
    from liqmap.model import Band

SHARE: Final = 0.5
"""What is at least this share of the longest, or of the largest, stands out beside it."""

LABELLED: Final = 3
"""So many clusters of each side are worth a label, the largest, besides those that words name."""

SMALL: Final = 0.05
"""Less than this share of its side's largest is small, and worth a label only if words name it."""

_Run = tuple[int, int]  # places [first, end) of buckets, counted from the last price outwards


def find_clusters(buckets: LevelBuckets, bands: Sequence[Band], *, last_price: float) -> tuple[Cluster, ...]:
    """Return the clusters of `buckets`: the longs', nearest first, then the shorts', nearest first.

    A cluster is a hump of bars: all from the first to the last that is at least half as long as its longest.
    Between two humps lies a bar shorter than half of the longest of either. Where none of them reaches into
    the narrowest of `bands` that holds anything, all that stands there is a cluster too.
    """
    clusters: list[Cluster] = []
    for side in Side:
        bars = _bars(buckets, side)
        if bars.total.any():
            held = [each.distance for each in bands if each.of(side)]
            clusters += _of_side(bars, [*held, np.inf], last_price=last_price)
    return tuple(clusters)


def labelled(clusters: Sequence[Cluster], buckets: LevelBuckets) -> tuple[Cluster, ...]:
    """Return the clusters that are worth a label, the most important first.

    Those are the named ones of each side; and, by size, its largest and the one with its longest bar.
    """
    chosen: list[Cluster] = []
    for side in Side:
        bars = _bars(buckets, side)
        longest = bars.low[bars.total.argmax()]
        mine = sorted((each for each in clusters if each.side is side), key=_smallness)
        chosen += (
            each
            for place, each in enumerate(mine)
            if each.is_named
            or (place < LABELLED and each.notional >= SMALL * mine[0].notional)
            or each.low <= longest < each.high
        )
    return tuple(sorted(chosen, key=lambda each: (not each.is_named, *_smallness(each))))


class _Bars(NamedTuple):
    """One side's buckets, from the last price outwards.

    Bounds, standing notional, and its mean price and the nearest, nan where nothing stands.
    """

    side: Side
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    total: NDArray[np.float64]
    price: NDArray[np.float64]
    near: NDArray[np.float64]


def _bars(buckets: LevelBuckets, side: Side) -> _Bars:
    low, high = buckets.edges[:-1], buckets.edges[1:]
    if side is Side.SELL:
        return _Bars(side, low, high, buckets.short.sum(axis=0), buckets.short_price, buckets.short_near)
    columns = low, high, buckets.long.sum(axis=0), buckets.long_price, buckets.long_near
    return _Bars(side, *(column[::-1] for column in columns))


def _of_side(bars: _Bars, distances: Sequence[float], *, last_price: float) -> list[Cluster]:
    """Return the clusters of one side that has bars, nearest first.

    `distances` are those of the bands that hold anything, narrowest first, and of all that stands.
    """
    bounds = [band_bound(bars.side, each, last_price=last_price) for each in distances]
    bands = [bars.near > bound if bars.side is Side.BUY else bars.near <= bound for bound in bounds]
    runs = list(_humps(bars.total))
    if not bands[0][runs[0][0]]:
        (held,) = np.nonzero(bands[0])
        runs.insert(0, (int(held[0]), int(held[-1]) + 1))
    clusters = [_cluster(bars, slice(*run), last_price) for run in runs]
    within = [
        [cluster for cluster, (first, _) in zip(clusters, runs, strict=True) if band[first]] for band in bands
    ]
    largest, nearest = min(clusters, key=_smallness), _nearest_large(within)
    small = None if nearest in within[0] else min(within[0], key=_smallness)
    return [
        replace(
            each,
            is_largest=each is largest,
            is_nearest_large=each is nearest,
            is_nearest_small=each is small,
        )
        for each in clusters
    ]


def _nearest_large(within: Sequence[Sequence[Cluster]]) -> Cluster:
    """Return the nearest cluster at least half as large as any in the narrowest band that has a large one.

    `within` are the clusters in each band, nearest first, the last being all.
    """
    least = SMALL * max(each.notional for each in within[-1])
    in_band = next(band for band in within if any(each.notional >= least for each in band))
    least = max(least, SHARE * max(each.notional for each in in_band))
    return next(each for each in in_band if each.notional >= least)


def _cluster(bars: _Bars, run: slice, last_price: float) -> Cluster:
    total, stands = bars.total[run], bars.total[run] > 0
    price = float(np.average(bars.price[run][stands], weights=total[stands]))
    near = float(bars.near[run.start]) / last_price - 1
    return Cluster(
        side=bars.side,
        low=float(bars.low[run].min()),
        high=float(bars.high[run].max()),
        price=price,
        distance=price / last_price - 1,
        # The nearest level is known to the width of a fine bucket, which can reach across the last price.
        near=min(near, 0.0) if bars.side is Side.BUY else max(near, 0.0),
        # The same trades at several leverages are ties, whichever way they were added up.
        notional=float(rounded(total.sum(keepdims=True))[0]),
    )


def _humps(totals: NDArray[np.float64]) -> Iterator[_Run]:
    start, longest, valley, lowest = 0, 0.0, 0, 0.0
    for place, total in enumerate(totals.tolist()):
        if lowest < SHARE * longest and lowest < SHARE * total:
            yield _standing_out(totals, start, valley)
            start, longest, valley, lowest = valley + 1, total, place, total
        elif total >= longest:
            longest, valley, lowest = total, place, total
        elif total < lowest:
            valley, lowest = place, total
    yield _standing_out(totals, start, len(totals))


def _standing_out(totals: NDArray[np.float64], start: int, end: int) -> _Run:
    hump = totals[start:end]
    (high,) = np.nonzero(hump >= SHARE * hump.max())
    return start + int(high[0]), start + int(high[-1]) + 1


def _smallness(cluster: Cluster) -> tuple[float, float]:
    """Return what orders clusters by size, the largest first, and of equal ones the nearest."""
    return -cluster.notional, abs(cluster.distance)
