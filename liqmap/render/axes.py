"""Axes: the round values along the edges of a panel, with their grid lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from liqmap.render.canvas import Canvas, text_box
from liqmap.render.fonts import text_width
from liqmap.render.panel import Panel, round_ticks
from liqmap.render.style import SIZES, WIDTH, Palette
from liqmap.text import money_ticks, price, price_step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from liqmap.compute.values import LiquidationMap


def step_of(liquidation_map: LiquidationMap) -> float:
    """Return what all prices of a map's pictures are as exact as."""
    return price_step(liquidation_map.last_price, bucket_size=liquidation_map.buckets.size)


def price_ticks(values: tuple[float, float], *, count: int, exact: float) -> list[tuple[float, str]]:
    """Return about `count` round prices within `values`, each with its text, at least as exact as `exact`."""
    ticks, step = round_ticks(*values, count=count)
    return [(float(tick), price(float(tick), step=min(step, exact))) for tick in ticks]


def money_scale(values: tuple[float, float], *, count: int) -> list[tuple[float, str]]:
    """Return about `count` round amounts within `values`, each with its text."""
    ticks, step = round_ticks(*values, count=count)
    return list(zip(ticks.tolist(), money_ticks(ticks.tolist(), step=step), strict=True))


def tick_width(ticks: Iterable[tuple[float, str]]) -> float:
    """Return the width of the widest text along an axis [px]."""
    return max((text_width(text, size=SIZES.tick) for _, text in ticks), default=0.0)


def draw_left_axis(
    canvas: Canvas, panel: Panel, palette: Palette, ticks: Iterable[tuple[float, str]]
) -> None:
    """Write (value, text) left of a panel, and draw a grid line at each."""
    for value, text in ticks:
        y = float(panel.y(value))
        canvas.line([panel.box.left, panel.box.right], [y, y], palette.grid)
        if panel.box.bottom - 2 <= y:
            canvas.text(panel.box.left - 12, y, text, palette.muted, size=SIZES.tick, anchor="r")


def draw_bottom_axis(
    canvas: Canvas, panel: Panel, palette: Palette, marks: Iterable[tuple[float, str]], *, title: str = ""
) -> None:
    """Write (value, text) below a panel, leaving out what would touch, and draw a grid line at each.

    A `title` stands at the axis' right end.
    """
    taken, end, y = -np.inf, float(WIDTH - 4), panel.box.bottom - 24
    if title:
        end = canvas.text(panel.box.right, y, title, palette.muted, size=SIZES.tick, anchor="r").left - 14
    for value, text in marks:
        x = float(panel.x(value))
        canvas.line([x, x], [panel.box.bottom, panel.box.top], palette.grid)
        box = text_box(x, y, text, size=SIZES.tick, anchor="m")
        # A value without room keeps its line; two texts that touch could not be read.
        if box.left > taken and box.right <= end:
            canvas.text(x, y, text, palette.muted, size=SIZES.tick, anchor="m")
            taken = box.right + 14
