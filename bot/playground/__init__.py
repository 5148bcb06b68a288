"""The playground: the real bot in a simulated Discord, over a simulated market, in the browser."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import discord

from bot.client import LiqmapBot
from bot.playground.page import LivePage, catch_up
from bot.request.drawing import EngineFacts
from bot.request.symbols import Refusal, Symbols
from bot.store import open_store
from liqmap import DataError, Engine, SettingsError, SystemClock
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
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from bot.request.drawing import Draw
    from bot.settings import BotSettings
    from liqmap import MapRequest, MapResult, Progress

News = TypeVar("News")
Result = TypeVar("Result")
Given = ParamSpec("Given")

_SETTLE_SECONDS = 120.0  # a day's first map waits until the simulated market has made that day


class _RealClock(SystemClock):
    """This machine's clock, also where the simulation puts its own in place of `time.monotonic`."""

    _monotonic = staticmethod(time.monotonic)

    def steady(self) -> float:
        """Return seconds since an arbitrary moment; they never go back."""
        return self._monotonic()


async def play(settings: BotSettings, *, port: int | None, out: Path, stay: bool = False) -> None:
    """Post `/liqmap BTCUSDT 6h top_n 100`, save its images to `out`, and stay open on a terminal.

    Without a terminal, the playground ends after the post unless `stay` is set. Raises DataError if the bot
    does not answer with a map.
    """
    async with MarketServer(SimulatedMarket(), weight_limit=GENEROUS) as server:
        simulated, clock = server.redirect(settings), _RealClock()
        async with (
            Listings(simulated, clock=clock, daily=True) as listings,
            Engine(simulated, record=True) as engine,
            open_store(simulated) as store,
        ):
            facts, outside = EngineFacts.of(engine), Outside(engine.draw)
            bot = LiqmapBot(
                simulated,
                draw=outside.drawn,
                store=store,
                clock=clock,
                symbols=_symbols_outside(listings),
                facts=replace(facts, report=_run_outside(facts.report), scan=_run_outside(facts.scan)),
                # The simulation would wait for each minute of the schedule.
                schedule_in=copy_context(),
            )
            # An error that is answered by a sentence is no failure of the playground, as SimCord takes it.
            answer_error = bot.tree.on_error
            async with simcord.run(bot, settle_timeout=_SETTLE_SECONDS) as env:
                bot.tree.on_error = answer_error  # type: ignore[method-assign]
                await _play_in(env, outside, port=port, out=out, stay=stay)


def _run_outside(
    call: Callable[Given, Coroutine[Any, Any, Result]],
) -> Callable[Given, Coroutine[Any, Any, Result]]:
    """Return `call`, run outside the simulation that begins later, as `Outside` draws maps."""
    outside = copy_context()

    async def run(*arguments: Given.args, **options: Given.kwargs) -> Result:
        return await outside.run(asyncio.ensure_future, call(*arguments, **options))

    return run


class Outside:
    """Draws outside the simulation, which would otherwise wait for the engine's network timers.

    The simulation follows tasks by their context. So the work runs in a copy of the context from before the
    simulation, and its callbacks run inside again.

    With `env`, a command counts as done while its map is being drawn, so that the page shows the progress.
    """

    def __init__(self, draw: Draw) -> None:
        self.env: simcord.Env | None = None
        self._draw = draw
        self._outside = copy_context()

    async def drawn(
        self,
        request: MapRequest,
        *,
        progress: Callable[[Progress], None] | None = None,
        partial: Callable[[MapResult], None] | None = None,
    ) -> MapResult:
        """Draw as the engine does; `progress` and `partial` are called inside the simulation."""
        inside = copy_context()

        def back(listener: Callable[[News], None] | None) -> Callable[[News], None] | None:
            return None if listener is None else lambda news: inside.run(listener, news)

        drawing = self._draw(request, progress=back(progress), partial=back(partial))
        task: asyncio.Future[MapResult] = self._outside.run(asyncio.ensure_future, drawing)
        if self.env is not None:
            # A scheduled post lives outside as well, and nobody waits for it.
            with suppress(simcord.SetupError):
                await self.env.external_wait(task, reason="a map is being drawn")
        return await task


def _symbols_outside(listings: Listings) -> Symbols:
    """Return the symbols of `listings`, whose requests also run outside the simulation."""
    symbols, outside = Symbols.of(listings), copy_context()

    async def explained(error: Refusal, request: MapRequest, *, typed: str) -> Refusal:
        return await outside.run(asyncio.ensure_future, symbols.explained(error, request, typed=typed))

    return Symbols(symbols.offered, _run_outside(listings.completed), explained)


async def _play_in(env: simcord.Env, outside: Outside, *, port: int | None, out: Path, stay: bool) -> None:
    # The simulated Discord starts at a fixed date, but the market and the user are in the present.
    catch_up(env)
    guild = env.create_guild("Trading floor (simulated)")
    channel = guild.create_text_channel("liquidations")
    rights = discord.Permissions(manage_channels=True, manage_guild=True, manage_messages=True)
    member = guild.add_member(env.create_user("you"), roles=[guild.create_role("boss", permissions=rights)])
    await _save_first_map(member, channel, out=out)
    if not (stay or sys.stdout.isatty()):
        return
    outside.env = env
    catch_up(env)
    preview = env.preview(channel, viewers=[member], layout="channel", port=port)
    page = LivePage(env, preview)
    async with preview, page.kept_live():
        _say(f"Open {preview.url} and type /liqmap. Ctrl-C ends the playground.")
        await asyncio.Event().wait()


async def _save_first_map(member: simcord.MemberActor, channel: simcord.ChannelHandle, *, out: Path) -> None:
    result = await member.slash(channel, "liqmap", symbol="BTCUSDT", window="6h", mode="top_n", value="100")
    if result.response is None or not result.response.attachments:
        raise DataError("The bot did not answer with a map; see the log above.")
    for attachment in result.response.attachments:
        path = out / attachment.filename
        write_file(path, await attachment.read())
        _say(f"saved {path}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
