from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.open_shares import GRID_MS, OpenShares, Volume, open_shares
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import TimeWindow

START = datetime(2023, 8, 1, tzinfo=UTC)
KIND = SeriesKind.OPEN_INTEREST


def shares(interest: list[float], volume: list[float], *, turnover: float = 0.0) -> OpenShares:
    """Return the shares of intervals of 15 minutes with these volumes, and open interest around them."""
    window = TimeWindow(START, START + timedelta(minutes=15 * len(volume)))
    edges = range(window.start_ms, window.end_ms + 1, GRID_MS)
    series = Series.of(KIND, [each - KIND.step_ms for each in edges], [(each,) for each in interest])
    traded = Volume(np.array(edges[:-1]), np.array(volume))
    return open_shares(window, series, traded, covered=[window], turnover=turnover)


def weight(found: OpenShares, interval: int, until: int) -> float:
    return float(found.opened[interval] * found.kept(np.array([interval]), np.array([until]))[0])


WORKED_INTEREST, WORKED_VOLUME = [1000.0, 1050.0, 1029.0, 1029.0], [200.0, 100.0, 300.0]


@pytest.mark.parametrize(
    ("turnover", "standing"),
    [(0.0, (10, 9.8, 9.8)), (0.5, (17.5, 16.820833, 15.594825)), (1.0, (25, 23.559524, 20.125191))],
)
def test_worked_example_of_a_buy_of_forty_coins(turnover: float, standing: tuple[float, ...]):
    found = shares(WORKED_INTEREST, WORKED_VOLUME, turnover=turnover)
    assert [40 * weight(found, 0, until) for until in range(3)] == pytest.approx(standing, abs=1e-6)


intervals = st.integers(1, 30)
turnovers = st.sampled_from([0.0, 0.5, 1.0])


