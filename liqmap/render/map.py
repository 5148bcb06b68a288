"""The map: price path and selected trades, beside the standing notional at each price."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from liqmap.compute.grid import with_room
from liqmap.model import Side
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
from liqmap.render.frame import (
    MARGIN,
    draw_nothing,
    fitting_size,
    framed,
    plot_ends,
    watermark,
)
from liqmap.render.labels import (
    LABEL_INDENT,
    PILL_HEIGHT,
    LabelColumn,
    cluster_heights,
    draw_pill,
    label_room,
    pill_width,
)
from liqmap.render.legend import draw_legend
from liqmap.render.panel import Panel, padded
from liqmap.render.path import PATH_TICKS, draw_path, known_until, last_text
from liqmap.render.realised import draw_ticks, realised_label
from liqmap.render.style import PALETTES, SIZES, WIDTH, Palette
from liqmap.text import cluster_label, money

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.compute.values import LiquidationMap, Realised, SideTrades
    from liqmap.model import Cluster

_CONNECTOR_WIDTH = 44
_RADII = np.array([2.5, 3.5, 4.5, 6.0, 8.0, 10.5, 13.5, 17.0])
_BRACKET_DISTANCE = 8  # from a cluster's longest bar to its bracket [px]
_BESIDE = 6  # from a bracket to where its leader may leave the bars [px]
_LEVEL_TICKS = 7
_OFF_PATH_WORDS = 30  # from the words over the left panel to the legend over the right one [px]
_LEAST_ROOM = 0.25  # of the panel's width, for the longest bar
_TOTALS_STRIP = 34  # at each end of the panel, where the totals are written [px]


def map_canvas(liquidation_map: LiquidationMap, *, label: str) -> Canvas:
    """Return the map as a canvas, before it becomes an image."""
    palette = PALETTES[liquidation_map.request.theme]
    canvas = framed(liquidation_map, "liquidation map", label, palette)
    path_panel, level_panel = _map_panels(liquidation_map)
    for panel in (path_panel, level_panel):
        canvas.rectangle(panel.box, palette.panel)
    watermark(canvas, liquidation_map, palette, [path_panel, level_panel])
    _draw_connector(canvas, path_panel, level_panel, palette)
    draw_path(canvas, path_panel, liquidation_map, palette)
    _draw_trades(canvas, path_panel, liquidation_map, palette)
    free = level_panel.box.left - path_panel.box.right - _OFF_PATH_WORDS
    _draw_levels(canvas, level_panel, liquidation_map, palette, free=free)
    _draw_last_price_across(canvas, path_panel, level_panel, liquidation_map, palette)
    return canvas


def labelled_clusters(liquidation_map: LiquidationMap) -> list[Cluster]:
    """Return the clusters that have room for their label in the map."""
    _, panel = _map_panels(liquidation_map)
    pill, _ = _pill(panel, liquidation_map)
    return list(cluster_heights(liquidation_map.labelled, panel=panel, pill=pill, strip=_TOTALS_STRIP))


def _map_panels(liquidation_map: LiquidationMap) -> tuple[Panel, Panel]:
    path, window = liquidation_map.path, liquidation_map.request.window
    path_range = padded(float(path.low.min()), float(path.high.max()), share=0.05)
    bottom, top = plot_ends(liquidation_map)
    prices = _level_prices(liquidation_map, height=top - bottom)
    step = step_of(liquidation_map)
    left = MARGIN + tick_width(price_ticks(path_range, count=PATH_TICKS, exact=step)) + 12
    right_labels = tick_width(price_ticks(prices, count=_LEVEL_TICKS, exact=step)) + 20
    usable = WIDTH - MARGIN - left - _CONNECTOR_WIDTH - right_labels
    middle = left + usable * 0.47
    path_panel = Panel(
        Box(round(left), bottom, round(middle), top), (window.start_ms, window.end_ms), path_range
    )
    level_box = Box(round(middle + _CONNECTOR_WIDTH + right_labels), bottom, WIDTH - MARGIN, top)
    # The longest bar leaves room for its bracket, the leaders, and the longest label or the last price.
    texts = [cluster_label(each, step=step) for each in liquidation_map.labelled]
    pill = pill_width(last_text(liquidation_map))
    widest = max([pill, *(text_width(text, size=SIZES.label) for text in texts)])
    beside = _BRACKET_DISTANCE + 2 + _BESIDE + LABEL_INDENT
    # Of prices and amounts with very many digits a label takes more room than there is.
    room = max(_LEAST_ROOM, 1 - (widest + beside + 8) / level_box.width)
    longest = float(standing_totals(liquidation_map).max(initial=0.0))
    return path_panel, Panel(level_box, (0.0, longest / room or 1000.0), prices)


def _level_prices(liquidation_map: LiquidationMap, *, height: float) -> tuple[float, float]:
    """Return the prices over which bars are drawn: on each side of the last one labels have their room."""
    low, high = level_range(liquidation_map, share=0.08)
    below, above = (label_room(liquidation_map.labelled, side, strip=_TOTALS_STRIP) / height for side in Side)
    return with_room(low, high, last_price=liquidation_map.last_price, below=below, above=above)


def _draw_connector(canvas: Canvas, path_panel: Panel, level_panel: Panel, palette: Palette) -> None:
    """Show where the left panel's range of prices lies on the right panel's axis."""
    left, right = path_panel.box.right, path_panel.box.right + _CONNECTOR_WIDTH - 8
    box = level_panel.box
    low, high = (min(max(float(y), box.bottom), box.top) for y in level_panel.y(path_panel.y_range))
    canvas.area(
        [left, right, right, left], [path_panel.box.bottom, low, high, path_panel.box.top], palette.panel
    )
    canvas.rectangle(Box(right, low, right + 5, max(high, low + 2)), palette.muted)


def _draw_trades(canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> None:
    _draw_heading(canvas, panel.box, palette)
    selected = (liquidation_map.buys, liquidation_map.sells)
    largest = max((float(side.largest.notional[0]) for side in selected if side.count), default=1.0)
    _draw_circles(canvas, panel, liquidation_map.buys.largest, palette.long, largest=largest)
    _draw_circles(canvas, panel, liquidation_map.sells.largest, palette.short, largest=largest)
    if liquidation_map.realised is not None:
        draw_ticks(canvas, panel, liquidation_map.realised, palette)
        _write_realised(canvas, panel, liquidation_map.realised, palette)
    drawn = max(len(side.largest) for side in selected)
    if max(side.count for side in selected) > drawn:
        text, left, y = f"circles: the largest {drawn} per side", panel.box.left + 10, panel.box.bottom + 18
        size = fitting_size(text, SIZES.foot, left=left, right=panel.box.right - 10)
        canvas.text(left, y, text, palette.muted, size=size, halo=palette.panel)


def _draw_heading(canvas: Canvas, box: Box, palette: Palette) -> None:
    """Write above the path what its rings are, and that its scale is not that of the levels."""
    x, y = box.left + 8, box.top + 24
    for text, colour in (("large buy", palette.long), ("large sell", palette.short)):
        canvas.circles(np.array([x]), np.array([y]), colour, radius=8, width=2.5)
        x = canvas.text(x + 16, y, text, palette.text, size=SIZES.label).right + 22
    # The wedge shows it, the word says it: the two panels have scales of their own.
    room = box.right - x
    word = "zoomed in" if text_width("zoomed in", size=SIZES.foot) <= room else "zoom"
    canvas.text(box.right, y, word, palette.muted, size=SIZES.foot, anchor="r")


def _write_realised(canvas: Canvas, panel: Panel, realised: Realised, palette: Palette) -> None:
    """Write what the ticks add up to at the panel's upper left."""
    label, left = realised_label(realised, marks="ticks"), panel.box.left + 10
    if label is not None:
        size = fitting_size(label, SIZES.foot, left=left, right=panel.box.right - 10)
        canvas.text(left, panel.box.top - 18, label, palette.muted, size=size, halo=palette.panel)


