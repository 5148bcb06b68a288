"""/accuracy: how right earlier maps were, be the result good or bad."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import discord
from discord import app_commands
from discord.ext import commands

from bot.commands.options import options
from bot.interaction.patience import acknowledge, patiently
from bot.views.replies import COLOUR
from liqmap.parsing import parse_symbol

if TYPE_CHECKING:
    from bot.request.drawing import ReportAccuracy
    from liqmap import DrawnReport

_HOW: Final = (
    "Maps of recorded symbols are sealed at 00:00, 08:00 and 16:00 UTC, before anybody knows what comes, and"
    " compared with the liquidations of the next eight hours."
)
_SHOWN: Final = ("windows", "feed", "difference", "information gain", "test of touched levels")
_EARLIER: Final = 3


class Accuracy(commands.Cog):
    """The command that shows what the ledger says; no setting hides it."""

    def __init__(self, report: ReportAccuracy) -> None:
        self._report = report

    @app_commands.command(name="accuracy", description="How right earlier maps were, measured and not hidden")
    @options(symbol="Of this symbol only, such as BTCUSDT")
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def accuracy(self, interaction: discord.Interaction, symbol: str | None = None) -> None:
        """Answer with one sentence, one picture, and the last hash."""
        wanted = None if symbol is None else parse_symbol(symbol)
        # Verifying and drawing a long ledger can take longer than the three seconds that Discord allows.
        await acknowledge(interaction, ephemeral=False, thinking=True)
        found = await self._report(wanted)

        async def send() -> None:
            # Sending consumes the file, so each attempt makes it anew.
            files = [] if found.png is None else [_picture(found, found.png)]
            await interaction.edit_original_response(
                content=found.completion, embed=_embed(found), attachments=files
            )

        await patiently(send)


def _embed(found: DrawnReport) -> discord.Embed:
    title = "Accuracy of earlier maps (simulated data)" if found.simulated else "Accuracy of earlier maps"
    embed = discord.Embed(title=title, description=found.sentence, colour=COLOUR)
    if found.png is None:
        embed.description = f"{found.sentence} {_HOW}"
        _add_earlier(embed, found)
        return embed
    figures = dict(found.figures)
    for name in _SHOWN:
        if name in figures:
            embed.add_field(name=name.capitalize(), value=figures[name], inline=False)
    _add_earlier(embed, found)
    # A person who keeps it can show later that no line before it was changed.
    embed.add_field(name="Last hash", value=f"`{found.last_hash}`", inline=False)
    embed.set_footer(text=_HOW)
    embed.set_image(url="attachment://accuracy.png")
    return embed


def _add_earlier(embed: discord.Embed, found: DrawnReport) -> None:
    for name, text in found.earlier[:_EARLIER]:
        embed.add_field(name=f"Earlier ledger {name}", value=text, inline=False)


def _picture(found: DrawnReport, png: bytes) -> discord.File:
    return discord.File(io.BytesIO(png), "accuracy.png", description=found.sentence)
