from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.render.labels import Stretch, laid_out

SPACING = 26.0


def test_labels_with_room_stand_where_they_belong():
    assert laid_out([100, 200, 150], [1, 1, 1], Stretch(0, 300), spacing=SPACING) == {0: 100, 2: 150, 1: 200}


def test_two_labels_of_one_place_share_the_shift():
    assert laid_out([100, 100], [1, 1], Stretch(0, 300), spacing=SPACING) == {0: 87, 1: 113}


def test_labels_at_an_end_stay_inside():
    assert laid_out([299, 298], [1, 1], Stretch(0, 300), spacing=SPACING) == {1: 261, 0: 287}


def test_least_important_label_is_dropped_first():
    assert sorted(laid_out([10, 20, 30], [5, 1, 5], Stretch(0, 52), spacing=SPACING)) == [0, 2]
    assert laid_out([10, 20], [5, 1], Stretch(0, 25), spacing=SPACING) == {}


def test_any_labels_keep_order_distance_and_bounds():
    random = np.random.default_rng(5)
    for _ in range(5000):
        count, low = int(random.integers(0, 13)), float(random.uniform(0, 300))
        middles = random.uniform(-50, 700, count).tolist()
        importance = random.choice([0.0, 1.0, 2.0, 8.0], count).tolist()
        check_layout(middles, importance, Stretch(low, low + float(random.uniform(0, 400))))


def check_layout(middles: list[float], importance: list[float], stretch: Stretch) -> None:
    heights = laid_out(middles, importance, stretch, spacing=SPACING)
    assert len(heights) == min(len(middles), stretch.capacity(spacing=SPACING))
    in_order = sorted(heights, key=lambda index: heights[index])
    assert all(middles[low] <= middles[high] for low, high in pairwise(in_order))
    assert all(heights[high] - heights[low] >= SPACING - 1e-6 for low, high in pairwise(in_order))
    assert all(stretch.low - 1e-6 <= height - SPACING / 2 for height in heights.values())
    assert all(height + SPACING / 2 <= stretch.high + 1e-6 for height in heights.values())
    dropped = [importance[index] for index in range(len(middles)) if index not in heights]
    assert max(dropped, default=0) <= min((importance[index] for index in heights), default=np.inf)


@given(wanted=st.lists(st.floats(0, 400), min_size=1, max_size=6, unique=True), data=st.data())
def test_no_other_layout_shifts_the_labels_less(wanted: list[float], data: st.DataObject):
    stretch = Stretch(-200, 600)
    heights = laid_out(wanted, [1] * len(wanted), stretch, spacing=SPACING)
    cost = sum((heights[index] - wanted[index]) ** 2 for index in heights)
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    first = data.draw(st.floats(-150, 200))
    gaps = data.draw(st.lists(st.floats(SPACING, 60), min_size=len(wanted), max_size=len(wanted)))
    other = first + np.cumsum([0.0, *gaps[1:]])
    assert cost <= sum((other[place] - wanted[index]) ** 2 for place, index in enumerate(order)) + 1e-6


@pytest.mark.parametrize("count", [0, 1, 5])
def test_capacity_is_the_whole_labels_that_fit(count: int):
    assert Stretch(10, 10 + count * SPACING).capacity(spacing=SPACING) == count
