from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from liqmap.net.attempts import TransientError
from liqmap.net.pace import Pace, ended_by, overdue
from liqmap.simulator import SimulatedClock

START = datetime(2023, 8, 3, tzinfo=UTC)


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START)


async def test_block_past_its_time_ends_with_the_error(clock: SimulatedClock):
    late = TransientError("too late")

    async def wait() -> None:
        async with ended_by(overdue(late, after=60, sleep=clock.sleep)):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await clock.advance(59.9)
    assert not task.done()
    await clock.advance(0.1)
    with pytest.raises(TransientError, match="too late"):
        await task


async def test_block_that_ends_in_time_is_not_disturbed_afterwards(clock: SimulatedClock):
    async with ended_by(overdue(TransientError("too late"), after=60, sleep=clock.sleep)):
        await asyncio.sleep(0)
    await clock.advance(120)


async def test_block_that_ends_with_the_watch_is_not_disturbed(clock: SimulatedClock):
    async with ended_by(overdue(TransientError("too late"), after=0, sleep=clock.sleep)):
        for _ in range(2):  # by now the watch is over, and its callback is due
            await asyncio.sleep(0)


async def test_block_s_own_errors_and_cancellation_pass_through(clock: SimulatedClock):
    with pytest.raises(TimeoutError, match="mine"):
        async with ended_by(overdue(TransientError("too late"), after=60, sleep=clock.sleep)):
            raise TimeoutError("mine")

    async def wait() -> None:
        async with ended_by(overdue(TransientError("too late"), after=60, sleep=clock.sleep)):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("arriving", "periods"), [((300, 299), 2), ((299,), 1), ((300, 400, 0), 3)])
async def test_pace_below_the_least_is_an_error_after_that_period(
    clock: SimulatedClock, arriving: tuple[int, ...], periods: int
):
    pace = Pace(least=10, period=30, sleep=clock.sleep)
    task = asyncio.create_task(pace.too_slow("example.org"))
    for size in arriving:
        assert not task.done()
        await asyncio.sleep(0)
        pace.count(size)
        await clock.advance(30)
    assert task.done()
    assert str(task.result()) == "example.org sends too slowly; try again in a few minutes."
    assert (clock.now() - START).total_seconds() == 30 * periods
