from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.render.canvas import Box
from liqmap.render.panel import Panel, padded, round_ticks, time_ticks

START = int(datetime(2023, 8, 1, 0, 30, tzinfo=UTC).timestamp()) * 1000
HOUR = 3_600_000


def test_panel_maps_ranges_onto_its_box():
    panel = Panel(Box(100, 50, 300, 250), (0, 10), (1000, 2000))
    assert panel.x([0, 5, 10]).tolist() == [100, 200, 300]
    assert panel.y([1000, 1500]).tolist() == [50, 150]


@given(low=st.floats(1e-8, 1e6), span=st.floats(1e-9, 1e6), count=st.integers(2, 9))
def test_round_ticks_lie_inside_on_multiples_of_one_step(low: float, span: float, count: int):
    high = low + max(span, low * 1e-6)
    ticks, step = round_ticks(low, high, count=count)
    assert len(ticks) <= count + 1
    assert (ticks >= low - step * 1e-6).all()
    assert (ticks <= high + step * 1e-6).all()
    np.testing.assert_allclose(ticks / step, np.round(ticks / step), atol=1e-6)


@pytest.mark.parametrize(
    ("hours", "labels"),
    [
        (6, ["02:00", "04:00", "06:00"]),
        (1, ["00:30", "00:45", "01:00", "01:15", "01:30"]),
        (30, ["06:00", "12:00", "18:00", "02 Aug", "06:00"]),
        (72, ["02 Aug", "03 Aug", "04 Aug"]),
        (24 * 20, ["03 Aug", "07 Aug", "11 Aug", "15 Aug", "19 Aug"]),
        (24 * 30, ["07 Aug", "14 Aug", "21 Aug", "28 Aug"]),
    ],
)
def test_time_ticks_are_round_and_say_the_day_where_it_changes(hours: int, labels: list[str]):
    ticks = time_ticks(START, START + hours * HOUR, count=5)
    assert [text for _, text in ticks] == labels
    assert all(START <= moment <= START + hours * HOUR for moment, _ in ticks)


def test_padded_range_of_one_value_is_still_a_range():
    assert padded(10.0, 20.0, share=0.1) == (9.0, 21.0)
    low, high = padded(5.0, 5.0, share=0.1)
    assert low < 5.0 < high
    low, high = padded(0.0, 0.0, share=0.1)
    assert low < 0.0 < high
