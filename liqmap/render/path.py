"""The price over the window: its path, what is missing of it, and the last price in words."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.render.axes import draw_bottom_axis, draw_left_axis, price_ticks, step_of
from liqmap.render.canvas import Box, Canvas
from liqmap.render.fonts import text_width
from liqmap.render.panel import Panel, time_ticks
from liqmap.render.style import SIZES, Palette
from liqmap.text import last_trade_text, price

if TYPE_CHECKING:
    from liqmap.compute.values import LiquidationMap

PATH_TICKS: Final = 6


def draw_path(canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> None:
    """Draw the price over the window with its axes, and what is missing of it hatched."""
    window = liquidation_map.request.window
    prices = price_ticks(panel.y_range, count=PATH_TICKS, exact=step_of(liquidation_map))
    draw_left_axis(canvas, panel, palette, prices)
    draw_bottom_axis(canvas, panel, palette, time_ticks(window.start_ms, window.end_ms, count=5))
    for gap in liquidation_map.path_gaps:
        draw_gap(canvas, panel, (gap.window.start_ms, gap.window.end_ms), palette)
    draw_path_line(canvas, panel, liquidation_map, palette)


def draw_path_line(
    canvas: Canvas,
    panel: Panel,
    liquidation_map: LiquidationMap,
    palette: Palette,
    *,
    halo: str | None = None,
) -> None:
    """Draw the envelope of lows and highs and the line of closes, on a `halo` where the ground is busy."""
    path = liquidation_map.path
    for piece in path_pieces(liquidation_map):
        x = panel.x(path.time[piece])
        low, high = panel.y(path.low[piece]), panel.y(path.high[piece])
        # Smooth edges would take a fiftieth of the picture's bytes, under a line that has them.
        envelope = np.r_[x, x[::-1]], np.r_[low, high[::-1]]
        canvas.area(*envelope, palette.price, opacity=0.45, smooth=False)
        close = panel.y(path.close[piece])
        if halo:
            canvas.line(x, close, halo, width=5.0)
        canvas.line(x, close, palette.price, width=2.0)


def path_pieces(liquidation_map: LiquidationMap) -> list[slice]:
    """Return the parts of the price path between the gaps, which no line may cross."""
    path = liquidation_map.path
    # The bin in which a gap ends begins inside the gap, and belongs to what follows it.
    cuts = np.searchsorted(path.time, [gap.window.start_ms for gap in liquidation_map.path_gaps])
    bounds = [0, *(int(cut) for cut in cuts), len(path.time)]
    return [slice(first, end) for first, end in pairwise(bounds) if first < end]


def draw_gap(canvas: Canvas, panel: Panel, span_ms: tuple[float, float], palette: Palette) -> None:
    """Hatch a span of time without data."""
    left, right = (float(x) for x in panel.x(span_ms))
    box = Box(left, panel.box.bottom, right, panel.box.top)
    canvas.rectangle(box, palette.panel, hatch=("//", palette.gap))
    if box.width > text_width("no data", size=SIZES.label) + 8:
        # Off the middle, where the last price's line may run.
        place = (left + right) / 2, box.bottom + 0.85 * box.height
        canvas.text(*place, "no data", palette.text, size=SIZES.label, anchor="m", halo=palette.panel)


def known_until(liquidation_map: LiquidationMap) -> int:
    """Return where a window's data ends [ms]: with it, or where a gap begins that lasts to its end."""
    gaps, window = liquidation_map.path_gaps, liquidation_map.request.window
    lacks_end = bool(gaps) and gaps[-1].window.end == window.end
    return gaps[-1].window.start_ms if lacks_end else window.end_ms


def last_text(liquidation_map: LiquidationMap) -> str:
    """Return the last price in words, with its time where it is not of the window's end."""
    words = ["last", last_price_label(liquidation_map), last_trade_text(liquidation_map.coverage)]
    return " ".join(filter(None, words))


def last_price_label(liquidation_map: LiquidationMap) -> str:
    """Return the last price as it is written everywhere."""
    return price(liquidation_map.last_price, step=step_of(liquidation_map))
