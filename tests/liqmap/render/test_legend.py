from __future__ import annotations

from dataclasses import replace

import numpy as np

from liqmap.compute.values import LiquidationMap
from liqmap.model import Theme
from liqmap.render.legend import drawn_colours
from liqmap.render.style import PALETTES
from tests.liqmap.test_render import VARIANTS

PLAIN, PALETTE = VARIANTS["plain"], PALETTES[Theme.DARK]


def without(*rows: int) -> LiquidationMap:
    """Return the plain map with nothing standing at some of its leverages, as if brackets refused them."""
    buckets = PLAIN.buckets
    stands = ~np.isin(np.arange(len(buckets.leverages)), rows)[:, np.newaxis]
    left = replace(buckets, long=buckets.long * stands, short=buckets.short * stands)
    return replace(PLAIN, buckets=left)


def test_leverage_that_is_in_no_bar_is_not_in_the_legend_and_others_keep_their_colours():
    whole, left = drawn_colours(PLAIN, PALETTE), drawn_colours(without(0), PALETTE)
    assert list(whole) == [f"{each}x" for each in PLAIN.buckets.leverages]
    assert left == {name: colour for name, colour in whole.items() if name != next(iter(whole))}


def test_map_without_bars_names_all_leverages():
    every = range(len(PLAIN.buckets.leverages))
    assert drawn_colours(without(*every), PALETTE) == drawn_colours(PLAIN, PALETTE)
