from __future__ import annotations

import numpy as np
import pytest

from liqmap.ledger.metrics import capture, information_gain, margin_gap, matches

USD = np.array([6.0, 3.0, 1.0])
MAP = np.array([0.5, 0.3, 0.2])
BASELINE = np.array([0.2, 0.4, 0.4])


def test_information_gain_by_hand():
    # 0.6 log2(0.5/0.2) + 0.3 log2(0.3/0.4) + 0.1 log2(0.2/0.4); mixed, the map has 0.485, 0.305 and 0.21
    assert information_gain(USD, MAP, BASELINE, map_share=1) == pytest.approx(0.5686, abs=5e-5)
    assert information_gain(USD, MAP, BASELINE) == pytest.approx(0.5565, abs=5e-5)


def test_information_gain_of_the_baseline_itself_is_nothing():
    assert information_gain(USD, BASELINE, BASELINE) == 0


def test_information_gain_is_finite_where_the_map_has_nothing():
    assert information_gain(np.array([0.0, 0, 1]), np.array([1.0, 0, 0]), BASELINE) == pytest.approx(
        np.log2(0.05)
    )


def test_capture_by_hand():
    # A marked, B and C its peers in cell 1; D marked, E its peer in cell 2
    usd, cells = np.array([5.0, 2, 1, 1, 1]) / 10, np.array([1, 1, 1, 2, 2])
    found = capture(usd, [0, 3], cells)
    assert found.marked == pytest.approx(0.6)
    assert found.matched == pytest.approx(0.25)
    assert found.lift == pytest.approx(0.35)


def test_marked_buckets_without_peers_count_on_neither_side():
    assert capture(np.array([5.0, 1, 2]), [0, 1], np.array([1, 2, 2])) == (1.0, 2.0)
    assert matches(np.array([5.0, 1, 2]), [0], np.array([1, 2, 2])) == []


def test_buckets_that_do_not_count_are_on_neither_side():
    values, cells = np.array([5.0, 1, 2, 4]), np.array([1, 1, 1, 1])
    assert matches(values, [0, 3], cells, among=[0, 2]) == [(0, (5.0, 2.0))]


def test_margin_gap_by_hand():
    # forceorder rows of 2024-08-17 give a median of 0.4 % where the bracket's rate is 0.40 %
    fills, limits = np.array([100.0, 200.0, 50.0]), np.array([99.6, 200.6, 49.75])
    assert margin_gap(fills, limits) == pytest.approx(0.004)
    assert margin_gap(np.empty(0), np.empty(0)) is None
