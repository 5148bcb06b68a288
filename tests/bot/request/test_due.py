from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.request.due import INTERVALS, due_before, interval_text, jitter_of, next_post, parse_interval
from liqmap.errors import RequestError

MOMENTS = st.timedeltas(timedelta(), timedelta(days=7000)).map(
    lambda since: datetime(2020, 1, 1, tzinfo=UTC) + since
)


@given(MOMENTS, st.sampled_from(list(INTERVALS.values())))
def test_due_times_are_those_that_a_clock_shows(moment: datetime, every: timedelta):
    due = due_before(moment, every)
    midnight = due.replace(hour=0, minute=0, second=0, microsecond=0)
    assert due <= moment < due + every
    assert (due - midnight) % every == timedelta()


@given(MOMENTS, st.sampled_from(list(INTERVALS.values())), st.integers(1, 10**6), st.floats(0, 300))
def test_next_post_is_ahead_by_no_more_than_the_interval(
    now: datetime, every: timedelta, number: int, jitter: float
):
    ahead = next_post(number, every, now=now, jitter=jitter) - now
    assert timedelta() < ahead <= every


def test_jitter_is_spread_and_always_the_same():
    found = [jitter_of(number, 20).total_seconds() for number in range(1, 1001)]
    assert found == [jitter_of(number, 20).total_seconds() for number in range(1, 1001)]
    assert all(0 <= each <= 20 for each in found)
    assert len({int(each) for each in found[:20]}) > 10
    assert jitter_of(7, 0) == timedelta()


def test_intervals_are_known_by_their_names():
    assert parse_interval(" 1H ") == timedelta(hours=1)
    assert interval_text(timedelta(minutes=15)) == "15m"
    with pytest.raises(RequestError, match=r"^Posts come every 15m, .* 1d; try 1h\.$"):
        parse_interval("7m")
