from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from liqmap.ledger.buckets import (
    A_SIDE,
    COUNT,
    baseline,
    bucket_of,
    cells,
    first_touches,
    reach,
    shifted,
    still_known,
    summed,
    top_buckets,
    touched,
)
from liqmap.model import Side


def test_buckets_go_away_from_the_price_on_both_sides():
    below = np.array([99.85, 99.75, 99.65, 95.05, 94.9, 100.5])
    assert bucket_of(below, Side.BUY, last_price=100).tolist() == [-1, 0, 1, 47, -1, -1]
    above = np.array([100.15, 100.25, 100.35, 104.95, 105.1, 99.5])
    assert bucket_of(above, Side.SELL, last_price=100).tolist() == [-1, 48, 49, 95, -1, -1]


def test_sums_leave_out_levels_outside_the_range():
    total = summed(np.array([-1, 0, 0, 95]), np.array([9.0, 1, 2, 4]))
    assert total[[0, 95]].tolist() == [3, 4]
    assert total.sum() == 7


def test_cells_go_by_side_and_distance_in_sigmas():
    found = cells(0.01)  # a bucket is a tenth of a sigma
    assert found[:6].tolist() == [1, 1, 1, 2, 2, 3]  # 0.25 to 0.45 | 0.55, 0.65 | 0.75 sigma
    assert (found[A_SIDE:] - found[:A_SIDE] == found[A_SIDE] - found[0]).all()
    assert (np.diff(cells(0.001)[:A_SIDE]) >= 0).all()


def test_baseline_weighs_windows_equally_by_their_reach():
    # Two windows of one sigma: all in the first cell's three buckets, and half there, half on the other side.
    one, two = np.zeros(COUNT), np.zeros(COUNT)
    one[0] = 1e9
    two[[1, A_SIDE]] = 5
    density = baseline([(0.01, one), (0.01, two)], 0.01)
    assert density.sum() == pytest.approx(1)
    assert density[:3] == pytest.approx(0.99 * 0.75 / 3 + 0.01 / COUNT)
    assert density[A_SIDE : A_SIDE + 3] == pytest.approx(0.99 * 0.25 / 3 + 0.01 / COUNT)
    assert density[10] == pytest.approx(0.01 / COUNT)


@given(sigma=st.floats(0.0005, 0.1), other=st.floats(0.0005, 0.1), seed=st.integers(0, 99))
def test_baseline_is_a_density_without_zeros(sigma: float, other: float, seed: int):
    usd = np.random.default_rng(seed).pareto(1.2, COUNT)
    density = baseline([(sigma, usd)], other)
    assert density.sum() == pytest.approx(1)
    assert density.min() > 0


def test_baseline_recovers_a_density_that_depends_on_distance_alone():
    rng, sigmas = np.random.default_rng(3), np.linspace(0.005, 0.03, 400).tolist()
    distance = np.tile(np.arange(A_SIDE), 2) * 0.001 + 0.0025

    def law(sigma: float) -> NDArray[np.float64]:
        weight = np.exp(-1.3 * distance / sigma)
        return np.asarray(weight / weight.sum(), np.float64)

    windows = [(sigma, rng.multinomial(50, law(sigma)).astype(np.float64)) for sigma in sigmas]
    assert np.abs(baseline(windows, 0.012) - law(0.012)).sum() < 0.15


def test_reach_is_how_often_the_price_came_so_far():
    # Of two windows of one sigma, both went 0.5 sigma down, one went 1 sigma: 2.5 and 1.5 of three.
    windows = [(0.01, np.arange(COUNT) < count) for count in (3, 8)]
    found = reach(windows, 0.01)
    assert found[:3] == pytest.approx(2.5 / 3)
    assert found[5:8] == pytest.approx(1.5 / 3)
    assert found[8:A_SIDE] == pytest.approx(0.5 / 3)
    assert found[A_SIDE:] == pytest.approx(0.5 / 3)
    # Nearer than any cell of theirs is certain, farther is as likely as the farthest.
    assert reach(windows, 0.1)[0] == 1
    assert reach(windows, 0.001)[40] == pytest.approx(0.5 / 3)


@given(sigma=st.floats(0.0005, 0.1), seed=st.integers(0, 99))
def test_reach_never_grows_outwards_and_is_never_nothing(sigma: float, seed: int):
    rng = np.random.default_rng(seed)
    windows = [(float(each), rng.random(COUNT) < 0.3) for each in rng.uniform(0.001, 0.05, 40)]
    found = reach(windows, sigma).reshape(2, A_SIDE)
    assert (np.diff(found, axis=1) <= 0).all()
    assert ((found > 0) & (found <= 1)).all()


def test_a_tenth_is_marked_the_densest_first():
    density = np.zeros(COUNT)
    density[[3, 50, 60]] = (0.2, 0.5, 0.3)
    assert top_buckets(density).tolist() == [50, 60, 3]
    even = top_buckets(np.full(COUNT, 1 / COUNT))
    assert sorted(even.tolist()) == [0, 1, 2, 3, 4, 48, 49, 50, 51, 52]


def test_a_shifted_map_keeps_its_shape():
    density = np.zeros(COUNT)
    density[[0, A_SIDE + 4]] = (0.25, 0.75)  # just below, and higher above
    moved = shifted(density, 0.003)
    assert np.flatnonzero(moved).tolist() == [A_SIDE + 2, A_SIDE + 7]
    assert shifted(moved, -0.003).tolist() == density.tolist()
    assert shifted(density, 0.05).sum() == 1


def test_touched_reaches_both_ways():
    assert np.flatnonzero(touched(99.65, 100.2, last_price=100)).tolist() == [0, 1, A_SIDE]


def test_a_level_counts_once_until_the_price_was_away_from_it():
    fresh, seen = first_touches(100.0, known=[])
    assert fresh == list(range(COUNT))
    # Within 1 % of 99.5 and 100.2 lie 99.3 to 99.8, and 100.2 to 100.5; 100.6 is less than a bucket away.
    again, seen = first_touches(100.0, known=still_known(seen, low=99.5, high=100.2))
    assert sorted(set(fresh) - set(again)) == [*range(6), *range(A_SIDE, A_SIDE + 5)]
    after, _ = first_touches(100.0, known=still_known(seen, low=98.0, high=102.0))
    assert after == fresh
