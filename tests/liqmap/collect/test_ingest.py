from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from liqmap.collect.ingest import StoreJob, run_store_job
from liqmap.model import Exchange
from liqmap.simulator import SimulatedMarket
from liqmap.simulator.formats import binance_zip, bybit_csv_gz
from liqmap.store.segments import Origin
from liqmap.window import TimeWindow
from tests.liqmap.conftest import DAY

MAKERS = {Exchange.BINANCE: binance_zip, Exchange.BYBIT: bybit_csv_gz}
SYMBOL = "BTCUSDT"


def peak_of(folder: Path, exchange: Exchange, rows: int) -> int:
    """Return the most memory [bytes] that numpy takes while a day of so many rows is stored."""
    day = SimulatedMarket(scale=0.2).day(SYMBOL, DAY)
    file, window = folder / f"{rows}.day", TimeWindow.of_day(DAY)
    file.write_bytes(MAKERS[exchange](day.part(0, rows)))
    origin = Origin(exchange, SYMBOL, window, "https://example.org", "")
    tracemalloc.start()
    try:
        segment = run_store_job(StoreJob(file, origin, folder / str(rows), folder / "incoming", 1 << 30))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        assert segment.buys + segment.sells == rows


@pytest.mark.parametrize("exchange", list(MAKERS))
def test_day_takes_no_more_memory_than_its_rows_and_their_largest_columns_again(
    tmp_path: Path, exchange: Exchange
):
    few, many = 20_000, 200_000
    more = (peak_of(tmp_path, exchange, many) - peak_of(tmp_path, exchange, few)) / (many - few)
    # A row is 33 bytes, and its largest columns are there twice. So few rows are one part of what is computed
    # part by part, and text that is read ahead counts too; `make big-day` measures it with 10 million.
    assert more < 75
