"""Bars: the standing notional of each bucket, stacked by leverage or exchange; outlines of what is swept."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange, Stack
from liqmap.render.panel import Panel, padded
from liqmap.render.style import Palette, leverage_colours, mixed
from liqmap.text import price

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.compute.values import LiquidationMap
    from liqmap.render.canvas import Box, Canvas

_LAST_PRICE_INSET = 0.06
_THINNEST_BAR = 2.0  # where a few levels lie far apart, a bucket can be less than a pixel [px]
_VISIBLE_BAR = 8.0  # on a phone too, where the neighbours leave the room [px]


def level_range(liquidation_map: LiquidationMap, *, share: float) -> tuple[float, float]:
    """Return the prices that standing levels and the price path span, widened by `share` at each end."""
    edges, path, last = liquidation_map.buckets.edges, liquidation_map.path, liquidation_map.last_price
    low, high = min(float(edges[0]), float(path.low.min())), max(float(edges[-1]), float(path.high.max()))
    # The last price keeps off the ends, where the totals are written, even if nothing stands beyond it.
    inset = (high - low) * _LAST_PRICE_INSET
    return padded(min(low, last - inset), max(high, last + inset), share=share)


def standing_totals(liquidation_map: LiquidationMap) -> NDArray[np.float64]:
    """Return the standing notional of each bucket, of both sides and all leverages."""
    buckets = liquidation_map.buckets
    totals: NDArray[np.float64] = (buckets.long + buckets.short).sum(axis=0)
    return totals


def bucket_words(size: float) -> tuple[str, str]:
    """Return the span of prices that each bar's amount belongs to, in two parts: "per 50", "of price"."""
    return f"per {price(size, step=size)}", "of price"


def bar_edges(
    edges: NDArray[np.float64], shown: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where the bars between `edges` begin and end [px].

    No bar is too thin to be seen. Those that are `shown` grow into the room between them and the next ones.
    """
    low, high = edges[:-1], edges[1:]
    least = np.maximum(0.0, _THINNEST_BAR - (high - low)) / 2
    (places,) = np.nonzero(shown)
    half = (low[places[1:]] - high[places[:-1]]) / 2
    wanted = np.maximum(0.0, _VISIBLE_BAR - (high - low)[places]) / 2
    before, after = least.copy(), least.copy()
    before[places] = np.maximum(least[places], np.minimum(wanted, np.r_[np.inf, half][: len(places)]))
    after[places] = np.maximum(least[places], np.minimum(wanted, np.r_[half, np.inf][: len(places)]))
    return low - before, high + after


class Stacked(NamedTuple):
    """One of the parts that bars are stacked of: its name and colour, and its notional in each bucket."""

    name: str
    colour: str
    notional: NDArray[np.float64]


def stacks(liquidation_map: LiquidationMap, palette: Palette) -> list[Stacked]:
    """Return what bars are stacked of, from the axis outwards: leverages, or exchanges, the largest first."""
    buckets, shares = liquidation_map.buckets, liquidation_map.shares
    if shares and liquidation_map.request.stack is Stack.EXCHANGE:
        # A colour stays an exchange's, whichever others are drawn beside it.
        colours = dict(zip(Exchange, palette.exchanges, strict=False))
        found = [
            Stacked(
                EXCHANGES[each.market.exchange].label,
                colours[each.market.exchange],
                (each.buckets.long + each.buckets.short).sum(axis=0),
            )
            for each in shares
        ]
        return sorted(found, key=lambda each: -float(each.notional.sum()))
    colours_of_leverages = leverage_colours(palette, len(buckets.leverages))
    return [
        Stacked(f"{leverage}x", colour, row)
        for leverage, colour, row in zip(
            buckets.leverages, colours_of_leverages, buckets.long + buckets.short, strict=True
        )
    ]


def draw_bars(
    canvas: Canvas,
    panel: Panel,
    liquidation_map: LiquidationMap,
    palette: Palette,
    *,
    pill: Box,
    upright: bool,
) -> None:
    """Draw the bars of all buckets, stacked as `stacks` has it, and outline beyond them what was swept.

    They stand on the panel's lower end if `upright`, else they lie against its left end. Outlines stop at the
    last price's `pill`.
    """
    buckets = liquidation_map.buckets
    along, across = (panel.x, panel.y) if upright else (panel.y, panel.x)
    low, high = bar_edges(along(buckets.edges), standing_totals(liquidation_map) > 0)
    base = np.zeros(len(low))
    for _, colour, row in stacks(liquidation_map, palette):
        shown = row > 0
        first, last = low[shown], high[shown]
        near, far = across(base)[shown], across(base + row)[shown]
        if upright:
            canvas.rectangles(first, near, last, far, colour)
        else:
            canvas.rectangles(near, first, far, last, colour)
        base = base + row
    _draw_ghosts(
        canvas,
        palette,
        along(buckets.edges),
        across(base),
        across(base + buckets.swept),
        end=panel.box.top if upright else panel.box.right,
        pill=pill,
        upright=upright,
    )


def _draw_ghosts(
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
    """Shade and outline what was swept beyond the standing bars, all in pixels.

    Bucket i lies between edges i and i + 1; its ghost reaches from `inner` to `outer`, or stays open
    where it goes on beyond the panel's `end` or below the last price's `pill`.
    """
    sides = (pill.left, pill.right, pill.bottom) if upright else (pill.bottom, pill.top, pill.left)
    limit = np.where((edges[1:] > sides[0]) & (edges[:-1] < sides[1]), sides[2], end)
    is_open = outer > limit
    outer = np.minimum(outer, limit)
    ghost = outer - inner >= 1
    low, high, near, far = (each[ghost] for each in (edges[:-1], edges[1:], inner, outer))
    # The shade makes one shape of what would be a tangle of lines over thousands of levels.
    shade = ghost_shade(palette)
    if upright:
        canvas.rectangles(low, near, high, far, shade)
    else:
        canvas.rectangles(near, low, far, high, shade)
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
    canvas.line(x, y, palette.ghost, width=1.0)


def ghost_shade(palette: Palette) -> str:
    """Return the colour inside of the outlines of what was swept."""
    return mixed(palette.panel, palette.ghost, 0.3)
