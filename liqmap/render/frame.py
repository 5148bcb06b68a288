"""What stands around the plots of every picture: titles, warnings, foot, watermark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from liqmap.render.canvas import Canvas
from liqmap.render.fonts import text_width
from liqmap.render.style import HEIGHT, SIZES, WIDTH, Palette
from liqmap.text import (
    BARELY_COVERED,
    age_text,
    asked_words,
    coverage_text,
    coverage_warning,
    interest_text,
    interest_warnings,
    left_out_text,
    margin_text,
    money,
    unswept_text,
    window_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from liqmap.compute.values import LiquidationMap
    from liqmap.render.panel import Panel

MARGIN: Final = 28
PLOT_TOP: Final = HEIGHT - 182
PLOT_BOTTOM: Final = 102

_WARNING_Y = HEIGHT - 114
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
    doubts = interest_warnings(liquidation_map)
    unswept = unswept_text(liquidation_map.coverages, liquidation_map.margin.sweep)
    warnings = [text for text in (coverage_warning(coverage), unswept, *doubts[:1]) if text]
    warnings += (f"{left_out_text(each)}." for each in liquidation_map.left_out)
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
    doubtful = coverage.missing or age_text(coverage)
    _write_foot(canvas, 44, made_of, palette.warning if doubtful else palette.muted)
    count = liquidation_map.buys.count + liquidation_map.sells.count
    words = "Estimated from {}, not financial advice: " + margin_text(liquidation_map.margin)
    # The count is here where the first line has no room for it.
    choices = ["trades"] if read in made_of else [f"{count:,} of {read}", "trades"]
    _write_foot(canvas, 20, _fitting([words.format(each) for each in choices]), palette.muted)


def _made_of(liquidation_map: LiquidationMap, selected_from: str) -> str:
    """Return the facts of the first line; what is missing needs it first, and the others what is left."""
    coverage, unplaced = liquidation_map.coverage, liquidation_map.unplaced
    too_large = [f"{money(unplaced)} too large for these leverages"] if unplaced else []
    covered = [coverage_text(coverage), *filter(None, [age_text(coverage)])]
    interest = liquidation_map.open_interest
    details = [*too_large, *([interest_text(interest)] if interest else [])]
    choices = [[*coverage.sources, selected_from, *details], [selected_from, *details], details]
    text = _fitting([_SEPARATOR.join([*covered, *facts]) for facts in choices])
    # The reply has all of it too, where the smallest letters are too large.
    return text if _fits(text, _SMALLEST) else _SEPARATOR.join(covered)


def _fitting(choices: list[str]) -> str:
    """Return the first text that fits at the foot's size, or the last."""
    return next((text for text in choices if _fits(text, SIZES.foot)), choices[-1])


def _fits(text: str, size: int) -> bool:
    return text_width(text, size=size) <= WIDTH - 2 * MARGIN


def _write_foot(canvas: Canvas, y: float, text: str, colour: str) -> None:
    canvas.text(MARGIN, y, text, colour, size=fitting_size(text, SIZES.foot))


def fitting_size(text: str, size: int, *, left: float = MARGIN, right: float = WIDTH - MARGIN) -> int:
    """Return the largest size, up to `size`, at which `text` fits between `left` and `right`."""
    room = right - left
    return next(
        (each for each in range(size, _SMALLEST, -1) if text_width(text, size=each) <= room), _SMALLEST
    )


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
    if liquidation_map.margin.positions is not None and not (swept or liquidation_map.closed):
        lines.append("open interest did not grow in the window")
    if liquidation_map.unplaced:
        lines.append(f"{money(liquidation_map.unplaced)} too large for these leverages")
    return lines


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
