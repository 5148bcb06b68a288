"""The playground: the real bot in a simulated Discord, over a simulated market, in the browser."""

from __future__ import annotations

import asyncio
import sys
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import discord

from bot.client import LiqmapBot
from bot.request.drawing import EngineFacts
from bot.request.symbols import Refusal, Symbols
from bot.store import open_store
from liqmap import DataError, Engine, SettingsError, SystemClock, utc_now
from liqmap.collect.listings import Listings
from liqmap.files import write_file
from liqmap.simulator import GENEROUS, MarketServer, SimulatedMarket

try:
    import simcord
except ImportError as missing:
    raise SettingsError(
        "The playground needs the library simcord: pip install 'liqmap[playground]'."
    ) from missing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bot.request.drawing import Draw, ReportAccuracy, Scan
    from bot.settings import BotSettings
    from liqmap import DrawnReport, MapRequest, MapResult, Progress, ScanRequest, ScanResult

News = TypeVar("News")

_SETTLE_SECONDS = 120.0  # a day's first map waits until the simulated market has made that day


async def play(settings: BotSettings, *, port: int | None, out: Path, stay: bool = False) -> None:
    """Post `/liqmap BTCUSDT 6h top_n 100`, save its images to `out`, and stay open on a terminal.

    Without a terminal, the playground ends after the post unless `stay` is set. Raises DataError if the bot
    does not answer with a map.
    """
    async with MarketServer(SimulatedMarket(), weight_limit=GENEROUS) as server:
        simulated, clock = server.redirect(settings), SystemClock()
        async with (
            Listings(simulated, clock=clock, daily=True) as listings,
            Engine(simulated, record=True) as engine,
            open_store(simulated) as store,
        ):
            facts = EngineFacts.of(engine)
            bot = LiqmapBot(
                simulated,
                draw=_outside(engine.draw),
                store=store,
                clock=clock,
                symbols=_symbols_outside(listings),
                facts=replace(facts, report=_report_outside(facts.report), scan=_scan_outside(facts.scan)),
                # The simulation would wait for each minute of the schedule.
                schedule_in=copy_context(),
            )
            async with simcord.run(bot, settle_timeout=_SETTLE_SECONDS) as env:
                await _play_in(env, port=port, out=out, stay=stay)


def _report_outside(report: ReportAccuracy) -> ReportAccuracy:
    """Return `report` run outside the simulation, likewise."""
    outside = copy_context()

    async def run(symbol: str | None, /) -> DrawnReport:
        return await outside.run(asyncio.ensure_future, report(symbol))

    return run


def _outside(draw: Draw) -> Draw:
    """Return `draw`, run outside the simulation, which would otherwise wait for its network timers.

    The simulation follows tasks by their context. So the work runs in a copy of the context from before the
    simulation, and its callbacks run inside again.
    """
    outside = copy_context()

    async def run(
        request: MapRequest,
        *,
        progress: Callable[[Progress], None] | None = None,
        partial: Callable[[MapResult], None] | None = None,
    ) -> MapResult:
        inside = copy_context()

        def back(listener: Callable[[News], None] | None) -> Callable[[News], None] | None:
            return None if listener is None else lambda news: inside.run(listener, news)

        drawing = draw(request, progress=back(progress), partial=back(partial))
        return await outside.run(asyncio.ensure_future, drawing)

    return run


def _scan_outside(scan: Scan) -> Scan:
    """Return `scan` run outside the simulation, as maps are drawn."""
    outside = copy_context()

    async def run(request: ScanRequest) -> ScanResult:
        return await outside.run(asyncio.ensure_future, scan(request))

    return run


def _symbols_outside(listings: Listings) -> Symbols:
    """Return the symbols of `listings`, whose requests also run outside the simulation."""
    symbols, outside = Symbols.of(listings), copy_context()

    async def completed(request: MapRequest) -> MapRequest:
        return await outside.run(asyncio.ensure_future, symbols.completed(request))

    async def explained(error: Refusal, request: MapRequest, *, typed: str) -> Refusal:
        return await outside.run(asyncio.ensure_future, symbols.explained(error, request, typed=typed))

    return Symbols(symbols.offered, completed, explained)


async def _play_in(env: simcord.Env, *, port: int | None, out: Path, stay: bool) -> None:
    # The simulated Discord starts at a fixed date, but the market and the user are in the present.
    await env.advance_time((utc_now() - env.now()).total_seconds())
    guild = env.create_guild("Trading floor (simulated)")
    channel = guild.create_text_channel("liquidations")
    rights = discord.Permissions(manage_channels=True, manage_guild=True, manage_messages=True)
    member = guild.add_member(env.create_user("you"), roles=[guild.create_role("boss", permissions=rights)])
    result = await member.slash(channel, "liqmap", symbol="BTCUSDT", window="6h", mode="top_n", value="100")
    if result.response is None or not result.response.attachments:
        raise DataError("The bot did not answer with a map; see the log above.")
    for attachment in result.response.attachments:
        path = out / attachment.filename
        write_file(path, await attachment.read())
        _say(f"saved {path}")
    if not (stay or sys.stdout.isatty()):
        return
    async with env.preview(channel, viewers=[member], layout="channel", port=port) as preview:
        _say(f"Open {preview.url} and type /liqmap. Ctrl-C ends the playground.")
        await asyncio.Event().wait()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
