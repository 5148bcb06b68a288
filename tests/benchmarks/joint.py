"""One map of three exchanges beside the map of each: python -m tests.benchmarks.joint measures this alone."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from liqmap import Exchange, MapRequest, Market, Picture, Portion, Selection, TimeWindow, TopN
from liqmap.clock import utc_now
from liqmap.memory import tune_memory
from liqmap.model import Coverage
from liqmap.run.job import MapJob
from liqmap.run.joint import Job, JointJob, run_job
from liqmap.simulator import SimulatedMarket
from liqmap.store.local import SegmentStore
from liqmap.store.segments import Origin, segment_path
from liqmap.store.writer import write_segment
from tests.benchmarks.market import END, SYMBOL
from tests.benchmarks.table import Table

RUNS = 15
_MARKETS = tuple(Market(exchange, SYMBOL) for exchange in Exchange)
_BOTH = frozenset({Picture.MAP, Picture.DEPTH})
_ASKED: dict[str, tuple[int, Selection, frozenset[Picture]]] = {
    "6 h top_n 100": (6, TopN(100), _BOTH),
    "24 h top_n 100": (24, TopN(100), _BOTH),
    "6 h portion 0.01": (6, Portion(0.01), _BOTH),
    "24 h portion 0.01": (24, Portion(0.01), _BOTH),
    "24 h top_n 100, with the heatmap": (24, TopN(100), _BOTH | {Picture.HEATMAP}),
    "24 h portion 0.01, with the heatmap": (24, Portion(0.01), _BOTH | {Picture.HEATMAP}),
}


def measure_joint(folder: Path, table: Table) -> None:
    """Draw each exchange alone and all as one map, warm, in turns, as a worker does."""
    table.heading("One map of three exchanges, in store: segments → pictures, CPU time")
    tune_memory()
    _store(folder)
    store = SegmentStore(folder, max_size=1 << 40)
    store.open(now=utc_now())
    for name, (hours, selection, pictures) in _ASKED.items():
        window = TimeWindow.ending(END, timedelta(hours=hours))
        joint = MapRequest(_MARKETS, window, selection, pictures=pictures)
        requests = {"all": joint} | {each.exchange.value: joint.alone(each) for each in _MARKETS}
        jobs = {each: _job(store, request) for each, request in requests.items()}
        used: dict[str, list[float]] = {each: [] for each in requests}
        took: dict[str, list[float]] = {each: [] for each in requests}
        for run in range(RUNS + 1):
            for each, job in jobs.items():
                cpu, wall = time.process_time(), time.perf_counter()
                result = run_job(job)
                assert not result.summary.left_out
                if run:  # the first puts fills together
                    used[each].append((time.process_time() - cpu) * 1000)
                    took[each].append((time.perf_counter() - wall) * 1000)
        for each, measured in used.items():
            table.row(f"{name}: {each}", measured)
        for what, times in (("CPU", used), ("wall", took)):
            slowest = max(statistics.median(times[each.exchange.value]) for each in _MARKETS)
            ratio = statistics.median(times["all"]) / slowest
            table.value(f"{name}: all, by the slowest, {what} time", ratio, unit="times")


def _job(store: SegmentStore, request: MapRequest) -> Job:
    window, alone = request.window, [request.alone(each) for each in request.markets]
    coverage = Coverage(window, (window,))
    jobs = tuple(
        MapJob(each, tuple(store.parts(each.market.exchange, SYMBOL, window)), coverage) for each in alone
    )
    return JointJob(request, jobs) if len(jobs) > 1 else jobs[0]


def _store(folder: Path) -> None:
    for back in range(3):
        day = END.date() - timedelta(days=back)
        window, first = TimeWindow.of_day(day), SimulatedMarket().day(SYMBOL, day).trades
        for place, market in enumerate(_MARKETS):
            # One coin has nearly one price everywhere; each exchange has large trades of its own.
            trades = replace(
                first, price=first.price * (1 + place / 5000), size=np.roll(first.size, 1000 * place)
            )
            origin = Origin(market.exchange, SYMBOL, window, "made here", "", simulated=True)
            path = segment_path(folder, market.exchange, SYMBOL, window)
            write_segment(path, origin, trades, incoming=folder / "incoming")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        measure_joint(Path(temporary), Table())
