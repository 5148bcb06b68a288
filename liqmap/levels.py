"""Compute: liquidation levels of the selected trades, their buckets, clusters and depth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.margin import liquidation_price
from liqmap.model import (
    Cluster,
    Coverage,
    DepthCurve,
    LevelBuckets,
    LiquidationLevels,
    LiquidationMap,
    MapRequest,
    PricePath,
    SideTrades,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_BUCKETS: Final = 240
"""At most this many buckets between the lowest and the highest standing level (plus one at each end)."""

CLUSTER_SHARE: Final = 0.25
"""A cluster is a run of adjacent buckets of at least this share of its side's largest bucket."""

_PATH_BINS_SECONDS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


def build_map(
    request: MapRequest,
    coverage: Coverage,
    *,
    path: PricePath,
    trade_count: int,
    buys: SideTrades,
    sells: SideTrades,
) -> LiquidationMap:
    """Compute all that the pictures of `request` show from its selected trades and its price path.

    The last price is the path's last close. Standing are longs below and shorts above it.
    """
    last_price = float(path.close[-1])
    longs, shorts = levels_of(buys, request), levels_of(sells, request)
    buckets = fill_buckets(longs, shorts, last_price=last_price)
    long_total, short_total = buckets.long.sum(axis=0), buckets.short.sum(axis=0)
    return LiquidationMap(
        request=request,
        coverage=coverage,
        path=path,
        buys=buys,
        sells=sells,
        trade_count=trade_count,
        last_price=last_price,
        buckets=buckets,
        # Edges on the far side of the last price carry nothing and collapse onto it.
        long_depth=_depth(np.minimum(buckets.edges, last_price)[::-1], long_total[::-1], last_price),
        short_depth=_depth(np.maximum(buckets.edges, last_price), short_total, last_price),
        passed_long=_passed(longs, long_total),
        passed_short=_passed(shorts, short_total),
        long_clusters=find_clusters(buckets.edges, long_total, last_price=last_price)[::-1],
        short_clusters=find_clusters(buckets.edges, short_total, last_price=last_price),
    )


def levels_of(trades: SideTrades, request: MapRequest) -> tuple[LiquidationLevels, ...]:
    """Return the levels of `trades` at each leverage of `request`, leverages ascending.

    Each trade counts with its full notional at every leverage, as in py-liquidation-map.
    """
    return tuple(
        LiquidationLevels(
            side=trades.side,
            leverage=leverage,
            price=liquidation_price(request.model, trades.side, leverage=leverage, entry_price=trades.price),
            notional=trades.notional,
            entry_time=trades.time,
            entry_price=trades.price,
        )
        for leverage in request.leverages
    )


