from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import discord
import pytest

from bot.schedule.posts import LONGEST_SENDING, NONCE_HOLDS, Posts
from bot.store.erase import NOBODY
from tests.bot.conftest import result_of


async def test_creator_who_was_erased_is_not_looked_up():
    async with discord.Client(intents=discord.Intents.none()) as client:
        # The client is not logged in, so each request to Discord would be an error.
        posts = Posts(client, per_second=10, sleep=asyncio.sleep)
        assert not await posts.inform(NOBODY, "Your posts are paused.")


class Dripping:
    """A channel that takes a message, and whose answer never ends."""

    def __init__(self) -> None:
        self.given_up = False

    def get_partial_messageable(self, *_: object, **__: object) -> Dripping:
        return self

    async def send(self, **_: object) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up = True
            raise


async def test_answer_that_drips_is_given_up_while_discord_still_knows_the_nonce():
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    client, subscription = Dripping(), SimpleNamespace(id=1, channel_id=2, guild_id=3, role_id=None)
    anything: Any = client, subscription
    subscription.creator_id = 4
    posts = Posts(anything[0], per_second=10, sleep=sleep)
    with pytest.raises(TimeoutError):
        await posts.send(anything[1], datetime(2026, 1, 1, tzinfo=UTC), result_of())
    await asyncio.sleep(0)
    assert slept == [LONGEST_SENDING]
    assert NONCE_HOLDS.total_seconds() + LONGEST_SENDING < 180  # "the past few minutes" is three at least
    assert client.given_up
