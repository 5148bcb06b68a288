"""Store one day's file in this process, which does nothing else, and print what that takes.

`python -m tests.benchmarks.stored_day EXCHANGE SYMBOL DAY FILE CONTRACT_SIZE` stores it beside the file, and
prints seconds by the clock, seconds of CPU time, the most memory [MiB] and the number of trades.
"""

from __future__ import annotations

import sys
import time
from datetime import date
from pathlib import Path
from typing import NamedTuple

from liqmap.collect.ingest import StoreJob, run_store_job
from liqmap.exchanges import EXCHANGES
from liqmap.memory import tune_memory
from liqmap.model import Exchange
from liqmap.store.segments import Origin


class Taken(NamedTuple):
    """What storing a file took: by the clock [s], CPU time [s], the most memory [MiB]; and its trades."""

    seconds: float
    cpu: float
    peak: float
    trades: int


def stored(exchange: Exchange, symbol: str, day: date, file: Path, contract_size: float) -> Taken:
    """Store a file and return what that took."""
    span = EXCHANGES[exchange].files.span(day)
    origin = Origin(exchange, symbol, span, "", "", simulated=True, contract_size=contract_size)
    begun, cpu = time.perf_counter(), time.process_time()
    segment = run_store_job(StoreJob(file, origin, file.parent, file.parent / "incoming", 1 << 32))
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    # Not by getrusage, whose peak counts what the process that began this one had.
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return Taken(seconds, cpu, int(peak) / 1024, segment.buys + segment.sells)


if __name__ == "__main__":
    tune_memory()
    _, exchange, symbol, day, file, size = sys.argv
    taken = stored(Exchange(exchange), symbol, date.fromisoformat(day), Path(file), float(size))
    sys.stdout.write(" ".join(map(str, taken)))
