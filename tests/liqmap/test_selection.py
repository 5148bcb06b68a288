import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.model import GrossValue, Portion, Side, SideTrades, TopN
from liqmap.selection import Cut, cut_for, merge, tightened


def side(*rows: tuple[int, float]) -> SideTrades:
    """Return trades of rows (time, notional), the price telling where each came from."""
    return SideTrades(
        Side.BUY,
        np.array([time for time, _ in rows], np.int64),
        np.array([float(time) for time, _ in rows]),
        np.array([notional for _, notional in rows], np.float64),
    )


@pytest.mark.parametrize(
    ("selection", "cut"),
    [
        (TopN(7), Cut(count=7)),
        (GrossValue(1e5), Cut(minimum=1e5)),
        (Portion(0.01), Cut(count=3)),  # of 399
        (Portion(1.0), Cut(count=399)),
        (Portion(0.001), Cut(count=0)),
    ],
)
def test_cut_for_each_mode_is_per_side(selection, cut: Cut):
    assert cut_for(selection, side_trades=399) == cut


def test_merge_puts_equal_notionals_in_the_order_of_time():
    merged = merge([side((1, 9.0), (2, 5.0)), side((3, 9.0), (4, 5.0))], Cut(count=3))
    assert merged.time.tolist() == [1, 3, 2]
    assert merged.price.tolist() == [1.0, 3.0, 2.0]


def test_merge_of_nothing_is_empty():
    assert len(merge([side(), side()], Cut(count=3))) == 0


def test_tightened_cut_asks_for_more_than_the_smallest_kept():
    assert tightened(Cut(count=2), side((1, 9.0), (2, 5.0))) == Cut(count=2, above=5.0)


@pytest.mark.parametrize("cut", [Cut(count=3), Cut(minimum=1.0), Cut(count=0)])
def test_tightened_cut_is_unchanged_while_there_is_room(cut: Cut):
    kept = side((1, 9.0), (2, 5.0)) if cut.count != 0 else side()
    assert tightened(cut, kept) == cut


@given(
    days=st.lists(st.lists(st.integers(1, 5), max_size=8), min_size=1, max_size=4),
    count=st.integers(1, 10),
)
def test_merge_step_by_step_equals_sorting_everything(days: list[list[int]], count: int):
    rows = [
        [(day * 100 + i, float(notional)) for i, notional in enumerate(sizes)]
        for day, sizes in enumerate(days)
    ]
    cut = Cut(count=count)
    kept = side()
    for day in rows:
        beating = tightened(cut, kept).above
        part = side(*sorted((row for row in day if row[1] > beating), key=lambda row: -row[1]))
        kept = merge([kept, part], cut)
    expected = sorted((row for day in rows for row in day), key=lambda row: (-row[1], row[0]))[:count]
    assert kept.time.tolist() == [time for time, _ in expected]
