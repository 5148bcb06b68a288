from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.path import median_prices
from liqmap.compute.values import PricePath


def path_of(rows: dict[int, float]) -> PricePath:
    """Return a path whose last prices in some seconds are `rows`."""
    close = np.array(list(rows.values()), np.float64)
    return PricePath(np.array([*rows], np.int64) * 1000, close, close, close)


def median_at(rows: dict[int, float], second: int) -> float:
    return float(median_prices(path_of(rows), np.array([second * 1000]))[0])


@pytest.mark.parametrize(
    ("rows", "second", "median"),
    [
        ({40: 100, 70: 101, 99: 150}, 100, 101),  # the odd last trade does not count
        ({39: 50, 40: 100, 70: 101}, 100, 100.5),  # the second 39 ended before the last sixty
        ({40: 100, 70: 101, 100: 150}, 100, 100.5),  # the second 100 comes later
        ({0: 90, 10: 100, 20: 102, 30: 101}, 1000, 100.5),  # nobody traded since
        ({0: 90, 3: 100, 62: 102}, 1000, 101),
        ({50: 100}, 10, 100),  # before the path, its first price
    ],
)
def test_median_price_is_of_the_seconds_that_traded_in_the_last_minute(
    rows: dict[int, float], second: int, median: float
):
    assert median_at(rows, second) == median


ROWS = st.dictionaries(st.integers(0, 300), st.floats(1, 1e6), min_size=1, max_size=80)


@given(rows=ROWS, seconds=st.lists(st.integers(0, 400), min_size=1, max_size=9))
def test_median_prices_are_those_that_a_slow_search_finds(rows: dict[int, float], seconds: list[int]):
    rows = dict(sorted(rows.items()))

    def slow(second: int) -> float:
        before = [each for each in rows if each < second] or [min(rows)]
        end = second if before[-1] >= second - 60 else before[-1] + 1
        return statistics.median(rows[each] for each in before if each >= end - 60 or len(before) == 1)

    found = median_prices(path_of(rows), np.array(seconds) * 1000)
    assert found.tolist() == [slow(each) for each in seconds]


@given(
    rows=st.dictionaries(st.integers(0, 59), st.floats(99, 101), min_size=3),
    odd=st.floats(0.01, 1e6),
    data=st.data(),
)
def test_one_odd_trade_never_takes_the_median_price_away_from_all_others(
    rows: dict[int, float], odd: float, data: st.DataObject
):
    second = data.draw(st.sampled_from(sorted(rows)))
    others = [price for each, price in rows.items() if each != second]
    moved = dict(sorted((rows | {second: odd}).items()))
    assert min(others) <= median_at(moved, 60) <= max(others)
