from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from liqmap.live.complaints import Complaints
from liqmap.simulator import SimulatedClock

START = datetime(2023, 8, 3, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START)


@pytest.fixture
def complaints(clock: SimulatedClock) -> Complaints:
    return Complaints(logging.getLogger("complaints"), clock)


async def test_problems_are_logged_once_a_minute_with_a_count(
    complaints: Complaints, clock: SimulatedClock, caplog: pytest.LogCaptureFixture
):
    for second in range(150):
        complaints.note("Bybit's messages", f"problem {second}")
        if second % 10 == 0:
            complaints.flush()
        await clock.advance(1)
    assert caplog.messages == [
        "Bybit's messages: problem 0",
        "Bybit's messages: problem 60; 59 more since 12:00:00",
        "Bybit's messages: problem 120; 59 more since 12:01:00",
    ]


async def test_last_problems_are_counted_even_if_none_follows(
    complaints: Complaints, clock: SimulatedClock, caplog: pytest.LogCaptureFixture
):
    for _ in range(4):
        complaints.note("Bybit's messages", "nonsense")
    complaints.flush()
    assert len(caplog.messages) == 1
    await clock.advance(60)
    for _ in range(3):
        complaints.flush()
    assert caplog.messages[1:] == ["Bybit's messages: 3 more since 12:00:00"]


async def test_subjects_are_counted_separately(complaints: Complaints, caplog: pytest.LogCaptureFixture):
    for subject in ("Binance's messages", "Bybit's messages") * 3:
        complaints.note(subject, "nonsense")
    assert caplog.messages == ["Binance's messages: nonsense", "Bybit's messages: nonsense"]


def test_clock_that_is_set_back_silences_nothing(caplog: pytest.LogCaptureFixture):
    clock = SimulatedClock(START)
    complaints = Complaints(logging.getLogger("complaints"), clock)
    complaints.note("Bybit's messages", "nonsense")
    clock._now -= timedelta(hours=5)
    complaints.note("Bybit's messages", "nonsense")
    assert len(caplog.messages) == 2
