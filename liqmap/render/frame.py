"""What the pictures share: titles, axes, legend, price path, gaps, ghosts, watermark."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model import Side
from liqmap.render.canvas import Box, Canvas, text_box, text_width
from liqmap.render.panel import Panel, padded, round_ticks, time_ticks
from liqmap.render.style import HEIGHT, SIZES, WIDTH, Palette, leverage_colours
from liqmap.text import (
    BARELY_COVERED,
    age_text,
    asked_words,
    coverage_text,
    coverage_warning,
    last_price,
    last_trade_text,
    margin_text,
    money,
    price,
    unswept_text,
    window_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from liqmap.compute.values import LiquidationMap

MARGIN: Final = 28
PLOT_TOP: Final = HEIGHT - 182
PLOT_BOTTOM: Final = 102

_LAST_PRICE_INSET = 0.06
_LABELS_INSET = 0.16
_WARNING_Y = HEIGHT - 114
_LARGEST_IN_TWO_ROWS = 20  # letters of a legend that leaves the warning its line [px]
_THINNEST_BAR = 2.0  # where a few levels lie far apart, a bucket can be less than a pixel [px]
_GHOSTS = "swept since"
_SEPARATOR = "  ·  "
_SMALLEST = 11  # of letters that would not fit otherwise [px]


def framed(liquidation_map: LiquidationMap, title: str, label: str, palette: Palette) -> Canvas:
    """Return a canvas with all that stands around the plots: title, subtitle, and what it is made of."""
    request, coverage = liquidation_map.request, liquidation_map.coverage
    canvas = Canvas(WIDTH, HEIGHT, background=palette.background)
    name = canvas.text(MARGIN, HEIGHT - 42, request.market.symbol, palette.text, size=SIZES.title, bold=True)
    barely = coverage.fraction < BARELY_COVERED
    title_box = canvas.text(
        *(name.right + 14, HEIGHT - 42, title), palette.warning if barely else palette.text, size=SIZES.title
    )
    if coverage.simulated:
        canvas.text(
            title_box.right + 28, HEIGHT - 42, "SIMULATED DATA", palette.warning, size=SIZES.label, bold=True
        )
    canvas.text(WIDTH - MARGIN, HEIGHT - 42, label, palette.muted, size=SIZES.subtitle, anchor="r")
    _draw_subtitle(canvas, liquidation_map, palette)
    warnings = [text for text in (coverage_warning(coverage), unswept_text(coverage)) if text]
    if warnings:
        words = "⚠ " + " ".join(warnings)
        size = fitting_size(words, SIZES.foot, left=MARGIN)
        canvas.text(MARGIN, _WARNING_Y, words, palette.warning, size=size, bold=False)
    _draw_foot(canvas, liquidation_map, palette)
    return canvas


def _draw_subtitle(canvas: Canvas, liquidation_map: LiquidationMap, palette: Palette) -> None:
    request = liquidation_map.request
    left = "  ·  ".join([window_text(request.window), *asked_words(request)])
    count = liquidation_map.buys.count + liquidation_map.sells.count
    notional = liquidation_map.buys.notional + liquidation_map.sells.notional
    right = f"{count:,} {'trade' if count == 1 else 'trades'}, {money(notional)}"
    size = fitting_size(f"{left}MMM{right}", SIZES.subtitle)
    canvas.text(MARGIN, HEIGHT - 86, left, palette.text, size=size)
    canvas.text(WIDTH - MARGIN, HEIGHT - 86, right, palette.muted, size=size, anchor="r")


def _draw_foot(canvas: Canvas, liquidation_map: LiquidationMap, palette: Palette) -> None:
    """Write two lines: what the picture is made of, and what it is worth."""
    coverage = liquidation_map.coverage
    read = f"{liquidation_map.trade_count:,} trades"
    made_of = _made_of(liquidation_map, f"selected from {read}")
    colour = palette.warning if coverage.missing else palette.muted
    _write_foot(canvas, MARGIN, 44, made_of, colour)
    age = age_text(coverage)
    left: float = MARGIN
    if age is not None:
        left = canvas.text(MARGIN, 20, f"{age.capitalize()}.", palette.warning, size=SIZES.foot).right + 10
    count = liquidation_map.buys.count + liquidation_map.sells.count
    words = "Estimated from {}, not financial advice: " + margin_text(liquidation_map.margin)
    # The count is here where the first line has no room for it.
    choices = ["trades"] if read in made_of else [f"{count:,} of {read}", "trades"]
    _write_foot(canvas, left, 20, _fitting([words.format(each) for each in choices], left), palette.muted)


def _made_of(liquidation_map: LiquidationMap, selected_from: str) -> str:
    """Return the facts of the first line; what is missing needs it first, and the others what is left."""
    coverage, unplaced = liquidation_map.coverage, liquidation_map.unplaced
    too_large = [f"{money(unplaced)} too large for these leverages"] if unplaced else []
    covered = coverage_text(coverage)
    everything = _SEPARATOR.join([covered, *coverage.sources, selected_from, *too_large])
    if not coverage.missing:
        return everything
    choices = [[covered, selected_from, *too_large], [covered, *too_large]]
    return _fitting([everything, *(_SEPARATOR.join(facts) for facts in choices)], MARGIN)


def _fitting(choices: list[str], left: float) -> str:
    """Return the first text that fits at the foot's size, or the last."""
    room = WIDTH - MARGIN - left
    return next((text for text in choices if text_width(text, size=SIZES.foot) <= room), choices[-1])


