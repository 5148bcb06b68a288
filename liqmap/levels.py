"""Compute: liquidation levels of the selected trades, their buckets, clusters and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.grid import PriceGrid
from liqmap.margin import allowed_leverage, liquidation_price, shares
from liqmap.model import (
    Aftermath,
    Cluster,
    Coverage,
    DepthCurve,
    LevelBuckets,
    LevelFilter,
    LiquidationLevels,
    LiquidationMap,
    MapRequest,
    PricePath,
    Side,
    SideTrades,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from liqmap.margin import MarginRules
    from liqmap.model import MarginBasis

MAX_BUCKETS: Final = 240
"""At most this many buckets between the lowest and the highest standing level (plus one at each end)."""

CLUSTER_SHARE: Final = 0.5
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
    after: Mapping[Side, Aftermath],
    rules: MarginRules,
    basis: MarginBasis,
) -> LiquidationMap:
    """Compute all that the pictures of `request` show from its selected trades and its price path.

    The last price is the path's last close; `after` tells what the price did after each entry. Nothing
    is lost: standing + swept + unplaced notional is what was selected (times the number of leverages
    where the rules do not split a trade).
    """
    last_price = float(path.close[-1])
    longs, shorts = (
        levels_of(trades, request, rules, after=after[trades.side], last_price=last_price)
        for trades in (buys, sells)
    )
    buckets = fill_buckets(longs, shorts, last_price=last_price)
    long_total, short_total = buckets.long.sum(axis=0), buckets.short.sum(axis=0)
    swept_long, swept_short = _swept(longs), _swept(shorts)
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
        swept_long=swept_long,
        swept_short=swept_short,
        swept_outside=max(0.0, swept_long + swept_short - float(buckets.swept.sum())),
        unplaced=sum(_unplaced(trades, request, rules) for trades in (buys, sells)),
        margin=basis,
        long_levels=longs,
        short_levels=shorts,
        long_clusters=find_clusters(buckets.edges, long_total, last_price=last_price)[::-1],
        short_clusters=find_clusters(buckets.edges, short_total, last_price=last_price),
    )


def levels_of(
    trades: SideTrades, request: MapRequest, rules: MarginRules, *, after: Aftermath, last_price: float
) -> tuple[LiquidationLevels, ...]:
    """Return the levels of `trades` at each leverage of `request`, leverages ascending.

    A trade has a level at those leverages only that the rules allow it.
    """
    share = shares(
        rules, request.leverages, request.weights, entry_price=trades.price, notional=trades.notional
    )
    found = []
    for leverage, part in zip(request.leverages, share, strict=True):
        placed = part > 0
        entry, notional = trades.price[placed], trades.notional[placed]
        price = liquidation_price(rules, trades.side, leverage=leverage, entry_price=entry, notional=notional)
        its_after = Aftermath(after.extreme[placed], after.soon[placed])
        found.append(
            LiquidationLevels(
                side=trades.side,
                leverage=leverage,
                price=price,
                notional=notional * part[placed],
                entry_time=trades.time[placed],
                entry_price=entry,
                after=its_after,
                standing=_stands(price, request.levels, trades.side, its_after.extreme, last_price),
            )
        )
    return tuple(found)


def fill_buckets(
    longs: Sequence[LiquidationLevels], shorts: Sequence[LiquidationLevels], *, last_price: float
) -> LevelBuckets:
    """Sum the standing levels of each leverage into buckets of one 1-2-5 size, aligned to its multiples.

    Buckets are half-open and cover every standing level, so their totals equal the levels' totals. What
    was swept is summed as far as it lies in the same range.
    """
    prices = [each.price[each.standing] for each in (*longs, *shorts) if each.standing.any()]
    low = min((float(price.min()) for price in prices), default=last_price)
    high = max((float(price.max()) for price in prices), default=last_price)
    grid = PriceGrid.over(low, high, buckets=MAX_BUCKETS, least_span=last_price / 1000)

    def total(levels: LiquidationLevels, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        bucket = grid.bucket_of(levels.price[chosen])
        inside = (bucket >= 0) & (bucket < len(grid))
        weights = levels.notional[chosen][inside]
        # Without any weights, bincount forgets that they are floats.
        return np.bincount(bucket[inside], weights=weights, minlength=len(grid)).astype(np.float64)

    return LevelBuckets(
        size=grid.size,
        edges=grid.edges,
        leverages=tuple(levels.leverage for levels in longs),
        long=np.stack([total(levels, levels.standing) for levels in longs]),
        short=np.stack([total(levels, levels.standing) for levels in shorts]),
        swept=np.sum([total(levels, ~levels.standing) for levels in (*longs, *shorts)], axis=0),
    )


def aftermath(path: PricePath, trades: SideTrades, *, bin_seconds: int, later: float) -> Aftermath:
    """Return what the price did after the entries of `trades`, of which `path` has the second bars.

    `later` is the extreme of the time after the path's end, infinite if there is none.
    """
    is_long = trades.side is Side.BUY
    worst, adverse = (np.minimum, path.low) if is_long else (np.maximum, path.high)
    never = np.inf if is_long else -np.inf
    # A trade's own second says nothing about before and after it, so what counts starts with the next.
    first = np.searchsorted(path.time, trades.time, side="right")
    suffix = np.r_[worst.accumulate(adverse[::-1])[::-1], never]
    width = bin_seconds * 1000
    end = np.searchsorted(path.time, (trades.time // width + 1) * width)
    soon = np.full(len(trades), never)
    some = first < end
    if some.any():
        spans = np.stack([first[some], end[some]], axis=1).ravel()
        soon[some] = worst.reduceat(np.r_[adverse, never], spans)[::2]
    return Aftermath(worst(suffix[first], later), soon)


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


def _stands(
    price: NDArray[np.float64],
    shown: LevelFilter,
    side: Side,
    extreme: NDArray[np.float64],
    last_price: float,
) -> NDArray[np.bool_]:
    is_long = side is Side.BUY
    ahead: NDArray[np.bool_] = price < last_price if is_long else price > last_price
    if shown is LevelFilter.ALL:
        return ahead
    return ahead & (price < extreme if is_long else price > extreme)


def _swept(levels: Sequence[LiquidationLevels]) -> float:
    return sum(float(each.notional[~each.standing].sum()) for each in levels)


def _unplaced(trades: SideTrades, request: MapRequest, rules: MarginRules) -> float:
    allowed = allowed_leverage(rules, entry_price=trades.price, notional=trades.notional)
    return float(trades.notional[allowed < request.leverages[0]].sum())


def _depth(edges: NDArray[np.float64], totals: NDArray[np.float64], last_price: float) -> DepthCurve:
    return DepthCurve(np.r_[last_price, edges], np.r_[0.0, 0.0, np.cumsum(totals)])
