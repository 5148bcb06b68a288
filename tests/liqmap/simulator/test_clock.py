import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from liqmap.simulator import SimulatedClock

START = datetime(2023, 8, 1, 12, tzinfo=UTC)


async def test_clock_stands_still_until_it_is_advanced():
    clock = SimulatedClock(START)
    assert clock.now() == START
    await clock.advance(0.25)
    assert clock.now() == START + timedelta(seconds=0.25)


async def test_sleepers_wake_in_order_of_due_time_at_their_due_time():
    clock = SimulatedClock(START)
    woken = []

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, (clock.now() - START).total_seconds()))

    async with asyncio.TaskGroup() as tasks:
        for seconds in (3, 1, 2, 1.5, 9):
            tasks.create_task(sleep(seconds))
        await clock.advance(3)
        assert woken == [(1, 1), (1.5, 1.5), (2, 2), (3, 3)]
        assert clock.now() == START + timedelta(seconds=3)
        await clock.advance(6)
    assert woken[-1] == (9, 9)


async def test_sleepers_that_sleep_again_are_woken_again_within_one_advance():
    clock = SimulatedClock(START)
    woken = []

    async def tick() -> None:
        while True:
            await clock.sleep(0.1)
            await asyncio.sleep(0)  # news may travel through several tasks
            woken.append(clock.now())

    task = asyncio.create_task(tick())
    await clock.advance(1)
    assert woken == [START + timedelta(seconds=n / 10) for n in range(1, 11)]
    task.cancel()


async def test_cancelled_sleepers_vanish():
    clock = SimulatedClock(START)
    task = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    task.cancel()
    await clock.advance(2)
    assert task.cancelled()
    assert clock.now() == START + timedelta(seconds=2)


async def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="go back"):
        await SimulatedClock(START).advance(-1)


@pytest.mark.parametrize("seconds", [0, -1])
async def test_sleep_of_nothing_only_yields(seconds: float):
    clock = SimulatedClock(START)
    await clock.sleep(seconds)
    assert clock.now() == START


async def test_shortest_sleeps_do_not_hold_time_up():
    clock = SimulatedClock(START)

    async def spin() -> None:
        for _ in range(3):
            await clock.sleep(1e-9)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(spin())
        await clock.advance(1e-5)
    assert clock.now() == START + timedelta(microseconds=10)


@pytest.mark.parametrize(
    "start", [START.replace(tzinfo=None), START.astimezone(timezone(timedelta(hours=1)))]
)
def test_start_outside_utc_is_refused(start: datetime):
    with pytest.raises(ValueError, match="in UTC"):
        SimulatedClock(start)
