from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from bot.request.pending import TOKENS_LIVE
from bot.settings import BotSettings
from bot.store import Store, open_store
from liqmap import RequestError

NOW = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
BOT = 2**62
USER = 2**62 + 1


def counted(
    store: Store, *, a_minute: int = 100, process: int = 0, now: datetime = NOW
) -> AbstractAsyncContextManager[None]:
    return store.under_way.counted(BOT, USER, most=2, a_minute=a_minute, process=process, now=now)


async def take(store: Store, stack: AsyncExitStack, *, process: int = 0, now: datetime = NOW) -> bool:
    """Return whether a person may have one map more under way."""
    try:
        await stack.enter_async_context(counted(store, process=process, now=now))
    except RequestError as error:
        return "You already have 2 maps under way" not in str(error)
    return True


async def request(store: Store, *, now: datetime) -> bool:
    """Request a map that is done at once; return whether the person may within this minute."""
    try:
        async with counted(store, a_minute=3, now=now):
            return True
    except RequestError as error:
        return "You have asked for 3 maps within a minute; try again <t:" not in str(error)


async def test_limit_of_a_person_holds_over_processes_that_ask_at_once(stored_settings: BotSettings):
    async with open_store(stored_settings) as one, open_store(stored_settings) as other:
        async with AsyncExitStack() as stack:
            taken = await asyncio.gather(*(take(store, stack) for store in (one, other) * 4))
            assert sorted(taken) == [False] * 6 + [True] * 2
            assert not await take(one, stack)
        async with AsyncExitStack() as stack:
            assert await take(other, stack)


async def test_limit_a_minute_of_a_person_holds_over_processes(stored_settings: BotSettings):
    async with open_store(stored_settings) as one, open_store(stored_settings) as other:
        seconds = (0, 20, 40, 59, 59.9, 61, 62, 81, 82)
        allowed = [
            await request(store, now=NOW + timedelta(seconds=second))
            for store, second in zip((one, other) * 5, seconds, strict=False)
        ]
        assert allowed == [True, True, True, False, False, True, False, True, False]
        with pytest.raises(RequestError, match=f"<t:{int(NOW.timestamp()) + 40 + 61}:R>"):
            async with counted(one, a_minute=3, now=NOW + timedelta(seconds=83)):
                pass
        # A clock that was ahead, and is set right, keeps nobody waiting.
        assert await request(other, now=NOW - timedelta(hours=1))
        await one.under_way.forget_old(now=NOW + timedelta(hours=1))
        assert await request(other, now=NOW - timedelta(hours=1))


async def test_maps_of_a_killed_process_are_forgotten_by_its_next_start_or_with_their_tokens(store: Store):
    async with AsyncExitStack() as stack:
        for process in (0, 3):
            assert await take(store, stack, process=process)
        assert not await take(store, stack)
        await store.under_way.forget(BOT, process=3)
        assert await take(store, stack)
        assert not await take(store, stack)
        later = NOW + TOKENS_LIVE + timedelta(seconds=1)
        assert await take(store, stack, now=later)
        await store.under_way.forget_old(now=NOW)
        assert await take(store, stack)
    async with AsyncExitStack() as stack:
        assert await take(store, stack)
        assert await take(store, stack)


async def test_map_is_answered_though_the_database_is_gone_at_its_end(
    stored_settings: BotSettings, caplog: pytest.LogCaptureFixture
):
    async with open_store(stored_settings) as store:
        if store.engine.dialect.name != "sqlite":
            pytest.skip("the tables of one database are enough")
        async with AsyncExitStack() as stack:
            assert await take(store, stack)
            async with store.engine.begin() as connection:
                await connection.exec_driver_sql("DROP TABLE maps_under_way")
    assert "could not be counted off (OperationalError)" in caplog.text
