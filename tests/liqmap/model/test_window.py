from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.model.window import DAY, HOUR, TimeWindow, at_ms, merged, missing, split_at

MIDNIGHT = datetime(2026, 10, 4, tzinfo=UTC)


def span(start: int, end: int) -> TimeWindow:
    """Return the window between two numbers of seconds after midnight."""
    return TimeWindow(MIDNIGHT + timedelta(seconds=start), MIDNIGHT + timedelta(seconds=end))


def seconds_of(windows: list[TimeWindow]) -> list[int]:
    """Return every second that the windows hold, in their order, as often as they hold it."""
    first = int(MIDNIGHT.timestamp())
    return [s - first for each in windows for s in range(each.start_ms // 1000, each.end_ms // 1000)]


spans = st.tuples(st.integers(0, 40), st.integers(1, 15)).map(lambda pair: span(pair[0], sum(pair)))


@pytest.mark.parametrize(
    ("windows", "union"),
    [
        ([], []),
        ([(5, 9)], [(5, 9)]),
        ([(20, 30), (0, 10)], [(0, 10), (20, 30)]),
        ([(0, 10), (10, 20)], [(0, 20)]),  # they touch
        ([(0, 10), (5, 20)], [(0, 20)]),
        ([(0, 30), (5, 10), (12, 20)], [(0, 30)]),  # the longest does not end last in order of start
        ([(0, 10), (0, 10)], [(0, 10)]),
    ],
)
def test_merged_windows_are_their_union(windows: list[tuple[int, int]], union: list[tuple[int, int]]):
    assert merged(span(*each) for each in windows) == [span(*each) for each in union]


@pytest.mark.parametrize(
    ("covered", "holes"),
    [
        ([], [(10, 20)]),
        ([(10, 20)], []),
        ([(0, 30)], []),
        ([(0, 10)], [(10, 20)]),  # only touches
        ([(20, 30)], [(10, 20)]),
        ([(0, 12), (18, 30)], [(12, 18)]),
        ([(15, 16)], [(10, 15), (16, 20)]),
        ([(0, 11), (5, 12), (14, 15), (13, 14)], [(12, 13), (15, 20)]),
        ([(0, 1), (100, 101)], [(10, 20)]),
    ],
)
def test_missing_is_what_no_window_covers(covered: list[tuple[int, int]], holes: list[tuple[int, int]]):
    assert missing(span(10, 20), [span(*each) for each in covered]) == [span(*each) for each in holes]


@given(st.lists(spans, max_size=8))
def test_merged_windows_hold_the_same_seconds_each_once_and_never_touch(windows: list[TimeWindow]):
    union = merged(windows)
    assert seconds_of(union) == sorted(set(seconds_of(windows)))
    assert all(one.end < other.start for one, other in pairwise(union))


@given(spans, st.lists(spans, max_size=8))
def test_missing_and_covered_make_up_the_window(window: TimeWindow, covered: list[TimeWindow]):
    holes = missing(window, covered)
    assert seconds_of(holes) == sorted(set(seconds_of([window])) - set(seconds_of(covered)))


@pytest.mark.parametrize(
    ("window", "parts"),
    [
        ((0, 3600), [(0, 3600)]),
        ((0, 3601), [(0, 3600), (3600, 3601)]),
        ((3599, 7201), [(3599, 3600), (3600, 7200), (7200, 7201)]),
        ((86_399, 86_401), [(86_399, 86_400), (86_400, 86_401)]),
        ((60, 120), [(60, 120)]),
    ],
)
def test_split_cuts_at_whole_hours(window: tuple[int, int], parts: list[tuple[int, int]]):
    assert split_at(span(*window), HOUR) == [span(*each) for each in parts]


def test_split_by_day_cuts_at_midnight():
    assert split_at(span(-10, 86_410), DAY) == [span(-10, 0), span(0, 86_400), span(86_400, 86_410)]


@given(st.integers(-100_000, 100_000), st.integers(1, 200_000), st.sampled_from([HOUR, DAY, HOUR / 60]))
def test_split_parts_follow_each_other_and_cross_no_multiple(start: int, length: int, step: timedelta):
    parts = split_at(span(start, start + min(length, 20_000)), step)
    assert (parts[0].start, parts[-1].end) == (
        span(start, start + 1).start,
        span(start, start + min(length, 20_000)).end,
    )
    assert all(one.end == other.start for one, other in pairwise(parts))
    assert all(
        (part.start_ms // 1000) // step.total_seconds() == (part.end_ms // 1000 - 1) // step.total_seconds()
        for part in parts
    )


@given(st.integers(0, 4_102_444_800_000))
def test_moment_of_milliseconds_is_exact(milliseconds: int):
    moment = at_ms(milliseconds)
    assert moment.tzinfo is UTC
    assert (moment - at_ms(0)) / timedelta(milliseconds=1) == milliseconds
