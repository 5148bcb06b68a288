"""/scan: where in the market price is nearest to a large cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.options import options
from bot.interaction.limits import check_channel
from bot.interaction.patience import acknowledge, patiently
from bot.views.scan import scan_reply, scan_view
from liqmap import EXCHANGES, ScanRequest, Side, Theme
from liqmap.parsing import parse_distance, parse_end, parse_exchanges

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bot.interaction.limits import Limits
    from bot.request.defaults import GuildDefaults
    from bot.request.drawing import Scan

_SIDES = {"long": Side.BUY, "short": Side.SELL}


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
    @options("side", "theme", exchange="Only this exchange (default: all)", distance="How near, such as 5%")
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
        request = ScanRequest(
            end=parse_end(None, now=self._now()),
            exchanges=frozenset(parse_exchanges(exchange) if exchange else EXCHANGES),
            side=_SIDES.get(side or ""),
            within=parse_distance(distance, example="5%"),
            theme=Theme(theme or defaults.theme or Theme.DARK),
        )
        # Before the acknowledgement, so that a refusal is private.
        check_channel(interaction, defaults.channels)
        async with self._limits.counted(interaction.user.id, interaction.guild_id):
            await acknowledge(interaction, ephemeral=False, thinking=True)
            result = await self._scan(request)
            embed, file = scan_reply(result)
            view = scan_view(result, author_id=interaction.user.id)
            await patiently(
                lambda: interaction.edit_original_response(
                    content=None, embed=embed, attachments=[file], view=view
                )
            )
