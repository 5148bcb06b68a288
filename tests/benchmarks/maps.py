"""From an exchange's file, and from the store, to both pictures: time and memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from liqmap import (
    Engine,
    Exchange,
    GrossValue,
    MapRequest,
    MapResult,
    Portion,
    Progress,
    Selection,
    Settings,
    TimeWindow,
    TopN,
)
from liqmap.model import ALL_PICTURES, PICTURES, Market, Picture
from tests.benchmarks.market import END, FILES, SYMBOL
from tests.benchmarks.table import Table

SELECTIONS: tuple[Selection, ...] = (TopN(100), GrossValue(1e5), GrossValue(1e4), Portion(0.01))
LENGTHS = {"6 h": 6, "24 h": 24, "7 d": 168, "30 d": 720, "90 d": 2160}
COLD_DAYS = 5
WARM_RUNS = 7


def request(
    hours: float,
    selection: Selection = SELECTIONS[0],
    *,
    end: datetime = END,
    exchange: Exchange = Exchange.BINANCE,
    pictures: frozenset[Picture] = PICTURES,
) -> MapRequest:
    return MapRequest(
        (Market(exchange, SYMBOL),),
        TimeWindow.ending(end, timedelta(hours=hours)),
        selection,
        pictures=pictures,
    )


async def measure_cold(settings: Settings, table: Table) -> None:
    """Fetch days one by one, then what is left of thirty at once."""
    table.heading("First time: the exchange's file on loopback → stored → both pictures")
    async with Engine(settings) as engine:
        await engine.draw(request(6, end=_noon(FILES + 1)))  # the workers are up
        for exchange, days in ((Exchange.BINANCE, COLD_DAYS), (Exchange.BYBIT, 2)):
            results = [
                await engine.draw(request(6, end=_noon(back), exchange=exchange)) for back in range(days)
            ]
            table.row(
                f"{exchange} day: fetched, verified, stored", [each.timings_ms["collect"] for each in results]
            )
            table.row(f"{exchange} day: … and drawn", [each.timings_ms["total"] for each in results])
        memory = peaks()
        heard: list[Progress] = []
        result = await engine.draw(request(720), progress=heard.append)
        left = FILES - COLD_DAYS
        table.value(
            f"{left} days at once, {settings.download.concurrency} downloads, two workers",
            result.timings_ms["collect"] / 1000,
            unit=f"s, {len(heard)} reports of progress",
        )
        table.value("… a day", result.timings_ms["collect"] / left, unit="ms")
        table.value("peak of the largest worker, days one by one", max(memory[1:]), unit="MiB")
        table.value("peak of the largest worker, all days", max(peaks()[1:]), unit="MiB")
        table.value("peak of the main process", peaks()[0], unit="MiB")


async def measure_warm(settings: Settings, table: Table) -> None:
    """Draw every length of window in every mode from the store."""
    table.heading("In store: query → both pictures (exchange's margin model, sweeping on)")
    async with Engine(settings) as engine:
        for name, hours in LENGTHS.items():
            for selection in SELECTIONS:
                table.row(
                    f"{name} {selection.mode} {selection.value:g}",
                    await timed(engine, request(hours, selection)),
                )
        table.row(
            "24 h gross_value 100000, with the heatmap",
            await timed(engine, request(24, SELECTIONS[1], pictures=ALL_PICTURES)),
        )
        table.row(
            "90 d top_n 100, with the heatmap",
            await timed(engine, request(2160, pictures=ALL_PICTURES)),
        )
        table.value("peak of the largest worker", max(peaks()[1:]), unit="MiB")
        table.value("largest worker now, after 90-day jobs", max(resident()), unit="MiB")


async def timed(engine: Engine, wanted: MapRequest) -> list[float]:
    """Return the milliseconds of several runs, after one that is not counted."""
    results = [await clocked(engine, wanted) for _ in range(WARM_RUNS + 1)]
    return [milliseconds for _, milliseconds in results[1:]]


async def clocked(engine: Engine, wanted: MapRequest) -> tuple[MapResult, float]:
    """Draw, and return the result with the milliseconds that it took."""
    started = time.perf_counter()
    result = await engine.draw(wanted)
    return result, (time.perf_counter() - started) * 1000


def peaks() -> list[float]:
    """Return the highest memory so far of this process and of its workers [MiB]."""
    return [_memory(pid, "VmHWM:") for pid in (os.getpid(), *workers())]


def resident() -> list[float]:
    """Return the memory of the workers now [MiB]."""
    return [_memory(pid, "VmRSS:") for pid in workers()]


def workers() -> Iterator[int]:
    """Yield the worker processes of this process."""
    for child in psutil.Process().children():
        if "spawn_main" in " ".join(child.cmdline()):
            yield child.pid


def _noon(back: int) -> datetime:
    return END - timedelta(days=back)


def _memory(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024
