from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.buckets import MAX_BUCKETS, LevelSums
from liqmap.compute.grid import PriceGrid
from liqmap.compute.values import Aftermath, LevelBuckets, LiquidationLevels
from liqmap.model import Side


def levels(price: list[float], notional: list[float], *, last: float = np.inf) -> LiquidationLevels:
    """Return levels of longs, of which those below `last` stand."""
    prices, never = np.array(price, np.float64), np.full(len(price), np.inf)
    return LiquidationLevels(
        side=Side.BUY,
        leverage=10,
        price=prices,
        notional=np.array(notional, np.float64),
        entry_time=np.zeros(len(price), np.int64),
        entry_price=prices,
        after=Aftermath(never, never),
        standing=prices < last,
    )


def summed(stretches: Sequence[LiquidationLevels], *, last: float) -> LevelBuckets:
    """Return the buckets of levels at one leverage, which come in stretches."""
    prices = np.concatenate([[last], *(each.price for each in stretches)])
    sums = LevelSums(float(prices.min()) / 2, float(prices.max()) * 2, leverages=[10], last_price=last)
    for each in stretches:
        sums.add([each])
    return sums.buckets()


@given(
    prices=st.lists(st.floats(1e-7, 1e6, allow_subnormal=False), min_size=1, max_size=20),
    last=st.floats(1e-7, 1e6, allow_subnormal=False),
)
def test_buckets_of_any_scale_hold_each_level_within_their_edges(prices: list[float], last: float):
    buckets = summed([levels(prices, [1.0] * len(prices), last=last)], last=last)
    standing = [price for price in prices if price < last]
    for price in standing:
        index = np.searchsorted(buckets.edges, price, side="right") - 1
        assert buckets.edges[index] <= price < buckets.edges[index + 1]
        assert buckets.long[0, index] >= 1
    assert buckets.long.sum() == len(standing)
    assert len(buckets.edges) <= MAX_BUCKETS + 3
    # 1, 2 or 5 times a power of ten
    digits = buckets.size / 10.0 ** math.floor(math.log10(buckets.size) + 1e-9)
    assert round(digits, 6) in {1, 2, 5}
    np.testing.assert_allclose(np.diff(buckets.edges), buckets.size, rtol=1e-5)


def test_edges_are_round_numbers():
    buckets = summed([levels([0.1, 0.3], [1, 1])], last=0.5)
    assert buckets.size == 0.001
    assert 0.3 in buckets.edges.tolist()
    assert buckets.long[0, buckets.edges.tolist().index(0.3)] == 1


def test_nothing_standing_still_has_a_bucket():
    buckets = summed([levels([], [])], last=100.0)
    assert buckets.edges[0] <= 100.0 < buckets.edges[-1]
    assert buckets.long.sum() == 0


@given(
    rows=st.lists(st.tuples(st.floats(0.5, 2.0), st.integers(1, 1000)), min_size=1, max_size=40),
    cut=st.integers(0, 40),
)
def test_levels_in_two_stretches_sum_up_to_the_same_buckets(rows: list[tuple[float, int]], cut: int):
    one, other = (
        [levels([p for p, _ in part], [float(n) for _, n in part], last=1.5) for part in parts]
        for parts in ([rows], [rows[:cut], rows[cut:]])
    )
    found = []
    for stretches in (one, other):
        sums = LevelSums(0.25, 4.0, leverages=[10], last_price=1.5)
        for each in stretches:
            sums.add([each])
        found.append((sums.buckets(), sums.swept(Side.BUY)))
    (whole, swept), (parts, swept_in_parts) = found
    np.testing.assert_array_equal(whole.edges, parts.edges)
    np.testing.assert_array_equal(whole.long, parts.long)
    np.testing.assert_array_equal(whole.swept, parts.swept)
    assert swept == swept_in_parts


def test_buckets_are_as_fine_as_the_standing_levels_allow():
    buckets = summed([levels([100.0, 101.0], [1, 1])], last=110.0)
    assert buckets.size == 0.01  # 220 - 50 in 24,000 fine ones, of which this is one


def test_mean_price_of_a_bucket_is_where_its_levels_are():
    buckets = summed([levels([136.8, 139.99], [3.0, 1.0])], last=142.5)
    (first, second) = np.flatnonzero(buckets.long.sum(axis=0))
    assert buckets.edges[first] == 136.8
    fine = buckets.size / 2
    assert buckets.long_price[first] == pytest.approx(136.8, abs=fine)
    assert buckets.long_price[second] == pytest.approx(139.99, abs=fine)
    nothing = np.setdiff1d(np.arange(len(buckets.edges) - 1), [first, second])
    assert np.isnan(buckets.long_price[nothing]).all()
    assert np.isnan(buckets.long_near[nothing]).all()
    assert np.isnan(buckets.short_price).all()


@given(prices=st.lists(st.floats(50.0, 99.9), min_size=1, max_size=20))
def test_nearest_price_of_a_bucket_is_its_nearest_level_s(prices: list[float]):
    buckets = summed([levels(prices, [1.0] * len(prices), last=100.0)], last=100.0)
    for place, (low, high) in enumerate(pairwise(buckets.edges)):
        inside = [price for price in prices if low <= price < high]
        if inside:
            fine = (buckets.edges[-1] * 2 - 25) / 24_000 * 10
            assert max(inside) <= buckets.long_near[place] <= max(inside) + fine
            assert low <= buckets.long_price[place] <= high


def test_bands_hold_what_lies_at_their_bounds_and_nothing_beyond():
    # The bounds are 99, 98 and 95; a tick beyond is beyond.
    prices = [99.5, 99.0, 98.99999, 98.0, 97.99999, 95.0, 94.99999]
    sums = LevelSums(50.0, 200.0, leverages=[10], last_price=100.0)
    sums.add([levels(prices, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0], last=100.0)])
    assert [band.long for band in sums.bands()] == [3.0, 15.0, 63.0]
    assert [band.short for band in sums.bands()] == [0.0, 0.0, 0.0]


def test_bands_wider_than_all_levels_hold_them_all():
    sums = LevelSums(99.0, 100.5, leverages=[100], last_price=100.0)
    sums.add([levels([99.2], [5.0], last=100.0)])
    assert [band.long for band in sums.bands()] == [5.0, 5.0, 5.0]


@pytest.mark.parametrize(
    "grid", [PriceGrid(1, 0, 3, 50_000), PriceGrid(2, -7, 1, 900), PriceGrid(5, 3, 0, 40)]
)
def test_price_at_an_edge_and_the_floats_beside_it_are_on_their_sides_of_it(grid: PriceGrid):
    edges, place = grid.edges[1:], np.arange(1, len(grid) + 1)
    assert np.array_equal(grid.bucket_of(edges), place)
    assert np.array_equal(grid.bucket_of(np.nextafter(edges, np.inf)), place)
    assert np.array_equal(grid.bucket_of(np.nextafter(edges, 0.0)), place - 1)
