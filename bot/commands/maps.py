"""/liqmap: draw a map on demand."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.options import options
from bot.interaction.errors import say_beside
from bot.interaction.limits import check_channel
from bot.interaction.patience import acknowledge, acknowledge_redraw, patiently
from bot.interaction.state import ReplyKind, state_of
from bot.request.asking import build_spec
from bot.request.spec import MapSpec
from bot.views.map import answer_view, whole_view
from bot.views.progress import drawn
from bot.views.replies import csv_file
from bot.views.sending import send_drawn
from liqmap import LevelFilter, MapRequest, MarginModel, NotCovered, PositionModel
from liqmap.parsing import (
    check_request,
    parse_chart,
    parse_end,
    parse_levels,
    parse_model,
    parse_positions,
)
from liqmap.text import completion_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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
    @options(
        *("symbol", "window", "mode", "value", "exchange", "end", "chart", "model", "leverages", "levels"),
        *("positions", "theme", "private"),
    )
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def liqmap(  # noqa: PLR0913, PLR0917 - the arguments are the command's options
        self,
        interaction: discord.Interaction,
        symbol: str,
        window: str,
        mode: str | None = None,
        value: str | None = None,
        exchange: str | None = None,
        end: str | None = None,
        chart: str | None = None,
        model: str = MarginModel.EXCHANGE.value,
        leverages: str | None = None,
        levels: str = LevelFilter.STANDING.value,
        positions: str = PositionModel.TRADES.value,
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
            positions=parse_positions(positions),
            pictures=parse_chart(chart),
        )
        # What can be refused is checked before the acknowledgement: after it, a refusal would be as public as
        # the acknowledgement was.
        request = self._checked(spec, parse_end(end, now=self._now()))
        self._check_channel(interaction)
        async with self._limits.counted(interaction.user.id, interaction.guild_id):
            await acknowledge(interaction, ephemeral=private, thinking=True)
            await self._answer(interaction, request, typed=symbol)

    async def redraw(self, interaction: discord.Interaction, spec: MapSpec, end: datetime | None) -> None:
        """Draw `spec` up to `end` or now: replace an answer, or answer a scheduled post privately."""
        request = self._checked(spec, parse_end(None, now=self._now()) if end is None else end)
        self._check_channel(interaction)
        async with self._limits.counted(interaction.user.id, interaction.guild_id):
            await acknowledge_redraw(interaction)
            await self._answer(interaction, request, typed=spec.request.market.symbol)

    async def open_beside(self, interaction: discord.Interaction, spec: MapSpec, end: datetime) -> None:
        """Draw `spec` up to `end` beside a message, visible only to the person who asked."""
        request = self._checked(spec, end)
        self._check_channel(interaction)
        async with self._limits.counted(interaction.user.id, interaction.guild_id):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            await self._answer(interaction, request, typed=spec.request.market.symbol)

    async def send_csv(self, interaction: discord.Interaction, spec: MapSpec, end: datetime) -> None:
        """Send the table of all levels, visible only to the person who asked."""
        request = self._checked(spec, end, levels_csv=True)
        self._check_channel(interaction)
        async with self._limits.counted(interaction.user.id, interaction.guild_id):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            # Drawn anew: what was shown is kept without its levels, which are too large for that.
            result = await drawn(self._draw, interaction, request)
            # In a thread: packing a large table would hold up all other answers.
            name, content = await asyncio.to_thread(csv_file, result, most=interaction.filesize_limit)
            await patiently(
                lambda: interaction.edit_original_response(
                    content=None, attachments=[discord.File(io.BytesIO(content), filename=name)]
                )
            )

    async def _answer(self, interaction: discord.Interaction, request: MapRequest, *, typed: str) -> None:
        meant = await self._symbols.completed(request)
        try:
            async with self._symbols.explaining(meant, typed=typed):
                await self._draw_and_show(interaction, meant, typed=request.markets)
        except NotCovered as error:
            await _offer_whole(interaction, meant, error)

    async def _draw_and_show(
        self, interaction: discord.Interaction, request: MapRequest, *, typed: Sequence[Market]
    ) -> None:
        result = await drawn(self._draw, interaction, request, partial=True)

        async def send(reply: Reply) -> None:
            await interaction.edit_original_response(
                content=completion_text(typed, request.markets),
                embeds=reply.embeds,
                attachments=reply.files,
                view=answer_view(interaction, result),
            )

        await send_drawn(result, send)

    def _checked(self, spec: MapSpec, end: datetime, *, levels_csv: bool = False) -> MapRequest:
        return check_request(spec.ending(end, levels_csv=levels_csv), max_days=self._max_days)

    def _check_channel(self, interaction: discord.Interaction) -> None:
        check_channel(interaction, self._defaults(interaction.guild_id).channels)


async def _offer_whole(interaction: discord.Interaction, request: MapRequest, error: NotCovered) -> None:
    # A sentence in the place of a map that was there would lose it, so the offer comes beside it.
    view = whole_view(MapSpec(request), error.whole_end, author_id=interaction.user.id)
    if state_of(interaction).reply is ReplyKind.KEPT:
        await say_beside(interaction, str(error), view=view)
        return
    await patiently(
        lambda: interaction.edit_original_response(content=str(error), embeds=[], attachments=[], view=view)
    )
