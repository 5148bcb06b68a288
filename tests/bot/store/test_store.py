from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.request.defaults import GuildDefaults
from bot.request.due import Schedule
from bot.request.spec import MapSpec
from bot.settings import BotSettings
from bot.store import Store, open_store
from bot.store.alerts import NewAlert
from bot.store.snapshots import SnapshotState
from bot.store.subscriptions import NewSubscription, PostStyle, Subscription, SubscriptionState
from liqmap.model import Exchange
from tests.bot.conftest import REQUEST

NOW = datetime(2026, 1, 1, 9, 30, 15, tzinfo=UTC)
HOUR = timedelta(hours=1)
# Discord's ids need 63 bits.
NEW = NewSubscription(2**62, 2**62 + 1, 2**62 + 2, MapSpec(REQUEST), Schedule(HOUR), PostStyle.EDIT, 7)


async def subscribed(store: Store, new: NewSubscription = NEW) -> int:
    number = await store.subscriptions.draft(new, now=NOW)
    await store.subscriptions.activate(number, now=NOW)
    return number


async def test_subscription_is_a_draft_until_it_is_confirmed(store: Store):
    number = await store.subscriptions.draft(NEW, now=NOW)
    assert await store.subscriptions.of_guild(NEW.guild_id) == []
    assert await store.subscriptions.active() == []
    await store.subscriptions.activate(number, now=NOW + HOUR)
    expected = Subscription(
        *(NEW.guild_id, NEW.channel_id, NEW.creator_id, NEW.spec, NEW.schedule, NEW.style, NEW.role_id),
        id=number,
        state=SubscriptionState.ACTIVE,
        reason="",
        failures=0,
        message_id=None,
        active_since=NOW + HOUR,
    )
    assert await store.subscriptions.of_guild(NEW.guild_id) == [expected]
    assert await store.subscriptions.active() == [expected]
    assert await store.subscriptions.get(number) == expected


async def test_paused_subscription_says_why_and_runs_again_when_resumed(store: Store):
    number = await subscribed(store)
    await store.subscriptions.note_failures(number, 3)
    await store.subscriptions.pause(number, reason="x" * 999)
    assert await store.subscriptions.active() == []
    (paused,) = await store.subscriptions.of_guild(NEW.guild_id)
    assert (paused.state, paused.reason, paused.failures) == (SubscriptionState.PAUSED, "x" * 300, 3)
    await store.subscriptions.activate(number, now=NOW)
    (active,) = await store.subscriptions.active()
    assert (active.reason, active.failures) == ("", 0)


async def test_removing_a_subscription_removes_only_its_own_rows(store: Store):
    here, there = await subscribed(store), await subscribed(store, replace(NEW, channel_id=5))
    far = await subscribed(store, replace(NEW, guild_id=6, channel_id=8))
    await store.snapshots.claim(here, NOW, now=NOW)
    assert await store.subscriptions.remove_channel(NEW.channel_id) == [here]
    assert await store.snapshots.newest(here) is None
    assert await store.subscriptions.remove_guild(NEW.guild_id) == [there]
    assert [each.id for each in await store.subscriptions.every_one()] == [far]
    assert await store.subscriptions.remove(far)
    assert not await store.subscriptions.remove(far)


