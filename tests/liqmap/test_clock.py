from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.clock import TOLERATED, ExchangeClock

START = datetime(2023, 8, 3, 12, 0, 0, 400_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Machine:
    """This machine's clock, `ahead` of the exchange's, whose time is `true`."""

    def __init__(self, ahead: timedelta = timedelta()) -> None:
        self.true = START
        self.ahead = ahead

    def now(self) -> datetime:
        return self.true + self.ahead

    async def sleep(self, seconds: float, /) -> None:
        self.true += timedelta(seconds=seconds)

    def ask(self, clock: ExchangeClock, *, there: timedelta, back: timedelta, exact_to: timedelta) -> None:
        """Ask the exchange for its time, with the question and the answer so long on their ways."""
        sent = self.now()
        self.true += there
        shown = self.true - (self.true - datetime.min.replace(tzinfo=UTC)) % exact_to
        self.true += back
        clock.learn(shown, exact_to=exact_to, sent=sent)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_time_is_the_machine_s_until_the_exchange_has_shown_its_own(machine: Machine):
    clock = ExchangeClock(machine)
    assert clock.now() == machine.now()
    assert not clock.is_known
    assert clock.machine_ahead is None


@given(
    ahead=st.timedeltas(timedelta(days=-400), timedelta(days=400)),
    trips=st.lists(st.tuples(*[st.timedeltas(timedelta(), 3 * SECOND)] * 2), min_size=1, max_size=12),
    exact_to=st.sampled_from([SECOND, timedelta(milliseconds=1)]),
    step=st.timedeltas(timedelta(), 30 * SECOND),
)
def test_clock_is_never_ahead_of_the_exchange_and_behind_by_at_most_a_round_trip(
    ahead: timedelta, trips: list[tuple[timedelta, timedelta]], exact_to: timedelta, step: timedelta
):
    machine = Machine(ahead)
    clock = ExchangeClock(machine)
    for there, back in trips:
        machine.ask(clock, there=there, back=back, exact_to=exact_to)
        assert machine.true - back - exact_to <= clock.now() <= machine.true
        machine.true += step
    assert clock.machine_ahead is not None
    assert abs(clock.machine_ahead - ahead) <= (max(map(sum_of, trips)) + exact_to) / 2


def sum_of(trip: tuple[timedelta, timedelta]) -> timedelta:
    return trip[0] + trip[1]


@pytest.mark.parametrize("seconds", [-3600, -25, -5, 5, 25, 3600])
def test_machine_s_clock_may_be_set_at_any_time(machine: Machine, seconds: int):
    clock = ExchangeClock(machine)
    for _ in range(10):
        machine.ask(clock, there=SECOND / 10, back=SECOND / 10, exact_to=SECOND)
    machine.ahead += timedelta(seconds=seconds)
    machine.ask(clock, there=SECOND / 10, back=SECOND / 10, exact_to=SECOND)
    assert machine.true - 1.2 * SECOND <= clock.now() <= machine.true


def test_clock_set_back_during_a_request_changes_no_bounds(machine: Machine):
    clock = ExchangeClock(machine)
    sent = machine.now()
    machine.ahead -= timedelta(hours=1)
    clock.learn(machine.true, exact_to=SECOND, sent=sent)
    assert not clock.is_known


@pytest.mark.parametrize("ahead", [-25, 25])
def test_messages_alone_show_the_time(ahead: int):
    machine = Machine(timedelta(seconds=ahead))
    clock = ExchangeClock(machine)
    for lag in (0.3, 0.1, 0.7):
        clock.learn_at_least(machine.true - timedelta(seconds=lag))
        machine.true += SECOND
    assert machine.true - clock.now() == SECOND / 10
    assert clock.machine_ahead is None  # they may all have been late


def test_message_of_another_time_does_not_put_the_clock_ahead_of_an_answer(machine: Machine):
    clock = ExchangeClock(machine)
    machine.ask(clock, there=SECOND / 10, back=SECOND / 10, exact_to=SECOND / 1000)
    clock.learn_at_least(machine.true + timedelta(minutes=9))
    assert clock.now() <= machine.true + SECOND / 10 + SECOND / 1000


def test_old_message_no_longer_counts_once_the_machine_s_clock_was_set(machine: Machine):
    clock = ExchangeClock(machine)
    clock.learn_at_least(machine.true)
    machine.ahead += timedelta(seconds=25)
    machine.true += timedelta(minutes=2)
    clock.learn_at_least(machine.true)
    assert clock.now() == machine.true


@pytest.mark.parametrize(
    ("ahead", "reported"), [(0, False), (1.9, False), (-1.9, False), (2.2, True), (-2.2, True), (25, True)]
)
def test_machine_that_is_certainly_off_by_more_than_is_tolerated_is_reported(ahead: float, *, reported: bool):
    found: list[timedelta] = []
    machine = Machine(timedelta(seconds=ahead))
    clock = ExchangeClock(machine, on_off=found.append)
    machine.ask(clock, there=SECOND / 20, back=SECOND / 20, exact_to=SECOND / 1000)
    assert bool(found) == reported
    assert all(abs(each.total_seconds() - ahead) < 0.1 for each in found)
    assert timedelta(seconds=2) == TOLERATED


def test_slow_answer_does_not_prove_that_the_clock_is_off(machine: Machine):
    found: list[timedelta] = []
    clock = ExchangeClock(machine, on_off=found.append)
    machine.ask(clock, there=20 * SECOND, back=20 * SECOND, exact_to=SECOND)
    clock.learn_at_least(machine.true - 30 * SECOND)
    assert found == []
