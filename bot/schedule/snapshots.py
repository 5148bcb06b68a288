"""Post a subscription's snapshots, each exactly once, and handle failures."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import discord
from sqlalchemy.exc import SQLAlchemyError
from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    wait_exponential,
)

from bot.interaction.patience import UNSENT, failure_text, is_refused, may_pass
from bot.request.due import DRAWN_AHEAD, drawn_after, jitter_of
from bot.request.posted import subject
from bot.schedule.posts import NONCE_HOLDS
from bot.store.snapshots import SnapshotState
from bot.store.subscriptions import SubscriptionState
from liqmap import (
    LiqmapError,
    NotCovered,
    NotPublished,
    RequestError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime

    from tenacity import RetryCallState

    from bot.request.posted import Asked, Drawn
    from bot.settings import SubscriptionsSettings
    from bot.store import Store
    from bot.store.snapshots import Snapshot
    from bot.store.subscriptions import Subscription
    from liqmap import SteadyClock

log = logging.getLogger(__name__)

FAILURES_TO_PAUSE: Final = 3
_FIRST_WAIT, _LONGEST_WAIT = 30.0, 600.0


class _Overtaken(Exception):
    """Another process sends the snapshot, or its subscription was stopped."""


class Poster(Protocol):
    """How snapshots reach Discord: `bot.schedule.posts.Posts`."""

    async def send(self, subscription: Subscription, due: datetime, result: Drawn) -> int:
        """Post; return the message's id."""
        ...

    async def edit(self, subscription: Subscription, message_id: int, result: Drawn) -> bool:
        """Replace what the message shows with a new result; return whether the message could be edited."""
        ...

    async def publish(self, subscription: Subscription, message_id: int) -> None:
        """Publish a post to the followers of its channel."""
        ...

    async def find(self, subscription: Subscription, due: datetime, *, since: datetime) -> int | None:
        """Return the message of that due time, if it was sent since `since`."""
        ...

    async def inform(self, user_id: int, sentence: str) -> bool:
        """Write to a person; return whether that was possible."""
        ...


