from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from liqmap.ledger.chance import drawn_means, holm, interval, p_value

DAYS = [date(2026, 10, 1) + timedelta(number) for number in range(3)]
# Of five levels a day, 4, 1 and 0 marked ones were hit, and 2, 1 and 3 of the matched ones.
LIFT = (np.array([4.0, 1, 0]) - np.array([2.0, 1, 3])) / 5
FIVE = np.full(3, 5.0)


def test_interval_over_three_days_includes_zero_by_hand():
    found = interval(DAYS, LIFT, FIVE)
    assert found.value == pytest.approx((5 - 6) / 15)
    assert found.low == pytest.approx(-0.6)  # the third day three times
    assert found.high == pytest.approx(0.4)  # the first day three times


def test_windows_of_one_day_are_drawn_together():
    days = [day for day in DAYS for _ in range(40)]
    together = interval(days, np.repeat(LIFT, 40), np.ones(120))
    assert together.low == pytest.approx(-0.6)
    assert together.high == pytest.approx(0.4)


def test_bootstrap_draws_are_reproducible_and_take_further_axes():
    means = drawn_means(DAYS, np.stack([LIFT, -LIFT], axis=1), FIVE)
    assert means.shape == (10_000, 2)
    assert np.allclose(means[:, 0], -means[:, 1])
    assert np.array_equal(means[:, 0], drawn_means(DAYS, LIFT, FIVE))


def test_interval_holds_a_known_mean_in_nineteen_of_twenty_cases():
    rng, days = np.random.default_rng(1), [DAYS[0] + timedelta(number) for number in range(30)]
    held = 0
    for _ in range(100):
        found = interval(days, rng.normal(0.3, 1, 30), np.ones(30))
        held += found.low <= 0.3 <= found.high
    assert 0.90 <= held / 100 <= 0.99


def test_holm_by_hand():
    # 0.01 × 4, 0.02 × 3, then 0.03 × 2 and 0.04 × 1, neither of which may be smaller than the one before
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_p_value_counts_both_sides():
    means = np.r_[np.full(99, 1.0), -1.0]
    assert p_value(means) == p_value(-means) == pytest.approx(2 * 2 / 101)
    assert p_value(np.zeros(10)) == 1.0
