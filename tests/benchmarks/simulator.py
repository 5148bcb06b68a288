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


@asynccontextmanager
async def simulated_exchanges(settings: Settings) -> AsyncIterator[Settings]:
    """Serve the simulated market and yield `settings` pointed at it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "liqmap.simulator", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        lines = [(await process.stdout.readline()).decode() for _ in Exchange]
        urls = [line.split('"')[1] for line in lines]
        exchanges = settings.exchanges
        yield settings.model_copy(
            update={
                "exchanges": exchanges.model_copy(
                    update={
                        "binance": exchanges.binance.model_copy(update={"archive_url": urls[0]}),
                        "bybit": exchanges.bybit.model_copy(update={"archive_url": urls[1]}),
                    }
                )
            }
        )
    finally:
        process.terminate()
        await process.wait()


async def publish(settings: Settings, exchange: Exchange, symbol: str, days: list[date]) -> None:
    """Ask for files once, so that the server has invented them before anything is measured."""
    base = settings.exchanges.binance if exchange is Exchange.BINANCE else settings.exchanges.bybit
    async with aiohttp.ClientSession() as session:
        for day in days:
            url = EXCHANGES[exchange].day_file(base.archive_url, symbol, day).url
            async with session.get(url) as response:
                await response.read()
