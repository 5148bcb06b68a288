"""One snapshot's way when Discord cannot tell what has become of it, or the draw is shared."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot.settings import SubscriptionsSettings
from bot.snapshots import SharedDraws, SnapshotJob
from bot.spec import MapSpec
from bot.store import Store
from bot.store.snapshots import SnapshotState
from bot.store.subscriptions import NewSubscription
from liqmap.errors import DataError, JobFailed
from liqmap.model import MapResult
from tests.bot.conftest import REQUEST, FakeDraw

NOW = datetime(2026, 1, 1, 10, 30, tzinfo=UTC)
TEN = datetime(2026, 1, 1, 10, tzinfo=UTC)
NEW = NewSubscription(1, 2, 3, MapSpec.of(REQUEST), timedelta(hours=1))


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float, /) -> None:
        self.time += timedelta(seconds=seconds)


class FakePoster:
    """Remembers posts, and fails or finds as it is told."""

    def __init__(self) -> None:
        self.posts: list[datetime] = []
        self.told: list[str] = []
        self.found: int | None = None
        self.error: Exception | None = None

    async def post(self, subscription: Any, due: datetime, result: MapResult) -> int:
        del subscription, result
        if self.error:
            raise self.error
        self.posts.append(due)
        return 99

    async def find(self, subscription: Any, due: datetime) -> int | None:
        del subscription, due
        if self.error:
            raise self.error
        return self.found

    async def tell(self, user_id: int, sentence: str) -> bool:
        del user_id
        self.told.append(sentence)
        return True


def forbidden() -> discord.Forbidden:
    response: Any = SimpleNamespace(status=403, reason="Forbidden")
    return discord.Forbidden(response, {"code": 50001, "message": "Missing Access"})


@pytest.fixture
def poster() -> FakePoster:
    return FakePoster()


@pytest.fixture
async def job(store: Store, poster: FakePoster) -> SnapshotJob:
    number = await store.subscriptions.draft(NEW, now=NOW)
    await store.subscriptions.activate(number, now=TEN - timedelta(minutes=1))
    settings = SubscriptionsSettings(jitter=0)
    return SnapshotJob(store, poster, FakeDraw(), clock=Hand(), settings=settings)


async def sent_long_ago(store: Store) -> None:
    snapshot = await store.snapshots.claim(1, TEN, now=TEN)
    assert snapshot is not None
    await store.snapshots.sending(snapshot, now=TEN)


async def state(store: Store) -> SnapshotState:
    newest = await store.snapshots.newest(1)
    assert newest is not None
    return newest.state


async def test_history_that_nobody_can_read_means_rather_none_than_two(
    job: SnapshotJob, store: Store, poster: FakePoster
):
    await sent_long_ago(store)
    poster.error = forbidden()
    assert await job(1)
    assert (poster.posts, await state(store)) == ([], SnapshotState.POSTED)


async def test_history_without_it_means_it_was_never_sent(job: SnapshotJob, store: Store, poster: FakePoster):
    await sent_long_ago(store)
    assert await job(1)
    assert (poster.posts, await state(store)) == ([TEN], SnapshotState.POSTED)


async def test_what_is_over_is_left_alone(job: SnapshotJob, poster: FakePoster):
    assert await job(1)
    assert await job(1)
    assert poster.posts == [TEN]


async def test_network_that_stays_broken_is_a_failure_with_a_number(
    job: SnapshotJob, store: Store, poster: FakePoster
):
    poster.error = ConnectionResetError(104, "reset")
    assert await job(1)
    newest = await store.snapshots.newest(1)
    assert newest is not None
    assert newest.reason.startswith("Discord did not take it (number ")


async def test_job_of_a_subscription_that_is_gone_or_paused_ends(job: SnapshotJob, store: Store):
    await store.subscriptions.pause(1, reason="")
    assert not await job(1)
    assert not await job(12345)


async def test_equal_requests_share_a_draw_until_it_is_old():
    clock, draw = Hand(), FakeDraw()
    shared = SharedDraws(draw, clock=clock, keep=timedelta(minutes=5))
    first, second = await asyncio.gather(shared(REQUEST), shared(REQUEST))
    assert first is second
    clock.time += timedelta(minutes=6)
    await shared(REQUEST)
    assert len(draw.requests) == 2


async def test_failed_draw_is_not_kept():
    draw = FakeDraw()
    shared = SharedDraws(draw, clock=Hand(), keep=timedelta(minutes=5))
    draw.errors = [JobFailed("Too long.")]
    with pytest.raises(JobFailed):
        await shared(REQUEST)
    await shared(REQUEST)
    draw.errors = [DataError("No."), DataError("No."), DataError("No.")]
    other = MapSpec.of(REQUEST).ending(TEN)
    with pytest.raises(DataError):
        await shared(other)
    assert len(draw.requests) == 5
