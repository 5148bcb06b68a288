"""The depth: standing notional over price, and its running totals away from the last price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from liqmap.render.canvas import Box, Canvas, text_width
from liqmap.render.frame import (
    MARGIN,
    PLOT_BOTTOM,
    PLOT_TOP,
    bar_edges,
    draw_bottom_axis,
    draw_ghosts,
    draw_legend,
    draw_nothing,
    framed,
    last_text,
    level_range,
    standing_totals,
    watermark,
)
from liqmap.render.panel import Panel, round_ticks
from liqmap.render.style import PALETTES, SIZES, WIDTH, Palette, leverage_colours
from liqmap.text import money, price

if TYPE_CHECKING:
    from liqmap.compute.values import DepthCurve, LiquidationMap
    from liqmap.render.canvas import Anchor


def depth_canvas(liquidation_map: LiquidationMap, *, label: str) -> Canvas:
    """Return the depth as a canvas, before it becomes an image."""
    palette = PALETTES[liquidation_map.request.theme]
    canvas = framed(liquidation_map, "liquidation depth", label, palette)
    curves, bars = _depth_panels(liquidation_map)
    canvas.rectangle(curves.box, palette.panel)
    watermark(canvas, liquidation_map, palette, [curves])
    _draw_depth_grid(canvas, curves, bars, palette)
    draw_legend(canvas, liquidation_map, palette, box=curves.box)
    _draw_curve(canvas, curves, liquidation_map.long_depth, palette.long)
    _draw_curve(canvas, curves, liquidation_map.short_depth, palette.short)
    buckets = liquidation_map.buckets
    colours = leverage_colours(palette, len(buckets.leverages))
    left, right = bar_edges(bars.x(buckets.edges))
    base = np.zeros(len(left))
    for row, colour in zip(buckets.long + buckets.short, colours, strict=True):
        shown = row > 0
        canvas.rectangles(left[shown], bars.y(base)[shown], right[shown], bars.y(base + row)[shown], colour)
        base = base + row
    if not base.any():
        draw_nothing(canvas, curves, liquidation_map, palette)
    draw_ghosts(
        canvas,
        palette,
        bars.x(buckets.edges),
        bars.y(base),
        bars.y(base + buckets.swept),
        end=bars.box.top,
        pill=_pill(curves, liquidation_map),
        upright=True,
    )
    for curve, colour in (
        (liquidation_map.long_depth, palette.long),
        (liquidation_map.short_depth, palette.short),
    ):
        canvas.line(curves.x(curve.price), curves.y(curve.notional), palette.background, width=6)
        canvas.line(curves.x(curve.price), curves.y(curve.notional), colour, width=3)
    _draw_depth_labels(canvas, curves, liquidation_map, palette)
    return canvas


def _depth_panels(liquidation_map: LiquidationMap) -> tuple[Panel, Panel]:
    top = max(float(liquidation_map.long_depth.notional[-1]), float(liquidation_map.short_depth.notional[-1]))
    highest = float(standing_totals(liquidation_map).max(initial=0.0))
    cumulative, each = (0.0, top * 1.14 or 1000.0), (0.0, highest / 0.40 or 1000.0)
    left = (
        MARGIN + max(text_width(money(v), size=SIZES.tick) for v in round_ticks(*cumulative, count=6)[0]) + 12
    )
    right = WIDTH - MARGIN - text_width("$88.8M", size=SIZES.tick) - 12
    box = Box(round(left), PLOT_BOTTOM, round(right), PLOT_TOP)
    prices = level_range(liquidation_map, share=0.03)
    return Panel(box, prices, cumulative), Panel(box, prices, each)


def _draw_depth_grid(canvas: Canvas, curves: Panel, bars: Panel, palette: Palette) -> None:
    box = curves.box
    ticks, _ = round_ticks(*curves.y_range, count=6)
    for tick, y in zip(ticks, curves.y(ticks), strict=True):
        canvas.line([box.left, box.right], [y, y], palette.grid)
        canvas.text(box.left - 12, y, money(tick), palette.muted, size=SIZES.tick, anchor="r")
    # Over the highest tick if that leaves the strip above the panel to the legend, else below it.
    above = float(curves.y(ticks[-1])) + 34
    y = above if above + SIZES.tick / 2 <= box.top else above - 68
    canvas.text(box.left - 12, y, "sum", palette.muted, size=SIZES.tick, anchor="r")
    highest = bars.y_range[1] * 0.42
    ticks, _ = round_ticks(0.0, highest, count=4)
    for tick, y in zip(ticks, bars.y(ticks), strict=True):
        canvas.text(box.right + 12, y, money(tick), palette.muted, size=SIZES.tick)
    canvas.text(box.right + 12, float(bars.y(highest)) + 34, "per bar", palette.muted, size=SIZES.tick)
    prices, step = round_ticks(*curves.x_range, count=7)
    draw_bottom_axis(canvas, curves, palette, [(tick, price(tick, step=step)) for tick in prices])


def _draw_curve(canvas: Canvas, panel: Panel, curve: DepthCurve, colour: str) -> None:
    """Fill the area below a running total."""
    x, y = panel.x(curve.price), panel.y(curve.notional)
    canvas.area(np.r_[x, x[-1], x[0]], np.r_[y, panel.box.bottom, panel.box.bottom], colour, opacity=0.16)


def _pill(panel: Panel, liquidation_map: LiquidationMap) -> Box:
    """Return the box that the last price is written on."""
    box, x = panel.box, float(panel.x(liquidation_map.last_price))
    width = text_width(last_text(liquidation_map), size=SIZES.label, bold=True) + 20
    left = min(max(x - width / 2, box.left), box.right - width)
    return Box(left, box.top - 83, left + width, box.top - 49)


def _draw_depth_labels(
    canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette
) -> None:
    last, box = liquidation_map.last_price, panel.box
    x = float(panel.x(last))
    canvas.line([x, x], [box.bottom, box.top], palette.text, width=1.6, dashes=(7, 5))
    pill = _pill(panel, liquidation_map)
    canvas.rectangle(pill, palette.text)
    middle = (pill.left + pill.right) / 2, (pill.bottom + pill.top) / 2
    canvas.text(
        *middle,
        last_text(liquidation_map),
        palette.background,
        size=SIZES.label,
        anchor="m",
        bold=True,
    )
    sides: tuple[tuple[str, DepthCurve, float, Anchor, str], ...] = (
        ("longs below", liquidation_map.long_depth, box.left + 12, "l", palette.long),
        ("shorts above", liquidation_map.short_depth, box.right - 12, "r", palette.short),
    )
    for word, curve, place, anchor, colour in sides:
        total = f"{word}  {money(float(curve.notional[-1]))}"
        canvas.text(
            place,
            box.top - 24,
            total,
            colour,
            size=SIZES.subtitle,
            anchor=anchor,
            bold=True,
            halo=palette.panel,
        )
