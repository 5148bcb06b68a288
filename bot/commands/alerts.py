"""/alert: a message when the price comes near a large cluster, or sweeps one."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Self
from uuid import uuid4

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.options import ONE_EXCHANGE, TO_ME, found_choices, options
from bot.interaction.patience import acknowledge, is_refused, patiently
from bot.interaction.permissions import CHANNEL_MANAGERS, check_bot, check_member
from bot.request.asking import usual_selection
from bot.request.ids import parse_id
from bot.schedule.alerts import LONGEST_COOLDOWN, SHORTEST_COOLDOWN, WINDOW
from bot.schedule.desk import fetch_channel
from bot.store.alerts import ANYWHERE, TO_CREATOR, NewAlert
from bot.views.progress import drawn
from bot.views.replies import COLOUR, below_completion, fitting
from liqmap import (
    DEFAULT_EXCHANGE,
    EXCHANGES,
    GrossValue,
    MapRequest,
    Market,
    Mode,
    RequestError,
    TimeWindow,
)
from liqmap.parsing import (
    check_request,
    exchanges_word,
    parse_distance,
    parse_end,
    parse_exchanges,
    parse_positions,
    parse_selection,
    parse_symbol,
    parse_window,
)
from liqmap.text import exchanges_text, in_bitcoin_text, length_text, limit_text

if TYPE_CHECKING:
    from datetime import timedelta

    from bot.interaction.limits import Limits
    from bot.request.drawing import Draw
    from bot.request.symbols import Symbols
    from bot.settings import AlertsSettings
    from bot.store import Store
    from bot.store.alerts import Alert
    from liqmap import Clock

# An alert for clusters farther away would come nearly always.
_FARTHEST = 0.2
_GONE = "That alert no longer exists; /alert list shows the others."


class _Terms(NamedTuple):
    """When an alert fires, in the order of `NewAlert`: how near, how large a cluster, how often at most."""

    distance: float
    notional: float
    cooldown: timedelta

    @classmethod
    def parsed(cls, distance: str, notional: str, cooldown: str, *, example: str) -> Self:
        """Return what was typed; `example` is a distance that works. Raises RequestError."""
        near = parse_distance(distance, farthest=_FARTHEST, example=example)
        return cls(near, _notional(notional), _cooldown(cooldown))


@app_commands.guild_only()
@app_commands.allowed_installs(guilds=True, users=False)
class Alerts(
    commands.GroupCog, name="alert", description="Get a message when the price nears a large cluster"
):
    """Commands about alerts: those of channels, for people who manage them, and everybody's own."""

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
        name="near", description="Post here, or tell me, when the price is near a cluster or sweeps one"
    )
    @options(
        *("symbol", "distance", "notional", "to", "cooldown", "exchange"),
        positions="What of the trades still stands (default: as the bot is set)",
    )
    async def near(
        self,
        interaction: discord.Interaction,
        symbol: str,
        distance: str,
        notional: str,
        to: str | None = None,
        cooldown: str = "1h",
        exchange: str | None = None,
        positions: str | None = None,
    ) -> None:
        """Set an alert for this channel, or for the person alone."""
        guild_id, private = interaction.guild_id or 0, to == TO_ME
        _check_managing(interaction, private=private)
        defaults = self._store.guilds.get(guild_id)
        window = TimeWindow.ending(parse_end(None, now=self._clock.now()), WINDOW)
        chosen = parse_exchanges(exchange or defaults.exchange or DEFAULT_EXCHANGE)
        name = parse_symbol(symbol)
        markets = tuple(Market(each, name) for each in chosen)
        stands = None if positions is None else parse_positions(positions)
        request = MapRequest(
            markets, window, usual_selection(defaults), positions=stands or self._settings.positions
        )
        request = check_request(request, max_days=WINDOW.days)
        terms = _Terms.parsed(distance, notional, cooldown, example="1%")
        async with self._limits.counted(interaction.user.id, guild_id):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            channel_id = await _channel_id(interaction, private=private)
            # Stored as completed, so that the alert does not follow another contract when lists change.
            meant = await self._symbols.completed(request)
            if why := in_bitcoin_text(meant.market):
                raise RequestError(why)
            new = NewAlert(
                *(guild_id, channel_id, interaction.user.id, exchanges_word(chosen), meant.market.symbol),
                *terms,
                positions=stands,
            )
            # Before the map is drawn, to refuse at once; `_set` checks it again, in its transaction.
            await self._store.alerts.check_room(new, most=self._most(new))
            # An alert for a symbol that cannot be drawn would never fire.
            async with self._symbols.explaining(meant, typed=symbol):
                await drawn(self._draw, interaction, meant)
            number = await self._set(interaction.user, new)
        text = below_completion(
            f"Alert {number} is set: {_line(new)}. It looks at the last day of trades.",
            typed=request.markets,
            drawn=meant.markets,
        )
        await patiently(lambda: interaction.edit_original_response(content=text))

    @app_commands.command(name="any", description="Tell when any recorded market's price is near a cluster")
    @options("distance", "notional", "to", "cooldown", exchange=ONE_EXCHANGE)
    async def anywhere(
        self,
        interaction: discord.Interaction,
        distance: str,
        notional: str,
        to: str | None = None,
        cooldown: str = "1h",
        exchange: str | None = None,
    ) -> None:
        """Set an alert that watches all recorded markets."""
        guild_id, private = interaction.guild_id or 0, to == TO_ME
        _check_managing(interaction, private=private)
        chosen = parse_exchanges(exchange) if exchange else tuple(EXCHANGES)
        terms = _Terms.parsed(distance, notional, cooldown, example="0.5%")
        async with self._limits.counted(interaction.user.id, guild_id):
            await acknowledge(interaction, ephemeral=True, thinking=True)
            channel_id = await _channel_id(interaction, private=private)
            new = NewAlert(
                *(guild_id, channel_id, interaction.user.id, exchanges_word(chosen), ANYWHERE),
                *terms,
            )
            # Before the person is written to.
            await self._store.alerts.check_room(new, most=self._most(new))
            number = await self._set(interaction.user, new)
        text = f"Alert {number} is set: {_line(new)}. It looks at what is recorded of the last day."
        await patiently(lambda: interaction.edit_original_response(content=text))

    @app_commands.command(
        name="list", description="List your own alerts, and the server's if you manage them"
    )
    async def list_all(self, interaction: discord.Interaction) -> None:
        """Show the alerts that a person can remove."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        lines = [f"{each.id}. {_line(each)}" for each in await self._alerts_of(interaction)]
        text = fitting(lines) or "No alerts here; /alert near sets one."
        embed = discord.Embed(title="Alerts", description=text, colour=COLOUR)
        await patiently(lambda: interaction.edit_original_response(embed=embed))

    @app_commands.command(name="remove", description="Remove an alert")
    @options("alert")
    async def remove(self, interaction: discord.Interaction, alert: str) -> None:
        """Remove an alert of the person's own, or of the server."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        found = await self._alerts_of(interaction)
        # Only among those that the person may remove: the option can be any number, not only a suggested one.
        chosen = next((each for each in found if each.id == parse_id(alert.strip())), None)
        if chosen is None or not await self._store.alerts.remove(chosen.id):
            raise RequestError(_GONE)
        text = f"Removed: {_line(chosen)}."
        await patiently(lambda: interaction.edit_original_response(content=text))

    @remove.autocomplete("alert")
    async def suggest_alerts(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest the alerts that the person can remove."""
        found = await self._alerts_of(interaction)
        return found_choices({str(each.id): f"{each.id}. {_words(each)}" for each in found}, typed)

    async def _set(self, user: discord.User | discord.Member, new: NewAlert) -> int:
        """Store an alert; return its id. Raises RequestError if it cannot be delivered or has no room."""
        # Before it is stored: an alert that cannot be delivered must not be set.
        if new.is_private:
            await _greet(user, new)
        return await self._store.alerts.add(new, most=self._most(new))

    def _most(self, new: NewAlert) -> int:
        """Return how many alerts the person may have if `new` is private, and otherwise the server."""
        return self._settings.per_person if new.is_private else self._settings.per_guild

    async def _alerts_of(self, interaction: discord.Interaction) -> list[Alert]:
        """Return the server's alerts, if the person manages its channels, and then the person's own."""
        manages = CHANNEL_MANAGERS.admits(interaction)
        shared = await self._store.alerts.of_guild(interaction.guild_id or 0) if manages else []
        return [*shared, *await self._store.alerts.of_person(interaction.user.id)]


# Not a `default_permissions` of the command, because everybody may set alerts of their own with it.
def _check_managing(interaction: discord.Interaction, *, private: bool) -> None:
    if not private and not CHANNEL_MANAGERS.admits(interaction):
        raise RequestError(
            "You need the permission Manage Channels to set an alert for a channel; choose “to: me” to get it"
            " as a private message."
        )


async def _greet(user: discord.User | discord.Member, new: NewAlert) -> None:
    """Write to a person that alerts will come there. Raises RequestError if Discord does not deliver it."""
    # With a nonce Discord sends a repeated message only once.
    text, nonce = f"Alerts come here: {_words(new)}. /alert remove ends them.", uuid4().hex[:25]
    try:
        await patiently(partial(user.send, text, nonce=nonce))
    except discord.HTTPException as error:
        if not is_refused(error):
            raise
        raise RequestError(
            "I cannot send you private messages: allow direct messages in this server's Privacy Settings, and"
            " set the alert again."
        ) from error


async def _channel_id(interaction: discord.Interaction, *, private: bool) -> int:
    """Return where an alert goes: to its creator, or to this channel. Raises RequestError if it cannot."""
    if private:
        return TO_CREATOR
    channel = await fetch_channel(interaction.client, interaction.channel_id or 0)
    if not isinstance(interaction.user, discord.Member):
        raise RequestError("Alerts work only in servers; use the command in one, please.")
    check_member(channel, interaction.user)
    check_bot(channel)
    return channel.id


def _notional(text: str) -> float:
    try:
        chosen = parse_selection(Mode.GROSS_VALUE, text)
    except RequestError:
        # The sentence of the parser would name a mode, which an alert does not have.
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
    label = exchanges_text(alert.markets)
    name = "any recorded market" if alert.is_of_all else alert.symbol
    by = "" if alert.positions is None else f", by {alert.positions.replace('-', ' ')}"
    return (
        f"{name} on {label} within {alert.distance * 100:.4g} % of a cluster"
        f" of {limit_text(alert.notional)} or more{by}, at most once every {length_text(alert.cooldown)}"
    )


def _line(alert: NewAlert) -> str:
    where = "by private message" if alert.is_private else f"in <#{alert.channel_id}>"
    paused = f" (⏸ paused: {alert.reason})" if alert.reason else ""
    return f"{_words(alert)}, {where}{paused}"
