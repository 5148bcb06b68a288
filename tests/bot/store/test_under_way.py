from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest

from bot.request.pending import TOKENS_LIVE
from bot.settings import BotSettings
from bot.store import Store, open_store

NOW = datetime(2026, 1, 1, 9, 30, tzinfo=UTC)
BOT = 2**62
USER = 2**62 + 1


async def take(store: Store, stack: AsyncExitStack, *, process: int = 0, now: datetime = NOW) -> bool:
    counted = store.under_way.counted(BOT, USER, most=2, process=process, now=now)
    return await stack.enter_async_context(counted)


async def test_limit_of_a_person_holds_over_processes_that_ask_at_once(stored_settings: BotSettings):
    async with open_store(stored_settings) as one, open_store(stored_settings) as other:
        async with AsyncExitStack() as stack:
            taken = await asyncio.gather(*(take(store, stack) for store in (one, other) * 4))
            assert sorted(taken) == [False] * 6 + [True] * 2
            assert not await take(one, stack)
        async with AsyncExitStack() as stack:
            assert await take(other, stack)


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
