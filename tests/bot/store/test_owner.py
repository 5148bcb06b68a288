"""Several bots on one database: each sees, changes and tidies its own rows, and claims those of nobody."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from bot.request.defaults import GuildDefaults
from bot.settings import BotSettings
from bot.store import Store, open_store
from bot.store.snapshots import Snapshot, SnapshotState
from bot.store.subscriptions import DOUBLED, SubscriptionState
from bot.store.tables import alerts, guilds, snapshots, subscriptions
from tests.bot.conftest import APPLICATION
from tests.bot.store.test_room import ALERT
from tests.bot.store.test_store import HOUR, NEW, NOW, subscribed

OTHER = APPLICATION + 1
TABLES = (subscriptions, snapshots, guilds, alerts)


async def filled(store: Store) -> int:
    """Put a row into every table; return the subscription's id."""
    number = await subscribed(store)
    await store.snapshots.claim(number, NOW, now=NOW - 90 * timedelta(days=1))
    await store.subscriptions.draft(replace(NEW, channel_id=77), now=NOW - 90 * timedelta(days=1))
    await store.alerts.add(replace(ALERT, guild_id=NEW.guild_id))
    await store.guilds.put(NEW.guild_id, GuildDefaults(theme="light", channels=(NEW.channel_id,)))
    return number


async def rows(store: Store) -> list[Any]:
    async with store.engine.connect() as connection:
        return [(await connection.execute(select(table))).all() for table in TABLES]


