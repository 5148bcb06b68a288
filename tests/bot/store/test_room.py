"""Limits and duplicates when several processes add at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from bot.request.defaults import GuildDefaults
from bot.settings import BotSettings
from bot.store import Store, open_store
from bot.store.alerts import TO_CREATOR, NewAlert
from bot.store.database import writing
from bot.store.subscriptions import SubscriptionState
from bot.store.tables import alerts, guilds, subscriptions
from liqmap.errors import RequestError
from liqmap.model import Exchange
from tests.bot.conftest import APPLICATION
from tests.bot.store.test_store import NEW, NOW

ALERT = NewAlert(1, 2, 3, Exchange.BYBIT, "BTCUSDT", 0.01, 1e6, timedelta(hours=1))
PROCESSES = 8


@pytest.fixture
async def processes(
    stored_settings: BotSettings, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Sequence[Store]]:
    """Open the database as several processes of one bot would, each with connections of its own."""
    # On a busy machine eight writers take turns more slowly than a person would wait for one.
    monkeypatch.setattr("bot.store.database._LOCK_WAIT_SECONDS", 60.0)
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(open_store(stored_settings)) for _ in range(PROCESSES)]
        yield [await each.of(APPLICATION) for each in opened]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    """Let every process choose its place before any of them writes.

    In SQLite a second one cannot even begin: its transactions that write come one after the other.
    """
    if not database:
        return
    chosen, arrived = asyncio.Barrier(PROCESSES), set[object]()

    def together(choose: Callable[..., Awaitable[int]]) -> Callable[..., Awaitable[int]]:
        async def choose_together(*arguments: Any, **options: Any) -> int:
            place = await choose(*arguments, **options)
            process = asyncio.current_task()
            if process not in arrived:
                arrived.add(process)
                await chosen.wait()
            return place

        return choose_together

    for module in ("alerts", "subscriptions"):
        name = f"bot.store.{module}.free_place"
        monkeypatch.setattr(name, together(__import__(f"bot.store.{module}", fromlist=["x"]).free_place))


async def outcomes(*adding: Awaitable[object]) -> list[str]:
    """Return "" for each that was added, and the sentences of those that were refused."""
    found = await asyncio.gather(*adding, return_exceptions=True)
    for each in found:
        if isinstance(each, BaseException) and not isinstance(each, RequestError):
            raise each
    return sorted(str(each) if isinstance(each, RequestError) else "" for each in found)


@pytest.mark.usefixtures("at_once")
async def test_concurrently_added_alerts_stay_within_the_limit(processes: Sequence[Store]):
    adding = [
        store.alerts.add(replace(ALERT, notional=1e6 + place), most=3)
        for place, store in enumerate(processes)
    ]
    full = "This server has 3 alerts, which is the limit; remove one first."
    assert await outcomes(*adding) == [""] * 3 + [full] * 5
    assert len(await processes[0].alerts.all()) == 3


@pytest.mark.usefixtures("at_once")
async def test_own_alerts_added_in_several_servers_at_once_stay_within_the_person_s_limit(
    processes: Sequence[Store],
):
    own = replace(ALERT, channel_id=TO_CREATOR)
    adding = [
        store.alerts.add(replace(own, guild_id=place + 1, notional=1e6 + place), most=3)
        for place, store in enumerate(processes)
    ]
    full = "You have 3 alerts, which is the limit; remove one first."
    assert await outcomes(*adding) == [""] * 3 + [full] * 5
    assert len(await processes[0].alerts.of_person(own.creator_id)) == 3


@pytest.mark.usefixtures("at_once")
async def test_equal_alerts_that_are_added_at_once_are_one(processes: Sequence[Store]):
    adding = [
        store.alerts.add(replace(ALERT, creator_id=place + 1), most=99)
        for place, store in enumerate(processes)
    ]
    assert await outcomes(*adding) == [""] + ["<#2> already has this alert; see /alert list."] * 7


@pytest.mark.usefixtures("at_once")
async def test_concurrently_confirmed_subscriptions_stay_within_the_limit(processes: Sequence[Store]):
    drafts = [
        await processes[0].subscriptions.draft(replace(NEW, channel_id=5 + place), now=NOW)
        for place in range(PROCESSES)
    ]
    confirming = [
        store.subscriptions.activate(draft, now=NOW, most=3)
        for store, draft in zip(processes, drafts, strict=True)
    ]
    full = "This server has 3 subscriptions, which is the limit; remove one first."
    assert await outcomes(*confirming) == [""] * 3 + [full] * 5
    assert len(await processes[0].subscriptions.active()) == 3


@pytest.mark.usefixtures("at_once")
async def test_equal_subscriptions_that_are_confirmed_at_once_are_one(processes: Sequence[Store]):
    drafts = [await processes[0].subscriptions.draft(NEW, now=NOW) for _ in range(PROCESSES)]
    confirming = [
        store.subscriptions.activate(draft, now=NOW, most=99)
        for store, draft in zip(processes, drafts, strict=True)
    ]
    there = f"<#{NEW.channel_id}> already gets exactly these posts; see /subscriptions."
    assert await outcomes(*confirming) == [""] + [there] * 7


async def test_draft_that_is_confirmed_and_cancelled_at_once_is_either_active_or_gone(
    processes: Sequence[Store],
):
    one, *others = processes
    draft = await one.subscriptions.draft(NEW, now=NOW)
    confirming = [store.subscriptions.activate(draft, now=NOW, most=9) for store in others[:3]]
    cancelled, *confirmed = await asyncio.gather(one.subscriptions.remove_draft(draft), *confirming)
    assert confirmed == [not cancelled] * 3
    assert len(await one.subscriptions.active()) == (not cancelled)


async def test_resumed_subscription_that_another_equals_is_refused(store: Store):
    paused, equal = [await store.subscriptions.draft(NEW, now=NOW) for _ in range(2)]
    await store.subscriptions.activate(paused, now=NOW, most=9)
    await store.subscriptions.pause(paused, reason="")
    async with writing(store.engine) as connection:
        # As it may come by a claim.
        await connection.execute(
            update(subscriptions).where(subscriptions.c.id == equal).values(state=SubscriptionState.ACTIVE)
        )
    with pytest.raises(RequestError, match=r"^<#\d+> already gets"):
        await store.subscriptions.activate(paused, now=NOW, most=9)


async def test_removed_row_frees_its_place(store: Store):
    numbers = [await store.alerts.add(replace(ALERT, symbol=f"X{each}"), most=3) for each in range(3)]
    await store.alerts.remove(numbers[1])
    await store.alerts.add(ALERT, most=3)
    with pytest.raises(RequestError, match="This server has 3 alerts"):
        await store.alerts.add(replace(ALERT, symbol="Y"), most=3)


async def test_changes_of_one_server_s_settings_at_once_are_all_kept(processes: Sequence[Store]):
    def allowing(channel_id: int) -> Callable[[GuildDefaults], GuildDefaults]:
        return lambda before: replace(before, channels=(*before.channels, channel_id))

    await asyncio.gather(*(store.guilds.change(1, allowing(place)) for place, store in enumerate(processes)))
    await processes[0].guilds.load()
    assert sorted(processes[0].guilds.get(1).channels) == list(range(PROCESSES))


SUBSCRIPTION = {
    "guild_id": 1,
    "application_id": 7,
    "channel_id": 2,
    "creator_id": 3,
    "spec": "x",
    "every": 3600,
    "style": "new",
    "state": "active",
    "reason": "",
    "failures": 0,
    "active_since": NOW,
    "place": 0,
}
WATCHED = {
    "guild_id": 1,
    "application_id": 7,
    "channel_id": 2,
    "creator_id": 3,
    "exchange": "bybit",
    "symbol": "X",
    "distance": 0.01,
    "notional": 1e6,
    "cooldown": 60,
    "place": 0,
}


@pytest.mark.parametrize(
    ("table", "row", "other"),
    [
        (subscriptions, SUBSCRIPTION, {"channel_id": 9}),
        (subscriptions, SUBSCRIPTION, {"place": 1}),
        (alerts, WATCHED, {"symbol": "Y"}),
        (alerts, WATCHED, {"place": 1}),
        (alerts, WATCHED | {"channel_id": 0}, {"symbol": "Y", "guild_id": 5}),
        (alerts, WATCHED | {"channel_id": 0}, {"place": 1, "guild_id": 5}),
        (guilds, {"application_id": 7, "guild_id": 1, "channels": ""}, {"theme": "light"}),
    ],
)
async def test_key_is_the_database_s_own(
    store: Store, table: Any, row: dict[str, Any], other: dict[str, Any]
):
    async with writing(store.engine) as connection:
        await connection.execute(insert(table).values(row))
    with pytest.raises(IntegrityError):
        async with writing(store.engine) as connection:
            await connection.execute(insert(table).values(row | other))
    async with writing(store.engine) as connection:
        await connection.execute(insert(table).values(row | other | {"application_id": 8}))


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (subscriptions, SUBSCRIPTION),
        (alerts, WATCHED),
        (guilds, {"application_id": 7, "guild_id": 1, "channels": ""}),
    ],
)
async def test_row_of_no_server_is_refused_by_the_database(store: Store, table: Any, row: dict[str, Any]):
    with pytest.raises(IntegrityError):
        async with writing(store.engine) as connection:
            await connection.execute(insert(table).values(row | {"guild_id": 0}))
    async with store.engine.connect() as connection:
        assert (await connection.execute(select(table.c.guild_id))).all() == []