def _write_foot(canvas: Canvas, left: float, y: float, text: str, colour: str) -> None:
    canvas.text(left, y, text, colour, size=fitting_size(text, SIZES.foot, left=left))


def fitting_size(text: str, size: int, *, left: float = MARGIN, right: float = WIDTH - MARGIN) -> int:
    """Return the largest size, up to `size`, at which `text` fits between `left` and `right`."""
    room = right - left
    return next(
        (each for each in range(size, _SMALLEST, -1) if text_width(text, size=each) <= room), _SMALLEST
    )


def level_range(liquidation_map: LiquidationMap, *, share: float) -> tuple[float, float]:
    """Return the prices that standing levels and the price path span, widened by `share` at each end."""
    edges, path, last = liquidation_map.buckets.edges, liquidation_map.path, liquidation_map.last_price
    low, high = min(float(edges[0]), float(path.low.min())), max(float(edges[-1]), float(path.high.max()))
    # The last price keeps off the ends, where the totals are written, even if nothing stands beyond it; and
    # it leaves room for the labels of the named clusters on the sides that have them.
    labelled = {cluster.side for cluster in liquidation_map.labelled}
    below, above = (
        (high - low) * (_LABELS_INSET if side in labelled else _LAST_PRICE_INSET) for side in Side
    )
    return padded(min(low, last - below), max(high, last + above), share=share)


