"""What several commands share: choices to offer, and suggestions while somebody types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import discord
from discord import app_commands

from bot.views.map import MODE_NAMES
from liqmap import DEFAULT_EXCHANGE, EXCHANGES, LevelFilter, MarginModel, Mode, Theme
from liqmap.parsing import DEFAULT_VALUES

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_SUGGESTIONS = 25  # Discord refuses more

_Channel = app_commands.AppCommandChannel | app_commands.AppCommandThread


class _PostTarget(app_commands.Transformer):
    """A channel that can take posts, as Discord sends it; the bot may lack the permission to see it."""

    @property
    def type(self) -> discord.AppCommandOptionType:
        return discord.AppCommandOptionType.channel

    @property
    def channel_types(self) -> list[discord.ChannelType]:
        kinds = discord.ChannelType
        return [kinds.text, kinds.news, kinds.news_thread, kinds.public_thread, kinds.private_thread]

    async def transform(self, interaction: discord.Interaction[Any], value: _Channel, /) -> _Channel:
        del interaction
        return value


class _MapTarget(_PostTarget):
    """A channel that people can type in; voice and stage channels have a chat as well."""

    @property
    def channel_types(self) -> list[discord.ChannelType]:
        return [*super().channel_types, discord.ChannelType.voice, discord.ChannelType.stage_voice]


PostTarget = app_commands.Transform[_Channel, _PostTarget]
"""The type of an option that names a text or announcement channel or a thread."""

MapTarget = app_commands.Transform[_Channel, _MapTarget]
"""The type of an option that names a channel in which commands can be used."""

_MODELS = {
    MarginModel.EXCHANGE: "the exchange's own",
    **{row.model: f"{row.model}: isolated, as {row.label} computes it" for row in EXCHANGES.values()},
    MarginModel.SIMPLE: "simple: entry ± 1/leverage, full size at each",
}
_LEVELS = {
    LevelFilter.STANDING: "standing: levels that price has not touched since",
    LevelFilter.ALL: "all: long levels below the last price, short ones above",
}

MODE_CHOICES: Final = [app_commands.Choice(name=name, value=mode.value) for mode, name in MODE_NAMES.items()]
EXCHANGE_CHOICES: Final = [
    app_commands.Choice(name=row.label, value=each.value) for each, row in EXCHANGES.items()
]
EXCHANGE_HELP: Final = f"Where the trades were made (default: {EXCHANGES[DEFAULT_EXCHANGE].label})"
MODEL_CHOICES: Final = [app_commands.Choice(name=name, value=each.value) for each, name in _MODELS.items()]
LEVELS_CHOICES: Final = [app_commands.Choice(name=name, value=each.value) for each, name in _LEVELS.items()]
THEME_CHOICES: Final = [app_commands.Choice(name=each.value, value=each.value) for each in Theme]

_VALUES = {
    Mode.TOP_N: ("50", DEFAULT_VALUES[Mode.TOP_N], "250", "1000"),
    Mode.GROSS_VALUE: ("50k", DEFAULT_VALUES[Mode.GROSS_VALUE], "250k", "1m"),
    Mode.PORTION: ("0.1%", DEFAULT_VALUES[Mode.PORTION], "5%"),
}


def suggestions(typed: str, known: Iterable[str]) -> list[app_commands.Choice[str]]:
    """Return the entries of `known` that contain `typed`, those that start with it first."""
    known = tuple(known)
    starting = [each for each in known if each.startswith(typed)]
    containing = [each for each in known if typed in each and not each.startswith(typed)]
    return [
        app_commands.Choice(name=each, value=each) for each in [*starting, *containing][:_MOST_SUGGESTIONS]
    ]


def value_suggestions(typed: str, mode: object) -> list[app_commands.Choice[str]]:
    """Return values to suggest for the mode that has been chosen."""
    chosen = next((each for each in Mode if each == mode), Mode.TOP_N)
    return suggestions(typed.lower(), _VALUES[chosen])
