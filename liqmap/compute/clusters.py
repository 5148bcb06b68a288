"""Find clusters in the buckets: one list, from which all pictures and words of an answer take theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from liqmap.compute.buckets import band_bound
from liqmap.model import Cluster, Side
from liqmap.model.exact import rounded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from liqmap.compute.values import LevelBuckets
    from liqmap.model import Band

SHARE: Final = 0.5
"""A bar belongs to a hump if it is at least this share of the hump's longest bar. A cluster counts as large
beside another if it is at least this share of it."""

LABELLED: Final = 3
"""How many of each side's largest clusters get a label, besides those that words name."""

SMALL: Final = 0.05
"""A cluster below this share of its side's largest is small. It gets a label only if words name it."""

_Run = tuple[int, int]  # [first, end) of a side's bars, counted from the last price outwards


def find_clusters(buckets: LevelBuckets, bands: Sequence[Band], *, last_price: float) -> tuple[Cluster, ...]:
    """Return the clusters of `buckets`: the longs', nearest first, then the shorts', nearest first.

    A cluster is a hump of bars: from the first to the last bar that is at least half as long as the hump's
    longest. Between two humps lies a bar that is shorter than half of the longest bar of either. If no hump
    reaches into the narrowest of `bands` that holds anything, all that stands in that band is one more
    cluster, so that words which give the band's sum can also name where it stands.
    """
    clusters: list[Cluster] = []
    for side in Side:
        bars = _bars(buckets, side)
        if bars.total.any():
            held = [each.distance for each in bands if each.of(side)]
            clusters += _of_side(bars, [*held, np.inf], last_price=last_price)
    return tuple(clusters)


def labelled(clusters: Sequence[Cluster], buckets: LevelBuckets) -> tuple[Cluster, ...]:
    """Return the clusters that get a label, the most important first.

    Of each side these are the clusters that words name, its largest, and the one with its longest bar.
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
    """One side's buckets, from the last price outwards: arrays of one length.

    `total` is the standing notional, `price` its mean price, and `near` the standing price nearest to the
    last price. The prices are nan where nothing stands.
    """

    side: Side
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    total: NDArray[np.float64]
    price: NDArray[np.float64]
    near: NDArray[np.float64]


def _bars(buckets: LevelBuckets, side: Side) -> _Bars:
    low, high = buckets.edges[:-1], buckets.edges[1:]
    # Rounded, so that a bar of exactly half another's length is not judged by the noise of its sum.
    if side is Side.SELL:
        total = rounded(buckets.short.sum(axis=0))
        return _Bars(side, low, high, total, buckets.short_price, buckets.short_near)
    columns = low, high, rounded(buckets.long.sum(axis=0)), buckets.long_price, buckets.long_near
    return _Bars(side, *(column[::-1] for column in columns))


def _of_side(bars: _Bars, distances: Sequence[float], *, last_price: float) -> list[Cluster]:
    """Return the clusters of one side that has bars, nearest first.

    `distances` are those of the bands that hold anything on this side, narrowest first, then infinity.
    """
    bounds = [band_bound(bars.side, each, last_price=last_price) for each in distances]
    bands = [bars.near > bound if bars.side is Side.BUY else bars.near <= bound for bound in bounds]
    runs = list(_humps(bars.total))
    # bands[0] is the narrowest band that holds anything; runs[0] is the nearest hump.
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
    """Return the nearest cluster that is large within the narrowest band that has a large one.

    `within` has the clusters in each band, nearest first; the last band is the whole side. Some cluster must
    not be small beside its side's largest. Those at least half as large as the band's largest are large.
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
        # `near` is only exact to a fine bucket, whose edge can lie across the last price.
        near=min(near, 0.0) if bars.side is Side.BUY else max(near, 0.0),
        # The same trades at several leverages make equal clusters. Rounding removes what the order of
        # addition leaves, so that they compare as equal and the nearest counts as the largest.
        notional=float(rounded(total.sum(keepdims=True))[0]),
    )


def _humps(totals: NDArray[np.float64]) -> Iterator[_Run]:
    """Yield the humps of `totals`, in order.

    `valley` is the lowest bar since the longest of the current hump. A bar ends the hump at the valley if the
    valley is shorter than half of both that longest bar and the bar itself.
    """
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
    """Return the part of a hump from its first to its last bar that stands out."""
    hump = totals[start:end]
    (high,) = np.nonzero(hump >= SHARE * hump.max())
    return start + int(high[0]), start + int(high[-1]) + 1


def _smallness(cluster: Cluster) -> tuple[float, float]:
    """Return a sort key: the largest cluster first, and of equal ones the nearest."""
    return -cluster.notional, abs(cluster.distance)
