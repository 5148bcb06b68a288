from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from liqmap.net.budget import WeightBudget
from liqmap.simulator import SimulatedClock
from tests.liqmap.market_time import driven

START = datetime(2023, 8, 3, 12, tzinfo=UTC)


def always() -> bool:
    return True


async def test_patient_requests_leave_half_of_each_minute_to_others():
    clock = SimulatedClock(START)
    budget = WeightBudget(100, clock=clock)
    for _ in range(5):
        await budget.spend(10, is_patient=always)
    sixth = asyncio.create_task(budget.spend(10, is_patient=always))
    await clock.advance(30)
    assert not sixth.done()
    for _ in range(5):
        assert await budget.spend(10) == START  # at once
    await clock.advance(31)
    assert sixth.done()


async def test_patient_request_waits_until_nobody_hurries():
    clock = SimulatedClock(START)
    budget = WeightBudget(100, clock=clock)
    with budget.hurry():
        patient = asyncio.create_task(budget.spend(1, is_patient=always))
        await clock.advance(300)
        assert not patient.done()
        assert await budget.spend(100) == datetime(2023, 8, 3, 12, 5, tzinfo=UTC)
    await driven(clock, patient)


async def test_request_that_becomes_urgent_waits_for_nobody():
    clock = SimulatedClock(START)
    budget, patient = WeightBudget(100, clock=clock), [True]
    with budget.hurry():
        waiting = asyncio.create_task(budget.spend(60, is_patient=lambda: patient[0]))
        await clock.advance(5)
        assert not waiting.done()
        patient[0] = False
        await clock.advance(1)
        assert waiting.done()
