"""The legend of the bars: which colour is which leverage or exchange, and what the outlines are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.render.bars import ghost_shade, stacks
from liqmap.render.canvas import Box, Canvas
from liqmap.render.fonts import text_width
from liqmap.render.style import SIZES, Palette

if TYPE_CHECKING:
    from liqmap.compute.values import LiquidationMap

_LARGEST_IN_TWO_ROWS = 20  # letters of a legend that leaves the warning its line [px]
_GHOSTS = "swept since"


def draw_legend(
    canvas: Canvas, liquidation_map: LiquidationMap, palette: Palette, *, box: Box, free: float = 0.0
) -> None:
    """Name the colours of the bars' parts above a panel, and the ghosts.

    Where they take more than the panel's width, they may begin up to `free` pixels left of it.
    """
    colours = drawn_colours(liquidation_map, palette)
    names = [*colours, _GHOSTS] if liquidation_map.buckets.swept.any() else list(colours)
    size, rows = _legend_rows(names, box.width + free)
    widest = max(sum(_legend_width(name, size) for name in row) - size for row in rows)
    begin = min(box.left, box.right - widest)
    for place, row in enumerate(reversed(rows)):
        left, y = begin, box.top + 24 + place * (size + 10)
        for name in row:
            swatch = Box(left, y - size * 0.36, left + size * 0.72, y + size * 0.36)
            canvas.rectangle(swatch, colours.get(name, palette.ghost))
            if name == _GHOSTS:  # an outline, as they are
                canvas.rectangle(swatch.widened(-2, -2), ghost_shade(palette))
            canvas.text(left + size, y, name, palette.text, size=size)
            left += _legend_width(name, size)


def drawn_colours(liquidation_map: LiquidationMap, palette: Palette) -> dict[str, str]:
    """Return the colours of what bars are stacked of, by name; of all of it if there are no bars.

    A leverage that no trade may have, or of which nothing stands, is in no bar, so its colour needs no name.
    """
    stacked = stacks(liquidation_map, palette)
    drawn = [each for each in stacked if each.notional.any()]
    return {each.name: each.colour for each in drawn or stacked}


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
