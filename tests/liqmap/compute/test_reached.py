from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.reached import first_reached, lowest_spans, next_lower, reached_from

prices = st.lists(st.one_of(st.integers(0, 12).map(float), st.just(float("inf"))), min_size=1, max_size=40)


def first_place(price: list[float], level: float, start: int) -> int:
    """Return the first place from `start` on that reaches a level, looking at one after the other."""
    return next((place for place in range(start, len(price)) if price[place] <= level), len(price))


@given(
    price=prices, rows=st.lists(st.tuples(st.integers(-1, 13).map(float), st.integers(0, 40)), max_size=30)
)
def test_first_place_that_reaches_a_level_is_that_of_a_look_at_each(
    price: list[float], rows: list[tuple[float, int]]
):
    level, start = (
        np.array([row[0] for row in rows]),
        np.array([min(row[1], len(price)) for row in rows], int),
    )
    found = first_reached(lowest_spans(np.array(price)), level, start)
    assert found.tolist() == [first_place(price, *row) for row in zip(level, start.tolist(), strict=True)]


@given(
    price=prices,
    rows=st.lists(st.tuples(st.integers(-1, 13), st.integers(0, 5), st.integers(0, 40)), max_size=30),
)
def test_search_from_where_a_higher_level_is_reached_finds_the_same(
    price: list[float], rows: list[tuple[int, int, int]]
):
    spans = lowest_spans(np.array(price))
    level = np.array([row[0] for row in rows], float)
    higher = level + np.array([row[1] for row in rows], float)
    start = np.array([min(row[2], len(price)) for row in rows], int)
    began = first_reached(spans, higher, start)
    found = reached_from(spans[0], next_lower(spans), level, began)
    assert found.tolist() == first_reached(spans, level, start).tolist()
