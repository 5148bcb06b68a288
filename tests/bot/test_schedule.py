"""Scheduled posts as time passes: in a simulated Discord, from subscription to message."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import simcord
from sqlalchemy import update

from bot.ops.health import DrawingHealth
from bot.request.due import Schedule
from bot.request.spec import MapSpec
from bot.schedule.scheduler import ClockTrigger, Scheduler
from bot.schedule.set_back import ClockWatch
from bot.settings import BotSettings
from bot.store import Store
from bot.store.snapshots import Snapshot, SnapshotState
from bot.store.subscriptions import NewSubscription, Subscription, SubscriptionState, SubscriptionTable
from bot.store.tables import snapshots
from liqmap import SystemClock
from liqmap.errors import DataError, EngineBusy, RequestError
from liqmap.model.window import TimeWindow
from tests.bot.conftest import (
    NOW,
    PNG,
    REQUEST,
    SIMULATION_STARTS,
    FakeDraw,
    Floor,
    SimulatedClock,
    new_bot,
)
from tests.bot.schedule.test_snapshots import refused

HOUR = 3600.0
TEN = datetime(2026, 1, 1, 10, tzinfo=UTC)
EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)


async def only(store: Store) -> Subscription:
    (subscription,) = await store.subscriptions.every_one()
    return subscription


def mail(member: simcord.MemberActor) -> list[str]:
    return [message.content for message in member.user.dm_channel.history()]


def posts(floor: Floor) -> list[Any]:
    sent = [each for each in floor.env.http_requests if each.method == "POST"]
    return [each.json for each in sent if each.path.endswith("/messages")]


async def test_post_comes_at_the_full_hour_plus_its_jitter(floor: Floor):
    await floor.subscribed(floor.manager())
    draws = len(floor.draw.requests)
    await floor.env.advance_time((TEN - NOW).total_seconds())
    assert floor.channel.history() == []
    await floor.env.advance_time(20)
    (message,) = floor.channel.history()
    assert [await each.read() for each in message.attachments] == [PNG + b"map", PNG + b"depth"]
    (request,) = floor.draw.requests[draws:]
    assert request.window == TimeWindow.ending(TEN, timedelta(hours=6))
    await floor.env.advance_time(5 * HOUR)
    assert [request.window.end.hour for request in floor.draw.requests[draws:]] == [10, 11, 12, 13, 14, 15]
    assert len(floor.channel.history()) == 6


async def test_equal_requests_due_together_are_drawn_once_and_posted_to_all(floor: Floor):
    mona = floor.manager()
    channels = [floor.env.guild.create_text_channel(f"c{each}") for each in range(5)]
    for channel in channels:
        await floor.subscribed(mona, channel=channel)
    draws = len(floor.draw.requests)
    await floor.env.advance_time(HOUR)
    assert len(floor.draw.requests) == draws + 1
    assert [len(channel.history()) for channel in channels] == [1] * 5


async def test_role_is_mentioned_and_nobody_else(floor: Floor):
    role = floor.env.guild.create_role("traders")
    await floor.subscribed(floor.manager(mention_everyone=True), role=role)
    await floor.env.advance_time(HOUR)
    (post,) = posts(floor)
    assert post["allowed_mentions"]["parse"] == []
    assert [int(each) for each in post["allowed_mentions"]["roles"]] == [role.id]
    (message,) = floor.channel.history()
    assert message.content == f"<@&{role.id}>"


async def test_edit_in_place_keeps_one_message_and_sends_a_new_one_after_its_deletion(floor: Floor):
    await floor.subscribed(floor.manager(), style="edit")
    await floor.env.advance_time(HOUR)
    (first,) = floor.channel.history()
    await floor.env.advance_time(HOUR)
    (second,) = floor.channel.history()
    assert second.id == first.id
    assert "11:00 UTC" in (second.embeds[-1].footer.text or "")
    await floor.manager("mod", manage_messages=True).delete(second)
    await floor.env.advance_time(HOUR)
    (third,) = floor.channel.history()
    assert third.id != first.id


async def test_edit_in_place_sends_a_new_message_to_an_archived_thread(floor: Floor):
    await floor.subscribed(floor.manager(), style="edit")
    await floor.env.advance_time(HOUR)
    (first,) = floor.channel.history()
    floor.env.inject_error("PATCH", "/channels/*/messages/*", status=400, code=50083)
    await floor.env.advance_time(HOUR)
    assert len(floor.channel.history()) == 2
    assert "11:00 UTC" in (floor.channel.history()[-1].embeds[-1].footer.text or "")
    await floor.env.advance_time(HOUR)
    assert {each.id for each in floor.channel.history()} > {first.id}
    assert len(floor.channel.history()) == 2


async def test_what_is_under_way_may_end_when_the_bot_stops(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()  # of the simulated time
    begun, go_on, ended = asyncio.Event(), asyncio.Event(), list[int]()

    async def job(number: int) -> bool:
        begun.set()
        await go_on.wait()
        ended.append(number)
        return True

    async def rewind(_: timedelta) -> None:
        raise AssertionError

    scheduler = Scheduler(job, clock=SystemClock(), jitter=0, context=copy_context(), rewind=rewind)
    subscription: Any = SimpleNamespace(id=7, schedule=Schedule(timedelta(hours=1)))
    scheduler.start([subscription])
    await begun.wait()
    closing = asyncio.create_task(scheduler.close())
    await asyncio.sleep(0)
    go_on.set()
    await closing
    assert ended == [7]


async def test_bot_that_was_down_posts_the_newest_missed_snapshot_once(
    floor: Floor, settings: BotSettings, store: Store
):
    await floor.subscribed(floor.manager())
    await floor.bot.close()
    await floor.env.advance_time(5 * HOUR)
    assert floor.channel.history() == []
    draw = FakeDraw()
    await floor.env.restart_bot(new_bot(settings, store, draw))
    await floor.env.advance_time(60)
    assert [request.window.end.hour for request in draw.requests] == [14]
    assert len(floor.channel.history()) == 1
    await floor.env.restart_bot(new_bot(settings, store, draw))
    await floor.env.advance_time(60)
    assert len(floor.channel.history()) == 1


@pytest.mark.parametrize("down", [0, 2 * HOUR])
async def test_posts_keep_to_the_clock_after_a_restart(
    floor: Floor, settings: BotSettings, store: Store, down: float
):
    await floor.subscribed(floor.manager())
    await floor.env.advance_time((TEN - NOW).total_seconds() + 20 * 60)
    await floor.bot.close()
    await floor.env.advance_time(down)
    await floor.env.restart_bot(new_bot(settings, store))
    await floor.env.advance_time(40 * 60 - 10)
    before = len(floor.channel.history())
    await floor.env.advance_time(30)
    assert len(floor.channel.history()) == before + 1


def test_trigger_fires_at_its_own_times_whenever_it_fired_last():
    trigger = ClockTrigger(hours=1, start_date=datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC), timezone=UTC)
    eleven = TEN + timedelta(hours=1, seconds=7)
    for last in (None, TEN + timedelta(seconds=7), TEN + timedelta(minutes=20), TEN - timedelta(days=3)):
        assert trigger.get_next_fire_time(last, TEN + timedelta(minutes=20)) == eleven
    assert trigger.get_next_fire_time(None, eleven) == eleven
    assert trigger.get_next_fire_time(eleven, eleven) == eleven + timedelta(hours=1)


@pytest.fixture
def set_back(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return what sets the clock back by so many seconds, once."""

    def by(seconds: float) -> None:
        monkeypatch.setattr(SimulatedClock, "back", timedelta(seconds=seconds))

    return by