async def test_row_that_cannot_be_understood_is_passed_over_and_logged(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr("bot.store.subscriptions.encode_posted", lambda _: "of another version")
        number = await subscribed(store)
    whole = await subscribed(store)
    assert [each.id for each in await store.subscriptions.active()] == [whole]
    assert await store.subscriptions.get(number) is None
    assert caplog.messages[0] == f"subscription {number} is skipped: its row cannot be decoded"
    assert await store.subscriptions.remove_guild(NEW.guild_id) == [number, whole]


async def test_interaction_is_taken_once_among_all_processes(stored_settings: BotSettings):
    async with open_store(stored_settings) as one, open_store(stored_settings) as other:
        takings = [each.interactions.take(7, application_id=1, now=NOW) for each in (one, other) * 8]
        assert sorted(await asyncio.gather(*takings)) == [*[False] * 15, True]


async def test_interactions_are_forgotten_when_they_cannot_be_answered_any_more(store: Store):
    quarter = timedelta(minutes=15)
    for number, taken in ((1, NOW - quarter), (2, NOW - 2 * quarter), (3, NOW + 2 * quarter)):
        assert await store.interactions.take(number, application_id=1, now=taken)
    await store.interactions.forget_old(now=NOW)
    assert [await store.interactions.take(each, application_id=1, now=NOW) for each in (1, 2, 3)] == [
        *(False, True, True)
    ]


async def test_ids_are_not_given_out_again(store: Store):
    number = await subscribed(store)
    await store.subscriptions.remove(number)
    assert await subscribed(store) > number
    alert = NewAlert(1, 2, 3, Exchange.BYBIT, "BTCUSDT", 0.01, 1e6, HOUR)
    number = await store.alerts.add(alert)
    await store.alerts.remove(number)
    assert await store.alerts.add(alert) > number


async def test_old_drafts_are_removed(store: Store):
    old = await store.subscriptions.draft(NEW, now=NOW - 2 * HOUR)
    young = await store.subscriptions.draft(NEW, now=NOW)
    active = await subscribed(store)
    await store.subscriptions.remove_drafts(before=NOW - HOUR)
    assert [await store.subscriptions.get(each) is not None for each in (old, young, active)] == [
        *(False, True, True)
    ]


async def test_snapshot_of_a_due_time_is_there_once(store: Store):
    number = await subscribed(store)
    first = await store.snapshots.claim(number, NOW, now=NOW)
    assert first is not None
    assert first.state is SnapshotState.CLAIMED
    await store.snapshots.sending(first, now=NOW)
    again = await store.snapshots.claim(number, NOW, now=NOW + HOUR)
    assert again is not None
    assert (again.state, again.is_over) == (SnapshotState.SENDING, False)
    await store.subscriptions.note_failures(number, 2)
    await store.snapshots.posted(again, message_id=2**61, now=NOW + HOUR)
    over = await store.snapshots.claim(number, NOW, now=NOW)
    assert over is not None
    assert (over.state, over.is_over, over.message_id) == (SnapshotState.POSTED, True, 2**61)
    subscription = await store.subscriptions.get(number)
    assert subscription is not None
    assert (subscription.failures, subscription.message_id) == (0, 2**61)
    assert await store.snapshots.last_posted_at() == NOW + HOUR


async def test_claim_for_a_removed_subscription_makes_no_snapshot(store: Store):
    assert await store.snapshots.claim(12345, NOW, now=NOW) is None
    assert await store.snapshots.last_posted_at() is None


async def test_failed_snapshot_says_why_and_old_ones_go(store: Store):
    number = await subscribed(store)
    for hours in range(3):
        snapshot = await store.snapshots.claim(number, NOW + hours * HOUR, now=NOW + hours * HOUR)
        assert snapshot is not None
    assert snapshot is not None
    await store.snapshots.failed(snapshot, reason="Busy.", now=NOW + 2 * HOUR)
    newest = await store.snapshots.newest(number)
    assert newest is not None
    assert (newest.due, newest.state, newest.reason) == (NOW + 2 * HOUR, SnapshotState.FAILED, "Busy.")
    await store.snapshots.remove_old(before=NOW + 3 * HOUR)
    assert await store.snapshots.newest(number) is None


async def test_guild_defaults_are_kept_replaced_and_forgotten(store: Store):
    assert store.guilds.get(1) == GuildDefaults()
    defaults = GuildDefaults("bybit", "portion", "1%", "light", "10,25", "Asia/Tokyo", (2**62, 3))
    await store.guilds.put(1, GuildDefaults(theme="dark"))
    await store.guilds.put(1, defaults)
    await store.guilds.load()
    assert store.guilds.get(1) == defaults
    assert store.guilds.all() == {1: defaults}
    await store.guilds.remove(1)
    assert store.guilds.get(1) == GuildDefaults()
    await store.guilds.load()
    assert store.guilds.all() == {}


async def test_alerts_are_kept_with_their_cooldown(store: Store):
    new = NewAlert(1, 2, 3, Exchange.BYBIT, "BTCUSDT", 0.01, 1e6, HOUR)
    number = await store.alerts.add(new)
    other = await store.alerts.add(replace(new, guild_id=4, channel_id=5))
    await store.alerts.fired(number, now=NOW)
    (alert,) = await store.alerts.of_guild(1)
    assert (alert.id, alert.exchange, alert.cooldown, alert.fired_at) == (number, Exchange.BYBIT, HOUR, NOW)
    await store.alerts.remove_channel(5)
    assert [each.id for each in await store.alerts.all()] == [number]
    assert await store.alerts.remove(number)
    assert not await store.alerts.remove(other)
    await store.alerts.remove_guild(1)
