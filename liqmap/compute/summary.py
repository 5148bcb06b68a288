"""Summarize a map: the numbers that a person reads beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.model import MapSummary
from liqmap.window import at_ms

if TYPE_CHECKING:
    from liqmap.compute.values import LiquidationMap


def summarize(liquidation_map: LiquidationMap) -> MapSummary:
    """Return the numbers of a map. They are computed from the same values that the pictures show."""
    buckets = liquidation_map.buckets
    return MapSummary(
        last_price=liquidation_map.last_price,
        newest_low=float(liquidation_map.path.low[-1]),
        newest_high=float(liquidation_map.path.high[-1]),
        newest_since=at_ms(int(liquidation_map.path.time[-1])),
        trades=liquidation_map.trade_count,
        selected_buy=liquidation_map.buys.count,
        selected_sell=liquidation_map.sells.count,
        selected_notional_buy=liquidation_map.buys.notional,
        selected_notional_sell=liquidation_map.sells.notional,
        standing_long=float(buckets.long.sum()),
        standing_short=float(buckets.short.sum()),
        swept_long=liquidation_map.swept_long,
        swept_short=liquidation_map.swept_short,
        unplaced=liquidation_map.unplaced,
        margin=liquidation_map.margin,
        bucket_size=buckets.size,
        bands=liquidation_map.bands,
        clusters=liquidation_map.clusters,
        not_opened=liquidation_map.not_opened,
        closed=liquidation_map.closed,
        open_interest=liquidation_map.open_interest,
        realised=None if liquidation_map.realised is None else liquidation_map.realised.sums,
    )
