"""The numbers that a person reads beside a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model import Band, LiquidationMap, MapSummary
from liqmap.window import at_ms

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAND_DISTANCES: Final = (0.01, 0.02, 0.05)


def summarize(liquidation_map: LiquidationMap) -> MapSummary:
    """Return the numbers of a map; every one of them follows from what the pictures show."""
    buckets = liquidation_map.buckets
    longs, shorts = liquidation_map.long_clusters, liquidation_map.short_clusters
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
        largest_long=max(longs, key=lambda cluster: cluster.notional, default=None),
        largest_short=max(shorts, key=lambda cluster: cluster.notional, default=None),
        nearest_long=longs[0] if longs else None,
        nearest_short=shorts[0] if shorts else None,
        bands=tuple(_band(liquidation_map, distance) for distance in BAND_DISTANCES),
        clusters=(*longs, *shorts),
    )


def _band(liquidation_map: LiquidationMap, distance: float) -> Band:
    # A bound inside a bucket takes the bucket's share up to it.
    last = liquidation_map.last_price

    def reached(curve_price: NDArray[np.float64], curve_notional: NDArray[np.float64], bound: float) -> float:
        ascending = np.argsort(curve_price, kind="stable")
        return float(np.interp(bound, curve_price[ascending], curve_notional[ascending]))

    long, short = liquidation_map.long_depth, liquidation_map.short_depth
    return Band(
        distance,
        reached(long.price, long.notional, last * (1 - distance)),
        reached(short.price, short.notional, last * (1 + distance)),
    )
