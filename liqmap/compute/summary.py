"""Summarize a map: the numbers that a person reads beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from liqmap.model import MapSummary, MarketSummary
from liqmap.model.window import at_ms

if TYPE_CHECKING:
    from liqmap.compute.values import Computed, LiquidationMap


def summarize(liquidation_map: LiquidationMap) -> MapSummary:
    """Return the numbers of a map. They are computed from the same values that the pictures show."""
    path = liquidation_map.swept_by or liquidation_map.path
    # Minutes that only fill up the last bin of a path by mark price have no prices.
    newest = np.flatnonzero(path.low <= path.high)[-1]
    return MapSummary(
        **_numbers(liquidation_map),
        newest_low=float(path.low[newest]),
        newest_high=float(path.high[newest]),
        newest_since=at_ms(int(path.time[newest])),
        bucket_size=liquidation_map.buckets.size,
        bands=liquidation_map.bands,
        clusters=liquidation_map.clusters,
        by_market=tuple(
            MarketSummary(**_numbers(each), market=each.market, coverage=each.coverage)
            for each in liquidation_map.shares
        ),
        left_out=liquidation_map.left_out,
    )


def _numbers(computed: Computed) -> dict[str, Any]:
    """Return the fields of `MapNumbers`."""
    return {
        "last_price": computed.last_price,
        "trades": computed.trade_count,
        "selected_buy": computed.buys.count,
        "selected_sell": computed.sells.count,
        "selected_notional_buy": computed.buys.notional,
        "selected_notional_sell": computed.sells.notional,
        "standing_long": float(computed.buckets.long.sum()),
        "standing_short": float(computed.buckets.short.sum()),
        "swept_long": computed.swept_long,
        "swept_short": computed.swept_short,
        "unplaced": computed.unplaced,
        "margin": computed.margin,
        "not_opened": computed.not_opened,
        "closed": computed.closed,
        "open_interest": computed.open_interest,
        "realised": None if computed.realised is None else computed.realised.sums,
    }