@pytest.mark.parametrize("every", ["15m", "1h"])
@pytest.mark.parametrize("back", [1.0 * HOUR, 3.0 * HOUR, 30 * HOUR])
async def test_clock_set_back_by_hours_stops_no_posts(
    floor: Floor, set_back: Callable[[float], None], every: str, back: float
):
    await floor.subscribed(floor.manager(), every=every)
    await floor.env.advance_time(2 * HOUR)
    before = len(floor.channel.history())
    set_back(back)
    await floor.env.advance_time(2 * HOUR)
    assert len(floor.channel.history()) == 2 * before


async def test_clock_set_back_while_the_bot_was_down_stops_no_posts(
    floor: Floor, settings: BotSettings, store: Store, set_back: Callable[[float], None]
):
    await floor.subscribed(floor.manager())
    await floor.env.advance_time(3 * HOUR)
    await floor.bot.close()
    set_back(3 * HOUR)
    await floor.env.restart_bot(new_bot(settings, store))
    await floor.env.advance_time(3 * HOUR)
    assert len(floor.channel.history()) == 6


async def test_subscription_confirmed_before_the_clock_was_set_back_is_posted(
    floor: Floor, set_back: Callable[[float], None]
):
    await floor.subscribed(floor.manager())
    set_back(5 * HOUR)
    await floor.env.advance_time(2 * HOUR)
    assert len(floor.channel.history()) == 2


