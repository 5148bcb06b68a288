"""A crash: fifty thousand trades a second on twenty symbols, taken in by a recorder on one core."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from liqmap.clock import utc_now
from liqmap.model import Exchange
from liqmap.recordings import Recordings
from tests.benchmarks.simulator import crashing_exchanges

SECONDS = 150
RATE = 50_000


async def measure_crash(folder: Path) -> AsyncIterator[str]:
    """Yield the lines of the table."""
    for exchange in Exchange:
        async with crashing_exchanges(rate=RATE) as (urls, symbols):
            config = folder / f"{exchange}.toml"
            store = folder / f"store-{exchange}"
            config.write_text(f'storage.path = "{store}"\nengine.workers = 1\n{urls}')
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "liqmap", "record", *symbols),
                *("--exchange", exchange, "--config", str(config)),
                stderr=asyncio.subprocess.DEVNULL,
            )
            recorder = psutil.Process(process.pid)
            started, used, memory = time.monotonic(), 0.0, 0
            while time.monotonic() - started < SECONDS:
                await asyncio.sleep(1)
                times = recorder.cpu_times()
                used, memory = times.user + times.system, max(memory, recorder.memory_info().rss)
            elapsed = time.monotonic() - started
            now = utc_now()
            found = list(Recordings(store).all())
            process.terminate()
            await process.wait()
        behind = max((now - each.until).total_seconds() if each.until else elapsed for each in found)
        cuts = sum(each.cuts for each in found)
        name = f"crash, {RATE:,} trades/s on {len(symbols)} symbols, {exchange}"
        yield f"{name:58} {100 * used / elapsed:7.0f} % of a core"
        yield f"{'  memory of the recorder':58} {memory / 2**20:7.0f} MiB"
        yield f"{'  stored until, before now (a minute is open)':58} {behind:7.0f} s, {cuts} cuts"
