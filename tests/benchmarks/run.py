"""All benchmarks, one after the other, over one market."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from liqmap import Settings
from liqmap.settings import EngineSettings, StorageSettings
from tests.benchmarks.burst import measure_burst
from tests.benchmarks.cluster import measure_cluster
from tests.benchmarks.joint import measure_joint
from tests.benchmarks.live import measure_crash, measure_fill, measure_many_streams
from tests.benchmarks.maps import measure_cold, measure_warm
from tests.benchmarks.market import make_market, served
from tests.benchmarks.parts import measure_parts
from tests.benchmarks.queries import measure_queries
from tests.benchmarks.rivals import measure_rivals
from tests.benchmarks.scan import measure_scan
from tests.benchmarks.start import measure_start
from tests.benchmarks.table import Table, load
from tests.benchmarks.throughput import WARMED_UP, measure_throughput

TABLE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


async def run() -> None:
    """Measure, print, and write the table."""
    started = time.perf_counter()
    table = Table()
    with tempfile.TemporaryDirectory() as temporary:
        files, store = Path(temporary) / "files", Path(temporary) / "store"
        make_market(files, store)
        settings = Settings(
            storage=StorageSettings(path=store),
            engine=EngineSettings(workers=2, cached_results=0, queue_size=WARMED_UP),
        )
        async with served(files, settings) as redirected:
            await measure_cold(redirected, table)
            await measure_burst(Path(temporary), redirected, table)
        await measure_warm(settings, table)
        measure_parts(store, table)
        await measure_start(store, table)
        await measure_throughput(settings, table)
        await measure_cluster(Path(temporary), settings, table)
        await measure_rivals(files, Path(temporary), settings, table)
        measure_queries(store, Path(temporary) / "parquet", table)
        await measure_fill(Path(temporary) / "fill", table)
        await measure_crash(Path(temporary), table)
        await measure_scan(Path(temporary) / "scan", table)
        await measure_many_streams(Path(temporary), table)
        measure_joint(Path(temporary) / "joint", table)
    table.heading("All of this")
    table.value("making ninety days, and measuring", (time.perf_counter() - started) / 60, unit="min")
    table.note(load())
    table.save(TABLE)