def bar_edges(edges: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the bars between `edges` begin and end [px]: no bar is too thin to be seen."""
    widen = np.maximum(0.0, _THINNEST_BAR - np.diff(edges)) / 2
    return edges[:-1] - widen, edges[1:] + widen


def standing_totals(liquidation_map: LiquidationMap) -> NDArray[np.float64]:
    """Return the standing notional of each bucket, of both sides and all leverages."""
    buckets = liquidation_map.buckets
    totals: NDArray[np.float64] = (buckets.long + buckets.short).sum(axis=0)
    return totals


def tick_width(values: tuple[float, float], *, count: int) -> float:
    """Return the width of the widest price along an axis over `values` [px]."""
    ticks, step = round_ticks(*values, count=count)
    return max((text_width(price(tick, step=step), size=SIZES.tick) for tick in ticks), default=0.0)


def draw_price_axis(canvas: Canvas, panel: Panel, palette: Palette, *, count: int) -> None:
    """Write prices at the left of a panel, and draw a grid line at each."""
    ticks, step = round_ticks(*panel.y_range, count=count)
    for tick, y in zip(ticks, panel.y(ticks), strict=True):
        canvas.line([panel.box.left, panel.box.right], [y, y], palette.grid)
        if panel.box.bottom + 6 <= y:
            canvas.text(
                panel.box.left - 12, y, price(tick, step=step), palette.muted, size=SIZES.tick, anchor="r"
            )


def draw_bottom_axis(
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


def draw_path(canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> None:
    """Draw the price over the window with its axes, and what is missing of it hatched."""
    window = liquidation_map.request.window
    draw_price_axis(canvas, panel, palette, count=6)
    ticks = time_ticks(window.start_ms, window.end_ms, count=5)
    draw_bottom_axis(canvas, panel, palette, [(moment, text) for moment, text in ticks])
    for gap in liquidation_map.coverage.missing:
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
        canvas.area(np.r_[x, x[::-1]], np.r_[low, high[::-1]], palette.price, opacity=0.45)
        close = panel.y(path.close[piece])
        if halo:
            canvas.line(x, close, halo, width=5.0)
        canvas.line(x, close, palette.price, width=2.0)


def known_until(liquidation_map: LiquidationMap) -> int:
    """Return where a window's data ends [ms]: with it, or where a gap begins that lasts to its end."""
    gap = liquidation_map.coverage.end_gap
    return gap.window.start_ms if gap else liquidation_map.request.window.end_ms


def path_pieces(liquidation_map: LiquidationMap) -> list[slice]:
    """Return the parts of the price path between the gaps, which no line may cross."""
    path = liquidation_map.path
    # The bin in which a gap ends begins inside the gap, and belongs to what follows it.
    cuts = np.searchsorted(path.time, [gap.window.start_ms for gap in liquidation_map.coverage.missing])
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


def last_text(liquidation_map: LiquidationMap) -> str:
    """Return the last price in words, with its time where it is not of the window's end."""
    words = ["last", last_price_label(liquidation_map), last_trade_text(liquidation_map.coverage)]
    return " ".join(filter(None, words))


def last_price_label(liquidation_map: LiquidationMap) -> str:
    """Return the last price as it is written everywhere."""
    return last_price(liquidation_map.last_price, step=liquidation_map.buckets.size)


def draw_nothing(canvas: Canvas, panel: Panel, liquidation_map: LiquidationMap, palette: Palette) -> None:
    """Write into an empty panel why it is empty."""
    box = panel.box
    middle, y = (box.left + box.right) / 2, box.bottom + box.height * 0.66
    lines = ["nothing stands", *nothing_text(liquidation_map)]
    for place, line in enumerate(lines):
        size = SIZES.label if place else SIZES.subtitle
        size = fitting_size(line, size, left=box.left + 8, right=box.right - 8)
        canvas.text(middle, y - 32 * place, line, palette.text, size=size, anchor="m", halo=palette.panel)


def nothing_text(liquidation_map: LiquidationMap) -> list[str]:
    """Return why nothing stands, in lines: what was swept, and what is too large."""
    swept = liquidation_map.swept_long + liquidation_map.swept_short
    lines = [f"price has touched all {money(swept)} since"] if swept else []
    if liquidation_map.unplaced:
        lines.append(f"{money(liquidation_map.unplaced)} too large for these leverages")
    return lines


def draw_ghosts(
    canvas: Canvas,
    palette: Palette,
    edges: NDArray[np.float64],
    inner: NDArray[np.float64],
    outer: NDArray[np.float64],
    *,
    end: float,
    pill: Box,
    upright: bool,
) -> None:
    """Outline what was swept beyond the standing bars, all in pixels.

    Bucket i lies between edges i and i + 1; its ghost reaches from `inner` to `outer`, or stays open
    where it goes on beyond the panel's `end` or below the last price's `pill`.
    """
    sides = (pill.left, pill.right, pill.bottom) if upright else (pill.bottom, pill.top, pill.left)
    limit = np.where((edges[1:] > sides[0]) & (edges[:-1] < sides[1]), sides[2], end)
    is_open = outer > limit
    outer = np.minimum(outer, limit)
    ghost = outer - inner >= 1
    before, after = np.r_[False, ghost[:-1]], np.r_[ghost[1:], False]
    # A silhouette: from bucket to bucket within a run, and down to the bars at its ends.
    start = np.where(before, np.r_[0.0, outer[:-1]], inner)
    back = np.where(after, outer, inner)
    break_ = np.where(is_open, np.nan, outer)
    along = np.stack([edges[:-1], edges[:-1], edges[1:], edges[1:], edges[1:]], axis=1)
    across = np.stack([start, outer, break_, outer, back], axis=1)
    # One line with breaks between the runs: a line each would take much longer.
    along[~ghost], across[~ghost] = np.nan, np.nan
    x, y = (along.ravel(), across.ravel()) if upright else (across.ravel(), along.ravel())
    canvas.line(x, y, palette.ghost, width=1.5)


def draw_legend(canvas: Canvas, liquidation_map: LiquidationMap, palette: Palette, *, box: Box) -> None:
    """Name the colours of the leverages above a panel, and the ghosts."""
    leverages = liquidation_map.buckets.leverages
    colours = dict(
        zip((f"{each}x" for each in leverages), leverage_colours(palette, len(leverages)), strict=True)
    )
    names = [*colours, _GHOSTS] if liquidation_map.buckets.swept.any() else list(colours)
    size, rows = _legend_rows(names, box.width)
    for place, row in enumerate(reversed(rows)):
        left, y = box.left, box.top + 24 + place * (size + 10)
        for name in row:
            swatch = Box(left, y - size * 0.36, left + size * 0.72, y + size * 0.36)
            canvas.rectangle(swatch, colours.get(name, palette.ghost))
            if name == _GHOSTS:  # an outline, as they are
                inset = 2
                canvas.rectangle(
                    Box(swatch.left + inset, swatch.bottom + inset, swatch.right - inset, swatch.top - inset),
                    palette.background,
                )
            canvas.text(left + size, y, name, palette.text, size=size)
            left += _legend_width(name, size)


def _legend_rows(names: list[str], width: float) -> tuple[int, list[list[str]]]:
    """Return the size of the legend's letters, and its names in a row, or in two where that is too small."""
    for most, largest in ((1, SIZES.label), (2, _LARGEST_IN_TWO_ROWS)):
        for size in range(largest, SIZES.foot - 1, -1):
            rows = _wrapped(names, width, size=size)
            if len(rows) <= most:
                return size, rows
    return size, rows


def _wrapped(names: list[str], width: float, *, size: int) -> list[list[str]]:
    rows: list[list[str]] = [[]]
    taken = 0.0
    for name in names:
        taken += _legend_width(name, size)
        if rows[-1] and taken > width + size:  # behind the last name needs no room
            rows.append([])
            taken = _legend_width(name, size)
        rows[-1].append(name)
    return rows


def _legend_width(name: str, size: int) -> float:
    return text_width(name, size=size) + 2.2 * size


def watermark(
    canvas: Canvas, liquidation_map: LiquidationMap, palette: Palette, panels: Iterable[Panel]
) -> None:
    """Write over panels that their data is simulated, if it is."""
    if not liquidation_map.coverage.simulated:
        return
    words = "SIMULATED DATA"
    for panel in panels:
        box = panel.box
        size = int(0.85 * box.width / text_width(words, size=100, bold=True) * 100)
        x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        canvas.text(x, y, words, palette.text, size=size, anchor="m", bold=True, opacity=0.1)
