"""How long after its start a process is ready, and has answered."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from tests.benchmarks.table import Table

RUNS = 5

# As `python -m bot` does it: a main module that workers may import again at no cost.
PROGRAM = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from liqmap import Engine, Exchange, MapRequest, Market, Settings, TimeWindow, TopN
from liqmap.settings import StorageSettings

async def answer():
    window = TimeWindow.ending(datetime(2023, 8, 31, 12, tzinfo=UTC), timedelta(hours=6))
    async with Engine(Settings(storage=StorageSettings(path=Path(sys.argv[1])))) as engine:
        print("ready", flush=True)
        await engine.draw(MapRequest((Market(Exchange.BINANCE, "BTCUSDT"),), window, TopN(100)))
        print("answered", flush=True)

asyncio.run(answer())
"""


async def measure_start(store: Path, table: Table) -> None:
    """Start processes that draw one map from the store."""
    table.heading("Start of a process")
    ready: list[float] = []
    answered: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, str(store)), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        for times in (ready, answered):
            await process.stdout.readline()
            times.append((time.perf_counter() - started) * 1000)
        await process.wait()
    table.row("until the engine takes requests", ready)
    table.row("until the first answer, 6 h top_n 100", answered)
