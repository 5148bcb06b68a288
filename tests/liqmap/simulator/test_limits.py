from datetime import UTC, datetime

from liqmap.simulator import SimulatedClock
from liqmap.simulator.limits import Charge, WeightLimit

START = datetime(2023, 8, 1, 12, 0, 30, tzinfo=UTC)


async def test_weight_is_counted_by_the_clock_s_minute():
    clock = SimulatedClock(START)
    budget = WeightLimit(clock, 50)
    assert [budget.charge(20) for _ in range(2)] == [Charge(20), Charge(40)]
    assert budget.charge(20) == Charge(60, 429, 30)
    await clock.advance(10.5)
    assert budget.charge(1) == Charge(61, 429, 20)
    await clock.advance(19.5)
    assert budget.charge(20) == Charge(20)


async def test_persisting_is_answered_with_a_ban_that_ends():
    clock = SimulatedClock(START)
    budget = WeightLimit(clock, 20)
    budget.charge(20)
    assert {budget.charge(1).refusal for _ in range(11)} == {429}
    assert budget.charge(1) == Charge(32, 418, 120)
    await clock.advance(119)  # two minutes on, there would be weight again
    assert budget.charge(1) == Charge(1, 418, 1)
    await clock.advance(1)
    assert budget.charge(1) == Charge(2)
