from __future__ import annotations

import gzip
import io
import random
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from liqmap.collect.ingest import StoreJob, run_store_job
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange
from liqmap.simulator import SimulatedMarket
from liqmap.simulator.formats import binance_zip, bybit_csv_gz
from liqmap.simulator.listings import MarketDay
from liqmap.simulator.okx_messages import FILLS, okx_zip
from liqmap.store.segments import Origin, Segment
from tests.liqmap.conftest import DAY

SYMBOL = "BTCUSDT"
MARKET = SimulatedMarket(scale=0.2)
Make = Callable[[MarketDay], bytes]


def okx_day(part: MarketDay) -> bytes:
    """Return OKX's file of the day in UTC+8 that begins at 16:00 of the day before."""
    return okx_zip([part], SYMBOL, DAY)


def shuffled(content: bytes) -> bytes:
    """Return a day's file with its rows in another order, and every hundredth twice."""
    zipped = content[:2] == b"PK"
    if zipped:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            (name,) = archive.namelist()
            text = archive.read(name)
    else:
        text = gzip.decompress(content)
    header, *rows = text.split(b"\n")[:-1]
    rows += rows[::100]
    random.Random(1).shuffle(rows)
    text = b"\n".join([header, *rows, b""])
    if not zipped:
        return gzip.compress(text, compresslevel=1)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(name, text)
    return packed.getvalue()


def stored(folder: Path, exchange: Exchange, content: bytes, *, day: date = DAY) -> Segment:
    """Store a day's file."""
    file, window = folder / "file", EXCHANGES[exchange].files.span(day)
    file.write_bytes(content)
    origin = Origin(exchange, SYMBOL, window, "https://example.org", "", contract_size=UNITS[exchange])
    return run_store_job(StoreJob(file, origin, folder / "store", folder / "incoming", 1 << 30))


MAKERS: dict[Exchange, Make] = {
    Exchange.BINANCE: binance_zip,
    Exchange.BYBIT: bybit_csv_gz,
    Exchange.OKX: okx_day,
}
UNITS = {Exchange.BINANCE: 1.0, Exchange.BYBIT: 1.0, Exchange.OKX: 0.01}


def day_of(exchange: Exchange, rows: int) -> MarketDay:
    """Return a day that its exchange's file writes in so many rows."""
    span = EXCHANGES[exchange].files.span(DAY)
    day = MARKET.day(SYMBOL, span.start.date())
    first = int((day.trades.time < span.start_ms).sum())
    return day.part(first, first + (rows // FILLS if exchange is Exchange.OKX else rows))


def peak_of(folder: Path, exchange: Exchange, content: bytes) -> int:
    """Return the most memory [bytes] that numpy takes while a day's file is stored."""
    folder.mkdir()
    tracemalloc.start()
    try:
        stored(folder, exchange, content)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("exchange", list(MAKERS))
def test_day_takes_no_more_memory_than_its_rows_and_their_largest_columns_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: Exchange, in_order: bool
):
    # How much text is read ahead depends on how busy the machine is, so it is read in small pieces.
    monkeypatch.setattr("liqmap.exchanges.columns.BLOCK_SIZE", 1 << 14)
    few, many = 20_000, 120_000
    contents = [MAKERS[exchange](day_of(exchange, rows)) for rows in (few, many)]
    if not in_order:
        contents = [shuffled(content) for content in contents]
    least, most = (
        peak_of(tmp_path / f"{number}", exchange, content) for number, content in enumerate(contents)
    )
    # A row is 33 bytes, and its largest columns are there twice. So few rows are one part of what is computed
    # part by part; `make big-day` measures it with 10 million.
    assert (most - least) / (many - few) < (65 if in_order else 75)


@pytest.mark.parametrize("exchange", list(MAKERS))
def test_order_of_a_file_s_rows_does_not_matter(tmp_path: Path, exchange: Exchange):
    content = MAKERS[exchange](day_of(exchange, 4000))
    tables = []
    for number, each in enumerate((content, shuffled(content))):
        (tmp_path / f"{number}").mkdir()
        segment = stored(tmp_path / f"{number}", exchange, each)
        # Without ids, nobody knows in which order the trades of one millisecond were made.
        names = ("bars.arrow", "buy.arrow", "sell.arrow") if exchange is not Exchange.BYBIT else ()
        tables.append(([(segment.path / name).read_bytes() for name in names], segment.buys, segment.sells))
        assert segment.origin.duplicates == (number and sum(1 for _ in range(0, 4000, 100)))
    assert tables[0] == tables[1]


@pytest.mark.parametrize("exchange", list(MAKERS))
def test_process_that_stores_a_day_does_not_import_arrow_s_compute(tmp_path: Path, exchange: Exchange):
    (tmp_path / "file").write_bytes(MAKERS[exchange](day_of(exchange, 4000)))
    code = f"""
import sys
from datetime import date
from pathlib import Path
from liqmap.collect.ingest import StoreJob, run_store_job
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange
from liqmap.store.segments import Origin
exchange, folder = Exchange("{exchange}"), Path(sys.argv[1])
window = EXCHANGES[exchange].files.span(date.fromisoformat("{DAY}"))
origin = Origin(exchange, "{SYMBOL}", window, "https://example.org", "")
run_store_job(StoreJob(folder / "file", origin, folder / "store", folder / "incoming", 1 << 30))
print({{"pyarrow.compute", "pandas"}} & {{*sys.modules}})
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "set()\n"
