"""/scan: where in the market price is nearest to a large cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.options import ONE_EXCHANGE, SCAN_DISTANCE, options
from bot.interaction.limits import check_channel
from bot.interaction.patience import acknowledge, acknowledge_redraw
from bot.request.asking import build_scan
from bot.views.map import author_of
from bot.views.scan import scan_view
from bot.views.sending import send_drawn
from liqmap.parsing import parse_end

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bot.interaction.limits import Limits
    from bot.request.defaults import GuildDefaults
    from bot.request.drawing import Scan
    from bot.request.posted import ScanSpec
    from bot.views.replies import Reply


class Scans(commands.Cog):
    """The command that looks at all recorded markets."""

    def __init__(
        self,
        scan: Scan,
        *,
        now: Callable[[], datetime],
        limits: Limits,
        defaults: Callable[[int | None], GuildDefaults],
    ) -> None:
        self._scan = scan
        self._now = now
        self._limits = limits
        self._defaults = defaults

    @app_commands.command(
        name="scan", description="Show the recorded markets whose price is nearest to a large cluster"
    )
    @options("side", "theme", exchange=ONE_EXCHANGE, distance=SCAN_DISTANCE)
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def scan(
        self,
        interaction: discord.Interaction,
        exchange: str | None = None,
        side: str | None = None,
        distance: str = "5%",
        theme: str | None = None,
    ) -> None:
        """Answer with one picture and ten lines, each with a button to its map."""
        defaults = self._defaults(interaction.guild_id)
        spec = build_scan(defaults, exchange=exchange, side=side, distance=distance, theme=theme)
        # Before the acknowledgement, so that a refusal is private.
        check_channel(interaction, defaults.channels)
        async with self._limits.counted(interaction.user.id, interaction.guild_id):
            await acknowledge(interaction, ephemeral=False, thinking=True)
            await self._answer(interaction, spec)

    async def rescan(self, interaction: discord.Interaction, spec: ScanSpec) -> None:
        """Make a scan again as of now: replace an answer, or answer a scheduled post privately."""
        check_channel(interaction, self._defaults(interaction.guild_id).channels)
        async with self._limits.counted(interaction.user.id, interaction.guild_id):
            await acknowledge_redraw(interaction)
            await self._answer(interaction, spec)

    async def _answer(self, interaction: discord.Interaction, spec: ScanSpec) -> None:
        result = await self._scan(spec.ending(parse_end(None, now=self._now())))

        async def send(reply: Reply) -> None:
            await interaction.edit_original_response(
                content=None,
                embeds=reply.embeds,
                attachments=reply.files,
                view=scan_view(result, author_id=author_of(interaction)),
            )

        await send_drawn(result, send)
