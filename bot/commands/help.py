"""/help: how to read each picture, and what the commands do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import discord
from discord import app_commands
from discord.ext import commands

from bot.interaction.patience import acknowledge, patiently
from bot.interaction.permissions import Access
from bot.views.replies import COLOUR
from liqmap import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Shown = app_commands.Command[Any, ..., Any]


class Explanation(NamedTuple):
    """How to read one picture: a title, a text, and a description of the example for screen readers."""

    title: str
    text: str
    alt_text: str


EXPLANATIONS: Final = {
    Picture.MAP: Explanation(
        "The map",
        "**Left:** the price over the window. Each circle is one of the largest trades, blue for a buy and"
        " orange for a sell; the larger, the more money. Ticks at its right edge are liquidations that"
        " really came, where they were recorded.\n"
        "**Hatched times are gaps** in the data. No line of the price crosses one, and levels from before it"
        " may have been swept in it; the warning above names it.\n"
        "**Right:** the estimated notional of the positions that those trades opened, at the prices at which"
        " they would be liquidated: longs below the last price, shorts above it. A long bar is a price at"
        " which much forced selling or buying would come at once. The legend names the colours, one for each"
        " leverage.\n"
        "**The wedge** between them shows which part of the right price scale the left one covers.\n"
        "**A bracket with a label** marks a cluster, a run of bars that stand out: its sum, and its price.\n"
        "**A grey outline** marks levels that the price has touched since. Those positions are gone: swept.",
        "A map: price and trades on the left, estimated liquidations by price on the right.",
    ),
    Picture.DEPTH: Explanation(
        "The depth",
        "The same bars over price, with their scale on the right.\n"
        "**The curves** add them up away from the last price, with their scale on the left: how much stands"
        " between the last price and another one, longs in blue and shorts in orange.",
        "A depth: bars over price, and two curves that add them up away from the last price.",
    ),
    Picture.HEATMAP: Explanation(
        "The heatmap, with `chart: heatmap`",
        "What stood at each price, as it was known at each moment. The further a colour is along the scale"
        " above, the more. The scale follows the square root: its middle is a quarter of the most, so that"
        " small bands show beside the largest.\n"
        "**A band** begins with the trades that opened its positions and ends where the price met it.\n"
        "**Dots** are liquidations that really came, where they were recorded.\n"
        "**The labels** name the same clusters as the map, and a triangle at an edge says how much stands"
        " beyond.",
        "A heatmap: bands of standing levels over time, and the price among them.",
    ),
}

_OTHERS: Final = (
    "**`/scan` draws a row for each market**, with its last price in the middle. A disc is the nearest large"
    " cluster of the last 24 hours: longs to the left, shorts to the right, at its distance; the larger the"
    " disc, the more money.\n"
    "**`/accuracy` draws how much more was liquidated** at the prices that earlier maps had marked than at"
    " others as far away: above zero, the maps knew something. The band is what chance may add or take; each"
    " cell below is a day."
)
_PICTURES: Final = Path(__file__).parents[1] / "pictures"
# Said with every list of commands, because a map invites the belief that the price is drawn to its bars.
_HONEST: Final = (
    "**All of it is an estimate** from trades. Nobody can see positions, and nothing says that the price must"
    " go where the bars are. The foot of each picture says which part of the window is covered by data. The"
    " examples show an invented market."
)
_START: Final = "Begin with `/liqmap symbol:BTCUSDT window:6h`."


class Help(commands.Cog):
    """The command that explains the others and what they draw."""

    @app_commands.command(name="help", description="How to read each picture, and the commands")
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def help(self, interaction: discord.Interaction[Any]) -> None:
        """Explain each picture below an example of it, and list the commands."""
        await acknowledge(interaction, ephemeral=True, thinking=True)
        embeds = [_explained(kind, each) for kind, each in EXPLANATIONS.items()]
        # Read from the tree and not from a list, so that a new command cannot be missing.
        embeds.append(_listed(list(_commands(interaction.client.tree.get_commands()))))

        async def send() -> None:
            # Sending consumes the files, so each attempt makes them anew.
            files = [
                discord.File(_PICTURES / f"{kind}.png", description=each.alt_text)
                for kind, each in EXPLANATIONS.items()
            ]
            await interaction.edit_original_response(embeds=embeds, attachments=files)

        await patiently(send)


def _explained(kind: Picture, explanation: Explanation) -> discord.Embed:
    embed = discord.Embed(title=explanation.title, description=explanation.text, colour=COLOUR)
    return embed.set_image(url=f"attachment://{kind}.png")


def _listed(found: Sequence[Shown]) -> discord.Embed:
    lines = [f"`/{each.qualified_name}` {each.description}{_needs(each)}" for each in found]
    text = "\n".join((_OTHERS, "", _HONEST, "", *lines, "", _START))
    return discord.Embed(title="Scan, accuracy and the commands", description=text, colour=COLOUR)


def _needs(command: Shown) -> str:
    rights = Access.of(command).names
    return f" (needs {rights})" if rights else ""


def _commands(found: Sequence[object]) -> Iterator[Shown]:
    """Yield the commands, those of groups one by one, in the order in which they were added."""
    for each in found:
        if isinstance(each, app_commands.Group):
            yield from _commands(each.commands)
        elif isinstance(each, app_commands.Command):
            yield each
