"""The simulated exchanges in a process of their own, so that what they take is not counted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from liqmap import Exchange, Settings

_SETTINGS = 9  # lines that the simulator prints: three addresses of each exchange


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
async def simulated_exchanges(settings: Settings, *, weight_limit: int) -> AsyncIterator[Settings]:
    """Serve the simulated market and yield `settings` pointed at it."""
    async with served("--weight-limit", str(weight_limit)) as lines:
        urls = dict(line.strip().split(" = ") for line in lines)
        exchanges = settings.exchanges
        changed = {
            each.value: getattr(exchanges, each).model_copy(
                update={
                    f"{kind}_url": urls[f"exchanges.{each}.{kind}_url"].strip('"')
                    for kind in ("archive", "api", "stream")
                }
                | ({"weight_a_minute": weight_limit} if each is Exchange.BINANCE else {})
            )
            for each in Exchange
        }
        yield settings.model_copy(update={"exchanges": exchanges.model_copy(update=changed)})


@asynccontextmanager
async def crashing_exchanges(*, rate: int, symbols: int = 20) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve the streams of a crash and yield the lines of settings that lead there, and the symbols."""
    async with served("--crash", "--rate", str(rate), "--symbols", str(symbols)) as lines:
        yield "".join(lines[:_SETTINGS]), lines[_SETTINGS].split()[2:]
