"""Summarize a map: the numbers that a person reads beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.model import MapSummary, MarketSummary
from liqmap.window import at_ms

if TYPE_CHECKING:
    from liqmap.compute.values import LiquidationMap, MarketShare


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
        by_market=tuple(_of_market(each) for each in liquidation_map.shares),
        left_out=liquidation_map.left_out,
    )


def _of_market(share: MarketShare) -> MarketSummary:
    return MarketSummary(
        market=share.market,
        last_price=share.last_price,
        trades=share.trade_count,
        selected_buy=share.buys.count,
        selected_sell=share.sells.count,
        selected_notional_buy=share.buys.notional,
        selected_notional_sell=share.sells.notional,
        standing_long=float(share.buckets.long.sum()),
        standing_short=float(share.buckets.short.sum()),
        swept_long=share.swept_long,
        swept_short=share.swept_short,
        unplaced=share.unplaced,
        margin=share.margin,
        coverage=share.coverage,
        not_opened=share.not_opened,
        closed=share.closed,
        open_interest=share.open_interest,
        realised=None if share.realised is None else share.realised.sums,
    )
