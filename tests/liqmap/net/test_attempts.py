from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from liqmap.net.attempts import date_of, retry_after


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("120", 120.0), ("", None), ("soon", None), ("-5", None)]
)
def test_retry_after_in_seconds_is_taken_as_it_stands(text: str, seconds: float | None):
    assert retry_after({"Retry-After": text}) == seconds


def test_retry_after_as_a_date_counts_from_the_server_s_own_time():
    date = "Tue, 01 Aug 2023 06:00:00 GMT"
    assert retry_after({"Retry-After": date, "Date": "Tue, 01 Aug 2023 05:58:30 GMT"}) == 90
    assert retry_after({"Retry-After": date, "Date": "Tue, 01 Aug 2023 06:58:30 GMT"}) == 0


def test_retry_after_as_a_date_counts_from_now_without_a_server_date():
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    assert retry_after({"Retry-After": in_an_hour}) == pytest.approx(3600, abs=60)
    assert retry_after({"Retry-After": "Tue, 01 Aug 2023 06:00:00 GMT"}) == 0
    assert retry_after({"Retry-After": "Tue, 01 Aug 2023 06:00:00 -0000"}) is None


@pytest.mark.parametrize("date", ["", "Mon, 01 Jan 0001 00:00:00 GMT", "Tue, 01 Aug 2023 06:00:00 GMT"])
@pytest.mark.parametrize(
    "text", ["999999999", "Fri, 31 Dec 2199 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"]
)
def test_retry_after_of_years_closes_nothing_for_longer_than_the_longest_ban(text: str, date: str):
    assert (retry_after({"Retry-After": text, "Date": date}) or 0) <= 3 * 86_400


@pytest.mark.parametrize("year", [1970, 2200, 9999])
def test_date_at_an_end_of_the_calendar_is_none(year: int):
    assert date_of(f"Mon, 01 Jan {year:04d} 00:00:00 GMT") is None


def test_retry_after_with_an_impossible_zone_is_ignored():
    assert retry_after({"Retry-After": "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"}) is None
