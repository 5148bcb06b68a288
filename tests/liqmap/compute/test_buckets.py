from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.buckets import MAX_BUCKETS, LevelSums, find_clusters
from liqmap.model import Aftermath, LevelBuckets, LiquidationLevels, Side


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
    sums = LevelSums(float(prices.min()) / 2, float(prices.max()) * 2, leverages=[10])
    for each in stretches:
        sums.add([each])
    return sums.buckets(last_price=last)


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


def test_clusters_are_runs_of_high_buckets():
    edges = np.arange(90.0, 99.0)
    totals = np.array([8.0, 6.0, 1.0, 0.0, 4.0, 0.0, 3.9, 0.0])
    first, second = find_clusters(edges, totals, last_price=100.0)
    assert (first.low, first.high, first.notional) == (90.0, 92.0, 14.0)
    assert first.price == pytest.approx((90.5 * 8 + 91.5 * 6) / 14)
    assert first.distance == pytest.approx(first.price / 100 - 1)
    assert (second.low, second.high, second.notional) == (94.0, 95.0, 4.0)


def test_no_totals_have_no_clusters():
    assert find_clusters(np.arange(4.0), np.zeros(3), last_price=1.0) == ()


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
        sums = LevelSums(0.25, 4.0, leverages=[10])
        for each in stretches:
            sums.add([each])
        found.append((sums.buckets(last_price=1.5), sums.swept(Side.BUY)))
    (whole, swept), (parts, swept_in_parts) = found
    np.testing.assert_array_equal(whole.edges, parts.edges)
    np.testing.assert_array_equal(whole.long, parts.long)
    np.testing.assert_array_equal(whole.swept, parts.swept)
    assert swept == swept_in_parts


def test_buckets_are_as_fine_as_the_standing_levels_allow():
    buckets = summed([levels([100.0, 101.0], [1, 1])], last=110.0)
    assert buckets.size == 0.01  # 220 - 50 in 24,000 fine ones, of which this is one
