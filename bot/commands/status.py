"""/status: how fresh the recorded trades are, and how the bot is doing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from bot.interaction.patience import acknowledge, patiently
from bot.ops.status import queue_text, recorded_lines, snapshots_text, uptime_text, versions_text
from bot.views.replies import COLOUR, fitting
from liqmap import clock_warning

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bot.request.drawing import EngineFacts
    from bot.store import Store

_NONE_RECORDED = "Nothing is recorded yet; recording starts with the first map whose window ends now."


class Status(commands.Cog):
    """The command that reports the state of the recorder and of the bot."""

    def __init__(
        self,
        store: Store,
        facts: EngineFacts,
        *,
        damaged: Callable[[], str | None],
        most_under_way: int,
        started: datetime,
    ) -> None:
        self._store = store
        self._facts = facts
        self._damaged = damaged
        self._most_under_way = most_under_way
        self._started = started

    @app_commands.command(name="status", description="How fresh the data is, and how the bot is doing")
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def status(self, interaction: discord.Interaction) -> None:
        """Answer with one embed."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        # It reads the store's disk, which must not hold up the event loop.
        found = await asyncio.to_thread(self._facts.recorded)
        text = fitting(recorded_lines(found)) or _NONE_RECORDED
        embed = discord.Embed(title="Recorded live", description=text, colour=COLOUR)
        embed.add_field(name="Maps", value=queue_text(self._facts.under_way(), self._most_under_way))
        embed.add_field(name="Posts", value=await snapshots_text(self._store))
        embed.add_field(name="Running", value=uptime_text(self._started))
        embed.add_field(name="Clock", value=clock_warning(found) or "no exchange disagrees with it")
        if sealed := await asyncio.to_thread(self._facts.sealed):
            embed.add_field(name="Sealed maps", value=sealed, inline=False)
        if damage := await asyncio.to_thread(self._damaged):
            embed.add_field(name="Damaged", value=damage, inline=False)
        embed.set_footer(text=versions_text())
        await patiently(lambda: interaction.edit_original_response(embed=embed))
