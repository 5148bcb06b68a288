"""Several processes on one database: what one changes, the others follow; each posts for its own servers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import discord
import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bot.request.defaults import GuildDefaults
from bot.settings import BotSettings, DiscordSettings
from bot.store import Store, open_store
from bot.store import changes as following
from bot.store.alerts import NewAlert
from bot.store.changes import Changes
from bot.store.owner import Shards
from liqmap.model import Exchange
from tests.bot.conftest import APPLICATION, new_bot
from tests.bot.discord_server import TOKEN, DiscordServer
from tests.bot.store.test_store import NEW, NOW, subscribed
from tests.bot.test_lifecycle import owed_by

FIRST, SECOND = Shards((0, 2), 3), Shards((1,), 3)


def guild_on(shard: int) -> int:
    """Return a server's id that Discord puts on a shard of three."""
    return next(number << 22 for number in range(3000, 3003) if number % 3 == shard)


async def briefly(_: float) -> None:
    await asyncio.sleep(0.01)


async def test_change_by_another_process_is_noticed(store: Store, stored_settings: BotSettings):
    noticed = asyncio.Event()

    async def notice() -> None:
        noticed.set()

    async with (
        asyncio.timeout(20),
        Changes(store.engine, notice, sleep=briefly),
        open_store(stored_settings) as other,
    ):
        if store.engine.dialect.name == "postgresql":
            await noticed.wait()  # that it listens
            noticed.clear()
        number = await subscribed(other)
        await noticed.wait()
        for change in (
            lambda: other.subscriptions.pause(number, reason="paused"),
            lambda: other.guilds.put(5, GuildDefaults(theme="light")),
            lambda: other.subscriptions.remove(number),
        ):
            await briefly(0)
            noticed.clear()
            await change()
            await noticed.wait()


async def test_change_that_cannot_be_followed_now_is_followed_later(store: Store):
    followed, failures = asyncio.Event(), [PoolTimeoutError()] * 3

    async def follow() -> None:
        if failures:
            raise failures.pop()
        followed.set()

    async with asyncio.timeout(20), Changes(store.engine, follow, sleep=briefly):
        await followed.wait()


async def test_own_changes_are_not_noticed_in_sqlite(settings: BotSettings):
    noticed: list[int] = []

    async def notice() -> None:
        noticed.append(1)

    async with open_store(settings) as store:
        changes = Changes(store.engine, notice, sleep=briefly)
        before = await changes._data_version()
        await subscribed(store)
        assert await changes._data_version() == before
    assert noticed == []


async def test_each_process_has_the_servers_of_its_shards(store: Store):
    for shard in range(3):
        new = replace(NEW, guild_id=guild_on(shard), channel_id=50 + shard)
        await subscribed(store, new)
        await store.guilds.put(guild_on(shard), GuildDefaults(theme="light"))
        alert = NewAlert(
            guild_on(shard), 50 + shard, 1, Exchange.BINANCE, "BTCUSDT", 0.01, 1e6, timedelta(hours=1)
        )
        await store.alerts.add(alert)
    first, second = await store.of(APPLICATION, FIRST), await store.of(APPLICATION, SECOND)
    for each, shards in ((first, (0, 2)), (second, (1,))):
        served = sorted(guild_on(shard) for shard in shards)
        assert sorted(one.guild_id for one in await each.subscriptions.active()) == served
        assert sorted(one.guild_id for one in await each.alerts.all()) == served
        assert sorted(each.guilds.all()) == served
    # What a command shows or changes is not limited: it comes where its server is.
    assert len(await second.subscriptions.of_guild(guild_on(0))) == 1


async def test_answers_are_owed_by_the_process_that_promised_them(store: Store):
    first = replace(owed_by(APPLICATION), process=0)
    second = replace(owed_by(APPLICATION), interaction_id=2, process=1)
    await store.pending.put(first)
    await store.pending.put(second)
    assert await store.pending.of(APPLICATION) == [first]
    assert await store.pending.of(APPLICATION, process=1) == [second]


async def test_processes_of_one_bot_have_a_lock_each(store: Store, stored_settings: BotSettings):
    assert await store.processes.take(APPLICATION)
    async with open_store(stored_settings) as other:
        assert not await other.processes.take(APPLICATION)
        assert await other.processes.take(APPLICATION, process=1)


def scheduled(bot: Any) -> set[int]:
    return {int(job.id) for job in bot._scheduler._scheduler.get_jobs() if job.id.isdecimal()}


async def test_two_processes_share_the_posts_and_follow_each_other(
    stored_settings: BotSettings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(following, "LOOK_SECONDS", 0.01)
    async with AsyncExitStack() as stack, asyncio.timeout(30):
        server = await stack.enter_async_context(DiscordServer())
        monkeypatch.setattr(discord.http.Route, "BASE", server.api_url)
        bots: list[Any] = []
        stores = []
        for ids in ((0,), (1, 2)):
            own = stored_settings.model_copy(update={"discord": DiscordSettings(shards=3, shard_ids=ids)})
            stores.append(await stack.enter_async_context(open_store(own)))
            bots.append(await stack.enter_async_context(new_bot(own, stores[-1])))
            await bots[-1].login(TOKEN)
            await stack.enter_async_context(Changes(stores[-1].engine, bots[-1].follow))
        numbers = []
        for shard in range(3):
            new = replace(NEW, guild_id=guild_on(shard), channel_id=60 + shard)
            # By the first process, whichever server it is for, as an import does.
            number = await bots[0]._store.subscriptions.draft(new, now=NOW)
            await bots[0]._store.subscriptions.activate(number, now=bots[0]._clock.now())
            numbers.append(number)
        while scheduled(bots[1]) != set(numbers[1:]):
            await asyncio.sleep(0.01)
        await bots[0].follow()
        assert scheduled(bots[0]) == {numbers[0]}
        await bots[0]._store.subscriptions.pause(numbers[1], reason="paused")
        await bots[0]._store.guilds.put(guild_on(2), GuildDefaults(theme="light"))
        while scheduled(bots[1]) != {numbers[2]} or not bots[1]._store.guilds.all():
            await asyncio.sleep(0.01)
        assert bots[1]._store.guilds.get(guild_on(2)).theme == "light"


@pytest.mark.parametrize(
    ("shards", "ids", "problem"),
    [
        (3, (0, 0), "names a shard twice"),
        (3, (3,), "below discord.shards"),
        (0, (0,), "below discord.shards"),
    ],
)
def test_shard_ids_that_make_no_sense_are_refused(shards: int, ids: tuple[int, ...], problem: str):
    with pytest.raises(ValueError, match=problem):
        DiscordSettings(shards=shards, shard_ids=ids)
