"""How long after its start a process is ready, and has answered: run as a program, it says when."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from liqmap import Engine, Settings
from liqmap.settings import StorageSettings
from tests.benchmarks.maps import request
from tests.benchmarks.table import Table

RUNS = 5


async def measure_start(store: Path, table: Table) -> None:
    """Start processes that draw one map from the store."""
    table.heading("Start of a process")
    ready: list[float] = []
    answered: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.benchmarks.start", str(store)), stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        for times in (ready, answered):
            await process.stdout.readline()
            times.append((time.perf_counter() - started) * 1000)
        await process.wait()
    table.row("until the engine takes requests", ready)
    table.row("until the first answer, 6 h top_n 100", answered)


async def _answer(store: Path) -> None:
    async with Engine(Settings(storage=StorageSettings(path=store))) as engine:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await engine.draw(request(6))
        sys.stdout.write("answered\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_answer(Path(sys.argv[1])))
