"""Many different maps at once: how many a second, and how a worker's memory goes over thousands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta

from liqmap import Engine, GrossValue, MapRequest, Portion, Selection, Settings, TopN
from tests.benchmarks.maps import request, resident
from tests.benchmarks.market import END
from tests.benchmarks.table import Table

PAIRS = 60
REPEATS = 5
MAPS = 2000
WARMED_UP = 200
HOURS = (6, 6, 12, 24, 48, 168)


async def measure_throughput(settings: Settings, table: Table) -> None:
    """Draw sixty different maps of 6 h to 7 d at once, several times."""
    table.heading("Throughput, two workers")
    maps = different()
    async with Engine(settings) as engine:
        await engine.draw(request(6))
        rates = []
        for _ in range(REPEATS):
            wanted = [next(maps) for _ in range(PAIRS)]
            started = time.perf_counter()
            await asyncio.gather(*(engine.draw(each) for each in wanted))
            rates.append(PAIRS / (time.perf_counter() - started))
        table.row(f"{PAIRS} different maps of 6 h to 7 d at once", rates, unit="map pairs/s")
        await _measure_memory(engine, maps, table)


async def _measure_memory(engine: Engine, maps: Iterator[MapRequest], table: Table) -> None:
    """Draw two thousand maps; from a tenth on, memory is compared with what it was there."""
    seen: list[float] = []
    for done in range(0, MAPS, WARMED_UP):
        await asyncio.gather(*(engine.draw(next(maps)) for _ in range(WARMED_UP)))
        seen.append(max(resident()))
        if not done:
            table.value(f"largest worker after {WARMED_UP} maps", seen[0], unit="MiB")
    table.value(f"largest worker after {MAPS:,} maps", seen[-1], unit="MiB")
    table.row(f"… between, every {WARMED_UP} maps", seen, unit="MiB")
    table.value("growth from there to the end", 100 * (seen[-1] / seen[0] - 1), unit="%")


def different() -> Iterator[MapRequest]:
    """Yield requests that are never the same: ends a minute apart, lengths and selections in turn."""
    selections: tuple[Selection, ...] = (
        TopN(100),
        GrossValue(1e5),
        Portion(0.01),
        TopN(1000),
        GrossValue(5e4),
    )
    number = 0
    while True:
        end = END - timedelta(minutes=number)
        yield request(HOURS[number % len(HOURS)], selections[number % len(selections)], end=end)
        number += 1