def _draw_circles(canvas: Canvas, panel: Panel, trades: SideTrades, colour: str, *, largest: float) -> None:
    """Draw the largest trades as rings whose area follows the notional, in a few sizes."""
    x, y = panel.x(trades.time), panel.y(trades.price)
    radius = _RADII[-1] * np.sqrt(trades.notional / largest)
    kind = np.abs(radius[:, np.newaxis] - _RADII).argmin(axis=1)
    for index in np.unique(kind)[::-1]:
        chosen = kind == index
        canvas.circles(x[chosen], y[chosen], colour, radius=float(_RADII[index]), width=1.6)


def _draw_levels(
    canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette, *, free: float
) -> None:
    """Draw the bars with all that explains them; left of the panel, `free` pixels are free above it."""
    prices = price_ticks(panel.y_range, count=_LEVEL_TICKS, exact=step_of(liquidation_map))
    draw_left_axis(canvas, panel, palette, prices)
    draw_legend(canvas, liquidation_map, palette, box=panel.box, free=free)
    stands = bool(standing_totals(liquidation_map).any())
    if stands:
        title = " ".join(bucket_words(liquidation_map.buckets.size))
        if text_width(title, size=SIZES.tick) > panel.box.width / 2:
            title = bucket_words(liquidation_map.buckets.size)[0]
        draw_bottom_axis(canvas, panel, palette, money_scale(panel.x_range, count=5), title=title)
        pill, _ = _pill(panel, liquidation_map)
        draw_bars(canvas, panel, liquidation_map, palette, pill=pill, upright=False)
    else:
        draw_nothing(canvas, panel, liquidation_map, palette)
    _draw_totals(canvas, panel, liquidation_map, palette)


