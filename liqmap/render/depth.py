"""The depth: standing notional over price, and its running totals away from the last price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from liqmap.render.axes import (
    draw_bottom_axis,
    draw_left_axis,
    money_scale,
    price_ticks,
    step_of,
    tick_width,
)
from liqmap.render.bars import bucket_words, draw_bars, level_range, standing_totals
from liqmap.render.canvas import Box, Canvas
from liqmap.render.fonts import text_width
from liqmap.render.frame import MARGIN, draw_nothing, framed, plot_ends, watermark
from liqmap.render.labels import PILL_HEIGHT, draw_pill, pill_width
from liqmap.render.legend import draw_legend
from liqmap.render.panel import Panel
from liqmap.render.path import last_text
from liqmap.render.style import PALETTES, SIZES, WIDTH, Palette
from liqmap.text import money

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.compute.values import DepthCurve, LiquidationMap
    from liqmap.render.canvas import Anchor

_BARS_SHARE = 0.4  # of the panel's height, for the longest bar


def depth_canvas(liquidation_map: LiquidationMap, *, label: str) -> Canvas:
    """Return the depth as a canvas, before it becomes an image."""
    palette = PALETTES[liquidation_map.request.theme]
    canvas = framed(liquidation_map, "liquidation depth", label, palette)
    curves, bars = _depth_panels(liquidation_map)
    canvas.rectangle(curves.box, palette.panel)
    watermark(canvas, liquidation_map, palette, [curves])
    prices = price_ticks(curves.x_range, count=7, exact=step_of(liquidation_map))
    draw_bottom_axis(canvas, curves, palette, prices)
    draw_legend(canvas, liquidation_map, palette, box=curves.box)
    sides = (
        (liquidation_map.long_depth, curves.box.left, palette.long),
        (liquidation_map.short_depth, curves.box.right, palette.short),
    )
    if standing_totals(liquidation_map).any():
        _draw_scales(canvas, curves, bars, liquidation_map, palette)
        for curve, end, colour in sides:
            (x, y), bottom = _outline(curves, curve, end), curves.box.bottom
            canvas.area(np.r_[x, end, x[0]], np.r_[y, bottom, bottom], colour, opacity=0.16)
        pill = _pill(curves, liquidation_map)
        draw_bars(canvas, bars, liquidation_map, palette, pill=pill, upright=True)
        for curve, end, colour in sides:
            canvas.line(*_outline(curves, curve, end), palette.background, width=5)
            canvas.line(*_outline(curves, curve, end), colour, width=3)
    else:
        draw_nothing(canvas, curves, liquidation_map, palette)
    _draw_depth_labels(canvas, curves, liquidation_map, palette)
    return canvas


def _depth_panels(liquidation_map: LiquidationMap) -> tuple[Panel, Panel]:
    curves = (liquidation_map.long_depth, liquidation_map.short_depth)
    largest = max(float(curve.notional[-1]) for curve in curves)
    highest = float(standing_totals(liquidation_map).max(initial=0.0))
    cumulative, each = (0.0, largest * 1.14 or 1000.0), (0.0, highest / _BARS_SHARE or 1000.0)
    left = MARGIN + max(tick_width(money_scale(cumulative, count=6)), text_width("sum", size=SIZES.tick)) + 12
    words = ("$88.8M", *bucket_words(liquidation_map.buckets.size))
    right = WIDTH - MARGIN - max(text_width(each, size=SIZES.tick) for each in words) - 12
    bottom, top = plot_ends(liquidation_map)
    box = Box(round(left), bottom, round(right), top)
    prices = level_range(liquidation_map, share=0.03)
    return Panel(box, prices, cumulative), Panel(box, prices, each)


def _draw_scales(
    canvas: Canvas, curves: Panel, bars: Panel, liquidation_map: LiquidationMap, palette: Palette
) -> None:
    """Write what the curves mean at the left, and at the right what the bars mean."""
    box = curves.box
    sums = money_scale(curves.y_range, count=6)
    draw_left_axis(canvas, curves, palette, sums)
    # Over the highest tick if that leaves the strip above the panel to the legend, else below it.
    above = float(curves.y(sums[-1][0])) + 34
    y = above if above + SIZES.tick / 2 <= box.top else above - 68
    canvas.text(box.left - 12, y, "sum", palette.muted, size=SIZES.tick, anchor="r")
    highest = bars.y_range[1] * (_BARS_SHARE + 0.02)
    for tick, text in money_scale((0.0, highest), count=4):
        canvas.text(box.right + 12, float(bars.y(tick)), text, palette.muted, size=SIZES.tick)
    for line, words in enumerate(reversed(bucket_words(liquidation_map.buckets.size))):
        y = float(bars.y(highest)) + 34 + line * (SIZES.tick + 4)
        canvas.text(box.right + 12, y, words, palette.muted, size=SIZES.tick)


def _outline(panel: Panel, curve: DepthCurve, end: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the pixels of a running total, which stays what it is up to the panel's `end`."""
    x, y = panel.x(curve.price), panel.y(curve.notional)
    return np.r_[x, end], np.r_[y, y[-1]]


def _pill(panel: Panel, liquidation_map: LiquidationMap) -> Box:
    """Return the box that the last price is written on."""
    box, x, width = (
        panel.box,
        float(panel.x(liquidation_map.last_price)),
        pill_width(last_text(liquidation_map)),
    )
    left = min(max(x - width / 2, box.left), box.right - width)
    top = box.top - 49  # below the totals
    return Box(left, top - PILL_HEIGHT, left + width, top)


def _draw_depth_labels(
    canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette
) -> None:
    box, pill = panel.box, _pill(panel, liquidation_map)
    x = float(panel.x(liquidation_map.last_price))
    # It ends at the pill: the totals above can lie where it would go on.
    canvas.line([x, x], [box.bottom, pill.bottom], palette.text, width=1.6, dashes=(7, 5))
    draw_pill(canvas, pill, last_text(liquidation_map), palette)
    sides: tuple[tuple[str, DepthCurve, float, Anchor, str], ...] = (
        ("longs below", liquidation_map.long_depth, box.left + 12, "l", palette.long),
        ("shorts above", liquidation_map.short_depth, box.right - 12, "r", palette.short),
    )
    for word, curve, place, anchor, colour in sides:
        total = f"{word}  {money(float(curve.notional[-1]))}"
        canvas.text(
            *(place, box.top - 24, total, colour),
            size=SIZES.subtitle,
            anchor=anchor,
            bold=True,
            halo=palette.panel,
        )
