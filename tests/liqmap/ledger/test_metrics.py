from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.ledger.buckets import COUNT, cells
from liqmap.ledger.metrics import (
    BINS,
    DIFFERENCE,
    GAIN,
    MARKED,
    MATCHED_GAIN,
    PLACEBO,
    SIDES,
    bits,
    contrast,
    counts_of,
    margin_gap,
    reachable,
)

USD = np.array([6.0, 3.0, 1.0])
MAP = np.array([0.5, 0.3, 0.2])
BASELINE = np.array([0.2, 0.4, 0.4])


def test_information_gain_by_hand():
    # 0.6 log2(0.5/0.2) + 0.3 log2(0.3/0.4) + 0.1 log2(0.2/0.4); mixed, the map has 0.485, 0.305 and 0.21
    assert USD @ bits(MAP, BASELINE, map_share=1) / 10 == pytest.approx(0.5686, abs=5e-5)
    assert USD @ bits(MAP, BASELINE) / 10 == pytest.approx(0.5565, abs=5e-5)


def test_information_gain_of_the_baseline_itself_is_nothing():
    assert bits(BASELINE, BASELINE).tolist() == [0, 0, 0]


def test_information_gain_is_finite_where_the_map_has_nothing():
    assert bits(np.array([1.0, 0, 0]), BASELINE)[2] == pytest.approx(np.log2(0.05))


def test_density_over_what_can_be_reached_by_hand():
    # Half of the first, a tenth of the second and nothing of the third: 0.25 and 0.03 of 0.28
    found = reachable(MAP, np.array([0.5, 0.1, 0]))
    assert found == pytest.approx([0.25 / 0.28, 0.03 / 0.28, 0])
    assert reachable(np.zeros(3), BASELINE).tolist() == [0, 0, 0]


def test_difference_by_hand():
    # A marked, B and C its peers in cell 1; D marked, E its peer in cell 2
    usd = np.array([5.0, 2, 1, 1, 1]) / 10
    found = contrast([0, 3], np.array([1, 1, 1, 2, 2]))
    assert found.tolist() == [1, -0.5, -0.5, 1, -1]
    assert usd @ (found > 0) == pytest.approx(0.6)
    assert -usd @ np.minimum(found, 0) == pytest.approx(0.25)
    assert usd @ found == pytest.approx(0.35)


def test_marked_buckets_without_peers_count_on_neither_side():
    assert contrast([0, 1], np.array([1, 2, 2])).tolist() == [0, 1, -1]
    assert contrast([0], np.array([1, 2, 2])).tolist() == [0, 0, 0]


def test_buckets_that_do_not_count_are_on_neither_side():
    assert contrast([0, 3], np.array([1, 1, 1, 1]), among=[0, 2]).tolist() == [1, 0, -1, 0]


@given(st.data())
def test_counts_of_sides_and_bins_add_up_to_the_difference(data: st.DataObject):
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    density, chance = rng.dirichlet(np.full(COUNT, 0.1)), rng.dirichlet(np.ones(COUNT))
    counts = counts_of(density, rng.uniform(0, 1, COUNT), chance, cells(data.draw(st.floats(0.001, 0.05))))
    assert counts[DIFFERENCE].sum() == pytest.approx(0)
    assert counts[PLACEBO].sum() == pytest.approx(0)
    for parts in (SIDES, BINS):
        assert np.sum([counts[name] for name in parts], axis=0).tolist() == counts[DIFFERENCE].tolist()
    assert set(np.unique(counts[MARKED])) <= {0, 1}
    # No density gains anything if the baseline is right, and the map cannot lose more than its share.
    for name in (GAIN, MATCHED_GAIN):
        assert chance @ counts[name] <= 1e-12
        assert counts[name].min() >= np.log2(0.05) - 1e-12


def test_margin_gap_by_hand():
    # forceorder rows of 2024-08-17 give a median of 0.4 % where the bracket's rate is 0.40 %
    fills, limits = np.array([100.0, 200.0, 50.0]), np.array([99.6, 200.6, 49.75])
    assert margin_gap(fills, limits) == pytest.approx(0.004)
    assert margin_gap(np.empty(0), np.empty(0)) is None
