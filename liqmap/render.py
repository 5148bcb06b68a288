"""Render: a computed liquidation map -> its two pictures, as PNG."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.canvas import Box, Canvas, text_box, text_width
from liqmap.numbers import coverage_text, money, price, selection_text, window_text
from liqmap.panel import Panel, padded, round_ticks, time_ticks
from liqmap.style import HEIGHT, PALETTES, SIZES, WIDTH, Palette, leverage_colours

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from liqmap.canvas import Anchor
    from liqmap.model import Cluster, DepthCurve, LiquidationMap, SideTrades

MAX_CIRCLES: Final = 250
"""At most this many selected trades a side are drawn, the largest ones; the picture says so."""

_MARGIN = 28
_PLOT_TOP = HEIGHT - 182
_PLOT_BOTTOM = 102
_CONNECTOR_WIDTH = 44
_RADII = np.array([2.5, 3.5, 4.5, 6.0, 8.0, 10.5, 13.5, 17.0])
_LABELLED_CLUSTERS = 3
_LAST_PRICE_INSET = 0.06


def draw_map(liquidation_map: LiquidationMap, *, label: str) -> bytes:
    """Draw the price path with the selected trades, beside the standing notional at each price.

    `label` names the market, such as `Binance USD-M`. Returns a PNG of WIDTH × HEIGHT pixels.
    """
    return map_canvas(liquidation_map, label=label).png()


def draw_depth(liquidation_map: LiquidationMap, *, label: str) -> bytes:
    """Draw the standing notional over price, and its running totals away from the last price.

    `label` names the market, such as `Binance USD-M`. Returns a PNG of WIDTH × HEIGHT pixels.
    """
    return depth_canvas(liquidation_map, label=label).png()


def map_canvas(liquidation_map: LiquidationMap, *, label: str) -> Canvas:
    """Return the map as a canvas, before it becomes an image."""
    palette = PALETTES[liquidation_map.request.theme]
    canvas = _framed(liquidation_map, "liquidation map", label, palette)
    path_panel, level_panel = _map_panels(liquidation_map)
    for panel in (path_panel, level_panel):
        canvas.rectangle(panel.box, palette.panel)
    _watermark(canvas, liquidation_map, palette, [path_panel, level_panel])
    _draw_connector(canvas, path_panel, level_panel, palette)
    _draw_path(canvas, path_panel, liquidation_map, palette)
    _draw_trades(canvas, path_panel, liquidation_map, palette)
    _draw_levels(canvas, level_panel, liquidation_map, palette)
    _draw_last_price_across(canvas, path_panel, level_panel, liquidation_map, palette)
    return canvas


def depth_canvas(liquidation_map: LiquidationMap, *, label: str) -> Canvas:
    """Return the depth as a canvas, before it becomes an image."""
    palette = PALETTES[liquidation_map.request.theme]
    canvas = _framed(liquidation_map, "liquidation depth", label, palette)
    curves, bars = _depth_panels(liquidation_map)
    canvas.rectangle(curves.box, palette.panel)
    _watermark(canvas, liquidation_map, palette, [curves])
    _draw_depth_grid(canvas, curves, bars, palette)
    _draw_legend(canvas, liquidation_map, palette, box=curves.box)
    _draw_curve(canvas, curves, liquidation_map.long_depth, palette.long)
    _draw_curve(canvas, curves, liquidation_map.short_depth, palette.short)
    buckets = liquidation_map.buckets
    colours = leverage_colours(palette, len(buckets.leverages))
    left, right = bars.x(buckets.edges[:-1]), bars.x(buckets.edges[1:])
    base = np.zeros(len(left))
    for row, colour in zip(buckets.long + buckets.short, colours, strict=True):
        shown = row > 0
        canvas.rectangles(left[shown], bars.y(base)[shown], right[shown], bars.y(base + row)[shown], colour)
        base = base + row
    for curve, colour in (
        (liquidation_map.long_depth, palette.long),
        (liquidation_map.short_depth, palette.short),
    ):
        canvas.line(curves.x(curve.price), curves.y(curve.notional), palette.background, width=6)
        canvas.line(curves.x(curve.price), curves.y(curve.notional), colour, width=3)
    _draw_depth_labels(canvas, curves, liquidation_map, palette)
    return canvas


def _framed(liquidation_map: LiquidationMap, title: str, label: str, palette: Palette) -> Canvas:
    """Return a canvas with all that stands around the plots: title, subtitle, and what it is made of."""
    request, coverage = liquidation_map.request, liquidation_map.coverage
    canvas = Canvas(WIDTH, HEIGHT, background=palette.background)
    name = canvas.text(_MARGIN, HEIGHT - 42, request.symbol, palette.text, size=SIZES.title, bold=True)
    title_box = canvas.text(name.right + 14, HEIGHT - 42, title, palette.text, size=SIZES.title)
    if coverage.simulated:
        canvas.text(
            title_box.right + 28, HEIGHT - 42, "SIMULATED DATA", palette.warning, size=SIZES.label, bold=True
        )
    canvas.text(WIDTH - _MARGIN, HEIGHT - 42, label, palette.muted, size=SIZES.subtitle, anchor="r")
    count = len(liquidation_map.buys) + len(liquidation_map.sells)
    notional = liquidation_map.buys.notional.sum() + liquidation_map.sells.notional.sum()
    canvas.text(
        _MARGIN,
        HEIGHT - 86,
        f"{window_text(request.window)}  ·  {selection_text(request.selection)}",
        palette.text,
        size=SIZES.subtitle,
    )
    canvas.text(
        WIDTH - _MARGIN,
        HEIGHT - 86,
        f"{count:,} trades, {money(notional)}",
        palette.muted,
        size=SIZES.subtitle,
        anchor="r",
    )
    covered = coverage_text(coverage)
    canvas.text(
        _MARGIN,
        44,
        f"{covered}  ·  selected from {liquidation_map.trade_count:,} trades  ·  {request.model} model",
        palette.warning if coverage.missing else palette.muted,
        size=SIZES.foot,
    )
    canvas.text(
        _MARGIN,
        20,
        "Estimated from trades, not from positions: a model, not financial advice.",
        palette.muted,
        size=SIZES.foot,
    )
    return canvas


def _map_panels(liquidation_map: LiquidationMap) -> tuple[Panel, Panel]:
    path, window = liquidation_map.path, liquidation_map.request.window
    path_range = padded(float(path.low.min()), float(path.high.max()), share=0.05)
    level_range = _level_range(liquidation_map, share=0.06)
    left = _MARGIN + _tick_width(path_range, count=6) + 12
    right_labels = _tick_width(level_range, count=7) + 20
    usable = WIDTH - _MARGIN - left - _CONNECTOR_WIDTH - right_labels
    middle = left + usable * 0.47
    path_panel = Panel(
        Box(round(left), _PLOT_BOTTOM, round(middle), _PLOT_TOP), (window.start_ms, window.end_ms), path_range
    )
    level_box = Box(round(middle + _CONNECTOR_WIDTH + right_labels), _PLOT_BOTTOM, WIDTH - _MARGIN, _PLOT_TOP)
    # The longest bar leaves room for the longest label.
    labels = [
        text_width(_cluster_text(each, liquidation_map), size=SIZES.label)
        for each in _largest(liquidation_map)
    ]
    room = 1 - (max(labels, default=0.0) + 30) / level_box.width
    longest = float(_totals(liquidation_map).max(initial=0.0))
    return path_panel, Panel(level_box, (0.0, longest / room or 1000.0), level_range)


def _depth_panels(liquidation_map: LiquidationMap) -> tuple[Panel, Panel]:
    top = max(float(liquidation_map.long_depth.notional[-1]), float(liquidation_map.short_depth.notional[-1]))
    highest = float(_totals(liquidation_map).max(initial=0.0))
    cumulative, each = (0.0, top * 1.14 or 1000.0), (0.0, highest / 0.40 or 1000.0)
    left = (
        _MARGIN
        + max(text_width(money(v), size=SIZES.tick) for v in round_ticks(*cumulative, count=6)[0])
        + 12
    )
    right = WIDTH - _MARGIN - text_width("$88.8M", size=SIZES.tick) - 12
    box = Box(round(left), _PLOT_BOTTOM, round(right), _PLOT_TOP)
    prices = _level_range(liquidation_map, share=0.03)
    return Panel(box, prices, cumulative), Panel(box, prices, each)


def _level_range(liquidation_map: LiquidationMap, *, share: float) -> tuple[float, float]:
    edges, path, last = liquidation_map.buckets.edges, liquidation_map.path, liquidation_map.last_price
    low, high = min(float(edges[0]), float(path.low.min())), max(float(edges[-1]), float(path.high.max()))
    # The last price keeps off the ends, where the totals are written, even if nothing stands beyond it.
    keep_off = (high - low) * _LAST_PRICE_INSET
    return padded(min(low, last - keep_off), max(high, last + keep_off), share=share)


def _totals(liquidation_map: LiquidationMap) -> NDArray[np.float64]:
    buckets = liquidation_map.buckets
    totals: NDArray[np.float64] = (buckets.long + buckets.short).sum(axis=0)
    return totals


def _tick_width(values: tuple[float, float], *, count: int) -> float:
    ticks, step = round_ticks(*values, count=count)
    return max((text_width(price(tick, step=step), size=SIZES.tick) for tick in ticks), default=0.0)


def _draw_price_axis(canvas: Canvas, panel: Panel, palette: Palette, *, count: int) -> None:
    """Write prices at the left of a panel, and draw a grid line at each."""
    ticks, step = round_ticks(*panel.y_range, count=count)
    for tick, y in zip(ticks, panel.y(ticks), strict=True):
        canvas.line([panel.box.left, panel.box.right], [y, y], palette.grid)
        if panel.box.bottom + 6 <= y:
            canvas.text(
                panel.box.left - 12, y, price(tick, step=step), palette.muted, size=SIZES.tick, anchor="r"
            )


def _draw_bottom_axis(
    canvas: Canvas, panel: Panel, palette: Palette, marks: Iterable[tuple[float, str]]
) -> None:
    """Write (value, text) below a panel, leaving out what would touch, and draw a grid line at each."""
    taken = -np.inf
    for value, text in marks:
        x = float(panel.x(value))
        canvas.line([x, x], [panel.box.bottom, panel.box.top], palette.grid)
        box = text_box(x, panel.box.bottom - 24, text, size=SIZES.tick, anchor="m")
        if box.left > taken and box.right <= WIDTH - 4:
            canvas.text(x, panel.box.bottom - 24, text, palette.muted, size=SIZES.tick, anchor="m")
            taken = box.right + 14


def _draw_connector(canvas: Canvas, path_panel: Panel, level_panel: Panel, palette: Palette) -> None:
    """Show where the left panel's range of prices lies on the right panel's axis."""
    left, right = path_panel.box.right, path_panel.box.right + _CONNECTOR_WIDTH - 8
    low, high = (float(y) for y in level_panel.y(path_panel.y_range))
    canvas.area(
        [left, right, right, left], [path_panel.box.bottom, low, high, path_panel.box.top], palette.panel
    )
    canvas.rectangle(Box(right, low, right + 5, max(high, low + 2)), palette.muted)


def _draw_path(canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> None:
    path, window = liquidation_map.path, liquidation_map.request.window
    _draw_price_axis(canvas, panel, palette, count=6)
    ticks = time_ticks(window.start_ms, window.end_ms, count=5)
    _draw_bottom_axis(canvas, panel, palette, [(moment, text) for moment, text in ticks])
    for gap in liquidation_map.coverage.missing:
        _draw_gap(canvas, panel, (gap.window.start_ms, gap.window.end_ms), palette)
    for piece in _pieces(liquidation_map):
        x = panel.x(path.time[piece])
        low, high = panel.y(path.low[piece]), panel.y(path.high[piece])
        canvas.area(np.r_[x, x[::-1]], np.r_[low, high[::-1]], palette.price, opacity=0.45)
        canvas.line(x, panel.y(path.close[piece]), palette.price, width=2.0)


def _pieces(liquidation_map: LiquidationMap) -> list[slice]:
    """Return the parts of the price path between the gaps, which no line may cross."""
    path = liquidation_map.path
    cuts = np.searchsorted(path.time, [gap.window.end_ms for gap in liquidation_map.coverage.missing])
    bounds = [0, *(int(cut) for cut in cuts), len(path.time)]
    return [slice(first, end) for first, end in pairwise(bounds) if first < end]


def _draw_gap(canvas: Canvas, panel: Panel, span_ms: tuple[int, int], palette: Palette) -> None:
    left, right = (float(x) for x in panel.x(span_ms))
    box = Box(left, panel.box.bottom, right, panel.box.top)
    canvas.rectangle(box, palette.panel, hatch=("//", palette.gap))
    if box.width > text_width("no data", size=SIZES.label) + 8:
        middle = (left + right) / 2, (box.bottom + box.top) / 2
        canvas.text(*middle, "no data", palette.text, size=SIZES.label, anchor="m", halo=palette.panel)


def _draw_trades(canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> None:
    y = panel.box.top + 24
    marks = [("large buy", palette.long), ("large sell", palette.short)]
    x = panel.box.left + 8
    for text, colour in marks:
        canvas.circles(np.array([x]), np.array([y]), colour, radius=8, width=2.5)
        x = canvas.text(x + 16, y, text, palette.text, size=SIZES.label).right + 30
    largest = max(
        (float(side.notional[0]) for side in (liquidation_map.buys, liquidation_map.sells) if len(side)),
        default=1.0,
    )
    _draw_circles(canvas, panel, liquidation_map.buys, palette.long, largest=largest)
    _draw_circles(canvas, panel, liquidation_map.sells, palette.short, largest=largest)
    if max(len(liquidation_map.buys), len(liquidation_map.sells)) > MAX_CIRCLES:
        canvas.text(
            panel.box.left + 10,
            panel.box.bottom + 18,
            f"circles: the largest {MAX_CIRCLES} per side",
            palette.muted,
            size=SIZES.foot,
            halo=palette.panel,
        )


def _draw_circles(canvas: Canvas, panel: Panel, trades: SideTrades, colour: str, *, largest: float) -> None:
    """Draw the largest trades as rings whose area follows the notional, in a few sizes."""
    x, y = panel.x(trades.time[:MAX_CIRCLES]), panel.y(trades.price[:MAX_CIRCLES])
    radius = _RADII[-1] * np.sqrt(trades.notional[:MAX_CIRCLES] / largest)
    kind = np.abs(radius[:, np.newaxis] - _RADII).argmin(axis=1)
    for index in np.unique(kind)[::-1]:
        chosen = kind == index
        canvas.circles(x[chosen], y[chosen], colour, radius=float(_RADII[index]), width=1.6)


def _draw_levels(canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> None:
    buckets = liquidation_map.buckets
    _draw_price_axis(canvas, panel, palette, count=7)
    ticks, _ = round_ticks(*panel.x_range, count=5)
    _draw_bottom_axis(canvas, panel, palette, [(tick, money(tick)) for tick in ticks])
    _draw_legend(canvas, liquidation_map, palette, box=panel.box)
    bottom, top = panel.y(buckets.edges[:-1]), panel.y(buckets.edges[1:])
    base = np.zeros(len(bottom))
    for row, colour in zip(
        buckets.long + buckets.short, leverage_colours(palette, len(buckets.leverages)), strict=True
    ):
        shown = row > 0
        canvas.rectangles(panel.x(base)[shown], bottom[shown], panel.x(base + row)[shown], top[shown], colour)
        base = base + row
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


def _draw_legend(canvas: Canvas, liquidation_map: LiquidationMap, palette: Palette, *, box: Box) -> None:
    """Name the colours of the leverages above a panel, smaller the more there are."""
    names = [f"{leverage}x" for leverage in liquidation_map.buckets.leverages]
    for size in range(SIZES.label, SIZES.foot // 2, -1):
        widths = [text_width(name, size=size) + 2.2 * size for name in names]
        if sum(widths) <= box.width + size:
            break
    left, y = box.left, box.top + 24
    for name, width, colour in zip(names, widths, leverage_colours(palette, len(names)), strict=True):
        canvas.rectangle(Box(left, y - size * 0.36, left + size * 0.72, y + size * 0.36), colour)
        canvas.text(left + size, y, name, palette.text, size=size)
        left += width


def _draw_last_price_across(
    canvas: Canvas, path_panel: Panel, level_panel: Panel, liquidation_map: LiquidationMap, palette: Palette
) -> None:
    last = liquidation_map.last_price
    for panel in (path_panel, level_panel):
        y = float(panel.y(last))
        canvas.line([panel.box.left, panel.box.right], [y, y], palette.text, width=1.6, dashes=(7, 5))
    text = f"last {price(last)}"
    width = text_width(text, size=SIZES.label, bold=True) + 20
    right = level_panel.box.right
    pill = Box(right - width, y - 17, right, y + 17)
    canvas.rectangle(pill, palette.text)
    canvas.text(right - 10, y, text, palette.background, size=SIZES.label, anchor="r", bold=True)
    taken = [pill, *(label.box for label in canvas.labels)]
    _label_clusters(canvas, level_panel, liquidation_map, palette, taken=taken)


def _label_clusters(
    canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette, *, taken: list[Box]
) -> None:
    """Write price and size at the largest clusters, each where it touches nothing, or not at all."""
    totals, edges = _totals(liquidation_map), liquidation_map.buckets.edges
    for cluster in _largest(liquidation_map):
        inside = (edges[:-1] >= cluster.low) & (edges[:-1] < cluster.high)
        x = float(panel.x(totals[inside].max())) + 8
        text = _cluster_text(cluster, liquidation_map)
        middle = float(panel.y(cluster.price))
        for shift in (0, 12, -12, 24, -24, 36, -36):
            box = text_box(x + 8, middle + shift, text, size=SIZES.label)
            fits = (
                box.right <= panel.box.right and panel.box.bottom <= box.bottom and box.top <= panel.box.top
            )
            if fits and not any(box.overlaps(other) for other in taken):
                low, high = (float(y) for y in panel.y([cluster.low, cluster.high]))
                canvas.line([x, x], [low, max(high, low + 2)], palette.muted, width=2)
                canvas.text(x + 8, middle + shift, text, palette.text, size=SIZES.label, halo=palette.panel)
                taken.append(box)
                break


def _cluster_text(cluster: Cluster, liquidation_map: LiquidationMap) -> str:
    return f"{money(cluster.notional)} @ {price(cluster.price, step=liquidation_map.buckets.size)}"


def _largest(liquidation_map: LiquidationMap) -> list[Cluster]:
    """Return the clusters worth a label, of each side the largest, largest first."""
    chosen = [
        sorted(clusters, key=lambda cluster: -cluster.notional)[:_LABELLED_CLUSTERS]
        for clusters in (liquidation_map.long_clusters, liquidation_map.short_clusters)
    ]
    return sorted((cluster for side in chosen for cluster in side), key=lambda cluster: -cluster.notional)


def _draw_depth_grid(canvas: Canvas, curves: Panel, bars: Panel, palette: Palette) -> None:
    box = curves.box
    ticks, _ = round_ticks(*curves.y_range, count=6)
    for tick, y in zip(ticks, curves.y(ticks), strict=True):
        canvas.line([box.left, box.right], [y, y], palette.grid)
        canvas.text(box.left - 12, y, money(tick), palette.muted, size=SIZES.tick, anchor="r")
    highest = bars.y_range[1] * 0.42
    ticks, _ = round_ticks(0.0, highest, count=3)
    for tick, y in zip(ticks[1:], bars.y(ticks[1:]), strict=True):
        canvas.text(box.right + 12, y, money(tick), palette.muted, size=SIZES.tick)
    prices, step = round_ticks(*curves.x_range, count=7)
    _draw_bottom_axis(canvas, curves, palette, [(tick, price(tick, step=step)) for tick in prices])


def _draw_curve(canvas: Canvas, panel: Panel, curve: DepthCurve, colour: str) -> None:
    """Fill the area below a running total."""
    x, y = panel.x(curve.price), panel.y(curve.notional)
    canvas.area(np.r_[x, x[-1], x[0]], np.r_[y, panel.box.bottom, panel.box.bottom], colour, opacity=0.16)


def _draw_depth_labels(
    canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette
) -> None:
    last, box = liquidation_map.last_price, panel.box
    x = float(panel.x(last))
    canvas.line([x, x], [box.bottom, box.top], palette.text, width=1.6, dashes=(7, 5))
    text = f"last {price(last)}"
    width = text_width(text, size=SIZES.label, bold=True) + 20
    middle = min(max(x, box.left + width / 2), box.right - width / 2)
    y = box.top - 66
    canvas.rectangle(Box(middle - width / 2, y - 17, middle + width / 2, y + 17), palette.text)
    canvas.text(middle, y, text, palette.background, size=SIZES.label, anchor="m", bold=True)
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


def _watermark(
    canvas: Canvas, liquidation_map: LiquidationMap, palette: Palette, panels: Iterable[Panel]
) -> None:
    if not liquidation_map.coverage.simulated:
        return
    words = "SIMULATED DATA"
    for panel in panels:
        box = panel.box
        size = int(0.85 * box.width / text_width(words, size=100, bold=True) * 100)
        x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        canvas.text(x, y, words, palette.text, size=size, anchor="m", bold=True, opacity=0.1)
