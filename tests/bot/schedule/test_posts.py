from __future__ import annotations

import asyncio

import discord

from bot.schedule.posts import Posts
from bot.store.erase import NOBODY


async def test_creator_who_was_erased_is_not_looked_up():
    async with discord.Client(intents=discord.Intents.none()) as client:
        # The client is not logged in, so each request to Discord would be an error.
        posts = Posts(client, per_second=10, sleep=asyncio.sleep)
        assert not await posts.inform(NOBODY, "Your posts are paused.")