async def test_clock_corrected_by_a_little_posts_nothing_twice(
    floor: Floor, set_back: Callable[[float], None]
):
    await floor.subscribed(floor.manager())
    await floor.env.advance_time((TEN - NOW).total_seconds() + 60)
    for seconds in (30, 300):
        set_back(seconds)
        await floor.env.advance_time(600)
        assert len(floor.channel.history()) == 1


async def test_clock_set_back_by_hours_stops_no_upkeep(
    floor: Floor, store: Store, set_back: Callable[[float], None]
):
    set_back(5 * HOUR)
    old = NewSubscription(floor.env.guild.id, 55, 42, MapSpec(REQUEST), Schedule(timedelta(hours=1)))
    number = await store.subscriptions.draft(old, now=NOW - timedelta(days=2))
    await floor.env.advance_time(HOUR + 120)
    assert await store.subscriptions.get(number) is None


@pytest.mark.simcord(check_errors=False)
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionResetError(), "ConnectionResetError"),
        (aiohttp.ServerDisconnectedError(), "ServerDisconnectedError"),
        (refused(503), "HTTP 503, code 0: 'Missing Access'"),
    ],
)
async def test_upkeep_that_a_lost_connection_breaks_off_is_one_line_that_blames_nothing_else(
    floor: Floor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    said: str,
):
    async def lost(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(SubscriptionTable, "remove_drafts", lost)
    await floor.env.advance_time(HOUR + 120)
    (line,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert line.getMessage() == f"upkeep broke off, and is tried again at its next time: {said}"
    assert line.exc_info is None
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


def test_watch_notices_what_adds_up_to_a_minute_and_no_step_forward():
    class Hand:
        wall = NOW

        def now(self) -> datetime:
            return self.wall

        def steady(self) -> float:
            return 5.0

        async def sleep(self, _: float, /) -> None:
            raise AssertionError

    clock, found = Hand(), []
    watch = ClockWatch(clock)
    for seconds in (-40, -30, 0, 7200, -59, -7200):
        clock.wall += timedelta(seconds=seconds)
        found.append(watch.set_back().total_seconds())
    assert found == [0, 70, 0, 0, 0, 7259]


async def test_subscription_confirmed_just_now_posts_nothing_old(
    floor: Floor, settings: BotSettings, store: Store
):
    await floor.subscribed(floor.manager())
    await floor.env.restart_bot(new_bot(settings, store))
    await floor.env.advance_time(60)
    assert floor.channel.history() == []


async def as_sending(store: Store, snapshot: Snapshot) -> None:
    """Put a snapshot back to where it was before the post was noted."""
    async with store.subscriptions._engine.begin() as connection:
        await connection.execute(
            update(snapshots)
            .where(snapshots.c.due == snapshot.due)
            .values(state=SnapshotState.SENDING, message_id=None)
        )


async def left(floor: Floor, store: Store, state: SnapshotState, *, ago: float) -> None:
    """Let a bot die over the snapshot of 10:00, `ago` seconds before the next one starts."""
    await floor.subscribed(floor.manager())
    await floor.bot.close()
    await floor.env.advance_time((TEN - NOW).total_seconds() + 60)
    subscription = await only(store)
    snapshot = await store.snapshots.claim(subscription.id, TEN, now=TEN)
    assert snapshot is not None
    if state is SnapshotState.SENDING:
        await store.snapshots.sending(snapshot, now=TEN + timedelta(seconds=60))
    await floor.env.advance_time(ago)


@pytest.mark.parametrize("state", [SnapshotState.CLAIMED, SnapshotState.SENDING])
async def test_kill_before_the_message_loses_nothing(
    floor: Floor, settings: BotSettings, store: Store, state: SnapshotState
):
    await left(floor, store, state, ago=30)
    await floor.env.restart_bot(new_bot(settings, store))
    await floor.env.advance_time(60)
    assert len(floor.channel.history()) == 1
    newest = await store.snapshots.newest(1)
    assert newest is not None
    assert newest.state is SnapshotState.POSTED


async def test_kill_between_message_and_note_doubles_nothing_however_late_the_restart(
    floor: Floor, settings: BotSettings, store: Store, monkeypatch: pytest.MonkeyPatch
):
    # The simulated Discord's own time is that much behind.
    monkeypatch.setattr("bot.schedule.posts._CLOCKS_DIFFER", NOW - SIMULATION_STARTS + timedelta(minutes=1))
    await floor.subscribed(floor.manager())
    await floor.env.advance_time(HOUR)
    (message,) = floor.channel.history()
    for number in range(80):  # more than a look at the newest would show
        await floor.member.send(floor.channel, f"busy {number}")
    snapshot = await store.snapshots.newest(1)
    assert snapshot is not None
    # As it would be, had the bot died before it could note the post.
    await as_sending(store, snapshot)
    await floor.bot.close()
    await floor.env.advance_time(600)
    await floor.env.restart_bot(new_bot(settings, store))
    await floor.env.advance_time(60)
    assert [each.id for each in floor.channel.history() if each.attachments] == [message.id]
    noted = await store.snapshots.newest(1)
    assert noted is not None
    assert (noted.state, noted.message_id) == (SnapshotState.POSTED, message.id)


async def test_nonce_is_the_same_for_the_same_due_time(floor: Floor, settings: BotSettings, store: Store):
    await left(floor, store, SnapshotState.SENDING, ago=10)
    await floor.env.restart_bot(new_bot(settings, store))
    await floor.env.advance_time(30)
    assert [(each["nonce"], each["enforce_nonce"]) for each in posts(floor)] == [("1-t86js0", True)]


@EXPECTS_ERRORS
@pytest.mark.parametrize(("status", "code"), [(403, 50013), (404, 10003)])
async def test_refused_post_pauses_at_once_and_informs_the_creator(
    floor: Floor, store: Store, status: int, code: int
):
    mona = floor.manager()
    await floor.subscribed(mona)
    floor.env.inject_error("POST", "/channels/*/messages", status=status, code=code, message="No.", times=1)
    await floor.env.advance_time(HOUR)
    paused = await only(store)
    assert paused.state is SubscriptionState.PAUSED
    assert paused.reason.endswith("(Discord says: No.)")
    (reported,) = mail(mona)
    assert reported.startswith(f"I have paused the posts of BTCUSDT in <#{floor.channel.id}>: ")
    assert reported.endswith("Resume them there with /subscriptions.")
    await floor.env.advance_time(3 * HOUR)
    assert floor.channel.history() == []


@EXPECTS_ERRORS
async def test_three_failures_in_a_row_pause_a_subscription_and_fewer_do_not(floor: Floor, store: Store):
    mona = floor.manager()
    await floor.subscribed(mona)
    floor.draw.error = RequestError("Nobody traded.")
    await floor.env.advance_time(2 * HOUR)
    assert ((await only(store)).state, (await only(store)).failures) == (SubscriptionState.ACTIVE, 2)
    floor.draw.error = None
    await floor.env.advance_time(HOUR)
    assert (await only(store)).failures == 0
    floor.draw.error = RequestError("Nobody traded.")
    await floor.env.advance_time(3 * HOUR)
    paused = await only(store)
    assert (paused.state, paused.reason) == (SubscriptionState.PAUSED, "Nobody traded.")
    assert "Nobody traded. Resume them" in mail(mona)[0]


async def test_busy_engine_and_silent_exchange_are_tried_again(floor: Floor, store: Store):
    await floor.subscribed(floor.manager())
    floor.draw.errors = [EngineBusy("Busy."), DataError("Not now.")]
    await floor.env.advance_time(HOUR)
    assert len(floor.channel.history()) == 1
    assert (await only(store)).failures == 0


@EXPECTS_ERRORS
async def test_posts_wait_while_drawing_is_broken_and_health_says_so(
    floor: Floor, settings: BotSettings, store: Store, caplog: pytest.LogCaptureFixture
):
    mona, health = floor.manager(), DrawingHealth()
    await floor.subscribed(mona)
    await floor.env.restart_bot(new_bot(settings, store, health.watched(floor.draw)))
    floor.draw.error = ValueError("broken")
    await floor.env.advance_time(4 * HOUR)
    assert (floor.channel.history(), health.works) == ([], False)
    subscription = await only(store)
    assert (subscription.state, subscription.failures) == (SubscriptionState.ACTIVE, 0)
    assert sum(record.exc_info is not None for record in caplog.records) == 1
    floor.draw.error = None
    await floor.env.advance_time(0.25 * HOUR)
    (message,) = floor.channel.history()
    assert "13:00 UTC" in (message.embeds[-1].footer.text or "")
    assert health.works
    assert floor.env.backend.dm_channels.get(mona.id) is None


@asynccontextmanager
async def broken(store: Store, how: str) -> AsyncIterator[None]:
    """Let the database refuse every change for a while."""

    async def set_to(pragma: str) -> None:
        async with store.engine.connect() as connection:
            await connection.exec_driver_sql(f"PRAGMA {pragma}")

    if how == "only read":
        await set_to("query_only = ON")
        yield
        await set_to("query_only = OFF")
        return
    await set_to("busy_timeout = 0")
    with closing(sqlite3.connect(store.engine.url.database or "", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@EXPECTS_ERRORS
@pytest.mark.parametrize("how", ["locked", "only read"])
async def test_database_that_takes_no_changes_refuses_commands_and_presses_and_loses_no_post(
    floor: Floor, store: Store, how: str, caplog: pytest.LogCaptureFixture
):
    mona = floor.manager()
    await floor.subscribed(mona)
    listed = (await mona.slash(floor.channel, "subscriptions")).response
    assert listed is not None
    await mona.select(listed.message, [str((await only(store)).id)], custom_id="sub:pick")
    async with broken(store, how):
        for action in ("Pause", "Remove"):
            await mona.click(listed.message, label=action)
        await mona.slash(floor.channel, "alert near", symbol="btc", distance="1%", notional="1m")
        said = [str(each.json) for each in floor.env.http_requests]
        assert sum("The bot cannot read or save just now, and nothing was" in each for each in said) == 3
        await floor.env.advance_time(HOUR)
        assert floor.channel.history() == []
    await floor.env.advance_time(HOUR / 4)  # more than the longest wait between two tries
    (message,) = floor.channel.history()
    assert "10:00 UTC" in (message.embeds[-1].footer.text or "")
    assert (await only(store)).failures == 0
    assert await store.alerts.all() == []
    assert not [each for each in caplog.records if each.exc_info]


async def test_server_error_of_discord_is_outlasted(floor: Floor):
    await floor.subscribed(floor.manager())
    floor.env.inject_error("POST", "/channels/*/messages", status=503, times=3)
    await floor.env.advance_time(HOUR)
    assert len(floor.channel.history()) == 1


async def test_press_on_a_scheduled_post_is_answered_privately(floor: Floor):
    await floor.subscribed(floor.manager())
    await floor.env.advance_time(HOUR)
    (post,) = floor.channel.history()
    result = await floor.member.click(post, label="24h")
    mine = result.response
    assert mine is not None
    assert mine.ephemeral
    assert len(mine.attachments) == 2
    (left_alone,) = floor.channel.history()
    assert left_alone.embeds == post.embeds


async def test_creator_deletes_a_scheduled_post(floor: Floor):
    mona = floor.manager()
    await floor.subscribed(mona)
    await floor.env.advance_time(HOUR)
    await mona.click(floor.channel.history()[0], label="Delete")
    assert floor.channel.history() == []