def fill_buckets(
    longs: Sequence[LiquidationLevels], shorts: Sequence[LiquidationLevels], *, last_price: float
) -> LevelBuckets:
    """Sum the standing levels of each leverage into buckets of one 1-2-5 size, aligned to its multiples.

    Buckets are half-open and cover every standing level, so their totals equal the levels' totals.
    """
    standing_longs = [_chosen(levels, levels.price < last_price) for levels in longs]
    standing_shorts = [_chosen(levels, levels.price > last_price) for levels in shorts]
    prices = [price for price, _ in standing_longs + standing_shorts if len(price)]
    low = min((float(price.min()) for price in prices), default=last_price)
    high = max((float(price.max()) for price in prices), default=last_price)
    # A floor for the span keeps one lonely level from being cut into slices of nothing.
    digits, power = _nice_step(max(high - low, last_price / 1000) / MAX_BUCKETS)
    first = _bucket_of(np.array([low]), digits, power)[0]
    last = _bucket_of(np.array([high]), digits, power)[0]
    count = int(last - first) + 1

    def totals(sides: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> NDArray[np.float64]:
        return np.stack(
            [
                np.bincount(_bucket_of(price, digits, power) - first, weights=notional, minlength=count)
                for price, notional in sides
            ]
        )

    return LevelBuckets(
        size=float(_edge(np.array([1]), digits, power)[0]),
        edges=_edge(np.arange(first, last + 2), digits, power),
        leverages=tuple(levels.leverage for levels in longs),
        long=totals(standing_longs),
        short=totals(standing_shorts),
    )


def find_clusters(
    edges: NDArray[np.float64], totals: NDArray[np.float64], *, last_price: float
) -> tuple[Cluster, ...]:
    """Return the clusters of one side, by ascending price: runs of buckets ≥ CLUSTER_SHARE of the largest."""
    if not totals.any():
        return ()
    high = np.r_[False, totals >= CLUSTER_SHARE * totals.max(), False]
    changes = np.flatnonzero(high[1:] != high[:-1])
    middles = (edges[:-1] + edges[1:]) / 2
    clusters = []
    for first, end in zip(changes[::2], changes[1::2], strict=True):
        price = float(np.average(middles[first:end], weights=totals[first:end]))
        clusters.append(
            Cluster(
                low=float(edges[first]),
                high=float(edges[end]),
                price=price,
                distance=price / last_price - 1,
                notional=float(totals[first:end].sum()),
            )
        )
    return tuple(clusters)


def path_bin_seconds(window_seconds: int, *, bins: int) -> int:
    """Return the shortest bin that cuts a window into at most `bins` parts (or the longest there is)."""
    return next((s for s in _PATH_BINS_SECONDS if window_seconds <= s * bins), _PATH_BINS_SECONDS[-1])


def coarsened(path: PricePath, bin_seconds: int) -> PricePath:
    """Return `path`, ascending in time, in bins of `bin_seconds` aligned to UTC; empty bins are left out."""
    width = bin_seconds * 1000
    start = path.time // width * width
    first = np.flatnonzero(np.diff(start, prepend=-1))
    if not len(first):
        return path
    last = np.r_[first[1:], len(start)] - 1
    return PricePath(
        start[first],
        np.minimum.reduceat(path.low, first),
        np.maximum.reduceat(path.high, first),
        path.close[last],
    )


def joined(paths: Sequence[PricePath]) -> PricePath:
    """Return paths that follow each other in time as one."""
    return PricePath(
        *(
            np.concatenate([getattr(path, name) for path in paths])
            for name in ("time", "low", "high", "close")
        )
    )


def _chosen(
    levels: LiquidationLevels, standing: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return levels.price[standing], levels.notional[standing]


def _nice_step(minimum: float) -> tuple[int, int]:
    """Return the smallest (1|2|5, power of ten) whose product is at least `minimum`."""
    power = math.floor(math.log10(minimum))
    for digits in (1, 2, 5):
        if digits * 10.0**power >= minimum:
            return digits, power
    return 1, power + 1


def _edge(index: NDArray[np.int64], digits: int, power: int) -> NDArray[np.float64]:
    # Dividing by a whole power of ten rounds once, so 0.3 is 0.3 and not 0.30000000000000004.
    steps = index.astype(np.float64) * digits
    return steps * 10.0**power if power >= 0 else steps / 10.0**-power


def _bucket_of(price: NDArray[np.float64], digits: int, power: int) -> NDArray[np.int64]:
    index = np.floor(price / _edge(np.array([1]), digits, power)).astype(np.int64)
    # The division may round across an edge; comparing with the edges themselves settles it.
    index -= price < _edge(index, digits, power)
    index += price >= _edge(index + 1, digits, power)
    return index


def _depth(edges: NDArray[np.float64], totals: NDArray[np.float64], last_price: float) -> DepthCurve:
    return DepthCurve(np.r_[last_price, edges], np.r_[0.0, 0.0, np.cumsum(totals)])


def _passed(levels: Sequence[LiquidationLevels], standing: NDArray[np.float64]) -> float:
    return max(0.0, sum(float(each.notional.sum()) for each in levels) - float(standing.sum()))
