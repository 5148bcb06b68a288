"""/alert: post when the price comes near a large cluster, or sweeps one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.options import found_choices, options
from bot.interaction.patience import acknowledge, patiently
from bot.interaction.permissions import check_bot, check_member
from bot.request.asking import usual_selection
from bot.request.ids import parse_id
from bot.schedule.alerts import LONGEST_COOLDOWN, SHORTEST_COOLDOWN, WINDOW
from bot.schedule.desk import fetch_channel
from bot.store.alerts import NewAlert
from bot.views.progress import drawn
from bot.views.replies import COLOUR, below_completion, fitting
from liqmap import (
    DEFAULT_EXCHANGE,
    EXCHANGES,
    GrossValue,
    MapRequest,
    Market,
    Mode,
    Portion,
    RequestError,
    TimeWindow,
)
from liqmap.parsing import (
    check_request,
    parse_end,
    parse_exchange,
    parse_selection,
    parse_symbol,
    parse_window,
)
from liqmap.text import length_text, limit_text

if TYPE_CHECKING:
    from datetime import timedelta

    from bot.interaction.limits import Limits
    from bot.request.drawing import Draw
    from bot.request.symbols import Symbols
    from bot.settings import AlertsSettings
    from bot.store import Store
    from bot.store.alerts import Alert
    from liqmap import Clock

_FARTHEST = 0.2
_GONE = "That alert no longer exists; /alert list shows the others."


@app_commands.guild_only()
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.default_permissions(manage_channels=True)
class Alerts(commands.GroupCog, name="alert", description="Get a post when the price nears a large cluster"):
    """Commands about alerts."""

    def __init__(
        self,
        store: Store,
        *,
        draw: Draw,
        clock: Clock,
        limits: Limits,
        settings: AlertsSettings,
        symbols: Symbols,
    ) -> None:
        self._store = store
        self._draw = draw
        self._clock = clock
        self._limits = limits
        self._settings = settings
        self._symbols = symbols

    @app_commands.command(
        name="near", description="Post here when the price is near a cluster, or sweeps one"
    )
    @options("symbol", "distance", "notional", "cooldown", "exchange")
    async def near(
        self,
        interaction: discord.Interaction,
        symbol: str,
        distance: str,
        notional: str,
        cooldown: str = "1h",
        exchange: str | None = None,
    ) -> None:
        """Set an alert for this channel."""
        guild_id = interaction.guild_id or 0
        defaults = self._store.guilds.get(guild_id)
        window = TimeWindow.ending(parse_end(None, now=self._clock.now()), WINDOW)
        chosen = parse_exchange(exchange or defaults.exchange or DEFAULT_EXCHANGE)
        request = check_request(
            MapRequest((Market(chosen, parse_symbol(symbol)),), window, usual_selection(defaults)),
            max_days=WINDOW.days,
        )
        near, large, rest = _distance(distance), _notional(notional), _cooldown(cooldown)
        with self._limits.counted(interaction.user.id, guild_id):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            channel = await _postable(interaction)
            meant = await self._symbols.completed(request)
            new = NewAlert(
                *(guild_id, channel.id, interaction.user.id, meant.market.exchange, meant.market.symbol),
                *(near, large, rest),
            )
            await self._store.alerts.check_room(new, most=self._settings.per_guild)
            # An alert for a symbol that cannot be drawn would never fire.
            async with self._symbols.explaining(meant, typed=symbol):
                await drawn(self._draw, interaction, meant)
            number = await self._store.alerts.add(new, most=self._settings.per_guild)
        text = below_completion(
            f"Alert {number} is set: {_line(new)}. It looks at the last day of trades.",
            typed=request.market,
            drawn=meant.market,
        )
        await patiently(lambda: interaction.edit_original_response(content=text))

    @app_commands.command(name="list", description="List the alerts of this server")
    async def list_all(self, interaction: discord.Interaction) -> None:
        """Show the server's alerts."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        found = await self._store.alerts.of_guild(interaction.guild_id or 0)
        lines = [f"{each.id}. {_line(each)}" for each in found]
        text = fitting(lines) or "No alerts here; /alert near sets one."
        embed = discord.Embed(title="Alerts", description=text, colour=COLOUR)
        await patiently(lambda: interaction.edit_original_response(embed=embed))

    @app_commands.command(name="remove", description="Remove an alert")
    @options("alert")
    async def remove(self, interaction: discord.Interaction, alert: str) -> None:
        """Remove one of the server's alerts."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        found = await self._store.alerts.of_guild(interaction.guild_id or 0)
        chosen = next((each for each in found if each.id == parse_id(alert.strip())), None)
        if chosen is None or not await self._store.alerts.remove(chosen.id):
            raise RequestError(_GONE)
        text = f"Removed: {_line(chosen)}."
        await patiently(lambda: interaction.edit_original_response(content=text))

    @remove.autocomplete("alert")
    async def suggest_alerts(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest the server's alerts."""
        found = await self._store.alerts.of_guild(interaction.guild_id or 0)
        return found_choices({str(each.id): f"{each.id}. {_words(each)}" for each in found}, typed)


async def _postable(interaction: discord.Interaction) -> discord.abc.Snowflake:
    channel = await fetch_channel(interaction.client, interaction.channel_id or 0)
    if not isinstance(interaction.user, discord.Member):
        raise RequestError("Alerts work only in servers; use the command in one, please.")
    check_member(channel, interaction.user)
    check_bot(channel)
    return channel


def _distance(text: str) -> float:
    try:
        chosen = parse_selection(Mode.PORTION, text if "%" in text else f"{text}%")
    except RequestError:
        chosen = None
    if not isinstance(chosen, Portion) or not chosen.fraction <= _FARTHEST:
        raise RequestError("The distance is a share of the price, above 0 and up to 20%; try 1%.")
    return chosen.fraction


def _notional(text: str) -> float:
    try:
        chosen = parse_selection(Mode.GROSS_VALUE, text)
    except RequestError:
        chosen = None
    if not isinstance(chosen, GrossValue) or not math.isfinite(chosen.minimum):
        raise RequestError("The notional is a value in quote currency; try 5m or 500k.")
    return chosen.minimum


def _cooldown(text: str) -> timedelta:
    try:
        length = parse_window(text)
    except RequestError:
        length = None
    if length is None or not SHORTEST_COOLDOWN <= length <= LONGEST_COOLDOWN:
        raise RequestError("The cooldown is a length of time from 5m to 7d; try 1h.")
    return length


def _words(alert: NewAlert) -> str:
    label = EXCHANGES[alert.exchange].label
    return (
        f"{alert.symbol} on {label} within {alert.distance * 100:.4g} % of a cluster"
        f" of {limit_text(alert.notional)} or more, at most once every {length_text(alert.cooldown)}"
    )


def _line(alert: NewAlert | Alert) -> str:
    return f"{_words(alert)}, in <#{alert.channel_id}>"
