"""The answer to a scan: a picture, a line for each market, and a button that opens its map."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, cast

import discord
from discord import ui

from bot.interaction.permissions import USERS_OF_COMMANDS
from bot.request.posted import ScanSpec, decode_scan, encode_scan
from bot.request.spec import MapSpec, encode_number
from bot.views.map import DeleteButton, open_button
from bot.views.press import Press
from bot.views.replies import COLOUR, Reply, fitting
from liqmap import EXCHANGES, MapRequest, TopN, __version__
from liqmap.text import counted, market_name, scanned_text, window_text

if TYPE_CHECKING:
    from datetime import datetime

    from liqmap import ScannedMarket, ScanResult, Side

_MOST_BUTTONS = 10
_A_ROW = 5  # Discord's limit
_LARGEST_TRADES = 100
_NAME = "liquidation_scan.png"


class Presses(Protocol):
    """What answers presses: `bot.commands.scan.Scans`."""

    async def rescan(self, interaction: discord.Interaction[Any], spec: ScanSpec) -> None:
        """Make the scan again, as of now."""


class ScanButton(
    Press, ui.DynamicItem[ui.Button[Any]], template=r"scan:(.+):([0-9a-z]{1,13})", access=USERS_OF_COMMANDS
):
    """The Refresh button. Its id also names the end of the scan, by which a scheduled post is found again."""

    def __init__(self, code: str, end: str, *, row: int | None = None) -> None:
        super().__init__(ui.Button(label="Refresh", custom_id=f"scan:{code}:{end}", row=row))
        self._code = code

    @classmethod
    def made_of(cls, *groups: str) -> Self:
        """Return the button that was pressed."""
        code, end = groups
        return cls(code, end)

    async def pressed(self, interaction: discord.Interaction[Any]) -> None:
        """Make the scan again."""
        await cast("Presses", interaction.client.get_cog("Scans")).rescan(
            interaction, decode_scan(self._code)
        )


ITEMS: Final = (ScanButton,)


def scan_reply(result: ScanResult) -> Reply:
    """Return the embed of a scan and the picture that it shows."""
    simulated = " · simulated" if any(each.simulated for each in result.markets) else ""
    scanned = counted(result.scanned, "recorded market")
    lines = [scanned_line(each, result.request.side) for each in result.markets]
    nothing = f"No large cluster is within {result.request.within:.2%} of a price; try a larger distance."
    left_out = _left_out(result)
    embed = discord.Embed(
        title=f"Nearest large clusters{simulated}",
        description=fitting([*(lines or [nothing]), *left_out]),
        colour=COLOUR,
    )
    embed.set_image(url=f"attachment://{_NAME}")
    embed.set_footer(
        text=f"{scanned} · {window_text(result.request.window)}"
        f" · estimated, not financial advice · liqmap {__version__}"
    )
    words = [f"Nearest large clusters of {scanned}", *lines]
    alt_text = "; ".join(words).replace("*", "")  # it is read aloud, and its markup with it
    file = discord.File(io.BytesIO(result.picture), filename=_NAME, description=alt_text[:1024])
    return Reply([embed], [file])


def _left_out(result: ScanResult) -> list[str]:
    """Return a line on the markets that could not be scanned, with the first one's reason."""
    if not result.failed:
        return []
    (market, problem), count = result.failed[0], len(result.failed)
    several = f"{counted(count, 'market')}, such as " if count > 1 else ""
    return [f"-# Left out: {several}{market_name(market)}. {problem}"]


def scanned_line(each: ScannedMarket, side: Side | None = None) -> str:
    """Return where a market's nearest cluster is, of `side` if that is given, with the symbol in bold."""
    symbol, label = each.market.symbol, EXCHANGES[each.market.exchange].label
    return f"**{symbol}** on {label} {scanned_text(each, each.clusters(side)[:1])}"


def scan_view(result: ScanResult, *, author_id: int) -> ui.View:
    """Return a button to the map of each market that is listed, Refresh, and Delete."""
    view = ui.View(timeout=None)
    window = result.request.window
    # Two rows of buttons; Refresh and Delete are in the third.
    for place, each in enumerate(result.markets[:_MOST_BUTTONS]):
        drawn = MapRequest((each.market,), window, TopN(_LARGEST_TRADES), theme=result.request.theme)
        label = f"{each.market.symbol} {EXCHANGES[each.market.exchange].label}"
        button = open_button(MapSpec(drawn), window.end, label=label, row=place // _A_ROW)
        if button is not None:
            view.add_item(button)
    for item in _lasting(ScanSpec(result.request), window.end, author_id=author_id):
        view.add_item(item)
    return view


def scan_marks(spec: ScanSpec, end: datetime, *, author_id: int) -> set[str]:
    """Return the ids of the buttons that a scan has, whatever it finds."""
    return {item.custom_id for item in _lasting(spec, end, author_id=author_id)}


def _lasting(spec: ScanSpec, end: datetime, *, author_id: int) -> tuple[ScanButton, DeleteButton]:
    code, seconds = encode_scan(spec), encode_number(int(end.timestamp()))
    return ScanButton(code, seconds, row=2), DeleteButton(author_id, row=2)
