"""What the bot answers: a drawn map as embeds and files, progress as a bar, an error as one sentence."""

from __future__ import annotations

import gzip
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import discord

from liqmap import EXCHANGES, RequestError, __version__
from liqmap.files import file_stem
from liqmap.text import (
    BARELY_COVERED,
    MOSTLY_COVERED,
    age_text,
    asked_words,
    band_text,
    completion_text,
    counted,
    coverage_text,
    coverage_warning,
    duration_text,
    exchanges_text,
    interest_shares_text,
    interest_warnings,
    lacking_text,
    last_price_text,
    left_out_text,
    margin_text,
    market_text,
    money,
    price_step,
    realised_text,
    share_text,
    standing_text,
    unswept_text,
    window_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap import MapResult, MapSummary, Market, Progress

COLOUR = discord.Colour(0x129FB4)
WARNING_COLOUR = discord.Colour(0xFFD166)

ANSWER_WITHIN: Final = timedelta(minutes=14)
"""An answer that comes later than this is not sent. Discord takes it for 15 minutes, sending included."""

TOO_LONG: Final = (
    "This will take longer than the 15 minutes that Discord waits for an answer; the data fetched by then is"
    " kept, so ask again afterwards."
)

_ALT_TEXT_LENGTH = 1024  # Discord's limit, as is the longest description below
_BAR_CELLS = 12
_LONGEST_DESCRIPTION = 4096


class Reply(NamedTuple):
    """An answer with its pictures, ready to be sent."""

    embeds: list[discord.Embed]
    files: list[discord.File]


def map_reply(result: MapResult) -> Reply:
    """Return the answer to a request: the map first, with three short lines above it, and the numbers last.

    Each picture is the image of its own embed. Discord shows plain attachments side by side, where they are
    too small to read on a phone.
    """
    colour = COLOUR if result.coverage.fraction >= MOSTLY_COVERED else WARNING_COLOUR
    first = discord.Embed(title=_title(result), description="\n".join(_opening_lines(result)), colour=colour)
    embeds = [first, *(discord.Embed(colour=colour) for _ in range(1, len(result.pictures)))]
    alt_text, files = _alt_text(result), []
    for embed, (kind, png) in zip(embeds, result.pictures.items(), strict=True):
        # Without the symbol: Discord changes names with non-Latin letters, and the embed would miss its file.
        name = f"liquidation_{kind}.png"
        embed.set_image(url=f"attachment://{name}")
        text = f"Liquidation {kind}. {alt_text}"[:_ALT_TEXT_LENGTH]
        files.append(discord.File(io.BytesIO(png), filename=name, description=text))
    return Reply([*embeds, _numbers_embed(result, colour)], files)


def progress_text(progress: Progress, *, elapsed: float) -> str:
    """Return what is being done, a bar, and the time left at the pace of the `elapsed` seconds.

    If that is more than an answer may take, a second line says so.
    """
    share = progress.fraction
    if share is None:
        return f"{progress.text} …"
    filled = round(share * _BAR_CELLS)
    bar = "▓" * filled + "░" * (_BAR_CELLS - filled)
    text = f"{progress.text} {bar} {share_text(share)}"
    left = progress.seconds_left(elapsed)
    if left is None:
        return text
    if elapsed + left > ANSWER_WITHIN.total_seconds():
        return f"{text}\n{TOO_LONG}"
    return f"{text}, about {duration_text(timedelta(seconds=left))} left"


def below_completion(sentence: str, *, typed: Sequence[Market], drawn: Sequence[Market]) -> str:
    """Return `sentence`, below a line that says what the typed symbol was taken to mean if that differs."""
    completion = completion_text(typed, drawn)
    return f"{completion}\n{sentence}" if completion else sentence


def fitting(lines: Sequence[str], *, most: int | None = None, hint: str = "") -> str:
    """Return as many lines as an embed takes, at most `most`, and how many are left out with a `hint`."""
    text = ""
    for place, line in enumerate(lines):
        # Room is kept for these words before each line, as any line may be the last that fits.
        rest = f"… and {len(lines) - place} more{hint}"
        if place == most or len(text) + len(line) + len(rest) + 2 > _LONGEST_DESCRIPTION:
            return text + rest
        text += f"{line}\n"
    return text


def csv_file(result: MapResult, *, most: int) -> tuple[str, bytes]:
    """Return the name and content of the table of levels, compressed if it is larger than `most` bytes.

    Raises RequestError if it is still too large then.
    """
    name, content = f"{file_stem(result.request)}.csv", result.levels_csv or b""
    if len(content) > most:
        # Only where it has to be: phones open a CSV, and few of them a gz.
        name, content = f"{name}.gz", gzip.compress(content)
    if len(content) > most:
        raise RequestError("The table is too large for this server; choose fewer trades, such as top_n 1000.")
    return name, content


def _title(result: MapResult) -> str:
    simulated = " · simulated" if result.coverage.simulated else ""
    warning = coverage_warning(result.coverage)
    if warning is not None and result.coverage.fraction < BARELY_COVERED:
        return f"⚠️ {result.markets[0].symbol}{simulated}: {warning[:1].lower()}{warning[1:]}"
    return f"{result.markets[0].symbol} liquidation map{simulated} · last {_last_price(result)}"


def _last_price(result: MapResult) -> str:
    summary = result.summary
    return last_price_text(summary.last_price, result.coverage, step=_price_step(summary))


def _price_step(summary: MapSummary) -> float:
    return price_step(summary.last_price, bucket_size=summary.bucket_size)


def _opening_lines(result: MapResult) -> list[str]:
    """Return the lines above the map: each side's clusters, and a warning if there is one."""
    coverage = result.coverage
    warnings = [coverage_text(coverage)] if coverage.missing or coverage.lost_ids else []
    warnings += filter(None, [age_text(coverage)])
    warning = [f"⚠️ {', '.join(warnings)}"] if warnings else []
    sides = [f"**{name}** {text}" for name, text in _sides(result.summary)]
    # A warning comes first only if it changes how the clusters are to be read.
    return [*warning, *sides] if coverage.fraction < MOSTLY_COVERED else [*sides, *warning]


def _numbers_embed(result: MapResult, colour: discord.Colour) -> discord.Embed:
    summary = result.summary
    embed = discord.Embed(description="\n".join(_heading(result)), colour=colour)
    embed.add_field(name="Selected", value=_selected(result))
    embed.add_field(name="Standing", value=_balance(summary))
    embed.add_field(name="Swept since", value=_swept(summary), inline=False)
    within = "\n".join(f"±{share_text(band.distance)}: {band_text(band, summary)}" for band in summary.bands)
    embed.add_field(name="Standing within", value=within, inline=False)
    if summary.realised is not None:
        embed.add_field(name="Liquidated", value=realised_text(summary.realised), inline=False)
    for each in summary.by_market:
        label = EXCHANGES[each.market.exchange].label
        embed.add_field(name=label, value=market_text(each, step=_price_step(summary)), inline=False)
    embed.set_footer(text=_footer(result))
    return embed


def _heading(result: MapResult) -> list[str]:
    """Return the lines above the numbers: what was requested, and what a reader has to know."""
    ended = discord.utils.format_dt(result.request.window.end, "R")
    requested = [exchanges_text(result.markets), *asked_words(result.request), f"window ended {ended}"]
    return [" · ".join(requested), *(f"⚠️ {note}" for note in _notes(result))]


def _notes(result: MapResult) -> list[str]:
    """Return what else a reader must know about the numbers, each as a sentence."""
    notes = []
    if result.coverage.simulated:
        notes.append("**Simulated data**: an invented market, not an exchange.")
    lacking = lacking_text(result.summary.margin)
    if lacking is not None:
        notes.append(f"{lacking[:1].upper()}{lacking[1:]}: levels by the simple model.")
    notes += (f"{left_out_text(each)}." for each in result.summary.left_out)
    doubts = interest_warnings(result.summary)
    unswept = unswept_text(result.coverages, result.summary.margin.sweep)
    return [*notes, *doubts, *filter(None, [unswept])]


def _selected(result: MapResult) -> str:
    summary = result.summary
    notional = summary.selected_notional_buy + summary.selected_notional_sell
    count = summary.selected_buy + summary.selected_sell
    return f"{count:,} of {counted(summary.trades, 'trade')}, {money(notional)}"


def _balance(summary: MapSummary) -> str:
    share = summary.long_share
    if share is None:
        return "nothing stands"
    parts = [f"{share_text(share)} longs, {share_text(1 - share)} shorts"]
    if summary.open_interest is not None:
        parts.append(interest_shares_text(summary.open_interest))
    if summary.margin.positions is not None:
        parts.append(f"not opened {money(summary.not_opened)}, closed since {money(summary.closed)}")
    return "\n".join(parts)


def _swept(summary: MapSummary) -> str:
    swept = f"{money(summary.swept_long)} longs, {money(summary.swept_short)} shorts"
    if summary.unplaced:
        swept += f" · {money(summary.unplaced)} too large for these leverages"
    return swept


def _sides(summary: MapSummary) -> tuple[tuple[str, str], tuple[str, str]]:
    step = _price_step(summary)
    longs = standing_text(summary.standing_long, summary.nearest_long, summary.largest_long, step=step)
    shorts = standing_text(summary.standing_short, summary.nearest_short, summary.largest_short, step=step)
    return ("Longs below", longs), ("Shorts above", shorts)


def _footer(result: MapResult) -> str:
    coverage = result.coverage
    simulated = ["simulated data"] if coverage.simulated else []
    made_of = [*simulated, window_text(result.request.window), coverage_text(coverage), *coverage.sources]
    return (
        f"{' · '.join(made_of)}\n"
        f"Estimated by the {margin_text(result.summary.margin)}, not financial advice · liqmap {__version__}"
    )


def _alt_text(result: MapResult) -> str:
    summary = result.summary
    # Screen readers read this out instead of the picture, so it has what the picture shows.
    facts = [
        f"{result.markets[0].symbol}, {window_text(result.request.window)}",
        *(["simulated data"] if result.coverage.simulated else []),
        coverage_text(result.coverage),
        f"selected {_selected(result)}",
        f"last price {_last_price(result)}",
        *(f"{name.lower()}: {text}" for name, text in _sides(summary)),
        f"swept since: {_swept(summary)}",
        f"estimated from trades by the {margin_text(summary.margin)}",
    ]
    return "; ".join(facts)
