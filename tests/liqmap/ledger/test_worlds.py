"""The method in invented markets, with few seeds; `make ledger-study` takes forty."""

from __future__ import annotations

import numpy as np

from tests.accuracy.worlds import World, gain_after, lift_after, mixed_gain, scored_windows

SEEDS = range(12)


def test_nothing_is_found_where_the_map_knows_nothing():
    lifts = [lift_after(scored_windows(World(0.0, seed), 25), 25) for seed in SEEDS]
    excluded = sum(not each.low <= 0 <= each.high for each in lifts)
    assert excluded <= 2  # of twelve; with 5 % each, more happen in 2 % of cases
    assert abs(np.mean([each.value for each in lifts])) < 0.02


def test_liquidations_where_positions_stand_are_found_within_thirty_days():
    for seed in SEEDS[:4]:
        scored = scored_windows(World(1.0, seed), 30)
        assert lift_after(scored, 30).low > 0
        assert gain_after(scored, 30).low > 0
        assert gain_after(scored, 30, matched=True).low > 0


def test_half_of_the_knowledge_is_half_of_the_difference_and_found_as_well():
    half = [lift_after(scored_windows(World(0.5, seed), 30), 30) for seed in SEEDS[:4]]
    whole = [lift_after(scored_windows(World(1.0, seed), 30), 30) for seed in SEEDS[:4]]
    assert all(each.low > 0 for each in half)
    ratio = np.mean([each.value for each in half]) / np.mean([each.value for each in whole])
    assert 0.3 < ratio < 0.7


def test_only_the_share_of_the_map_makes_the_gain_of_half_of_the_knowledge_negative():
    gains = [
        np.mean([mixed_gain(World(0.5, seed), 15, map_share=share) for seed in SEEDS[:3]])
        for share in (0.5, 0.95)
    ]
    assert gains[0] > 0.1
    assert gains[1] < -0.5