def calls(store: Store, number: int) -> dict[object, Callable[[], Any]]:
    """Return a call of every method that reads or writes rows which belong to somebody."""
    snapshot = Snapshot(number, NOW, SnapshotState.CLAIMED, None, "", NOW)
    late, far = NOW + 999 * HOUR, replace(NEW, guild_id=99)
    subs, posts, defaults, watched = store.subscriptions, store.snapshots, store.guilds, store.alerts
    return {
        subs.draft: lambda: subs.draft(far, now=late),
        subs.activate: lambda: subs.activate(number, now=NOW, most=9),
        subs.check_room: lambda: subs.check_room(NEW, most=1),
        subs.pause: lambda: subs.pause(number, reason="x"),
        subs.forget_message: lambda: subs.forget_message(number),
        subs.stop_publishing: lambda: subs.stop_publishing(number),
        subs.note_failures: lambda: subs.note_failures(number, 2),
        subs.begin_by: lambda: subs.begin_by(NOW - 99 * HOUR),
        subs.get: lambda: subs.get(number),
        subs.of_guild: lambda: subs.of_guild(NEW.guild_id),
        subs.active: subs.active,
        subs.every_one: subs.every_one,
        subs.remove: lambda: subs.remove(number),
        subs.remove_draft: lambda: subs.remove_draft(number + 1),
        subs.remove_guild: lambda: subs.remove_guild(NEW.guild_id),
        subs.remove_channel: lambda: subs.remove_channel(NEW.channel_id),
        subs.remove_drafts: lambda: subs.remove_drafts(before=late),
        posts.claim: lambda: posts.claim(number, NOW + HOUR, now=NOW),
        posts.sending: lambda: posts.sending(snapshot, now=NOW),
        posts.posted: lambda: posts.posted(snapshot, message_id=5, now=NOW),
        posts.failed: lambda: posts.failed(snapshot, reason="x", now=NOW),
        posts.newest: lambda: posts.newest(number),
        posts.last_posted_at: posts.last_posted_at,
        posts.ahead: lambda: posts.ahead(now=NOW),
        posts.forget_future: lambda: posts.forget_future(now=NOW - 99 * HOUR, back=99 * HOUR),
        posts.remove_old: lambda: posts.remove_old(before=late),
        defaults.load: defaults.load,
        defaults.change: lambda: defaults.change(98, lambda before: before),
        defaults.put: lambda: defaults.put(97, GuildDefaults()),
        defaults.remove: lambda: defaults.remove(NEW.guild_id),
        defaults.remove_channel: lambda: defaults.remove_channel(NEW.channel_id),
        watched.add: lambda: watched.add(replace(ALERT, guild_id=96), most=9),
        watched.check_room: lambda: watched.check_room(replace(ALERT, channel_id=55), most=1),
        watched.all: watched.all,
        watched.of_guild: lambda: watched.of_guild(NEW.guild_id),
        watched.of_person: lambda: watched.of_person(ALERT.creator_id),
        watched.pause: lambda: watched.pause(1, reason="x"),
        watched.is_watched: lambda: watched.is_watched(1),
        watched.fired: lambda: watched.fired(1, now=NOW),
        watched.remove: lambda: watched.remove(1),
        watched.remove_guild: lambda: watched.remove_guild(NEW.guild_id),
        watched.remove_channel: lambda: watched.remove_channel(ALERT.channel_id),
    }


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """Yield a list of all that is sent to the database."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(store.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(store.engine.sync_engine, "before_cursor_execute", note)


async def test_no_method_reads_or_writes_another_bot_s_rows(store: Store):
    number = await filled(store)
    other = await store.of(OTHER)
    before = await rows(store)
    tried = calls(other, number)
    owned = (other.subscriptions, other.snapshots, other.guilds, other.alerts)
    public = [
        method
        for table in owned
        for name, method in inspect.getmembers(table, inspect.iscoroutinefunction)
        if not name.startswith("_")
    ]
    assert set(tried) == set(public)
    for call in tried.values():
        with statements(store) as sent:
            await call()
        assert [each for each in sent if not each.startswith("BEGIN") and "application_id" not in each] == []
    after = await rows(store)
    assert [set(then) - set(now) for then, now in zip(before, after, strict=True)] == [set()] * 4
    assert await other.subscriptions.get(number) is None


async def test_bots_may_have_the_same_in_one_channel(store: Store):
    other = await store.of(OTHER)
    for each in (store, other):
        await filled(each)
    assert len(await other.subscriptions.active()) == len(await store.subscriptions.active()) == 1


async def test_store_for_its_own_application_is_the_same_object(store: Store):
    assert await store.of(APPLICATION) is store


@pytest.fixture
async def keeper(stored_settings: BotSettings) -> Any:
    """Open the database as import does."""
    async with open_store(stored_settings) as store:
        yield store


async def test_operator_sees_the_rows_of_all(keeper: Store):
    numbers = [await filled(await keeper.of(each)) for each in (APPLICATION, OTHER)]
    assert [each.id for each in await keeper.subscriptions.every_one()] == numbers
    assert len(await keeper.alerts.all()) == 2


async def test_unclaimed_rows_go_to_the_first_bot_in_their_server(keeper: Store):
    number = await filled(keeper)
    first, second = await keeper.of(APPLICATION), await keeper.of(OTHER)
    assert [first.claims.open, await first.claims.claim(12345)] == [1, None]
    assert await first.subscriptions.active() == []
    claimed = await first.claims.claim(NEW.guild_id)
    assert claimed is not None
    assert (list(claimed.subscriptions), len(claimed.alerts), claimed.defaults) == (
        [number, number + 1],
        1,
        True,
    )
    assert await second.claims.claim(NEW.guild_id) is None
    assert [each.id for each in await first.subscriptions.active()] == [number]
    assert (await first.snapshots.newest(number)) is not None
    await first.guilds.load()
    assert first.guilds.get(NEW.guild_id).theme == "light"
    assert [await second.subscriptions.active(), await second.alerts.all(), second.guilds.all()] == [
        [],
        [],
        {},
    ]
    await first.claims.load()
    assert first.claims.open == 0


async def test_two_bots_that_claim_at_once_get_each_row_once(stored_settings: BotSettings, keeper: Store):
    for channel in range(5):
        await subscribed(keeper, replace(NEW, channel_id=channel + 1))
    async with open_store(stored_settings) as one, open_store(stored_settings) as another:
        bots = [await one.of(APPLICATION), await another.of(OTHER)]
        claimed = await asyncio.gather(*(bot.claims.claim(NEW.guild_id) for bot in bots))
        assert sorted(number for each in claimed if each for number in each.subscriptions) == [1, 2, 3, 4, 5]
        assert sorted([len(await bot.subscriptions.active()) for bot in bots]) == [0, 5]


async def test_claim_of_rows_that_the_bot_already_has_posts_nothing_twice(keeper: Store):
    bot = await keeper.of(APPLICATION)
    await filled(bot)
    number = await filled(keeper)
    await keeper.guilds.put(NEW.guild_id, GuildDefaults(theme="dark"))
    await bot.claims.load()
    claimed = await bot.claims.claim(NEW.guild_id)
    assert claimed is not None
    assert list(claimed.alerts) == []
    paused = await bot.subscriptions.get(number)
    assert paused is not None
    assert (paused.state, paused.reason) == (SubscriptionState.PAUSED, DOUBLED)
    assert len(await bot.subscriptions.active()) == len(await bot.alerts.all()) == 1
    await bot.guilds.load()
    assert bot.guilds.get(NEW.guild_id) == GuildDefaults(theme="dark")
    assert [len(found) for found in await rows(keeper)] == [4, 2, 1, 1]
