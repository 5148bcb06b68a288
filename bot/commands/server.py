"""/settings: the server's defaults."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.options import MapTarget, options
from bot.interaction.patience import acknowledge, patiently
from bot.request.asking import check_defaults, usual_selection
from bot.request.defaults import GuildDefaults
from bot.request.times import UTC_NAME, parse_time_zone
from bot.store.guilds import VALUE_LENGTH
from bot.views.replies import COLOUR
from liqmap import DEFAULT_EXCHANGE, EXCHANGES, Mode, RequestError, Theme
from liqmap.parsing import DEFAULT_LEVERAGES, exchanges_word, parse_exchanges, parse_mode, parse_theme
from liqmap.text import selection_text

if TYPE_CHECKING:
    from bot.store.guilds import GuildTable

_MOST_CHANNELS = 20


class Server(commands.Cog):
    """The command about the server's defaults."""

    def __init__(self, guilds: GuildTable) -> None:
        self._guilds = guilds

    @app_commands.command(name="settings", description="Show or change this server's defaults")
    @options(
        *("value", "leverages", "allow", "disallow", "reset"),
        timezone="Time zone of scheduled posts that are set up from now on",
        exchange="Where the trades were made",
        mode="Which trades count, in maps and for alerts",
        theme="Colours of the pictures",
    )
    @app_commands.guild_only()
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.default_permissions(manage_guild=True)
    async def settings(  # noqa: PLR0913, PLR0917 - the arguments are the command's options
        self,
        interaction: discord.Interaction,
        exchange: str | None = None,
        mode: str | None = None,
        value: str | None = None,
        theme: str | None = None,
        leverages: str | None = None,
        timezone: str | None = None,
        allow: MapTarget | None = None,
        disallow: MapTarget | None = None,
        reset: bool = False,
    ) -> None:
        """Change the defaults, and show the current ones."""

        def change(before: GuildDefaults) -> GuildDefaults:
            now = GuildDefaults() if reset else before
            now = _with_words(now, exchange=exchange, theme=theme, leverages=leverages, timezone=timezone)
            now = _with_mode(now, mode, value)
            now = _with_channels(now, allow.id if allow else None, disallow.id if disallow else None)
            # Checked together: each option may be valid by itself and not with what was set before.
            if now != before:
                check_defaults(now)
            return now

        guild_id = interaction.guild_id or 0
        before = self._guilds.get(guild_id)
        # Tried before the acknowledgement, so that a mistake is answered at once.
        now = change(before)
        await acknowledge(interaction, ephemeral=True, thinking=True)
        if now != before:
            # Made again on the stored defaults, because somebody else may have changed them in the meantime.
            now = await self._guilds.change(guild_id, change)
        embed = _shown(now)
        await patiently(lambda: interaction.edit_original_response(embed=embed))


def _with_words(
    defaults: GuildDefaults,
    *,
    exchange: str | None,
    theme: str | None,
    leverages: str | None,
    timezone: str | None,
) -> GuildDefaults:
    changes: dict[str, Any] = {}
    if exchange is not None:
        changes["exchange"] = exchanges_word(parse_exchanges(exchange))
    if theme is not None:
        changes["theme"] = parse_theme(theme).value
    if leverages is not None:
        # Kept as typed, because a number that is formatted anew may no longer be understood.
        changes["leverages"] = leverages.replace(" ", "")
    if timezone is not None:
        changes["timezone"] = parse_time_zone(timezone)
    return replace(defaults, **changes)


def _with_mode(defaults: GuildDefaults, mode: str | None, value: str | None) -> GuildDefaults:
    if mode is None and value is None:
        return defaults
    chosen = parse_mode(mode or defaults.mode or Mode.TOP_N)
    kept = value and value.replace(" ", "")
    if kept and len(kept) > VALUE_LENGTH:
        raise RequestError(f"The value is longer than {VALUE_LENGTH} characters; try 100, 100k or 1%.")
    return replace(defaults, mode=chosen.value, value=kept)


def _with_channels(defaults: GuildDefaults, allow: int | None, disallow: int | None) -> GuildDefaults:
    channels = [each for each in defaults.channels if each != disallow]
    if allow is not None and allow not in channels:
        channels.append(allow)
    if len(channels) > _MOST_CHANNELS:
        raise RequestError(f"At most {_MOST_CHANNELS} channels can be allowed; disallow one first.")
    return replace(defaults, channels=tuple(channels))


def _shown(defaults: GuildDefaults) -> discord.Embed:
    embed = discord.Embed(title="This server's defaults", colour=COLOUR)
    exchanges = parse_exchanges(defaults.exchange or DEFAULT_EXCHANGE)
    embed.add_field(name="Exchange", value=" + ".join(EXCHANGES[each].label for each in exchanges))
    embed.add_field(name="Trades", value=selection_text(usual_selection(defaults)))
    embed.add_field(name="Theme", value=defaults.theme or Theme.DARK.value)
    embed.add_field(name="Leverages", value=(defaults.leverages or DEFAULT_LEVERAGES).replace(",", ", "))
    embed.add_field(name="Time zone", value=defaults.timezone or UTC_NAME)
    channels = " ".join(f"<#{each}>" for each in defaults.channels) or "all"
    embed.add_field(name="Channels", value=channels, inline=False)
    return embed
