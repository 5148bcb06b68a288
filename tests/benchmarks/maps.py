"""From an exchange's file, and from the store, to both pictures: time and memory."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psutil

from liqmap import Engine, Exchange, GrossValue, MapRequest, Portion, Selection, Settings, TimeWindow, TopN
from liqmap.settings import EngineSettings, StorageSettings
from tests.benchmarks.simulator import publish, simulated_exchanges

# Days on which the simulated BTCUSDT has 1.2 to 1.4 million trades.
DAYS = [date(2023, 8, day) for day in (4, 6, 9, 10, 12)]
WARM_RUNS = 9
TOP = TopN(100)


def request(
    day: date, selection: Selection = TOP, *, hours: int = 6, exchange: Exchange = Exchange.BINANCE
) -> MapRequest:
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return MapRequest(exchange, "BTCUSDT", TimeWindow.ending(noon, timedelta(hours=hours)), selection)


async def measure_maps(folder: Path) -> AsyncIterator[str]:
    """Yield the lines of the table."""
    settings = Settings(
        storage=StorageSettings(path=folder), engine=EngineSettings(workers=2, cached_results=0)
    )
    async with simulated_exchanges(settings) as simulated, Engine(simulated) as engine:
        for exchange in Exchange:
            await publish(simulated, exchange, "BTCUSDT", DAYS)
            cold = [await timed(engine, request(day, exchange=exchange)) for day in DAYS]
            yield row(f"first time: {exchange}'s file -> stored, both pictures", cold)
        for name, selection, hours in (
            ("6 h top_n 100", TOP, 6),
            ("6 h gross_value 100k", GrossValue(1e5), 6),
            ("6 h gross_value 10k", GrossValue(1e4), 6),
            ("6 h portion 1 %", Portion(0.01), 6),
        ):
            await timed(engine, request(DAYS[0], selection, hours=hours))
            warm = [await timed(engine, request(DAYS[0], selection, hours=hours)) for _ in range(WARM_RUNS)]
            yield row(f"in store: {name} -> both pictures", warm)
        day_long = replace(request(DAYS[0], GrossValue(1e5)), window=TimeWindow.of_day(DAYS[0]), heatmap=True)
        await timed(engine, day_long)
        warm = [await timed(engine, day_long) for _ in range(WARM_RUNS)]
        yield row("in store: 24 h gross_value 100k -> three pictures", warm)
        await timed(engine, request(DAYS[-1], hours=72))
        warm = [await timed(engine, request(DAYS[-1], hours=72)) for _ in range(WARM_RUNS)]
        yield row("in store: 72 h top_n 100 -> both pictures", warm)
        main, *children = peaks()
        yield f"{'peak memory: main process':58} {main:7.0f} MiB"
        yield f"{'peak memory: largest worker':58} {max(children):7.0f} MiB"


async def timed(engine: Engine, wanted: MapRequest) -> float:
    """Draw and return the milliseconds that it took."""
    started = time.perf_counter()
    await engine.draw(wanted)
    return (time.perf_counter() - started) * 1000


def row(name: str, times: Sequence[float], *, unit: str = "ms") -> str:
    """Return a line of the table."""
    return f"{name:58} {statistics.median(times):7.0f} {unit}  ({min(times):.0f} to {max(times):.0f})"


def peaks() -> list[float]:
    """Return the highest memory so far of this process and of its workers [MiB]."""
    workers = [
        child.pid for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())
    ]
    return [_peak(pid) for pid in (os.getpid(), *workers)]


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
