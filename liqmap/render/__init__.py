"""Render: computed maps -> pictures, as PNG of WIDTH × HEIGHT pixels.

`label` names the market, such as `Binance USD-M`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.render.depth import depth_canvas
from liqmap.render.heatmap import heatmap_canvas
from liqmap.render.map import map_canvas

if TYPE_CHECKING:
    from liqmap.compute.values import Heatmap, LiquidationMap


def draw_map(liquidation_map: LiquidationMap, *, label: str) -> bytes:
    """Draw the price path with the selected trades, beside the standing notional at each price."""
    return map_canvas(liquidation_map, label=label).png()


def draw_depth(liquidation_map: LiquidationMap, *, label: str) -> bytes:
    """Draw the standing notional over price, and its running totals away from the last price."""
    return depth_canvas(liquidation_map, label=label).png()


def draw_heatmap(liquidation_map: LiquidationMap, heatmap: Heatmap, *, label: str) -> bytes:
    """Draw how the standing notional came and went over price and time, under the price path."""
    return heatmap_canvas(liquidation_map, heatmap, label=label).png()