class SnapshotJob:
    """Posts what a subscription has due. Called by the scheduler, for one subscription at a time."""

    def __init__(
        self,
        store: Store,
        poster: Poster,
        draw: Callable[[Asked], Coroutine[Any, Any, Drawn]],
        *,
        clock: SteadyClock,
        settings: SubscriptionsSettings,
        on_outcome: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._poster = poster
        self._draw = draw
        self._clock = clock
        self._jitter = settings.jitter
        self._slots = asyncio.Semaphore(settings.posts_at_once)
        self._on_outcome = on_outcome
        self._logged: set[str] = set()

    async def __call__(self, subscription_id: int) -> bool:
        """Post the newest due snapshot unless it was posted; return whether the subscription goes on.

        Trouble with the network, the exchange or the database, and faults of the bot, count as downtime: the
        job retries until they end, however long that takes, and then posts the newest snapshot. Only a
        refusal by Discord, or a request that can never be drawn, is a failure.
        """
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Exception),
            wait=wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            sleep=self._clock.sleep,
            before_sleep=partial(self._note_waiting, subscription_id),
            reraise=True,
        ):
            with attempt:
                return await self._post_due(subscription_id)
        raise AssertionError  # pragma: no cover - an attempt returns or raises

    def _note_waiting(self, subscription_id: int, state: RetryCallState) -> None:
        self._on_outcome("waiting")
        error = state.outcome.exception() if state.outcome else None
        text = str(error) if isinstance(error, LiqmapError) else failure_text(error)
        log.warning("subscription %d waits: %s", subscription_id, text)
        if not _is_expected(error) and repr(error) not in self._logged:
            # Logged once: the same fault would recur for every subscription.
            self._logged.add(repr(error))
            log.error("a scheduled post failed by a fault of the bot", exc_info=error)

    async def _post_due(self, subscription_id: int) -> bool:
        done: datetime | None = None
        while True:
            subscription = await self._store.subscriptions.get(subscription_id)
            if subscription is None or subscription.state is not SubscriptionState.ACTIVE:
                return False
            shift = drawn_after(subscription_id, self._jitter)
            due = subscription.schedule.due_before(self._clock.now() - shift)
            if due <= subscription.active_since or due == done:
                return True
            snapshot = await self._store.snapshots.claim(subscription_id, due, now=self._clock.now())
            if snapshot is None or snapshot.is_over:
                return snapshot is not None
            # Another snapshot may fall due while this one is being sent.
            done = due
            await self._attempt(subscription, snapshot)

    async def _attempt(self, subscription: Subscription, snapshot: Snapshot) -> None:
        try:
            message_id = await self._bring(subscription, snapshot)
        except _Overtaken:
            log.info("subscription %d: stopped meanwhile, or posted by another process", subscription.id)
            return
        except LiqmapError as error:
            if not _is_refused_by_request(error):
                raise
            await self._fail(subscription, snapshot, str(error))
            return
        except discord.HTTPException as error:
            if not is_refused(error):
                raise
            await self._fail_refused(subscription, snapshot, error)
            return
        self._logged.clear()
        await self._note_posted(subscription, snapshot, message_id)

    async def _note_posted(
        self, subscription: Subscription, snapshot: Snapshot, message_id: int | None
    ) -> None:
        """Publish a new post if its subscription wants that, and note the snapshot as posted."""
        # Before it is noted: if the bot is killed here, the next start finds the post and publishes it.
        if subscription.publish and message_id is not None and message_id != subscription.edited_message:
            await self._publish(subscription, message_id)
        await self._store.snapshots.posted(snapshot, message_id=message_id, now=self._clock.now())
        self._on_outcome("posted")
        log.info(
            "posted subscription=%d channel=%d due=%s",
            *(subscription.id, subscription.channel_id, snapshot.due.isoformat()),
        )

    async def _bring(self, subscription: Subscription, snapshot: Snapshot) -> int | None:
        is_harmless = self._is_harmless_to_send(subscription, snapshot)
        if not is_harmless:
            sent, message_id = await self._was_sent(subscription, snapshot)
            if sent:
                return message_id
        result = await self._draw(subscription.spec.ending(snapshot.due))
        await self._await_time_to_send(subscription, snapshot)
        async with self._slots:
            if is_harmless and not self._is_harmless_to_send(subscription, snapshot):
                # Discord may have forgotten the nonce while this was drawn, or while others were sent.
                sent, message_id = await self._was_sent(subscription, snapshot)
                if sent:
                    return message_id
            if not await self._store.snapshots.sending(snapshot, now=self._clock.now()):
                raise _Overtaken
            edited = subscription.edited_message
            if edited is not None:
                if await self._poster.edit(subscription, edited, result):
                    return edited
                # Noted first: after a kill, the next start has to look for the new message.
                await self._store.subscriptions.forget_message(subscription.id)
            return await self._poster.send(subscription, snapshot.due, result)

    async def _await_time_to_send(self, subscription: Subscription, snapshot: Snapshot) -> None:
        at = snapshot.due + jitter_of(subscription.id, self._jitter)
        # No longer than planned: the clock may have been set back meanwhile.
        wait = min(at - self._clock.now(), DRAWN_AHEAD)
        if wait > timedelta():
            await self._clock.sleep(wait.total_seconds())

    async def _publish(self, subscription: Subscription, message_id: int) -> None:
        """Publish a post. If Discord refuses that, the posts go on without, and the creator is informed."""
        try:
            await self._poster.publish(subscription, message_id)
        except UNSENT as error:
            log.warning(
                "a post of subscription %d was not published: %s", subscription.id, failure_text(error)
            )
            gone = isinstance(error, discord.NotFound)
            if gone or not isinstance(error, discord.HTTPException) or not is_refused(error):
                return
            if await self._store.subscriptions.stop_publishing(subscription.id):
                await self._poster.inform(
                    subscription.creator_id,
                    f"I cannot publish the posts of {subject(subscription.spec)} in"
                    f" <#{subscription.channel_id}> (Discord says: {error.text}). They go on without being"
                    " published; subscribe anew to try it again.",
                )

    def _is_harmless_to_send(self, subscription: Subscription, snapshot: Snapshot) -> bool:
        """Return whether nothing comes twice if it is sent now, whatever has become of earlier tries."""
        if snapshot.state is not SnapshotState.SENDING or subscription.edited_message is not None:
            return True  # editing twice is harmless
        # A new message has a nonce, which Discord recognises for a while.
        return timedelta() <= self._clock.now() - snapshot.changed_at < NONCE_HOLDS

    async def _was_sent(self, subscription: Subscription, snapshot: Snapshot) -> tuple[bool, int | None]:
        """Return whether a message whose answer from Discord never arrived was sent, and its id if known."""
        ago = self._clock.now() - snapshot.changed_at
        # The clock was set back since, so the noted time does not say when it was sent.
        since = self._clock.now() - subscription.schedule.every if ago < timedelta() else snapshot.changed_at
        try:
            message_id = await self._poster.find(subscription, snapshot.due, since=since)
        except discord.Forbidden as error:
            if may_pass(error):
                raise
            # The history cannot be read. One missing post is better than two equal ones.
            return True, None
        return message_id is not None, message_id

    async def _fail_refused(
        self, subscription: Subscription, snapshot: Snapshot, error: discord.HTTPException
    ) -> None:
        log.warning("snapshot of subscription %d was refused: %s", subscription.id, failure_text(error))
        if isinstance(error, (discord.Forbidden, discord.NotFound)):
            where = "the channel is gone" if error.status == 404 else "I can no longer post there"
            await self._fail(subscription, snapshot, f"{where} (Discord says: {error.text})", fatal=True)
        else:
            await self._fail(subscription, snapshot, f"Discord refused it (and says: {error.text})")

    async def _fail(
        self, subscription: Subscription, snapshot: Snapshot, reason: str, *, fatal: bool = False
    ) -> None:
        self._on_outcome("failed")
        log.info("failed subscription=%d due=%s: %s", subscription.id, snapshot.due.isoformat(), reason)
        await self._store.snapshots.failed(snapshot, reason=reason, now=self._clock.now())
        failures = subscription.failures + 1
        await self._store.subscriptions.note_failures(subscription.id, failures)
        if not fatal and failures < FAILURES_TO_PAUSE:
            return
        if not await self._store.subscriptions.pause(subscription.id, reason=reason):
            return  # somebody has paused or removed it meanwhile
        self._on_outcome("paused")
        await self._poster.inform(
            subscription.creator_id,
            f"I have paused the posts of {subject(subscription.spec)} in"
            f" <#{subscription.channel_id}>: {reason.rstrip('.')}. Resume them there with /subscriptions.",
        )


def _is_refused_by_request(error: LiqmapError) -> bool:
    """Return whether the request can never be drawn: it is invalid, or the market does not exist."""
    return isinstance(error, RequestError) or (
        isinstance(error, NotPublished) and not isinstance(error, NotCovered)
    )


def _is_expected(error: BaseException | None) -> bool:
    return isinstance(error, (LiqmapError, SQLAlchemyError, *UNSENT))
