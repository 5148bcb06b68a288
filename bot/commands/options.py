"""Describe the options of all commands, each once: its text, its choices, and its suggestions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast

import discord
from discord import app_commands

from bot.request import completing
from bot.request.due import INTERVALS
from bot.schedule.alerts import LONGEST_COOLDOWN, SHORTEST_COOLDOWN
from bot.store.subscriptions import PostStyle
from bot.views.map import MODE_NAMES
from liqmap import CHARTS, EXCHANGES, LevelFilter, MarginModel, Mode, PositionModel, Theme
from liqmap.parsing import ALL_EXCHANGES
from liqmap.text import CHART_TEXTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bot.request.completing import Suggest, Typed

_Channel = app_commands.AppCommandChannel | app_commands.AppCommandThread
Function = TypeVar("Function")


class _PostTarget(app_commands.Transformer):
    """A channel that can take posts, as Discord sends it, even if the bot may not see the channel."""

    @property
    def type(self) -> discord.AppCommandOptionType:
        return discord.AppCommandOptionType.channel

    @property
    def channel_types(self) -> list[discord.ChannelType]:
        kinds = discord.ChannelType
        # News is the earlier name of announcement channels.
        return [kinds.text, kinds.news, kinds.news_thread, kinds.public_thread, kinds.private_thread]

    async def transform(self, interaction: discord.Interaction[Any], value: _Channel, /) -> _Channel:
        # discord.py would resolve it to a channel in its cache, which lacks those that the bot cannot see.
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


@dataclass(frozen=True, slots=True)
class Option:
    """What people see of an option: its text, and either its choices by value or suggestions."""

    text: str
    choices: Mapping[Any, str] | None = None
    suggest: Suggest | None = None


class Completes(Protocol):
    """A client that knows what helps to complete an option: `bot.client.LiqmapBot`."""

    def typed(self, interaction: discord.Interaction[Any], text: str) -> Typed:
        """Return what is known while somebody types `text`."""
        ...


_MODELS: Final = {
    MarginModel.EXCHANGE: "the exchange's own",
    **{
        row.margin.model: f"{row.margin.model}: isolated, as {row.label} computes it"
        for row in EXCHANGES.values()
    },
    MarginModel.SIMPLE: "simple: entry ± 1/leverage, full size at each",
}
_LEVELS: Final = {
    LevelFilter.STANDING: "standing: levels that price has not touched since",
    LevelFilter.ALL: "all: long levels below the last price, short ones above",
}
_POSITIONS: Final = {
    PositionModel.TRADES: "trades: all that was traded and not swept",
    PositionModel.OPEN_INTEREST: "open interest: what it leaves of the trades",
}
_STYLES: Final = {PostStyle.NEW_POST: "new post", PostStyle.EDIT: "edit in place"}

ONE_EXCHANGE: Final = "Only this exchange (default: all)"
SCAN_DISTANCE: Final = "How near, such as 5%"
"""What the options of /scan, /subscribe-scan and /alert any mean."""

TO_ME: Final = "me"
"""The value of the option `to` for an alert that comes as a private message."""

# Discord takes up to 100 characters of a text, and up to 25 choices.
OPTIONS: Final = {
    "symbol": Option("Futures symbol, such as BTCUSDT", suggest=completing.symbols),
    "window": Option("How far back: 6h, 90m, 7d", suggest=completing.windows),
    "mode": Option("Which trades count (default: the server's)", choices=MODE_NAMES),
    "value": Option("The mode's number: 100, 100k or 1%", suggest=completing.values),
    "exchange": Option(
        "Where the trades were made (default: the server's)",
        choices={ALL_EXCHANGES: "all exchanges, as one map"}
        | {each.value: row.label for each, row in EXCHANGES.items()},
    ),
    "end": Option(
        "End of the window in UTC, such as 2023-08-01 06:00 (default: now)", suggest=completing.ends
    ),
    "chart": Option(
        "A picture to draw besides map and depth",
        choices={each: f"{each}: {CHART_TEXTS[each]}" for each in CHARTS},
    ),
    "model": Option(
        "How liquidation prices are computed (default: the exchange's own way)",
        choices={each: _MODELS[each] for each in MarginModel},
    ),
    "leverages": Option(
        "Such as 10,25,50,100, or with weights: 10:35,25:30,50:20,100:15", suggest=completing.leverages
    ),
    "levels": Option(
        "Which levels count as standing (default: levels that price has not touched)", choices=_LEVELS
    ),
    "side": Option(
        "Only the clusters of one side (default: both)",
        choices={"long": "longs, below the price", "short": "shorts, above the price"},
    ),
    "positions": Option("What of the trades still stands (default: trades)", choices=_POSITIONS),
    "theme": Option(
        "Colours of the pictures (default: the server's)", choices={each: each.value for each in Theme}
    ),
    "private": Option("Show the answer only to you"),
    "every": Option("How often to post it", choices={name: name for name in INTERVALS}),
    "at": Option("Time of day, such as 08:00, in the time zone", suggest=completing.times_of_day),
    "days": Option("Weekdays, such as mon-fri (default: every day)", suggest=completing.weekdays),
    "timezone": Option(
        "Time zone of times and days (default: the server's, else UTC)", suggest=completing.time_zones
    ),
    "publish": Option("Publish each new post of an announcement channel to its followers"),
    "channel": Option("Where to post it (default: here)"),
    "style": Option("A new post each time, or one that is edited (default: new post)", choices=_STYLES),
    "role": Option("A role to mention with each new post (default: none)"),
    "subscription": Option("The scheduled post to remove"),
    "distance": Option(
        "How near the price must come, such as 1% or 0.5%",
        suggest=completing.suggested_values(Mode.PORTION, ("0.5%", "1%", "2%", "5%"), endings=("%",)),
    ),
    "notional": Option(
        "Smallest cluster that counts, in quote currency, such as 5m",
        suggest=completing.suggested_values(Mode.GROSS_VALUE, ("1m", "5m", "10m", "50m"), endings=("k", "m")),
    ),
    "cooldown": Option(
        "Pause after each post: 5m to 7d (default: 1h)",
        suggest=completing.suggested_lengths(
            ("15m", "1h", "4h", "1d"), shortest=SHORTEST_COOLDOWN, longest=LONGEST_COOLDOWN
        ),
    ),
    "to": Option(
        "Who gets it (default: this channel)",
        choices={"channel": "this channel", TO_ME: "me: a private message"},
    ),
    "alert": Option("The alert to remove"),
    "allow": Option("Allow maps in this channel; other channels then draw none unless they are allowed too"),
    "disallow": Option("Remove a channel from the allowed ones"),
    "reset": Option("Reset all defaults before applying the other options"),
}
"""Every option by its name. A command may describe an option with a text of its own."""


def options(*names: str, **texts: str) -> Callable[[Function], Function]:
    """Return a decorator that describes a command's options: `names` as in `OPTIONS`, others by `texts`."""
    chosen = {name: OPTIONS[name] for name in (*names, *texts)}
    described = {name: option.text for name, option in chosen.items()} | texts
    choices = {
        name: [app_commands.Choice(name=text, value=str(value)) for value, text in option.choices.items()]
        for name, option in chosen.items()
        if option.choices is not None
    }
    suggestions = {
        name: _completion(option.suggest) for name, option in chosen.items() if option.suggest is not None
    }

    def describe(function: Function) -> Function:
        # Its types know the names of options only where they are written out.
        decorate: Any = app_commands.describe(**described)
        function = decorate(function)
        function = app_commands.choices(**choices)(function)
        return app_commands.autocomplete(**suggestions)(function)

    return describe


def found_choices(names: Mapping[str, str], typed: str) -> list[app_commands.Choice[str]]:
    """Return choices for the `names` (by value) that contain what is typed, as many as Discord takes."""
    # Discord refuses more than 25 choices, and names longer than 100 characters.
    found = [(name[:100], value) for value, name in names.items() if typed.lower() in name.lower()]
    return [app_commands.Choice(name=name, value=value) for name, value in found[:25]]


def _completion(suggest: Suggest) -> Callable[..., Any]:
    async def complete(interaction: discord.Interaction[Any], text: str) -> list[app_commands.Choice[str]]:
        typed = cast("Completes", interaction.client).typed(interaction, text)
        return [app_commands.Choice(name=each, value=each) for each in suggest(typed)]

    return complete
