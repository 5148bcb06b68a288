from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.request.due import (
    DRAWN_AHEAD,
    INTERVALS,
    Schedule,
    drawn_after,
    jitter_of,
    next_post,
    parse_interval,
)
from bot.request.times import EVERY_DAY
from liqmap.errors import RequestError

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EVERY = st.sampled_from(list(INTERVALS.values()))
MOMENTS = st.timedeltas(timedelta(), timedelta(days=7000)).map(
    lambda since: datetime(2020, 1, 1, tzinfo=UTC) + since
)
# Half hours, changes of half an hour (Lord Howe) and at midnight (Santiago), and no changes at all.
ZONES = (
    *("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Santiago"),
    *("Asia/Tokyo", "UTC"),
)
CHANGES = [datetime(2026, *day, tzinfo=UTC) for day in ((3, 29), (10, 25), (4, 5), (9, 6))]


def berlin(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)  # type: ignore[arg-type, misc]


def times(schedule: Schedule, start: datetime, end: datetime) -> list[datetime]:
    """Return the due times after `start` until `end`."""
    found, moment = [], schedule.due_after(start)
    while moment <= end:
        found.append(moment)
        moment = schedule.due_after(moment)
    return found


@given(MOMENTS, EVERY)
def test_due_times_are_those_that_a_clock_shows(moment: datetime, every: timedelta):
    due = Schedule(every).due_before(moment)
    midnight = due.replace(hour=0, minute=0, second=0, microsecond=0)
    assert due <= moment < due + every
    assert (due - midnight) % every == timedelta()


@given(MOMENTS, EVERY, st.integers(1, 10**6), st.floats(0, 300))
def test_next_post_is_ahead_by_no_more_than_the_interval(
    now: datetime, every: timedelta, number: int, jitter: float
):
    ahead = next_post(number, Schedule(every), now=now, jitter=jitter) - now
    assert timedelta() < ahead <= every


def walked(schedule: Schedule, start: datetime, minutes: int) -> list[datetime]:
    """Return the due times as somebody sees them who looks at the zone's clock once a minute."""
    zone, found = ZoneInfo(schedule.timezone), []
    before = (start - MINUTE).astimezone(zone).replace(tzinfo=None)
    for moment in (start + MINUTE * place for place in range(minutes)):
        shown = moment.astimezone(zone)
        now = shown.replace(tzinfo=None)
        skipped = (now - before) // MINUTE - 1  # minutes that the clock never showed
        due = (now - MINUTE * back for back in range(max(skipped, 0) + 1))
        for each in due:
            since = each - datetime.combine(each, datetime.min.time()) - schedule.at
            if (
                each.weekday() in schedule.days
                and since >= timedelta()
                and since % schedule.every == timedelta()
            ):
                late = timedelta() if each == now else each - before - MINUTE
                if shown.fold == 0 or schedule.every <= HOUR:
                    found.append(moment + late)
        before = now
    return sorted({each for each in found if each < start + MINUTE * minutes})


@given(
    st.sampled_from(CHANGES),
    st.integers(-60 * 24, 60 * 24),
    EVERY,
    st.integers(0, 24 * 4 - 1),
    st.sets(st.sampled_from(sorted(EVERY_DAY)), min_size=1),
    st.sampled_from(ZONES),
)
def test_due_times_are_what_the_zone_s_clock_shows(
    change: datetime, off: int, every: timedelta, quarter: int, days: set[int], zone: str
):
    start = change + MINUTE * off
    schedule = Schedule(every, MINUTE * 15 * quarter, frozenset(days), zone)
    expected = walked(schedule, start, 60 * 36)
    assert times(schedule, start - MINUTE, start + HOUR * 36 - MINUTE) == expected
    for each in expected:
        assert schedule.due_before(each) == schedule.due_from(each) == each