def _draw_totals(canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> None:
    """Write how much stands on each side into the free strips at the panel's ends."""
    for word, curve, y, colour in (
        ("shorts above", liquidation_map.short_depth, panel.box.top - 18, palette.short),
        ("longs below", liquidation_map.long_depth, panel.box.bottom + 18, palette.long),
    ):
        text = f"{word}  {money(float(curve.notional[-1]))}"
        canvas.text(
            panel.box.right - 10, y, text, colour, size=SIZES.label, anchor="r", bold=True, halo=palette.panel
        )


def _draw_last_price_across(
    canvas: Canvas, path_panel: Panel, level_panel: Panel, liquidation_map: LiquidationMap, palette: Palette
) -> None:
    last = liquidation_map.last_price
    # Where the window's end is missing, nobody knows whether the last price held.
    ends = [float(path_panel.x(known_until(liquidation_map))), level_panel.box.right]
    for panel, end in zip((path_panel, level_panel), ends, strict=True):
        y = float(panel.y(last))
        canvas.line([panel.box.left, end], [y, y], palette.text, width=1.6, dashes=(7, 5))
    pill, text = _pill(level_panel, liquidation_map)
    draw_pill(canvas, pill, text, palette)
    _label_clusters(canvas, level_panel, liquidation_map, palette, pill=pill)


def _pill(panel: Panel, liquidation_map: LiquidationMap) -> tuple[Box, str]:
    """Return the box that the last price is written on, which no leader crosses, and its words."""
    y, text = float(panel.y(liquidation_map.last_price)), last_text(liquidation_map)
    room = panel.box.right - _elbow(panel, liquidation_map) - LABEL_INDENT
    if pill_width(text) > room:
        text = text.removeprefix("last ")
    left = panel.box.right - min(pill_width(text), room)
    return Box(left, y - PILL_HEIGHT / 2, panel.box.right, y + PILL_HEIGHT / 2), text


def _elbow(panel: Panel, liquidation_map: LiquidationMap) -> float:
    """Return where leaders turn: they are level across the bars, and aslant beyond the longest one."""
    longest = float(standing_totals(liquidation_map).max(initial=0.0))
    return float(panel.x(longest)) + _BRACKET_DISTANCE + 1.5 + _BESIDE


def _label_clusters(
    canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette, *, pill: Box
) -> None:
    """Mark clusters with brackets, and join them to a column of labels right of all bars."""
    brackets = _brackets(panel, liquidation_map)
    column = _label_column(panel, liquidation_map, palette, pill=pill)
    starts = {cluster: bracket.right for cluster, bracket in brackets.items()}
    placed = column.placed(starts, step=step_of(liquidation_map))
    if placed:
        # Nobody could tell what a bracket without a label means.
        canvas.boxes([brackets[each.cluster] for each in placed], palette.text)
        column.draw(canvas, placed, palette)


def _label_column(
    panel: Panel, liquidation_map: LiquidationMap, palette: Palette, *, pill: Box
) -> LabelColumn:
    elbow = _elbow(panel, liquidation_map)
    return LabelColumn(panel, pill, elbow, _TOTALS_STRIP, SIZES.label, palette.panel)


def _brackets(panel: Panel, liquidation_map: LiquidationMap) -> dict[Cluster, Box]:
    ends = panel.x(standing_totals(liquidation_map))
    return {each: _bracket(panel, each, liquidation_map, ends) for each in liquidation_map.labelled}


def _bracket(
    panel: Panel, cluster: Cluster, liquidation_map: LiquidationMap, ends: NDArray[np.float64]
) -> Box:
    """Return the box of the mark behind the bars of a cluster, which end at `ends`."""
    edges = liquidation_map.buckets.edges
    inside = (edges[:-1] >= cluster.low) & (edges[:-1] < cluster.high)
    x = float(ends[inside].max()) + _BRACKET_DISTANCE
    low, high = (float(y) for y in panel.y([cluster.low, cluster.high]))
    return Box(x - 1.5, low, x + 1.5, max(high, low + 2))
