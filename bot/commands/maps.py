"""/liqmap: draw a map on demand."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.options import (
    EXCHANGE_CHOICES,
    EXCHANGE_HELP,
    LEVELS_CHOICES,
    MODE_CHOICES,
    MODEL_CHOICES,
    THEME_CHOICES,
    suggestions,
    value_suggestions,
)
from bot.interaction.errors import say_beside
from bot.interaction.limits import check_channel
from bot.interaction.patience import acknowledge, patiently
from bot.interaction.state import KeptMessage, ReplyKind, set_state, state_of
from bot.request.asking import build_spec
from bot.request.spec import MapSpec
from bot.views.map import answer_view, whole_view
from bot.views.progress import drawn
from bot.views.replies import csv_file
from bot.views.sending import send_map
from liqmap import LevelFilter, MapRequest, MarginModel, NotCovered
from liqmap.parsing import (
    COMMON_WINDOWS,
    check_request,
    parse_chart,
    parse_end,
    parse_levels,
    parse_model,
)
from liqmap.text import completion_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bot.interaction.limits import Limits
    from bot.request.defaults import GuildDefaults
    from bot.request.drawing import Draw
    from bot.request.symbols import Symbols
    from bot.views.replies import Reply
    from liqmap import Market


class Maps(commands.Cog):
    """Commands that draw."""

    def __init__(
        self,
        draw: Draw,
        *,
        now: Callable[[], datetime],
        max_days: int,
        limits: Limits,
        defaults: Callable[[int | None], GuildDefaults],
        symbols: Symbols,
    ) -> None:
        self._draw = draw
        self._now = now
        self._max_days = max_days
        self._limits = limits
        self._defaults = defaults
        self._symbols = symbols

    @app_commands.command(
        name="liqmap", description="Draw where positions would be liquidated, from real trades"
    )
    @app_commands.describe(
        symbol="Futures symbol, such as BTCUSDT",
        window="How far back: 6h, 90m, 7d",
        mode="Which trades count",
        value="The mode's number: 100, 100k or 1%",
        exchange=EXCHANGE_HELP,
        end="End of the window in UTC, such as 2023-08-01 06:00 (default: now)",
        chart="A picture to draw besides map and depth",
        model="How liquidation prices are computed (default: the exchange's own way)",
        leverages="Such as 10,25,50,100, or with weights: 10:35,25:30,50:20,100:15",
        levels="Which levels count as standing (default: levels that price has not touched)",
        theme="Colours of the pictures (default: dark)",
        private="Show the answer only to you",
    )
    @app_commands.choices(
        mode=MODE_CHOICES,
        exchange=EXCHANGE_CHOICES,
        chart=[app_commands.Choice(name="heatmap: how the levels came and went", value="heatmap")],
        model=MODEL_CHOICES,
        levels=LEVELS_CHOICES,
        theme=THEME_CHOICES,
    )
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def liqmap(  # noqa: PLR0913, PLR0917 - the arguments are the command's options
        self,
        interaction: discord.Interaction,
        symbol: str,
        window: str,
        mode: str,
        value: str | None = None,
        exchange: str | None = None,
        end: str | None = None,
        chart: str | None = None,
        model: str = MarginModel.EXCHANGE.value,
        leverages: str | None = None,
        levels: str = LevelFilter.STANDING.value,
        theme: str | None = None,
        private: bool = False,
    ) -> None:
        """Answer with the map, the depth, and the numbers beside them."""
        spec = build_spec(
            self._defaults(interaction.guild_id),
            symbol=symbol,
            window=window,
            mode=mode,
            value=value,
            exchange=exchange,
            leverages=leverages,
            theme=theme,
            model=parse_model(model),
            levels=parse_levels(levels),
            pictures=parse_chart(chart),
        )
        request = self._checked(spec, parse_end(end, now=self._now()))
        self._check_channel(interaction)
        with self._limits.counted(interaction.user.id, interaction.guild_id):
            await acknowledge(interaction, ephemeral=private, thinking=True)
            await self._answer(interaction, request)

    async def redraw(self, interaction: discord.Interaction, spec: MapSpec, end: datetime | None) -> None:
        """Draw `spec` up to `end` or now: in place of an answer, or beside a scheduled post in private."""
        request = self._checked(spec, parse_end(None, now=self._now()) if end is None else end)
        self._check_channel(interaction)
        with self._limits.counted(interaction.user.id, interaction.guild_id):
            message = interaction.message
            # A scheduled post belongs to everybody, so a press answers beside it and leaves it as it is.
            aside = message is not None and message.interaction_metadata is None
            if not aside:
                # The map stays while the next one is drawn; an error only has to remove the progress line.
                set_state(interaction, replace(state_of(interaction), kept=KeptMessage(None)))
            await acknowledge(interaction, ephemeral=aside, thinking=aside)
            await self._answer(interaction, request)

    async def send_csv(self, interaction: discord.Interaction, spec: MapSpec, end: datetime) -> None:
        """Send the table of all levels, visible only to the person who asked."""
        request = self._checked(spec, end, levels_csv=True)
        self._check_channel(interaction)
        with self._limits.counted(interaction.user.id, interaction.guild_id):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            result = await drawn(self._draw, interaction, request)
            name, content = await asyncio.to_thread(csv_file, result, most=interaction.filesize_limit)
            await patiently(
                lambda: interaction.edit_original_response(
                    content=None, attachments=[discord.File(io.BytesIO(content), filename=name)]
                )
            )

    async def _answer(self, interaction: discord.Interaction, request: MapRequest) -> None:
        meant = await self._symbols.completed(request)
        try:
            await self._draw_and_show(interaction, meant, typed=request.market)
        except NotCovered as error:
            await _offer_whole(interaction, meant, error)

    async def _draw_and_show(
        self, interaction: discord.Interaction, request: MapRequest, *, typed: Market
    ) -> None:
        result = await drawn(self._draw, interaction, request, partial=True)

        async def send(reply: Reply) -> None:
            await interaction.edit_original_response(
                content=completion_text(typed, request.market),
                embeds=reply.embeds,
                attachments=reply.files,
                view=answer_view(interaction, result),
            )

        await send_map(result, send)

    def _checked(self, spec: MapSpec, end: datetime, *, levels_csv: bool = False) -> MapRequest:
        return check_request(spec.ending(end, levels_csv=levels_csv), max_days=self._max_days)

    def _check_channel(self, interaction: discord.Interaction) -> None:
        check_channel(interaction, self._defaults(interaction.guild_id).channels)

    @liqmap.autocomplete("symbol")
    async def suggest_symbols(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest symbols."""
        del interaction
        return suggestions(typed.upper().replace("/", ""), self._symbols.offered())

    @liqmap.autocomplete("window")
    async def suggest_windows(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest common windows."""
        del interaction
        return suggestions(typed.lower(), COMMON_WINDOWS)

    @liqmap.autocomplete("value")
    async def suggest_values(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest values for the mode that has been chosen."""
        return value_suggestions(typed, getattr(interaction.namespace, "mode", None))


async def _offer_whole(interaction: discord.Interaction, request: MapRequest, error: NotCovered) -> None:
    view = whole_view(MapSpec.of(request), error.whole_end, author_id=interaction.user.id)
    if state_of(interaction).reply is ReplyKind.KEPT:
        await say_beside(interaction, str(error), view=view)
        return
    await patiently(
        lambda: interaction.edit_original_response(content=str(error), embeds=[], attachments=[], view=view)
    )
