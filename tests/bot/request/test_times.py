from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.request.times import (
    EVERY_DAY,
    days_text,
    parse_days,
    parse_time_of_day,
    parse_time_zone,
    time_text,
    time_zones,
)
from liqmap.errors import RequestError


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        *(("08:00", "08:00"), ("8", "08:00"), ("8.30", "08:30"), ("0:05", "00:05"), (" 23:59 ", "23:59")),
        *(("8 pm", "20:00"), ("12am", "00:00"), ("12:30 PM", "12:30")),
    ],
)
def test_time_of_day_is_understood_forgivingly(typed: str, shown: str):
    assert time_text(parse_time_of_day(typed)) == shown


@pytest.mark.parametrize("typed", ["", "24:00", "8:60", "13 pm", "0 am", "noon", "8:0", "²:00", "8" * 999])
def test_what_is_no_time_of_day_is_one_sentence(typed: str):
    with pytest.raises(RequestError, match=r"is not a time of day; try 08:00\.$"):
        parse_time_of_day(typed)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        *(("mon-fri", "Mon–Fri"), ("Weekdays", "Mon–Fri"), ("sat,sun", "Sat, Sun"), ("weekend", "Sat, Sun")),
        *(("fri - mon", "Mon, Fri, Sat, Sun"), ("monday, Wed", "Mon, Wed"), ("daily", "Mon–Sun")),
        ("tue–thu", "Tue–Thu"),
    ],
)
def test_weekdays_are_understood_forgivingly(typed: str, shown: str):
    assert days_text(parse_days(typed)) == shown


@pytest.mark.parametrize("typed", ["", "someday", "mon-", "1-5", "mon-fri-sun", "mon," * 999, "²"])
def test_what_are_no_weekdays_is_one_sentence(typed: str):
    with pytest.raises(RequestError, match=r"are not weekdays; try mon-fri or sat,sun\.$"):
        parse_days(typed)


@given(st.sets(st.sampled_from(sorted(EVERY_DAY)), min_size=1))
def test_weekdays_that_are_shown_can_be_typed(days: set[int]):
    assert parse_days(days_text(frozenset(days))) == days


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        *(("Europe/Berlin", "Europe/Berlin"), ("berlin", "Europe/Berlin"), ("new york", "America/New_York")),
        *(("utc", "UTC"), ("Kolkata", "Asia/Kolkata"), ("buenos aires", "America/Argentina/Buenos_Aires")),
    ],
)
def test_time_zones_are_known_by_their_cities(typed: str, name: str):
    assert parse_time_zone(typed) == name


@pytest.mark.parametrize("typed", ["", "Atlantis", "../../etc/passwd", "x" * 6000])
def test_what_is_no_time_zone_is_one_sentence(typed: str):
    with pytest.raises(RequestError, match=r"is not known; try Europe/Berlin or UTC\.$"):
        parse_time_zone(typed)


def test_time_zones_fit_the_database():
    assert max(map(len, time_zones().values())) <= 40
