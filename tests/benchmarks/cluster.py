"""A Dask cluster of one and of two workers: python -m tests.benchmarks.cluster measures this alone.

The scheduler and the workers are processes of their own on this machine. Each worker has a store of its own,
and copies the days from a shared folder before it is measured.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import psutil

from liqmap import Engine, Settings
from liqmap.settings import EngineSettings, StorageSettings
from tests.benchmarks.market import END, store_day
from tests.benchmarks.processes import ENVIRONMENT, cpu_seconds
from tests.benchmarks.table import Table, load
from tests.benchmarks.throughput import HOURS, PAIRS, different

REPEATS = 3
_DAYS = max(HOURS) // 24 + 2


async def measure_cluster(folder: Path, settings: Settings, table: Table) -> None:
    """Draw sixty different maps of 6 h to 7 d at once in a cluster of one worker, and of two."""
    table.heading("Throughput of a Dask cluster on this machine")
    shared = settings.storage.model_copy(update={"shared_url": str(folder / "shared")})
    for count in (1, 2):
        async with _cluster(folder, workers=count) as (address, workers):
            engine = settings.engine.model_copy(
                update={"executor": "dask", "dask_address": address, "fallback": "none"}
            )
            rates, spent = await _measure(
                settings.model_copy(update={"storage": shared, "engine": engine}), workers
            )
        name = "one worker" if count == 1 else f"{count} workers"
        table.row(f"{name}: {PAIRS} different maps of 6 h to 7 d at once", rates, unit="map pairs/s")
        table.row(f"{name}: … CPU time of the workers", spent, unit="ms a pair")


async def _measure(settings: Settings, workers: list[psutil.Process]) -> tuple[list[float], list[float]]:
    """Return the maps a second of several runs, and the CPU time of the workers for each map [ms]."""
    maps, rates, spent = different(), [], []
    async with Engine(settings) as engine:
        while engine.cluster is None or engine.cluster.workers < len(workers):
            await asyncio.sleep(0.2)
        for run in range(REPEATS + 1):
            wanted = [next(maps) for _ in range(PAIRS)]
            started, used = time.perf_counter(), cpu_seconds(*workers)
            await asyncio.gather(*(engine.draw(each) for each in wanted))
            if run:  # the first one copies the days
                rates.append(PAIRS / (time.perf_counter() - started))
                spent.append(1000 * (cpu_seconds(*workers) - used) / PAIRS)
    return rates, spent


@asynccontextmanager
async def _cluster(folder: Path, *, workers: int) -> AsyncIterator[tuple[str, list[psutil.Process]]]:
    """Run a scheduler and workers, each of which has a store of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, local = f"tcp://127.0.0.1:{port}", ("--host", "127.0.0.1", "--no-dashboard")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_process("scheduler", "--port", str(port), *local, store=folder))
        options = ("--nthreads", "1", "--local-directory", str(folder))
        started = [
            await stack.enter_async_context(
                _process("worker", address, *options, *local, store=folder / f"worker-{workers}-{number}")
            )
            for number in range(workers)
        ]
        yield address, started


@asynccontextmanager
async def _process(*arguments: str, store: Path) -> AsyncIterator[psutil.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dask", *arguments),
        env=ENVIRONMENT | {"LIQMAP__STORAGE__PATH": str(store)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _alone(folder: Path) -> None:
    table = Table()
    for back in range(_DAYS):
        store_day(END.date() - timedelta(days=back), folder / "store")
    engine = EngineSettings(workers=1, cached_results=0, queue_size=PAIRS)
    await measure_cluster(
        folder, Settings(storage=StorageSettings(path=folder / "store"), engine=engine), table
    )
    table.note(load())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(_alone(Path(temporary)))
