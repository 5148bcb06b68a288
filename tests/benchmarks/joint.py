"""One map of three exchanges beside the map of each: python -m tests.benchmarks.joint measures this alone."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from liqmap import Engine, Exchange, MapRequest, Market, Portion, Selection, Settings, TimeWindow, TopN
from liqmap.settings import EngineSettings, NetworkSettings, StorageSettings
from liqmap.simulator import SimulatedMarket
from liqmap.store.segments import Origin, segment_path
from liqmap.store.writer import write_segment
from tests.benchmarks.market import END, SYMBOL
from tests.benchmarks.table import Table

RUNS = 9
_MARKETS = tuple(Market(exchange, SYMBOL) for exchange in Exchange)
_ASKED: dict[str, tuple[int, Selection]] = {
    "6 h top_n 100": (6, TopN(100)),
    "24 h top_n 100": (24, TopN(100)),
    "24 h portion 0.01": (24, Portion(0.01)),
}


async def measure_joint(folder: Path, table: Table) -> None:
    """Draw each exchange alone and all as one map, warm, in turns."""
    table.heading("One map of three exchanges, in store, fills merged: query → both pictures")
    _store(folder)
    settings = Settings(
        storage=StorageSettings(path=folder),
        engine=EngineSettings(workers=2, cached_results=0),
        network=NetworkSettings(attempts=1, retry_wait=0),
    )
    async with Engine(settings) as engine:
        for name, (hours, selection) in _ASKED.items():
            window = TimeWindow.ending(END, timedelta(hours=hours))
            joint = MapRequest(_MARKETS, window, selection)
            requests = {"all": joint} | {each.exchange.value: joint.alone(each) for each in _MARKETS}
            times: dict[str, list[float]] = {each: [] for each in requests}
            for run in range(RUNS + 1):
                for each, request in requests.items():
                    result = await engine.draw(request)
                    if run:  # the first fetches what it can, and merges
                        timings = result.timings_ms
                        times[each].append(timings["total"] - timings["collect"])
            for each, measured in times.items():
                table.row(f"{name}: {each}", measured)
            slowest = max(statistics.median(times[each.exchange.value]) for each in _MARKETS)
            table.value(
                f"{name}: all, by the slowest", statistics.median(times["all"]) / slowest, unit="times"
            )


def _store(folder: Path) -> None:
    for seed, market in enumerate(_MARKETS):
        for back in range(3):
            day = END.date() - timedelta(days=back)
            # Another seed is another market; the prices are brought together.
            made = SimulatedMarket(seed=7 + seed).day(SYMBOL, day).trades
            first = SimulatedMarket().day(SYMBOL, day).trades
            trades = replace(made, price=made.price * (first.price[-1] / made.price[-1]))
            window = TimeWindow.of_day(day)
            origin = Origin(market.exchange, SYMBOL, window, "made here", "", simulated=True)
            path = segment_path(folder, market.exchange, SYMBOL, window)
            write_segment(path, origin, trades, incoming=folder / "incoming")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(measure_joint(Path(temporary), Table()))
