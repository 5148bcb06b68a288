"""One snapshot's way when Discord cannot tell what has become of it, or the draw is shared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from bot.interaction.patience import TOKEN_RESET
from bot.request.drawing import EngineFacts
from bot.request.due import DRAWN_AHEAD, Schedule, drawn_after, jitter_of
from bot.request.posted import Asked, Drawn, ScanSpec
from bot.request.spec import MapSpec
from bot.schedule.draws import SharedDraws, drawing
from bot.schedule.snapshots import SnapshotJob
from bot.settings import SubscriptionsSettings
from bot.store import Store
from bot.store.snapshots import SnapshotState
from bot.store.subscriptions import NewSubscription, PostStyle, SubscriptionState
from liqmap import ScanRequest, ScanResult
from liqmap.errors import (
    DataError,
    EngineBusy,
    JobFailed,
    NotCovered,
    NotPublished,
    RequestError,
    SettingsError,
)
from liqmap.model import MapRequest
from liqmap.run.result import MapResult
from tests.bot.conftest import REQUEST, FakeDraw, result_of

NOW = datetime(2026, 1, 1, 10, 30, tzinfo=UTC)
TEN = datetime(2026, 1, 1, 10, tzinfo=UTC)
NEW = NewSubscription(1, 2, 3, MapSpec(REQUEST), Schedule(timedelta(hours=1)))


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def steady(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float, /) -> None:
        self.time += timedelta(seconds=seconds)


class FakePoster:
    """Remembers posts, and fails or finds as it is set up to."""

    def __init__(self) -> None:
        self.posts: list[datetime] = []
        self.informed: list[str] = []
        self.edits: list[int] = []
        self.published: list[int] = []
        self.publishing: Exception | None = None
        self.can_edit = True
        self.found: int | None = None
        self.looked_since: datetime | None = None
        self.error: Exception | None = None
        self.errors: list[Exception] = []

    async def send(self, subscription: Any, due: datetime, result: Drawn) -> int:
        del subscription, result
        self._fail()
        self.posts.append(due)
        return 99

    async def edit(self, subscription: Any, message_id: int, result: Drawn) -> bool:
        del subscription, result
        self._fail()
        self.edits.append(message_id)
        return self.can_edit

    async def publish(self, subscription: Any, message_id: int) -> None:
        del subscription
        self.published.append(message_id)
        if self.publishing:
            raise self.publishing

    async def find(self, subscription: Any, due: datetime, *, since: datetime) -> int | None:
        del subscription, due
        self.looked_since = since
        self._fail()
        return self.found

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        if self.error:
            raise self.error

    async def inform(self, user_id: int, sentence: str) -> bool:
        del user_id
        self.informed.append(sentence)
        return True


def refused(status: int, *, code: int = 0) -> discord.HTTPException:
    response: Any = SimpleNamespace(status=status, reason="", headers={})
    kind = discord.Forbidden if status == 403 else discord.HTTPException
    return kind(response, {"code": code, "message": "Missing Access"})


def posted(draw: FakeDraw) -> Callable[[Asked], Coroutine[Any, Any, Drawn]]:
    """Return what draws posts: maps by `draw`, and scans that find nothing."""
    return drawing(draw, EngineFacts().scan)


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def poster() -> FakePoster:
    return FakePoster()


@pytest.fixture
async def job(store: Store, poster: FakePoster, hand: Hand, draw: FakeDraw) -> SnapshotJob:
    number = await store.subscriptions.draft(NEW, now=NOW)
    await store.subscriptions.activate(number, now=TEN - timedelta(minutes=1))
    settings = SubscriptionsSettings(jitter=0)
    return SnapshotJob(store, poster, posted(draw), clock=hand, settings=settings)


async def sent_long_ago(store: Store) -> None:
    snapshot = await store.snapshots.claim(1, TEN, now=TEN)
    assert snapshot is not None
    await store.snapshots.sending(snapshot, now=TEN)


async def state(store: Store) -> SnapshotState:
    newest = await store.snapshots.newest(1)
    assert newest is not None
    return newest.state


async def test_unreadable_history_prefers_a_missing_post_to_two(
    job: SnapshotJob, store: Store, poster: FakePoster
):
    await sent_long_ago(store)
    poster.error = refused(403, code=50001)
    assert await job(1)
    assert (poster.posts, await state(store)) == ([], SnapshotState.POSTED)


async def test_message_of_a_clock_that_was_ahead_is_looked_for_in_the_whole_interval(
    job: SnapshotJob, store: Store, poster: FakePoster
):
    snapshot = await store.snapshots.claim(1, TEN, now=TEN)
    assert snapshot is not None
    await store.snapshots.sending(snapshot, now=NOW + timedelta(minutes=1))
    poster.found = 77
    assert await job(1)
    assert (poster.posts, poster.looked_since) == ([], NOW - timedelta(hours=1))


async def test_history_without_the_message_means_it_was_never_sent(
    job: SnapshotJob, store: Store, poster: FakePoster
):
    await sent_long_ago(store)
    assert await job(1)
    assert (poster.posts, await state(store)) == ([TEN], SnapshotState.POSTED)


async def test_finished_snapshot_is_left_alone(job: SnapshotJob, poster: FakePoster):
    assert await job(1)
    assert await job(1)
    assert poster.posts == [TEN]


PASSING = [
    ConnectionResetError(104, "reset"),
    aiohttp.ServerDisconnectedError(),
    refused(503),
    refused(403),
    refused(401, code=50027),
    DBAPIError("", None, Exception()),
    PoolTimeoutError(),
    ValueError("a fault of the bot"),
]


@pytest.mark.parametrize("error", PASSING)
async def test_transient_failure_is_waited_for_and_not_counted(
    job: SnapshotJob, store: Store, poster: FakePoster, hand: Hand, error: Exception
):
    poster.errors = [error] * 5
    assert await job(1)
    assert (poster.posts, await state(store)) == ([TEN], SnapshotState.POSTED)
    assert hand.time - NOW == timedelta(minutes=15, seconds=30)
    subscription = await store.subscriptions.get(1)
    assert subscription is not None
    assert subscription.failures == 0


async def test_reset_token_is_reported_in_the_log(
    job: SnapshotJob, poster: FakePoster, caplog: pytest.LogCaptureFixture
):
    poster.errors = [refused(401)]
    assert await job(1)
    assert f"subscription 1 waits: {TOKEN_RESET}" in caplog.messages


OURS = [
    JobFailed("Too long."),
    EngineBusy("Busy."),
    DataError("The exchange does not answer."),
    NotCovered("Not recorded here.", whole_end=TEN),
    SettingsError("Setting x: wrong."),
    ValueError("a fault of the bot"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OURS)
async def test_failure_to_draw_a_valid_request_is_retried_silently(
    job: SnapshotJob, store: Store, poster: FakePoster, draw: FakeDraw, error: Exception
):
    draw.errors = [error] * 30
    assert await job(1)
    assert len(poster.posts) == 1
    subscription = await store.subscriptions.get(1)
    assert subscription is not None
    assert (subscription.state, subscription.failures, poster.informed) == (SubscriptionState.ACTIVE, 0, [])


@pytest.mark.parametrize("error", [RequestError("Nobody traded."), NotPublished("There is no such market.")])
async def test_request_that_is_refused_three_times_is_paused(
    job: SnapshotJob, store: Store, poster: FakePoster, draw: FakeDraw, hand: Hand, error: Exception
):
    draw.error = error
    for failures in (1, 2, 3):
        await job(1)
        hand.time += timedelta(hours=1)
        subscription = await store.subscriptions.get(1)
        assert subscription is not None
        assert subscription.failures == failures
    assert subscription is not None
    assert (subscription.state, subscription.reason) == (SubscriptionState.PAUSED, str(error))
    assert len(poster.informed) == 1


async def test_scan_of_a_bot_that_records_nothing_yet_waits_instead_of_being_paused(
    store: Store, poster: FakePoster, hand: Hand
):
    asked: list[ScanRequest] = []

    async def scan(request: ScanRequest) -> ScanResult:
        asked.append(request)
        if len(asked) < 9:
            raise RequestError("No market has been recorded in the last 24 hours.")
        return ScanResult(request, (), 20)

    number = await store.subscriptions.draft(replace(NEW, spec=ScanSpec(ScanRequest(NOW))), now=NOW)
    await store.subscriptions.activate(number, now=TEN - timedelta(minutes=1))
    draw = drawing(FakeDraw(), scan)
    job = SnapshotJob(store, poster, draw, clock=hand, settings=SubscriptionsSettings(jitter=0))
    assert await job(number)
    assert [each.end for each in asked[:1]] == [TEN]
    assert (len(poster.posts), poster.informed) == (1, [])


async def test_post_is_drawn_before_it_is_due_to_be_sent_and_sent_when_it_is(
    store: Store, poster: FakePoster, hand: Hand
):
    number = await store.subscriptions.draft(NEW, now=NOW)
    await store.subscriptions.activate(number, now=TEN - timedelta(minutes=1))
    sent_at, drawn = TEN + jitter_of(number, 20), []
    hand.time = TEN + drawn_after(number, 20)

    async def draw(request: Asked) -> Drawn:
        drawn.append((hand.time, request))
        hand.time += timedelta(seconds=1)
        assert isinstance(request, MapRequest)
        return result_of(request)

    job = SnapshotJob(store, poster, draw, clock=hand, settings=SubscriptionsSettings(jitter=20))
    assert await job(number)
    ((at, request),) = drawn
    assert sent_at - at == DRAWN_AHEAD
    assert request.window.end == TEN
    assert (poster.posts, hand.time) == ([TEN], sent_at)


async def test_clock_that_is_set_back_while_a_post_waits_keeps_it_no_longer_than_planned(
    store: Store, poster: FakePoster, hand: Hand
):
    number = await store.subscriptions.draft(NEW, now=NOW)
    await store.subscriptions.activate(number, now=TEN - timedelta(minutes=1))
    hand.time = TEN + drawn_after(number, 20)

    async def draw(request: Asked) -> Drawn:
        hand.time -= timedelta(hours=1)
        assert isinstance(request, MapRequest)
        return result_of(request)

    job = SnapshotJob(store, poster, draw, clock=hand, settings=SubscriptionsSettings(jitter=20))
    await job(number)
    assert poster.posts == [TEN]
    assert hand.time <= TEN + drawn_after(number, 20) - timedelta(hours=1) + DRAWN_AHEAD


@pytest.mark.parametrize("status", [400, 413])
async def test_post_that_discord_refuses_three_times_is_paused(
    job: SnapshotJob, store: Store, poster: FakePoster, hand: Hand, status: int
):
    poster.error = refused(status, code=50035)
    for _ in range(3):
        await job(1)
        hand.time += timedelta(hours=1)
    subscription = await store.subscriptions.get(1)
    assert subscription is not None
    assert (subscription.state, len(poster.informed)) == (SubscriptionState.PAUSED, 1)


async def test_fault_of_the_bot_is_in_the_log_once_until_a_post_comes(
    job: SnapshotJob, draw: FakeDraw, hand: Hand, caplog: pytest.LogCaptureFixture
):
    for _ in range(2):
        draw.errors = [ValueError("a fault of the bot")] * 5
        assert await job(1)
        hand.time += timedelta(hours=1)
    assert sum(record.exc_info is not None for record in caplog.records) == 2


async def test_after_long_trouble_only_the_newest_is_posted(job: SnapshotJob, poster: FakePoster, hand: Hand):
    poster.errors = [refused(503)] * 20
    assert await job(1)
    assert poster.posts == [TEN + timedelta(hours=(hand.time - TEN) // timedelta(hours=1))]
    assert poster.posts > [TEN]


async def test_message_that_may_have_come_is_looked_for_from_its_first_try_on(
    job: SnapshotJob, poster: FakePoster
):
    poster.errors = [refused(503)] * 4
    assert await job(1)
    assert poster.looked_since == NOW


async def test_message_that_may_have_come_is_looked_for_if_drawing_outlasts_its_nonce(
    job: SnapshotJob, store: Store, poster: FakePoster, hand: Hand
):
    async def slow(_: object) -> MapResult:
        hand.time += timedelta(minutes=3)
        return result_of()

    job._draw = slow
    poster.errors, poster.found = [ConnectionResetError(104, "reset")], 77
    assert await job(1)
    assert poster.posts == []
    newest = await store.snapshots.newest(1)
    assert newest is not None
    assert (newest.state, newest.message_id) == (SnapshotState.POSTED, 77)


async def test_message_that_cannot_be_edited_is_forgotten_before_a_new_one_comes(
    store: Store, poster: FakePoster, job: SnapshotJob, monkeypatch: pytest.MonkeyPatch
):
    editing = await edited_in_place(store)
    poster.can_edit = False

    async def killed(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(poster, "send", killed)
    with pytest.raises(KeyboardInterrupt):
        await job(editing)
    assert poster.edits == [77]
    subscription = await store.subscriptions.get(editing)
    assert subscription is not None
    assert subscription.message_id is None


async def edited_in_place(store: Store) -> int:
    """Store a subscription that edits message 77."""
    number = await store.subscriptions.draft(replace(NEW, channel_id=9, style=PostStyle.EDIT), now=NOW)
    await store.subscriptions.activate(number, now=TEN - timedelta(hours=2))
    before = await store.snapshots.claim(number, TEN - timedelta(hours=1), now=NOW)
    assert before is not None
    await store.snapshots.posted(before, message_id=77, now=NOW)
    return number


async def test_post_found_after_a_kill_is_published(store: Store, poster: FakePoster, job: SnapshotJob):
    number = await published(store)
    snapshot = await store.snapshots.claim(number, TEN, now=TEN)
    assert snapshot is not None
    await store.snapshots.sending(snapshot, now=TEN)
    poster.found = 77
    assert await job(number)
    assert (poster.posts, poster.published) == ([], [77])


@pytest.mark.parametrize(
    ("error", "goes_on"),
    [
        (ConnectionResetError(104, "reset"), True),
        (TimeoutError(), True),
        (refused(503), True),
        (refused(400, code=9), False),
    ],
)
async def test_post_that_cannot_be_published_counts_as_posted(
    store: Store, poster: FakePoster, job: SnapshotJob, error: Exception, goes_on: bool
):
    number, poster.publishing = await published(store), error
    assert await job(number)
    assert (poster.posts, len(poster.informed)) == ([TEN], 0 if goes_on else 1)
    subscription = await store.subscriptions.get(number)
    assert subscription is not None
    assert (subscription.state, subscription.publish) == (SubscriptionState.ACTIVE, goes_on)


async def published(store: Store) -> int:
    """Store a subscription whose posts are published."""
    number = await store.subscriptions.draft(replace(NEW, channel_id=9, publish=True), now=NOW)
    await store.subscriptions.activate(number, now=TEN - timedelta(minutes=1))
    return number


@pytest.mark.parametrize("stop", ["pause", "remove"])
async def test_what_is_stopped_while_it_is_drawn_is_not_posted(
    store: Store, poster: FakePoster, job: SnapshotJob, stop: str
):
    async def stopped(_: object) -> MapResult:
        if stop == "pause":
            await store.subscriptions.pause(1, reason="")
        else:
            await store.subscriptions.remove(1)
        return result_of()

    job._draw = stopped
    assert not await job(1)
    assert poster.posts == []


async def test_failure_of_a_removed_subscription_informs_nobody(
    store: Store, poster: FakePoster, job: SnapshotJob, monkeypatch: pytest.MonkeyPatch
):
    async def removed(*_: object) -> int:
        await store.subscriptions.remove(1)
        raise refused(403, code=50001)

    monkeypatch.setattr(poster, "send", removed)
    assert not await job(1)
    assert poster.informed == []


async def test_of_two_processes_one_posts(store: Store, poster: FakePoster, job: SnapshotJob):
    async def slow(_: object) -> MapResult:
        assert await other(1)  # the other one is done while this one draws
        return result_of()

    other = SnapshotJob(
        store, poster, posted(FakeDraw()), clock=Hand(), settings=SubscriptionsSettings(jitter=0)
    )
    job._draw = slow
    assert await job(1)
    assert poster.posts == [TEN]


async def test_job_of_a_subscription_that_is_gone_or_paused_ends(job: SnapshotJob, store: Store):
    await store.subscriptions.pause(1, reason="")
    assert not await job(1)
    assert not await job(12345)


async def test_equal_requests_share_a_draw_until_it_is_old():
    clock, draw = Hand(), FakeDraw()
    shared = SharedDraws(posted(draw), clock=clock, keep=timedelta(minutes=5))
    first, second = await asyncio.gather(shared(REQUEST), shared(REQUEST))
    assert first is second
    clock.time += timedelta(minutes=6)
    await shared(REQUEST)
    assert len(draw.requests) == 2


async def test_failed_draw_is_not_kept():
    draw = FakeDraw()
    shared = SharedDraws(posted(draw), clock=Hand(), keep=timedelta(minutes=5))
    draw.errors = [JobFailed("Too long.")]
    with pytest.raises(JobFailed):
        await shared(REQUEST)
    await shared(REQUEST)
    draw.errors = [DataError("No."), DataError("No."), DataError("No.")]
    other = MapSpec(REQUEST).ending(TEN)
    with pytest.raises(DataError):
        await shared(other)
    assert len(draw.requests) == 5
