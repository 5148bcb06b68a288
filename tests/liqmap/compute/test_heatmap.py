from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.heatmap import MAX_ROWS, build_heatmap
from liqmap.compute.values import Heatmap, PricePath
from liqmap.model import Side
from tests.liqmap.compute.test_levels import TIERED, WINDOW, computed, entered, trades, walk
from tests.liqmap.conftest import Computed

BIN = 30


def walked(seed: int) -> Computed:
    bars = walk(seed)
    buys, sells = entered(Side.BUY, bars, seed), entered(Side.SELL, bars, seed + 1)
    return computed(bars, buys, sells, rules=TIERED, bin_seconds=BIN)


def heatmap_of(drawn: Computed) -> Heatmap:
    return build_heatmap(drawn.map, drawn.stretches, bin_seconds=BIN)


@given(seed=st.integers(0, 10_000))
def test_last_column_is_what_the_map_shows_as_standing(seed: int):
    drawn = walked(seed)
    heatmap = heatmap_of(drawn)
    low, high = heatmap.edges[0], heatmap.edges[-1]
    standing = sum(
        float(each.notional[each.standing & (each.price >= low) & (each.price < high)].sum())
        for each in drawn.levels
    )
    assert heatmap.value[:, -1].sum() == pytest.approx(standing, rel=1e-6)


@given(seed=st.integers(0, 10_000))
def test_every_column_is_summed_up_level_by_level(seed: int):
    """The slow way: walk through the columns, and look at each level."""
    drawn = walked(seed)
    heatmap = heatmap_of(drawn)
    path, width = drawn.map.path, 1000 * BIN
    for column in range(0, heatmap.value.shape[1], 97):
        end = heatmap.time[column + 1]
        expected = np.zeros(len(heatmap.edges) - 1)
        for each in drawn.levels:
            is_long = each.side is Side.BUY
            assert each.after.soon is not None
            for place in range(len(each.price)):
                price, entry = each.price[place], each.entry_time[place]
                later = (path.time >= (entry // width + 1) * width) & (path.time < end)
                touched = path.low[later] <= price if is_long else path.high[later] >= price
                soon = each.after.soon[place] <= price if is_long else each.after.soon[place] >= price
                row = np.searchsorted(heatmap.edges, price, side="right") - 1
                if entry < end and not touched.any() and not soon and 0 <= row < len(expected):
                    expected[row] += each.notional[place]
        np.testing.assert_allclose(heatmap.value[:, column], expected, atol=1e-3)


def test_band_begins_with_its_trade_and_ends_where_price_touches_it():
    # A long from 100 at 100x stands at 99 from the second bin on; the fourth bin's low is 98.9.
    times = WINDOW.start_ms + 1000 * BIN * np.arange(5)
    close, low = np.full(5, 100.0), np.array([100.0, 100.0, 100.0, 98.9, 100.0])
    path = PricePath(times, low, close, close)
    buys = trades(Side.BUY, (100.0, 8.0))
    buys.time[:] = times[1] + 500
    sells = trades(Side.SELL)
    drawn = computed(path, buys, sells, bin_seconds=BIN)
    heatmap = heatmap_of(drawn)
    row = np.searchsorted(heatmap.edges, 99.0, side="right") - 1
    assert heatmap.value[row, :6].tolist() == [0, 8, 8, 0, 0, 0]
    row = np.searchsorted(heatmap.edges, 96.0, side="right") - 1
    assert heatmap.value[row, :4].tolist() == [0, 8, 8, 8]
    row = np.searchsorted(heatmap.edges, 90.0, side="right") - 1
    assert heatmap.value[row, -1] == 8.0  # far away, but a third of what stands
    assert (heatmap.below, heatmap.above) == (0.0, 0.0)
    assert heatmap.time[1] - heatmap.time[0] == 1000 * BIN


@pytest.mark.parametrize("seed", range(3))
def test_rows_are_no_more_than_the_picture_can_show(seed: int):
    heatmap = heatmap_of(walked(seed))
    assert MAX_ROWS / 3 < len(heatmap.edges) <= MAX_ROWS + 3
    assert heatmap.value.shape == (len(heatmap.edges) - 1, len(heatmap.time) - 1)
    assert (heatmap.value >= 0).all()


def test_nobody_selected_on_one_side_and_one_price_only():
    path = PricePath(np.array([WINDOW.start_ms]), *[np.array([100.0])] * 3)
    buys, sells = trades(Side.BUY, (100.0, 8.0)), trades(Side.SELL)
    drawn = computed(path, buys, sells, bin_seconds=BIN)
    assert heatmap_of(drawn).value[:, -1].sum() == pytest.approx(32.0)


@given(seed=st.integers(0, 10_000))
def test_heatmap_holds_every_labelled_cluster_and_says_how_much_stands_beyond_it(seed: int):
    drawn = walked(seed)
    heatmap = heatmap_of(drawn)
    low, high = heatmap.edges[0], heatmap.edges[-1]
    assert drawn.map.labelled
    for cluster in drawn.map.labelled:
        assert low <= cluster.low
        assert cluster.high <= high
    standing = sum(float(each.notional[each.standing].sum()) for each in drawn.levels)
    assert heatmap.below + heatmap.above <= 0.02 * standing * (1 + 1e-9)
    assert heatmap.below + heatmap.value[:, -1].sum() + heatmap.above == pytest.approx(standing, rel=1e-6)
