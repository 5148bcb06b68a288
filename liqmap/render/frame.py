"""What stands around the plots of every picture: titles, warnings, foot, watermark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from liqmap.render.canvas import Canvas
from liqmap.render.fonts import text_width, wrapped
from liqmap.render.style import HEIGHT, SIZES, WIDTH, Palette
from liqmap.text import (
    BARELY_COVERED,
    age_text,
    asked_words,
    counted,
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

_WARNING_Y = HEIGHT - 114
_WARNING_STEP = 26
_MOST_LINES = 3  # of warnings, and of what the picture is made of
_FOOT_Y, _FOOT_STEP = 20, 24
_SEPARATOR = "  ·  "
_SMALLEST = 16  # of letters that would not fit otherwise [px]
_APART = 28  # from the title to what stands beside it [px]


def framed(liquidation_map: LiquidationMap, title: str, label: str, palette: Palette) -> Canvas:
    """Return a canvas with all that stands around the plots: title, subtitle, and what it is made of."""
    coverage = liquidation_map.coverage
    canvas = Canvas(WIDTH, HEIGHT, background=palette.background)
    _draw_title(canvas, liquidation_map, title, label, palette)
    _draw_subtitle(canvas, liquidation_map, palette)
    for place, line in enumerate(_warning_lines(liquidation_map)):
        canvas.text(MARGIN, _WARNING_Y - place * _WARNING_STEP, line, palette.warning, size=SIZES.foot)
    doubtful = coverage.missing or age_text(coverage)
    made_of, worth = _foot_lines(liquidation_map)
    first_colour = palette.warning if doubtful else palette.muted
    lines = [(line, first_colour) for line in made_of] + [(line, palette.muted) for line in worth]
    for place, (line, colour) in enumerate(reversed(lines)):
        canvas.text(MARGIN, _FOOT_Y + place * _FOOT_STEP, line, colour, size=SIZES.foot)
    return canvas


def _draw_title(
    canvas: Canvas, liquidation_map: LiquidationMap, title: str, label: str, palette: Palette
) -> None:
    """Write the title in one line, in letters as large as what stands beside it allows."""
    symbol, coverage, y = liquidation_map.market.symbol, liquidation_map.coverage, HEIGHT - 42
    right = canvas.text(WIDTH - MARGIN, y, label, palette.muted, size=SIZES.subtitle, anchor="r").left
    simulated = "SIMULATED DATA" if coverage.simulated else ""
    room = right - _APART - MARGIN - 14
    if simulated:
        room -= _APART + text_width(simulated, size=SIZES.label, bold=True)
    size = _title_size(symbol, title, room)
    left = canvas.text(MARGIN, y, symbol, palette.text, size=size, bold=True).right + 14
    colour = palette.warning if coverage.fraction < BARELY_COVERED else palette.text
    left = canvas.text(left, y, title, colour, size=size).right + _APART
    if simulated:
        canvas.text(left, y, simulated, palette.warning, size=SIZES.label, bold=True)


def _title_size(symbol: str, title: str, room: float) -> int:
    """Return the largest size in which both fit into `room` pixels, or the smallest one that is read."""
    for size in range(SIZES.title, _SMALLEST, -1):
        if text_width(symbol, size=size, bold=True) + text_width(title, size=size) <= room:
            return size
    return _SMALLEST


def plot_ends(liquidation_map: LiquidationMap) -> tuple[float, float]:
    """Return the lower and the upper end of the plots [px], which leave room for the words around them."""
    warnings = len(_warning_lines(liquidation_map))
    # Over the plots there is a legend of up to two rows, which keeps off the warnings.
    above = 192 + (warnings - 1) * _WARNING_STEP if warnings else 182
    made_of, worth = _foot_lines(liquidation_map)
    return 54 + (len(made_of) + len(worth)) * _FOOT_STEP, HEIGHT - above


def _warning_lines(liquidation_map: LiquidationMap) -> list[str]:
    """Return what makes the picture doubtful, the gravest first; the reply has what finds no room."""
    coverage = liquidation_map.coverage
    unswept = unswept_text(liquidation_map.coverages, liquidation_map.margin.sweep)
    doubts = interest_warnings(liquidation_map)
    left_out = [f"{left_out_text(each)}." for each in liquidation_map.left_out]
    warnings = [each for each in (coverage_warning(coverage), unswept, *left_out, *doubts[:1]) if each]
    return _lines("⚠ " + " ".join(warnings)) if warnings else []


def _draw_subtitle(canvas: Canvas, liquidation_map: LiquidationMap, palette: Palette) -> None:
    request = liquidation_map.request
    left = _SEPARATOR.join([window_text(request.window), *asked_words(request)])
    count = liquidation_map.buys.count + liquidation_map.sells.count
    notional = money(liquidation_map.buys.notional + liquidation_map.sells.notional)
    choices = [f"{counted(count, 'trade')}, {notional}", notional]
    right = next((each for each in choices if _fits(f"{left}MMM{each}")), choices[-1])
    size = fitting_size(f"{left}MMM{right}", SIZES.subtitle)
    canvas.text(MARGIN, HEIGHT - 86, left, palette.text, size=size)
    canvas.text(WIDTH - MARGIN, HEIGHT - 86, right, palette.muted, size=size, anchor="r")


def _foot_lines(liquidation_map: LiquidationMap) -> tuple[list[str], list[str]]:
    """Return the lines below the plots: what the picture is made of, and what it is worth."""
    read = counted(liquidation_map.trade_count, "trade")
    made_of = _made_of(liquidation_map, f"selected from {read}")
    count = liquidation_map.buys.count + liquidation_map.sells.count
    model = margin_text(liquidation_map.margin)
    # The count is here where the first lines have no room for it.
    from_count = [] if any(read in line for line in made_of) else [f" from {count:,} of {read}"]
    origins = (*from_count, " from trades", "")
    choices = [f"Estimated{each}, not financial advice: {model}" for each in origins]
    return made_of, _lines(_fitting(choices))


def _made_of(liquidation_map: LiquidationMap, selected_from: str) -> list[str]:
    """Return the facts in lines: what is missing needs its room first, and the others what is left."""
    coverage, unplaced = liquidation_map.coverage, liquidation_map.unplaced
    too_large = [f"{money(unplaced)} too large for these leverages"] if unplaced else []
    needed = [coverage_text(coverage), *filter(None, [age_text(coverage)]), *too_large]
    interest = liquidation_map.open_interest
    details = [interest_text(interest)] if interest else []
    choices = [
        [*coverage.sources, selected_from, *details],
        [selected_from, *details],
        details,
        [selected_from],
        [],
    ]
    lines = [_lines(_SEPARATOR.join([*needed, *facts])) for facts in choices]
    # As many facts as fit into the lines that the needed ones take anyway.
    return next(each for each in lines if len(each) <= len(lines[-1]))


def _fitting(choices: list[str]) -> str:
    """Return the first text that fits at the foot's size, or the last."""
    return next((text for text in choices if _fits(text)), choices[-1])


def _fits(text: str) -> bool:
    return text_width(text, size=SIZES.foot) <= WIDTH - 2 * MARGIN


def _lines(text: str) -> list[str]:
    lines = wrapped(text, WIDTH - 2 * MARGIN, size=SIZES.foot)
    fitting = lines[: _MOST_LINES - 1]
    return [*lines] if len(lines) <= _MOST_LINES else [*fitting, f"{lines[_MOST_LINES - 1]} …"]


def fitting_size(
    text: str, size: int, *, left: float = MARGIN, right: float = WIDTH - MARGIN, bold: bool = False
) -> int:
    """Return the largest size, up to `size`, at which `text` fits between `left` and `right`."""
    room, sizes = right - left, range(size, _SMALLEST, -1)
    return next((each for each in sizes if text_width(text, size=each, bold=bold) <= room), _SMALLEST)


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
