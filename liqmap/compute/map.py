"""Compute the map of one market from what its selected trades add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from liqmap.compute.adding import add_up
from liqmap.compute.buckets import LevelSums, depth
from liqmap.compute.clusters import find_clusters, labelled
from liqmap.compute.levels import level_bounds
from liqmap.compute.values import Entries, LiquidationMap, PricePath
from liqmap.model import Coverage, MapRequest, Side

if TYPE_CHECKING:
    from collections.abc import Iterable

    from liqmap.compute.adding import Added
    from liqmap.compute.margin import MarginRules
    from liqmap.compute.standing import Positions
    from liqmap.model import MarginBasis


def build_map(
    request: MapRequest,
    coverage: Coverage,
    *,
    path: PricePath,
    trade_count: int,
    entries: Iterable[Entries],
    rules: MarginRules,
    basis: MarginBasis,
    positions: Positions | None = None,
) -> LiquidationMap:
    """Compute all that the pictures of `request` show, from its selected trades and its price path.

    `entries` are stretches of the window, newest first; one is held at a time. Their prices lie within those
    of the path. The last price is the path's last close. Standing + swept + unplaced notional is exactly
    what was selected (times the number of leverages where the rules do not split a trade). With `positions`,
    not opened + closed notional are added to that sum.
    """
    last_price = float(path.close[-1])
    bounds = level_bounds(path, request, rules)
    sums = LevelSums(*bounds, leverages=request.leverages, last_price=last_price)
    added = add_up(request, entries, rules, sums=sums, path=path, positions=positions)
    return map_of(
        request, coverage, added, path=path, trade_count=trade_count, last_price=last_price, basis=basis
    )


def map_of(
    request: MapRequest,
    coverage: Coverage,
    added: Added,
    *,
    path: PricePath,
    trade_count: int,
    last_price: float,
    basis: MarginBasis,
) -> LiquidationMap:
    """Return the map of what was added up."""
    sums = added.sums
    buckets = sums.buckets()
    bands = sums.bands()
    clusters = find_clusters(buckets, bands, last_price=last_price)
    long_total, short_total = buckets.long.sum(axis=0), buckets.short.sum(axis=0)
    swept_long, swept_short = sums.swept(Side.BUY), sums.swept(Side.SELL)
    return LiquidationMap(
        request=request,
        coverage=coverage,
        path=path,
        buys=added.buys,
        sells=added.sells,
        trade_count=trade_count,
        last_price=last_price,
        buckets=buckets,
        # Buckets on the other side of the last price hold none of this side's levels. Clipping their edges
        # to the last price makes the curve start there.
        long_depth=depth(
            np.minimum(buckets.edges, last_price)[::-1], long_total[::-1], last_price=last_price
        ),
        short_depth=depth(np.maximum(buckets.edges, last_price), short_total, last_price=last_price),
        swept_long=swept_long,
        swept_short=swept_short,
        swept_outside=max(0.0, swept_long + swept_short - float(buckets.swept.sum())),
        unplaced=added.unplaced,
        margin=basis,
        bands=bands,
        clusters=clusters,
        labelled=labelled(clusters, buckets),
        not_opened=added.not_opened,
        closed=added.closed,
    )
