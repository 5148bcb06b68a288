"""The heatmap: standing notional over price and time, as it was known at each moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from liqmap.render.canvas import Box, Canvas, text_width
from liqmap.render.frame import (
    MARGIN,
    PLOT_BOTTOM,
    PLOT_TOP,
    draw_bottom_axis,
    draw_gap,
    draw_nothing,
    draw_path_line,
    draw_price_axis,
    fitting_size,
    framed,
    last_price_label,
    tick_width,
    watermark,
)
from liqmap.render.labels import cluster_heights
from liqmap.render.panel import Panel, time_ticks
from liqmap.render.style import PALETTES, SIZES, WIDTH, Palette, heat_colours
from liqmap.text import cluster_label, last_trade_text, money, price

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.compute.values import Heatmap, LiquidationMap
    from liqmap.window import TimeWindow

_LABELS_WIDTH = 218
_ASLANT = 14  # the width in which leaders climb to their labels [px]
_SCALE_WIDTH = 300
_SHADES = 48


def heatmap_canvas(liquidation_map: LiquidationMap, heatmap: Heatmap, *, label: str) -> Canvas:
    """Return the heatmap as a canvas, before it becomes an image."""
    palette = PALETTES[liquidation_map.request.theme]
    canvas = framed(liquidation_map, "liquidation heatmap", label, palette)
    panel = _panel(heatmap)
    canvas.pixels(panel.box, _shaded(heatmap, panel, palette))
    draw_price_axis(canvas, panel, palette, count=8)
    window = liquidation_map.request.window
    draw_bottom_axis(canvas, panel, palette, time_ticks(window.start_ms, window.end_ms, count=8))
    for gap in liquidation_map.coverage.missing:
        draw_gap(canvas, panel, _span(gap.window, window, panel), palette)
    watermark(canvas, liquidation_map, palette, [panel])
    draw_path_line(canvas, panel, liquidation_map, palette, halo=palette.background)
    if heatmap.value.any():
        _draw_scale(canvas, panel, heatmap, palette)
    else:
        draw_nothing(canvas, panel, liquidation_map, palette)
    _draw_beyond(canvas, panel, heatmap, palette)
    _draw_labels(canvas, panel, liquidation_map, palette)
    return canvas


def _panel(heatmap: Heatmap) -> Panel:
    prices = float(heatmap.edges[0]), float(heatmap.edges[-1])
    left = MARGIN + tick_width(prices, count=8) + 12
    box = Box(round(left), PLOT_BOTTOM, WIDTH - MARGIN - _LABELS_WIDTH, PLOT_TOP)
    return Panel(box, (float(heatmap.time[0]), float(heatmap.time[-1])), prices)


def _span(gap: TimeWindow, window: TimeWindow, panel: Panel) -> tuple[float, float]:
    """Return from when to when a gap is hatched: whole bins where the window cuts one."""
    start, end = panel.x_range
    return (
        start if gap.start == window.start else gap.start_ms,
        end if gap.end == window.end else gap.end_ms,
    )


def _shaded(heatmap: Heatmap, panel: Panel, palette: Palette) -> NDArray[np.uint8]:
    """Return the colours of the panel's pixels, rows from the bottom up."""
    rows, columns = heatmap.value.shape
    height, width = round(panel.box.height), round(panel.box.width)
    row = np.minimum(np.arange(height) * rows // height, rows - 1)
    column = np.minimum(np.arange(width) * columns // width, columns - 1)
    # The square root lets small bands be seen beside the largest; the scale is labelled accordingly.
    share = np.sqrt(heatmap.value / (heatmap.value.max(initial=0.0) or 1.0))
    shade = np.ceil(share * (_SHADES - 1)).astype(np.intp)
    colours: NDArray[np.uint8] = _colours(palette)[shade[np.ix_(row, column)]]
    return colours


def _colours(palette: Palette) -> NDArray[np.uint8]:
    return np.array([list(bytes.fromhex(each[1:])) for each in heat_colours(palette, _SHADES)], np.uint8)


def _draw_scale(canvas: Canvas, panel: Panel, heatmap: Heatmap, palette: Palette) -> None:
    """Draw what the colours mean above the panel."""
    top = float(heatmap.value.max(initial=0.0))
    step = float(heatmap.edges[1] - heatmap.edges[0])
    y = panel.box.top + 24
    title = f"standing per {price(step, step=step)} of price"
    # Half of the scale is a quarter of the most: a scale that is not linear says so.
    words = canvas.text(panel.box.left, y, title, palette.text, size=SIZES.label)
    zero = canvas.text(words.right + 22, y, "$0", palette.muted, size=SIZES.tick)
    bar = Box(round(zero.right + 10), y - 8, round(zero.right + 10) + _SCALE_WIDTH, y + 8)
    shade = np.arange(round(bar.width)) * _SHADES // round(bar.width)
    canvas.pixels(bar, np.repeat(_colours(palette)[shade][np.newaxis], round(bar.height), axis=0))
    highest = canvas.text(bar.right + 10, y, money(top), palette.muted, size=SIZES.tick)
    canvas.text(highest.right + 22, y, "square-root scale", palette.muted, size=SIZES.foot)
    middle = bar.left + bar.width / 2
    canvas.line([middle, middle], [bar.bottom, bar.top + 4], palette.text, width=1.5)
    canvas.text(middle, bar.top + 15, money(top / 4), palette.muted, size=SIZES.foot, anchor="m")


def _draw_beyond(canvas: Canvas, panel: Panel, heatmap: Heatmap, palette: Palette) -> None:
    """Write at each end of the panel how much stands beyond it."""
    ends = (
        (heatmap.above, "above", panel.box.top - 16, 1),
        (heatmap.below, "below", panel.box.bottom + 16, -1),
    )
    for notional, word, y, sign in ends:
        if notional:
            left = panel.box.left + 10
            canvas.area([left, left + 8, left + 16], [y - 6 * sign, y + 6 * sign, y - 6 * sign], palette.text)
            text = f"{money(notional)} stands {word}"
            canvas.text(left + 24, y, text, palette.text, size=SIZES.foot, halo=palette.panel)


def _draw_labels(canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> None:
    """Write the last price and the clusters still standing at the right edge."""
    last, left = liquidation_map.last_price, panel.box.right + 10
    y = float(panel.y(last))
    text = last_price_label(liquidation_map)
    pill = Box(left, y - 17, left + text_width(text, size=SIZES.label, bold=True) + 20, y + 17)
    canvas.line([panel.box.left, left], [y, y], palette.text, width=1.6, dashes=(7, 5))
    canvas.rectangle(pill, palette.text)
    canvas.text(left + 10, y, text, palette.background, size=SIZES.label, bold=True)
    when = last_trade_text(liquidation_map.coverage)
    if when is not None:
        time = canvas.text(left + 10, pill.bottom - 12, when, palette.text, size=SIZES.foot)
        pill = Box(pill.left, time.bottom, pill.right, pill.top)
    heights = cluster_heights(liquidation_map.labelled, panel=panel, pill=pill, strip=0)
    for cluster, middle in heights.items():
        height = float(panel.y(cluster.price))
        text = cluster_label(cluster, step=liquidation_map.buckets.size)
        # From where to where takes more room than a single price.
        size = fitting_size(text, SIZES.foot, left=left + _ASLANT, right=WIDTH - 4)
        x = [panel.box.right, panel.box.right + 4, left + _ASLANT - 4]
        canvas.line(x, [height, height, middle], palette.muted, width=1.5)
        canvas.text(left + _ASLANT, middle, text, palette.text, size=size)
