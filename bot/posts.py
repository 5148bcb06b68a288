"""Posting into channels without anybody's command: once, however the network behaves."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import discord
from aiolimiter import AsyncLimiter

from bot.buttons import map_view
from bot.replies import map_reply
from bot.spec import MapSpec, encode_number
from bot.wire import UNSENT, patiently

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from bot.store.subscriptions import Subscription
    from liqmap import MapResult

NONCE_HOLDS: Final = timedelta(minutes=2)
"""How long Discord is trusted to know a nonce again; it says "the past few minutes"."""

_UNKNOWN_MESSAGE = 10008
_HISTORY = 50


class Posts:
    """Posts snapshots, so many a second and no more."""

    def __init__(
        self,
        client: discord.Client,
        *,
        per_second: float,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._rate = AsyncLimiter(max(1.0, per_second), max(1.0, per_second) / per_second)

    async def post(self, subscription: Subscription, due: datetime, result: MapResult) -> int:
        """Post or edit; return the message's id. Raises one of `bot.wire.UNSENT`.

        The nonce is the same for the same due time, so a message that was sent already is not sent again.
        """
        channel = self._channel(subscription)
        if subscription.message_id is not None and subscription.style == "edit":
            try:
                return await self._edit(channel, subscription.message_id, result, subscription)
            except discord.NotFound as error:
                if error.code != _UNKNOWN_MESSAGE:
                    raise
        return await self._send(channel, due, result, subscription)

    async def find(self, subscription: Subscription, due: datetime) -> int | None:
        """Return the message of that due time, if the channel's history has it. Raises discord.Forbidden."""
        view = map_view(subscription.spec, due, author_id=subscription.creator_id)
        marks = {getattr(item, "custom_id", "") for item in view.children}
        async for message in self._channel(subscription).history(limit=_HISTORY):
            rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
            ids = {getattr(item, "custom_id", "") for row in rows for item in row.children}
            if message.author == self._client.user and ids == marks:
                return message.id
        return None

    async def tell(self, user_id: int, sentence: str) -> bool:
        """Write to a person; return whether that was possible."""
        try:
            user = self._client.get_user(user_id) or await self._client.fetch_user(user_id)
            await user.send(sentence)
        except UNSENT:
            return False
        return True

    async def say(self, channel_id: int, guild_id: int, content: str, *, nonce: str) -> None:
        """Write a sentence into a channel. Raises one of `bot.wire.UNSENT`."""
        channel = self._client.get_partial_messageable(channel_id, guild_id=guild_id)
        await self._rate.acquire()
        await patiently(lambda: channel.send(content, nonce=nonce), sleep=self._sleep)

    def _channel(self, subscription: Subscription) -> discord.PartialMessageable:
        return self._client.get_partial_messageable(subscription.channel_id, guild_id=subscription.guild_id)

    async def _send(
        self,
        channel: discord.PartialMessageable,
        due: datetime,
        result: MapResult,
        subscription: Subscription,
    ) -> int:
        nonce = f"{encode_number(subscription.id)}-{encode_number(int(due.timestamp()))}"
        role_id = subscription.role_id

        async def send() -> discord.Message:
            # Files are used up by a try, so each makes its own.
            reply = map_reply(result)
            return await channel.send(
                content=None if role_id is None else f"<@&{role_id}>",
                embeds=reply.embeds,
                files=reply.files,
                view=self._view(subscription, result),
                nonce=nonce,
                allowed_mentions=_mentions(role_id),
            )

        await self._rate.acquire()
        return (await patiently(send, sleep=self._sleep)).id

    async def _edit(
        self,
        channel: discord.PartialMessageable,
        message_id: int,
        result: MapResult,
        subscription: Subscription,
    ) -> int:
        async def edit() -> discord.Message:
            reply = map_reply(result)
            return await channel.get_partial_message(message_id).edit(
                embeds=reply.embeds, attachments=reply.files, view=self._view(subscription, result)
            )

        await self._rate.acquire()
        return (await patiently(edit, sleep=self._sleep)).id

    def _view(self, subscription: Subscription, result: MapResult) -> discord.ui.View:
        spec, end = MapSpec.of(result.request), result.request.window.end
        return map_view(spec, end, author_id=subscription.creator_id)


def _mentions(role_id: int | None) -> discord.AllowedMentions:
    roles = [] if role_id is None else [discord.Object(role_id)]
    return discord.AllowedMentions(everyone=False, users=False, roles=roles, replied_user=False)
