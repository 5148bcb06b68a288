from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from bot.interaction.limits import Limits
from bot.settings import LimitsSettings
from liqmap.errors import RequestError

START = datetime(2026, 1, 1, tzinfo=UTC)


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = START
        self.back = timedelta()

    def now(self) -> datetime:
        return self.time - self.back

    def steady(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float, /) -> None:
        self.time += timedelta(seconds=seconds)


async def ask(limits: Limits, times: int, *, user: int = 1, guild: int | None = None) -> None:
    for _ in range(times):
        async with limits.counted(user, guild):
            pass


async def test_person_over_the_limit_a_minute_learns_when_to_retry():
    clock = Hand()
    limits = Limits(LimitsSettings(maps_per_user_a_minute=3), clock=clock)
    await ask(limits, 3)
    with pytest.raises(
        RequestError, match=r"^You have asked for 3 maps within a minute; try again <t:\d+:R>\.$"
    ):
        await ask(limits, 1)
    await ask(limits, 1, user=2)
    clock.time += timedelta(seconds=61)
    await ask(limits, 3)


async def test_server_has_a_limit_of_maps_a_minute():
    limits = Limits(LimitsSettings(maps_per_guild_a_minute=2), clock=Hand())
    await ask(limits, 1, user=1, guild=9)
    await ask(limits, 1, user=2, guild=9)
    with pytest.raises(RequestError, match="This server has asked for 2 maps"):
        await ask(limits, 1, user=3, guild=9)
    await ask(limits, 1, user=3, guild=8)
    await ask(limits, 1, user=4)


async def test_refusal_for_the_server_spends_nothing_of_the_person():
    limits = Limits(LimitsSettings(maps_per_user_a_minute=2, maps_per_guild_a_minute=1), clock=Hand())
    await ask(limits, 1, user=1, guild=9)
    for _ in range(3):
        with pytest.raises(RequestError, match="This server has asked"):
            await ask(limits, 1, user=2, guild=9)
    await ask(limits, 2, user=2, guild=None)


async def test_refusal_for_the_person_spends_nothing_of_the_server():
    limits = Limits(LimitsSettings(maps_per_user_a_minute=1, maps_per_guild_a_minute=2), clock=Hand())
    await ask(limits, 1, user=1, guild=9)
    for _ in range(3):
        with pytest.raises(RequestError, match="You have asked"):
            await ask(limits, 1, user=1, guild=9)
    await ask(limits, 1, user=2, guild=9)


async def test_maps_under_way_are_counted_while_they_are():
    limits = Limits(LimitsSettings(maps_per_user=1), clock=Hand())
    async with limits.counted(1, None):
        with pytest.raises(RequestError, match="1 maps under way"):
            await ask(limits, 1)
    await ask(limits, 1)


async def test_clock_that_is_set_back_keeps_nobody_waiting():
    clock = Hand()
    limits = Limits(LimitsSettings(maps_per_user_a_minute=1), clock=clock)
    await ask(limits, 1)
    clock.back = timedelta(hours=5)
    again = int(clock.now().timestamp()) + 61
    with pytest.raises(RequestError, match=f"try again <t:{again}:R>"):
        await ask(limits, 1)
    clock.time += timedelta(seconds=61)
    await ask(limits, 1)


async def test_maps_at_other_processes_count_too_and_their_refusal_costs_nothing():
    refusals: list[RequestError] = []

    @asynccontextmanager
    async def elsewhere(_: int) -> AsyncIterator[None]:
        if refusals:
            raise refusals.pop()
        yield

    settings = LimitsSettings(maps_per_user_a_minute=2, maps_per_guild_a_minute=2)
    limits = Limits(settings, clock=Hand(), places=elsewhere)
    await ask(limits, 1, guild=9)
    refusals.append(RequestError("You already have 2 maps under way."))
    with pytest.raises(RequestError, match="2 maps under way"):
        await ask(limits, 1, guild=9)
    await ask(limits, 1, guild=9)
    with pytest.raises(RequestError, match="You have asked for 2 maps"):
        await ask(limits, 1, guild=9)


async def test_refusal_elsewhere_that_takes_more_than_a_minute_is_still_that_refusal():
    clock = Hand()

    @asynccontextmanager
    async def elsewhere(user_id: int) -> AsyncIterator[None]:
        if user_id == 1:
            clock.time += timedelta(seconds=61)
            await ask(limits, 1, user=2, guild=9)
            raise RequestError("You already have 2 maps under way.")
        yield

    limits = Limits(LimitsSettings(), clock=clock, places=elsewhere)
    with pytest.raises(RequestError, match="2 maps under way"):
        await ask(limits, 1, guild=9)


async def test_maps_of_any_minute_are_counted_and_not_those_of_a_minute_of_the_clock():
    clock = Hand()
    limits = Limits(LimitsSettings(maps_per_user_a_minute=2), clock=clock)
    await ask(limits, 1)
    clock.time += timedelta(seconds=50)
    await ask(limits, 1)
    clock.time += timedelta(seconds=11)
    await ask(limits, 1)
    with pytest.raises(RequestError, match="You have asked for 2 maps"):
        await ask(limits, 1)
