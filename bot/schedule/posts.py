"""Post into channels on a schedule, exactly once, even if the network fails in between."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import uuid4

import discord
from aiolimiter import AsyncLimiter

from bot.interaction.patience import UNSENT, failure_text, patiently
from bot.request.posted import ScanSpec
from bot.request.spec import MapSpec, encode_number
from bot.store.erase import NOBODY
from bot.views.map import map_view
from bot.views.scan import scan_marks, scan_view
from bot.views.sending import send_drawn
from liqmap import MapResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from datetime import datetime

    from bot.request.posted import Drawn
    from bot.store.subscriptions import Subscription
    from bot.views.replies import Reply

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

NONCE_HOLDS: Final = timedelta(minutes=2)
"""How long the bot relies on Discord to recognise a nonce; its documentation says "the past few minutes"."""

LONGEST_SENDING: Final = 45.0
"""Seconds that sending may take, all tries included: the last try needs a nonce that Discord still knows."""

_NOT_TO_BE_EDITED = frozenset({10008, 50083})
"""Discord's codes for a deleted message and for an archived thread.

Sending reopens an archived thread, and edits do not keep a thread open. So a new message is sent instead.
"""
_PUBLISHED_ALREADY = 40033  # Discord's code; the answer to an earlier try may have been lost
_PUBLISHED_WITHIN = 60.0  # seconds; a longer wait would hold up the posts that follow
_HISTORY = 100  # messages, as many as Discord returns at once
_CLOCKS_DIFFER = timedelta(minutes=1)  # messages are dated by Discord's clock


class Posts:
    """Posts snapshots at a limited rate."""

    def __init__(
        self,
        client: discord.Client,
        *,
        per_second: float,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._client = client
        self._sleep = sleep
        # AsyncLimiter needs a capacity of at least 1. Below one post a second, its period is made longer.
        self._rate = AsyncLimiter(max(1.0, per_second), max(1.0, per_second) / per_second)

    async def send(self, subscription: Subscription, due: datetime, result: Drawn) -> int:
        """Post; return the message's id. Raises what `send_drawn` does, and TimeoutError.

        The nonce is the same for the same due time, so a message that was sent already is not sent again.
        """
        channel, role_id = self._channel(subscription), subscription.role_id
        nonce = f"{encode_number(subscription.id)}-{encode_number(int(due.timestamp()))}"

        async def send(reply: Reply) -> discord.Message:
            return await channel.send(
                content=None if role_id is None else f"<@&{role_id}>",
                embeds=reply.embeds,
                files=reply.files,
                view=self._view(subscription, result),
                nonce=nonce,
                allowed_mentions=_mentions(role_id),
            )

        # Before the time runs, because waiting for a turn is not sending.
        await self._rate.acquire()
        return (await self._in_time(send_drawn(result, send, sleep=self._sleep))).id

    async def edit(self, subscription: Subscription, message_id: int, result: Drawn) -> bool:
        """Replace what the message shows by a new result; return whether the message could be edited.

        Raises what `send_drawn` raises.
        """
        message = self._channel(subscription).get_partial_message(message_id)

        async def edit(reply: Reply) -> None:
            await message.edit(
                embeds=reply.embeds, attachments=reply.files, view=self._view(subscription, result)
            )

        await self._rate.acquire()
        try:
            await send_drawn(result, edit, sleep=self._sleep)
        except discord.HTTPException as error:
            if error.code not in _NOT_TO_BE_EDITED:
                raise
            return False
        return True

    async def publish(self, subscription: Subscription, message_id: int) -> None:
        """Publish a post of an announcement channel to its followers, unless it is published already.

        Raises one of `bot.interaction.patience.UNSENT`, and TimeoutError where Discord makes the bot wait: it
        takes ten an hour in a channel.
        """
        message = self._channel(subscription).get_partial_message(message_id)
        try:
            async with asyncio.timeout(_PUBLISHED_WITHIN):
                await patiently(message.publish, sleep=self._sleep)
        except discord.HTTPException as error:
            if error.code != _PUBLISHED_ALREADY:
                raise

    async def find(self, subscription: Subscription, due: datetime, *, since: datetime) -> int | None:
        """Return the message of that due time from the channel's history since `since`, None if it has none.

        Raises one of `bot.interaction.patience.UNSENT`.
        """
        marks = _marks(subscription, due)
        channel, after = self._channel(subscription), since - _CLOCKS_DIFFER

        async def read() -> list[discord.Message]:
            history = channel.history(after=after, oldest_first=True, limit=_HISTORY)
            return [message async for message in history]

        for message in await patiently(read, sleep=self._sleep):
            rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
            ids = {getattr(item, "custom_id", "") for row in rows for item in row.children}
            if message.author == self._client.user and marks <= ids:
                return message.id
        return None

    async def inform(self, user_id: int, sentence: str) -> bool:
        """Write to a person; return whether that was possible."""
        if user_id == NOBODY:
            return False
        try:
            # Discord takes nonces of up to 25 characters.
            await self.write_to(user_id, sentence, nonce=uuid4().hex[:25])
        except UNSENT as error:
            log.info("user %d could not be informed: %s", user_id, failure_text(error))
            return False
        return True

    async def write_to(self, user_id: int, content: str, *, nonce: str) -> None:
        """Write a private message to a person. Raises one of `bot.interaction.patience.UNSENT`."""
        user = self._client.get_user(user_id)
        if user is None:
            user = await patiently(lambda: self._client.fetch_user(user_id), sleep=self._sleep)
        await self._rate.acquire()
        await patiently(partial(user.send, content, nonce=nonce), sleep=self._sleep)

    async def write(self, channel_id: int, guild_id: int, content: str, *, nonce: str) -> None:
        """Write a sentence into a channel. Raises one of `bot.interaction.patience.UNSENT`."""
        channel = self._client.get_partial_messageable(channel_id, guild_id=guild_id)
        await self._rate.acquire()
        await patiently(lambda: channel.send(content, nonce=nonce), sleep=self._sleep)

    async def _in_time(self, sending: Coroutine[Any, Any, Answer]) -> Answer:
        """Return what `sending` returns. Raises what it raises, and TimeoutError once it takes too long."""
        task = asyncio.ensure_future(sending)
        patience = asyncio.ensure_future(self._sleep(LONGEST_SENDING))
        try:
            await asyncio.wait({task, patience}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise TimeoutError
            return await task
        finally:
            patience.cancel()
            task.cancel()

    def _channel(self, subscription: Subscription) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(subscription.channel_id, guild_id=subscription.guild_id)

    def _view(self, subscription: Subscription, result: Drawn) -> discord.ui.View:
        author_id = subscription.creator_id
        if isinstance(result, MapResult):
            return map_view(MapSpec(result.request), result.request.window.end, author_id=author_id)
        return scan_view(result, author_id=author_id)


def _marks(subscription: Subscription, due: datetime) -> set[str]:
    """Return the buttons' ids by which a post is found again: those that do not depend on the data."""
    spec, author_id = subscription.spec, subscription.creator_id
    if isinstance(spec, ScanSpec):
        return scan_marks(spec, due, author_id=author_id)
    return {getattr(item, "custom_id", "") for item in map_view(spec, due, author_id=author_id).children}


def _mentions(role_id: int | None) -> discord.AllowedMentions:
    roles = [] if role_id is None else [discord.Object(role_id)]
    return discord.AllowedMentions(everyone=False, users=False, roles=roles, replied_user=False)