@st.composite
def markets(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """Draw volumes, and open interest that no interval changes by more than its volume."""
    volume = draw(st.lists(st.integers(0, 1000).map(float), min_size=1, max_size=20))
    parts = draw(st.lists(st.integers(-16, 16), min_size=len(volume), max_size=len(volume)))
    change = np.array(parts) / 16 * np.array(volume)
    start = draw(st.integers(0, 1000)) + sum(volume)
    return (start + np.r_[0.0, np.cumsum(change)]).tolist(), volume


@given(markets(), turnovers, st.integers(0, 2**32 - 1))
def test_weights_are_shares_and_one_side_never_stands_above_open_interest(
    market: tuple[list[float], list[float]], turnover: float, seed: int
):
    interest, volume = market
    found = shares(interest, volume, turnover=turnover)
    side = np.random.default_rng(seed).random(len(volume)) * np.array(volume)  # at most all of the volume
    for until in range(len(volume)):
        each = [weight(found, interval, until) for interval in range(until + 1)]
        assert all(0 <= one <= 1 for one in each)
        assert side[: until + 1] @ np.array(each) <= interest[until + 1] * (1 + 1e-9) + 1e-6


@given(markets(), turnovers, st.sampled_from([0.01, 3.0, 1000.0]))
def test_weights_do_not_depend_on_the_unit_of_sizes(
    market: tuple[list[float], list[float]], turnover: float, scale: float
):
    interest, volume = market
    one = shares(interest, volume, turnover=turnover)
    other = shares([scale * each for each in interest], [scale * each for each in volume], turnover=turnover)
    np.testing.assert_allclose(one.opened, other.opened, atol=1e-6)
    np.testing.assert_allclose(one.closing, other.closing, atol=1e-6)


def test_constant_open_interest_opens_nothing():
    assert not shares([500.0] * 4, [10.0, 20.0, 30.0]).opened.any()


def test_growth_by_all_of_the_volume_opens_every_trade_whole():
    assert shares([500.0, 600.0], [100.0]).opened.tolist() == [1.0]


def test_change_beyond_the_volume_is_cut_to_it_and_counted():
    found = shares([500.0, 700.0, 650.0], [100.0, 80.0])
    assert (found.opened.tolist(), found.unfit, found.judged) == ([1.0, 0.0], 1, 2)


@pytest.mark.parametrize("cut", range(15))
def test_window_that_cuts_a_step_finds_no_change_beyond_the_volume_where_no_step_has_one(cut: int):
    # One trade in five minutes, all of which it opened: a part of them has the change, but not the trade.
    window = TimeWindow(START + timedelta(minutes=cut), START + timedelta(minutes=cut + 60))
    starts = range(window.start_ms - 15 * 60_000 - cut * 60_000, window.end_ms, KIND.step_ms)
    interest = Series.of(KIND, starts, [(100.0 + place,) for place in range(len(starts))])
    trades = [each + 120_000 for each in starts if window.start_ms <= each + 120_000 < window.end_ms]
    volume = Volume(np.array(trades), np.ones(len(trades)))
    found = open_shares(window, interest, volume, covered=[window], turnover=0.0)
    assert found.unfit == 0
    assert found.judged >= 3


def test_full_turnover_of_a_large_volume_opens_half_and_closes_fast():
    found = shares([100.0, 100.0, 100.0], [1e6, 100.0], turnover=1.0)
    assert found.opened[0] == pytest.approx(0.5)
    assert found.closing.tolist() == [1.0, 0.5]
    assert weight(found, 0, 1) == pytest.approx(0.25)


def test_everything_closed_leaves_nothing_of_before_and_all_of_after():
    found = shares([100.0, 0.0, 50.0], [200.0, 100.0])
    assert found.closing.tolist() == [1.0, 0.0]
    assert found.kept(np.array([-1, 0]), np.array([1, 1])).tolist() == [0.0, 1.0]


def test_single_missing_value_is_interpolated_and_a_long_gap_ends_what_is_known():
    window = TimeWindow(START, START + timedelta(hours=4))
    starts = range(window.start_ms - KIND.step_ms, window.end_ms, KIND.step_ms)
    times = [each for each in starts if each % 1_800_000]  # one of six is missing
    whole = Series.of(KIND, times, [(float(each - starts[0]),) for each in times])
    volume = Volume(np.array([window.start_ms]), np.array([1e12]))
    found = open_shares(window, whole, volume, covered=[window], turnover=0)
    assert np.diff(found.interest) == pytest.approx(GRID_MS)
    later = whole.within(TimeWindow(START + timedelta(hours=2), window.end))
    part = open_shares(window, later, volume, covered=[window], turnover=0)
    assert part.known_from_ms == window.start_ms + 2 * 3_600_000 + 600_000
    assert not part.opened[:8].any()
    assert part.judged == 7


@pytest.mark.parametrize(("late_minutes", "known_minutes"), [(0, 240), (15, 240), (20, 220), (55, 185)])
@pytest.mark.parametrize("turnover", [0.0, 1.0])
def test_trades_of_after_the_last_value_are_left_out_where_it_is_older_than_exchanges_publish(
    late_minutes: int, known_minutes: int, turnover: float
):
    window = TimeWindow(START, START + timedelta(hours=4))
    starts = range(window.start_ms - KIND.step_ms, window.end_ms - late_minutes * 60_000, KIND.step_ms)
    interest = Series.of(KIND, starts, [(1e6 + each - starts[0],) for each in starts])
    minutes = np.arange(window.start_ms, window.end_ms, 60_000)
    volume = Volume(minutes, np.full(len(minutes), 1e9))
    found = open_shares(window, interest, volume, covered=[window], turnover=turnover)
    assert found.known_until_ms == window.start_ms + known_minutes * 60_000
    known = -(-known_minutes // 15)
    assert found.judged == known
    assert not found.opened[known:].any()
    assert not found.closing[known:].any()
    assert found.opened[: known - 1].all()


@pytest.mark.parametrize(
    ("values", "traded", "at_end"),
    [
        ([90, 100, 110, 120, 120, 150], True, 135),  # what is repeated between two changes is interpolated
        ([90, 100, 110, 120, 120, 150], False, 120),  # without trades nothing could change
        ([90, 120, 120, 120, 120, 150], True, 120),  # what stays for longer stands still
        ([90, 100, 110, 120, 120], True, 120),  # nothing follows the last
    ],
)
def test_open_interest_that_an_exchange_repeats_hides_no_change(
    values: list[float], traded: bool, at_end: float
):
    window = TimeWindow(START, START + timedelta(minutes=15))
    starts = window.start_ms + KIND.step_ms * np.arange(-2, len(values) - 2)
    minutes = np.arange(window.start_ms, window.end_ms, 60_000) if traded else np.empty(0, np.int64)
    volume = Volume(minutes, np.full(len(minutes), 1e6))
    interest = Series.of(KIND, starts.tolist(), [(each,) for each in values])
    found = open_shares(window, interest, volume, covered=[window], turnover=0)
    assert found.interest.tolist() == pytest.approx([values[1], at_end])


@pytest.mark.parametrize(
    ("lost", "kept"), [((60, 180), 0.9), ((60, 165), 0.9), ((1, 14), 0.9), ((0, 0), 0.9)]
)
def test_gap_of_trades_hides_no_change_of_open_interest(lost: tuple[int, int], kept: float):
    kind, start = SeriesKind.OPEN_INTEREST, datetime(2026, 10, 1, tzinfo=UTC)
    window = TimeWindow(start, start + timedelta(hours=4))
    # It grows by 15 in the first hour, falls by a tenth in the next two, and then stands still.
    hour = np.arange(-1, 48) * 5 / 60 + 5 / 60
    value = np.interp(hour, [0, 1, 3, 4], [1000.0, 1015, 0.9 * 1015, 0.9 * 1015])
    starts = [window.start_ms + place * kind.step_ms for place in range(-1, 48)]
    interest = Series.of(kind, starts, [(each,) for each in value])
    minutes = np.arange(240)
    there = (minutes < lost[0]) | (minutes >= lost[1])
    volume = Volume(window.start_ms + minutes[there] * 60_000, np.full(there.sum(), 10.0))
    parts = [(0, lost[0]), (lost[1], 240)]
    covered = [
        TimeWindow(start + timedelta(minutes=first), start + timedelta(minutes=end))
        for first, end in parts
        if first < end
    ]
    found = open_shares(window, interest, volume, covered=covered, turnover=0.0)
    assert found.kept(np.array([3]), np.array([15])) == pytest.approx(kept)
    assert found.opened[:4] == pytest.approx([0.025] * 4)
    assert found.unfit == 0