@pytest.mark.parametrize(
    ("schedule", "start", "end", "expected"),
    [
        # The clock goes from 02:00 to 03:00: 02:30 does not exist, and comes at 03:30, once.
        (
            Schedule(DAY, timedelta(hours=2, minutes=30), timezone="Europe/Berlin"),
            berlin(2026, 3, 28, 12),
            berlin(2026, 3, 30, 12),
            [berlin(2026, 3, 29, 3, 30), berlin(2026, 3, 30, 2, 30)],
        ),
        # The clock goes from 03:00 to 02:00: 02:30 exists twice, and the first counts.
        (
            Schedule(DAY, timedelta(hours=2, minutes=30), timezone="Europe/Berlin"),
            berlin(2026, 10, 24, 12),
            berlin(2026, 10, 26, 12),
            [datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 26, 1, 30, tzinfo=UTC)],
        ),
        # Every hour goes on through the hour that comes twice.
        (
            Schedule(HOUR, timezone="Europe/Berlin"),
            berlin(2026, 10, 25, 1),
            berlin(2026, 10, 25, 4),
            [datetime(2026, 10, 25, hour, tzinfo=UTC) for hour in range(4)],
        ),
        (
            Schedule(DAY, timedelta(hours=8), frozenset(range(5)), "Asia/Kolkata"),
            datetime(2026, 1, 1, 12, tzinfo=UTC),
            datetime(2026, 1, 6, tzinfo=UTC),
            [datetime(2026, 1, day, 2, 30, tzinfo=UTC) for day in (2, 5)],
        ),
    ],
)
def test_changes_of_clocks_and_weekends_neither_lose_nor_double(
    schedule: Schedule, start: datetime, end: datetime, expected: list[datetime]
):
    assert times(schedule, start, end) == expected


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (Schedule(HOUR), "every 1h"),
        (Schedule(DAY, 8 * HOUR), "every 1d at 08:00"),
        (Schedule(6 * HOUR, 8 * HOUR), "every 6h from 02:00"),
        (Schedule(DAY, timezone="Asia/Tokyo"), "every 1d at 00:00 (Asia/Tokyo)"),
        (
            Schedule(DAY, 8 * HOUR, frozenset(range(5)), "Europe/Berlin"),
            "every 1d at 08:00 on Mon–Fri (Europe/Berlin)",
        ),
    ],
)
def test_schedule_says_when_it_is_due(schedule: Schedule, text: str):
    assert str(schedule) == text


def test_schedules_that_are_due_at_the_same_times_are_equal():
    assert Schedule(6 * HOUR, 8 * HOUR) == Schedule(6 * HOUR, 2 * HOUR)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "x" * 40])
def test_zone_that_is_not_known_is_one_sentence(zone: str):
    with pytest.raises(RequestError, match=r"^The time zone .* is not known here; choose another\.$"):
        Schedule(DAY, timezone=zone)


def test_schedule_without_weekdays_is_refused():
    with pytest.raises(RequestError, match="has no weekdays"):
        Schedule(DAY, days=frozenset())


def test_jitter_is_spread_and_always_the_same():
    found = [jitter_of(number, 20).total_seconds() for number in range(1, 1001)]
    assert found == [jitter_of(number, 20).total_seconds() for number in range(1, 1001)]
    assert all(0 <= each <= 20 for each in found)
    assert len({int(each) for each in found[:20]}) > 10
    assert jitter_of(7, 0) == timedelta()


@given(st.integers(1, 10**9), st.floats(0, 300))
def test_post_is_drawn_shortly_before_it_is_sent_and_never_before_its_window_ends(number: int, most: float):
    drawn, sent = drawn_after(number, most), jitter_of(number, most)
    assert timedelta() <= drawn <= sent
    assert sent - drawn == min(sent, DRAWN_AHEAD)


def test_intervals_are_known_by_their_names():
    assert parse_interval(" 1H ") == timedelta(hours=1)
    with pytest.raises(RequestError, match=r"^Posts come every 15m, .* 1d; try 1h\.$"):
        parse_interval("7m")
