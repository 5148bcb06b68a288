"""The heatmap: standing notional over price and time, as it was known at each moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from liqmap.render.axes import draw_bottom_axis, draw_left_axis, price_ticks, step_of, tick_width
from liqmap.render.canvas import Box, Canvas
from liqmap.render.fonts import text_width
from liqmap.render.frame import MARGIN, fitting_size, framed, nothing_text, plot_ends, watermark
from liqmap.render.labels import LABEL_INDENT, PILL_HEIGHT, LabelColumn, draw_pill, pill_width
from liqmap.render.map import labelled_clusters
from liqmap.render.panel import Panel, time_ticks
from liqmap.render.path import draw_gap, draw_path_line, known_until, last_price_label
from liqmap.render.realised import draw_dots, realised_label
from liqmap.render.style import PALETTES, SIZES, WIDTH, Palette, heat_colours
from liqmap.text import cluster_label, last_trade_text, money, price

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.compute.values import Heatmap, LiquidationMap, Realised
    from liqmap.model.window import TimeWindow

_TICKS = 8
_ELBOW = 4  # from the panel to where leaders begin to climb [px]
_TIME_BELOW = 12  # from the last price's box to the middle of its time [px]
_PILL_INDENT = 10  # from the panel to the last price [px]
_WIDEST_LABELS = 280
_SCALE_WIDTH = 300
_SHADES = 48


def heatmap_canvas(liquidation_map: LiquidationMap, heatmap: Heatmap, *, label: str) -> Canvas:
    """Return the heatmap as a canvas, before it becomes an image."""
    palette = PALETTES[liquidation_map.request.theme]
    canvas = framed(liquidation_map, "liquidation heatmap", label, palette)
    panel = _panel(liquidation_map, heatmap)
    canvas.pixels(panel.box, _shaded(heatmap, panel, palette))
    prices = price_ticks(panel.y_range, count=_TICKS, exact=step_of(liquidation_map))
    draw_left_axis(canvas, panel, palette, prices)
    window = liquidation_map.request.window
    draw_bottom_axis(canvas, panel, palette, time_ticks(window.start_ms, window.end_ms, count=_TICKS))
    for gap in liquidation_map.path_gaps:
        draw_gap(canvas, panel, _span(gap.window, window, panel), palette)
    watermark(canvas, liquidation_map, palette, [panel])
    draw_path_line(canvas, panel, liquidation_map, palette, halo=palette.background)
    if heatmap.value.any():
        _draw_scale(canvas, panel, heatmap, palette)
    else:
        _draw_nothing(canvas, panel, liquidation_map, palette)
    _draw_beyond(canvas, panel, heatmap, palette)
    if liquidation_map.realised is not None:
        draw_dots(canvas, panel, liquidation_map.realised, palette)
        _write_realised(canvas, panel, liquidation_map.realised, palette)
    _draw_labels(canvas, panel, liquidation_map, palette)
    return canvas


def _panel(liquidation_map: LiquidationMap, heatmap: Heatmap) -> Panel:
    prices, step = (float(heatmap.edges[0]), float(heatmap.edges[-1])), step_of(liquidation_map)
    left = MARGIN + tick_width(price_ticks(prices, count=_TICKS, exact=step)) + 12
    texts = [cluster_label(each, step=step) for each in liquidation_map.labelled]
    labels = max((text_width(text, size=SIZES.foot) for text in texts), default=0.0)
    widest = max(_ELBOW + LABEL_INDENT + labels, _PILL_INDENT + pill_width(last_price_label(liquidation_map)))
    bottom, top = plot_ends(liquidation_map)
    box = Box(round(left), bottom, WIDTH - round(min(widest, _WIDEST_LABELS)) - 16, top)
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
    # Rounded up, so that the least that stands differs from nothing.
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


def _draw_nothing(canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> None:
    """Write above the panel, where the scale would be, that nothing stands and why."""
    words = ": ".join(filter(None, ["Nothing stands", ", ".join(nothing_text(liquidation_map))]))
    size = fitting_size(words, SIZES.label, left=panel.box.left)
    canvas.text(panel.box.left, panel.box.top + 24, words, palette.text, size=size)


def _write_realised(canvas: Canvas, panel: Panel, realised: Realised, palette: Palette) -> None:
    """Write what the dots add up to at the panel's lower right."""
    x, y = panel.box.right - 10, panel.box.bottom + 16
    text = realised_label(realised, marks="dots")
    if text is not None:
        canvas.text(x, y, text, palette.text, size=SIZES.foot, anchor="r", halo=palette.panel)


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
    pill = _pill(panel, liquidation_map)
    y = (pill.bottom + pill.top) / 2
    # Where the window's end is missing, nobody knows whether the last price held.
    until = known_until(liquidation_map)
    end = pill.left if until == liquidation_map.request.window.end_ms else float(panel.x(until))
    canvas.line([panel.box.left, end], [y, y], palette.text, width=1.6, dashes=(7, 5))
    draw_pill(canvas, pill, last_price_label(liquidation_map), palette)
    when = last_trade_text(liquidation_map.coverage)
    if when is not None:
        canvas.text(pill.left + 10, pill.bottom - _TIME_BELOW, when, palette.text, size=SIZES.foot)
    column = _label_column(panel, liquidation_map, palette)
    # All pictures of an answer name the same clusters.
    starts = dict.fromkeys(labelled_clusters(liquidation_map), panel.box.right)
    column.draw(canvas, column.placed(starts, step=step_of(liquidation_map)), palette)


def _pill(panel: Panel, liquidation_map: LiquidationMap) -> Box:
    """Return the box that the last price is written on."""
    left, y = panel.box.right + _PILL_INDENT, float(panel.y(liquidation_map.last_price))
    width = pill_width(last_price_label(liquidation_map))
    return Box(left, y - PILL_HEIGHT / 2, left + width, y + PILL_HEIGHT / 2)


def _label_column(panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> LabelColumn:
    pill = _pill(panel, liquidation_map)
    if last_trade_text(liquidation_map.coverage) is not None:
        pill = Box(pill.left, pill.bottom - _TIME_BELOW - SIZES.foot / 2, pill.right, pill.top)
    return LabelColumn(panel, pill, panel.box.right + _ELBOW, 0, SIZES.foot, palette.background)
