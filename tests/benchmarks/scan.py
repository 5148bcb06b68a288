"""How long a scan of many recorded markets takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from liqmap import Engine, Exchange, ScanRequest, Settings, TimeWindow
from liqmap.brackets import bracketed_symbols
from liqmap.live.registry import Recording, Recordings
from liqmap.model import Trades
from liqmap.model.window import HOUR, split_at
from liqmap.settings import EngineSettings, StorageSettings
from liqmap.store.bundles import RECORDED
from liqmap.store.bundling import bundling
from liqmap.store.local import SegmentStore
from liqmap.store.segments import VIA_STREAM, Origin, segment_path
from liqmap.store.writer import copied, write_segment
from tests.benchmarks.table import Table

MARKETS = 200
RUNS = 5
END = datetime(2023, 8, 2, tzinfo=UTC)
DAY = TimeWindow.ending(END, timedelta(days=1))
BUSIEST, QUIETEST = 40_000, 200  # trades in an hour


async def measure_scan(folder: Path, table: Table) -> None:
    """Record invented hours of many markets, from busy to quiet, and scan them."""
    symbols = sorted(bracketed_symbols(Exchange.BINANCE))[:MARKETS]
    busy = np.geomspace(BUSIEST, QUIETEST, MARKETS).astype(int).tolist()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        list(executor.map(_record, [folder] * MARKETS, symbols, busy, range(MARKETS), chunksize=8))
    _bundle(folder, symbols)
    settings = Settings(storage=StorageSettings(path=folder), engine=EngineSettings(workers=2))
    times: list[float] = []
    async with Engine(settings) as engine:
        for _ in range(RUNS + 1):
            started = time.perf_counter()
            result = await engine.scan(ScanRequest(END, within=1.0))
            times.append((time.perf_counter() - started) * 1000)
    assert result.scanned == MARKETS
    table.heading("A scan of the market")
    table.row(f"{MARKETS} recorded markets, 24 hours of each, and the picture", times[1:])


def _bundle(folder: Path, symbols: list[str]) -> None:
    """Leave the hours in files of many markets, an hour in each, as a recorder does."""
    store = SegmentStore(folder, max_size=10**12)
    for hour in split_at(DAY, HOUR):
        with bundling(folder, Exchange.BINANCE, RECORDED, incoming=store.incoming, now=hour.end) as bundle:
            for symbol in symbols:
                segment = store.get(Exchange.BINANCE, symbol, hour)
                if segment is not None and segment.record is None:
                    bundle.add(copied(segment))
                    store.remove_files(segment.path)


def _record(folder: Path, symbol: str, trades_an_hour: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    now = END + timedelta(seconds=1)
    Recordings(folder).write(Recording(Exchange.BINANCE, symbol, now, DAY.start))
    for hour, trades in _hours(rng, trades_an_hour):
        path = segment_path(folder, Exchange.BINANCE, symbol, hour)
        if not path.exists():
            origin = Origin(
                Exchange.BINANCE, symbol, hour, "a benchmark", "", simulated=True, via=(VIA_STREAM,)
            )
            write_segment(path, origin, trades, incoming=folder / "incoming")


def _hours(rng: np.random.Generator, count: int) -> Iterator[tuple[TimeWindow, Trades]]:
    last = float(10 ** rng.uniform(-2, 4))
    for hour in split_at(DAY, HOUR):
        time_ms = np.sort(rng.integers(hour.start_ms, hour.end_ms, count))
        price = last * np.exp(np.cumsum(rng.normal(0, 0.01 / np.sqrt(count), count)))
        price = np.round(price, 2 - int(np.floor(np.log10(last))) + 2)
        size = np.round(rng.lognormal(0, 2, count) * 1000 / last, 3) + 0.001
        last = float(price[-1])
        yield hour, Trades(time_ms, price, size, rng.random(count) < 0.5)
