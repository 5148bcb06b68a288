"""Realised liquidations over what was estimated: dots over time, and ticks at a panel's edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model import Side
from liqmap.text import money, of_text

if TYPE_CHECKING:
    from liqmap.compute.values import Realised
    from liqmap.render.canvas import Canvas
    from liqmap.render.panel import Panel
    from liqmap.render.style import Palette

_RADII: Final = np.array([2.0, 3.0, 4.5, 6.5, 9.0, 12.0])
_TICK = 9.0  # [px]


def realised_label(realised: Realised, *, marks: str) -> str | None:
    """Return what the `marks` of a picture add up to: "dots: liquidated longs ≥ $16.0K".

    None if there are no marks, which may be because not all liquidations were received.
    """
    sums = realised.sums
    if not sums.longs + sums.shorts:
        return "nothing was liquidated" if sums.is_whole else None
    least = "" if sums.is_whole else "≥ "
    sides = (("longs", sums.long), ("shorts", sums.short))
    found = [f"{name} {least}{money(notional)}" for name, notional in sides if notional]
    return f"{marks}: liquidated {', '.join(found)}{of_text(sums.of)}"


def draw_dots(canvas: Canvas, panel: Panel, realised: Realised, palette: Palette) -> None:
    """Draw each liquidation as a dot whose area follows its notional, in a few sizes."""
    largest = realised.notional.max(initial=0.0) or 1.0
    for side, colour in ((Side.BUY, palette.long), (Side.SELL, palette.short)):
        time, price, notional = realised.side(side)
        x, y = panel.x(time), panel.y(np.clip(price, *panel.y_range))
        radius = _RADII[-1] * np.sqrt(notional / largest)
        kind = np.abs(radius[:, np.newaxis] - _RADII).argmin(axis=1)
        for index in np.unique(kind)[::-1]:
            chosen, size = kind == index, float(_RADII[index])
            canvas.circles(x[chosen], y[chosen], palette.background, radius=size + 1, width=2.5)
            canvas.circles(x[chosen], y[chosen], colour, radius=size, width=2)


def draw_ticks(canvas: Canvas, panel: Panel, realised: Realised, palette: Palette) -> None:
    """Draw a tick at the price of each liquidation at a panel's right edge."""
    right = panel.box.right
    for side, colour in ((Side.BUY, palette.long), (Side.SELL, palette.short)):
        _, price, _ = realised.side(side)
        for y in np.unique(np.round(panel.y(np.clip(price, *panel.y_range)))).tolist():
            canvas.line([right - _TICK, right], [y, y], colour, width=1.4)
