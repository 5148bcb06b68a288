from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute import selection
from liqmap.compute.selection import Cut, cut_for, merge, shared_out
from liqmap.compute.values import SideTrades
from liqmap.model import GrossValue, Portion, Side, TopN


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


@pytest.mark.parametrize(
    ("percent", "trades", "count"), [(29, 100, 29), (57, 100, 57), (58, 100, 58), (7, 1000, 70), (57, 99, 56)]
)
def test_portion_of_trades_is_that_of_paper(percent: int, trades: int, count: int):
    assert cut_for(Portion(percent / 100), side_trades=trades).count == count


def test_merge_puts_equal_notionals_in_the_order_of_time():
    merged = merge([side((1, 9.0), (2, 5.0)), side((3, 9.0), (4, 5.0))], Cut(count=3))
    assert merged.time.tolist() == [1, 3, 2]
    assert merged.price.tolist() == [1.0, 3.0, 2.0]


def test_merge_of_nothing_is_empty():
    assert len(merge([side(), side()], Cut(count=3))) == 0


def test_shared_out_counts_what_each_part_has_of_the_largest():
    parts = [[9.0, 5.0, 1.0], [], [9.0, 6.0]]
    assert shared(parts, 3) == (1, 0, 2)
    assert shared(parts, 99) == (3, 0, 2)
    assert shared(parts, 0) == (0, 0, 0)


def shared(parts: list[list[float]], count: int) -> tuple[int, ...]:
    def read(part: int, cut: Cut) -> np.ndarray:
        notional = np.array(parts[part], np.float64)
        return notional[notional >= cut.minimum][: cut.count]

    return shared_out(count, parts=len(parts), read=read)


@given(
    days=st.lists(st.lists(st.integers(1, 5), max_size=8), min_size=1, max_size=4),
    count=st.integers(1, 10),
    first=st.integers(1, 12),
)
def test_shared_out_equals_sorting_everything(days: list[list[int]], count: int, first: int):
    parts = [sorted(map(float, sizes), reverse=True) for sizes in days]
    rows = [(-notional, day) for day, sizes in enumerate(parts) for notional in sizes]
    expected = [day for _, day in sorted(rows)[:count]]
    with mock.patch.object(selection, "_FIRST", first):
        assert shared(parts, count) == tuple(expected.count(day) for day in range(len(days)))


def test_shared_out_reads_little_of_parts_that_are_alike_and_all_of_one_that_is_not():
    parts = [np.sort(np.random.default_rng(day).exponential(1, 9000))[::-1] for day in range(10)]
    parts[4] = parts[4] + 99
    reads: list[tuple[int, int]] = []

    def read(part: int, cut: Cut) -> np.ndarray:
        found = parts[part][parts[part] >= cut.minimum][: cut.count]
        reads.append((part, len(found)))
        return found

    assert sum(shared_out(10_000, parts=10, read=read)) == 10_000
    assert [part for part, _ in reads] == [*range(10), 4]
    assert [most for _, most in reads] == [1250] * 10 + [9000]
