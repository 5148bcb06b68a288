"""A crash day: 10 million trades of one file are stored, in a process of its own.

`python -m tests.benchmarks.big_day [ROWS]` prints time and memory for each exchange.
"""

from __future__ import annotations

import gzip
import io
import multiprocessing
import sys
import time
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from liqmap.collect.ingest import StoreJob, run_store_job
from liqmap.memory import tune_memory
from liqmap.model import Exchange
from liqmap.simulator import SimulatedMarket
from liqmap.simulator.formats import binance_csv_name, binance_zip, bybit_csv_gz
from liqmap.store.segments import Origin
from liqmap.window import TimeWindow
from tests.liqmap.conftest import DAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from liqmap.simulator.listings import MarketDay

SYMBOL = "BTCUSDT"
ROWS = 10_000_000
_AT_ONCE = 500_000


def main() -> None:
    """Measure both exchanges and print a line for each."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    day = SimulatedMarket(scale=rows * 1.3e-6).day(SYMBOL, DAY)
    if len(day.trades) < rows:
        raise SystemExit(f"The invented day has only {len(day.trades):,} trades.")
    for exchange, write in ((Exchange.BINANCE, write_zip), (Exchange.BYBIT, write_gzip)):
        with TemporaryDirectory() as folder:
            file = Path(folder) / "day"
            write(file, [day.part(start, min(start + _AT_ONCE, rows)) for start in range(0, rows, _AT_ONCE)])
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context, initializer=tune_memory) as pool:
                seconds, peak = pool.submit(measure, exchange, file).result()
        sys.stdout.write(f"{exchange}: {rows:,} trades stored in {seconds:.2f} s, {peak:.0f} MiB\n")


def measure(exchange: Exchange, file: Path) -> tuple[float, float]:
    """Store a file and return how long that took [s] and the most memory of this process [MiB]."""
    origin = Origin(exchange, SYMBOL, TimeWindow.of_day(DAY), "", "", simulated=True)
    begun = time.perf_counter()
    run_store_job(StoreJob(file, origin, file.parent, file.parent / "incoming", 1 << 32))
    seconds = time.perf_counter() - begun
    # Not by getrusage, whose peak counts what the process that began this one had.
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return seconds, int(peak) / 1024


def write_zip(file: Path, parts: list[MarketDay]) -> None:
    """Write Binance's file of a day, part by part."""
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(binance_csv_name(SYMBOL, DAY), "w", force_zip64=True) as stream,
    ):
        for part in parts:
            packed = io.BytesIO(binance_zip(part, header=part is parts[0]))
            with zipfile.ZipFile(packed) as one:
                stream.write(one.read(one.namelist()[0]))


def write_gzip(file: Path, parts: list[MarketDay]) -> None:
    """Write Bybit's file of a day, newest first as it is published, part by part."""
    with gzip.open(file, "wb", compresslevel=1) as stream:
        for text in _texts(parts):
            stream.write(text)


def _texts(parts: list[MarketDay]) -> Iterator[bytes]:
    for number, part in enumerate(reversed(parts)):
        header, rows = gzip.decompress(bybit_csv_gz(part)).split(b"\n", 1)
        yield rows if number else header + b"\n" + rows


if __name__ == "__main__":
    main()
