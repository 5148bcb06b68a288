from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.brackets import SHIPPED, read_table
from liqmap.brackets.tiers import tiers_text
from liqmap.exchanges.messages import RiskTier

# LOOMUSDT as Binance's stream sent it on 2023-10-15.
LOOM = (
    RiskTier(25_000.0, 0.03, 20, 0),
    RiskTier(200_000, 0.05, 10, 500),
    RiskTier(500_000, 0.1, 5, 10_500),
    RiskTier(1_000_000, 0.125, 4, 23_000),
    RiskTier(3_000_000, 0.25, 2, 148_000),
    RiskTier(3_500_000, 0.5, 1, 898_000),
)
WRITTEN = "25000,0.03,20 200000,0.05,10 500000,0.1,5 1000000,0.125,4 3000000,0.25,2 3500000,0.5,1"


def test_tiers_are_written_lowest_first():
    assert tiers_text(reversed(LOOM)) == WRITTEN


def test_tiers_without_deductions_are_taken_as_they_follow():
    assert tiers_text(tier._replace(deduction=None) for tier in LOOM) == WRITTEN


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (1, {"cap": 25_000}),
        (1, {"cap": float("inf")}),
        (0, {"cap": 0}),
        (1, {"cap": float("nan")}),
        (1, {"rate": 0.02}),
        (1, {"rate": 0.5}),
        (0, {"rate": 0}),
        (0, {"rate": -0.01}),
        (1, {"max_leverage": 30}),
        (5, {"max_leverage": 0.5}),
        (1, {"deduction": 501}),
        (1, {"deduction": float("nan")}),
        (0, {"deduction": 1}),
    ],
)
def test_tiers_that_make_no_sense_are_refused(place: int, change: dict[str, float]):
    tiers = list(LOOM)
    tiers[place] = tiers[place]._replace(**change)
    with pytest.raises(ValueError, match=r"tier|deduction"):
        tiers_text(tiers)


def test_tiers_of_which_one_is_missing_are_refused():
    with pytest.raises(ValueError, match="deduction"):
        tiers_text(LOOM[:2] + LOOM[3:])
    with pytest.raises(ValueError, match="range"):
        tiers_text(())


@given(
    steps=st.lists(
        st.tuples(st.integers(1, 10**9), st.integers(1, 50), st.integers(1, 5)), min_size=1, max_size=12
    )
)
def test_whatever_follows_is_kept_to_the_digit(steps: list[tuple[int, int, int]]):
    caps = list(accumulate(step[0] for step in steps))
    rates = [rate / 10_000 for rate in accumulate(step[1] for step in steps)]
    leverages = list(accumulate((step[2] for step in reversed(steps)), initial=0))[:0:-1]
    tiers = [RiskTier(*each) for each in zip(caps, rates, leverages, strict=True)]
    assert tiers_of(tiers_text(tiers)) == tiers


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("binance-*.txt")), ids=lambda path: path.name)
def test_shipped_tiers_are_kept_to_the_digit(path: Path):
    for text in read_table(path)[1].values():
        kept = tiers_text(tiers_of(text))
        assert tiers_of(kept) == tiers_of(text)


def tiers_of(text: str) -> list[RiskTier]:
    return [RiskTier(*map(float, each.split(","))) for each in text.split()]
