"""The answer to a scan: a picture, a line for each market, and a button that opens its map."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import discord
from discord import ui

from bot.request.spec import MapSpec
from bot.views.map import DeleteButton, open_button
from bot.views.replies import COLOUR, fitting
from liqmap import EXCHANGES, MapRequest, TopN, __version__
from liqmap.text import near_text, price, price_step

if TYPE_CHECKING:
    from liqmap import ScannedMarket, ScanResult

_MOST_BUTTONS = 10
_A_ROW = 5  # Discord's limit
_LARGEST_TRADES = 100
_NAME = "liquidation_scan.png"


def scan_reply(result: ScanResult) -> tuple[discord.Embed, discord.File]:
    """Return the embed of a scan and the picture that it shows."""
    simulated = " · simulated" if any(each.simulated for each in result.markets) else ""
    lines = [_line(each, result) for each in result.markets]
    nothing = f"No large cluster is within {result.request.within:.2%} of a price; try a larger distance."
    embed = discord.Embed(
        title=f"Nearest large clusters{simulated}", description=fitting(lines) or nothing, colour=COLOUR
    )
    embed.set_image(url=f"attachment://{_NAME}")
    embed.set_footer(
        text=f"{result.scanned:,} recorded markets, the last 24 hours · estimated, not financial advice"
        f" · liqmap {__version__}"
    )
    words = [f"Nearest large clusters of {result.scanned:,} recorded markets", *lines]
    alt_text = "; ".join(words).replace("*", "")  # it is read aloud, and its markup with it
    return embed, discord.File(io.BytesIO(result.picture), filename=_NAME, description=alt_text[:1024])


def scan_view(result: ScanResult, *, author_id: int) -> ui.View:
    """Return a button to the map of each market that is listed, and Delete."""
    view = ui.View(timeout=None)
    window = result.request.window
    # Two rows of buttons; Delete is in the third.
    for place, each in enumerate(result.markets[:_MOST_BUTTONS]):
        drawn = MapRequest((each.market,), window, TopN(_LARGEST_TRADES), theme=result.request.theme)
        label = f"{each.market.symbol} {EXCHANGES[each.market.exchange].label}"
        button = open_button(MapSpec(drawn), window.end, label=label, row=place // _A_ROW)
        if button is not None:
            view.add_item(button)
    view.add_item(DeleteButton(author_id, row=2))
    return view


def _line(each: ScannedMarket, result: ScanResult) -> str:
    step = each.bucket_size
    last = price(each.last_price, step=price_step(each.last_price, bucket_size=step))
    nearest = each.clusters(result.request.side)[0]
    side = "longs" if nearest is each.long else "shorts"
    label = EXCHANGES[each.market.exchange].label
    return f"**{each.market.symbol}** {label} {last} · {side} {near_text(nearest, step=step)}"
