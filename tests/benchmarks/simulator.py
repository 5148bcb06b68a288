"""The simulated exchanges in a process of their own, so that what they take is not counted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

import aiohttp

from liqmap import Exchange, Settings
from liqmap.exchanges import EXCHANGES

_SETTINGS = 6  # lines that the simulator prints: three addresses of each exchange


@asynccontextmanager
async def served(*arguments: str) -> AsyncIterator[list[str]]:
    """Run the simulator as a process and yield the lines that it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "liqmap.simulator", *arguments), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode() for _ in range(_SETTINGS)]
        if "--crash" in arguments:
            lines.append((await process.stdout.readline()).decode())
        yield lines
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def simulated_exchanges(settings: Settings) -> AsyncIterator[Settings]:
    """Serve the simulated market and yield `settings` pointed at it."""
    async with served() as lines:
        urls = dict(line.strip().split(" = ") for line in lines)
        exchanges = settings.exchanges
        changed = {
            each.value: getattr(exchanges, each).model_copy(
                update={
                    f"{kind}_url": urls[f"exchanges.{each}.{kind}_url"].strip('"')
                    for kind in ("archive", "api", "stream")
                }
            )
            for each in Exchange
        }
        yield settings.model_copy(update={"exchanges": exchanges.model_copy(update=changed)})


@asynccontextmanager
async def crashing_exchanges(*, rate: int) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve the streams of a crash and yield the lines of settings that lead there, and the symbols."""
    async with served("--crash", "--rate", str(rate)) as lines:
        yield "".join(lines[:_SETTINGS]), lines[_SETTINGS].split()[2:]


async def publish(settings: Settings, exchange: Exchange, symbol: str, days: list[date]) -> None:
    """Ask for files once, so that the server has invented them before anything is measured."""
    base = settings.exchanges.binance if exchange is Exchange.BINANCE else settings.exchanges.bybit
    async with aiohttp.ClientSession() as session:
        for day in days:
            url = EXCHANGES[exchange].day_file(base.archive_url, symbol, day).url
            async with session.get(url) as response:
                await response.read()
