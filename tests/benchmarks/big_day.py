"""A crash day: a file of 10 million rows is stored, in a process of its own.

`python -m tests.benchmarks.big_day [ROWS]` prints for each exchange how long that takes by the clock, the CPU
time and the memory: for a file as it is published, and for one whose rows are not in the order of time.
"""

from __future__ import annotations

import gzip
import io
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange
from liqmap.simulator import SimulatedMarket
from liqmap.simulator.formats import binance_csv_name, binance_zip, bybit_csv_gz
from liqmap.simulator.okx_messages import CONTRACTS, FILLS, instrument, okx_zip
from tests.benchmarks.processes import ENVIRONMENT
from tests.benchmarks.stored_day import Taken
from tests.liqmap.conftest import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from liqmap.simulator.listings import MarketDay

SYMBOL = "BTCUSDT"
ROWS = 10_000_000
_AT_ONCE = 500_000


def main() -> None:
    """Measure each exchange and print a line for each file."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    market = SimulatedMarket(scale=rows * 1.3e-6)
    for exchange in _TEXTS:
        for order, shuffled in (("as published", False), ("not in order", True)):
            taken = _measured(exchange, _parts(market, exchange, rows, shuffled=shuffled))
            sys.stdout.write(
                f"{exchange}, {order}: {rows:,} rows, {taken.trades:,} trades stored"
                f" in {taken.seconds:.2f} s, {taken.cpu:.2f} s of CPU time, {taken.peak:.0f} MiB\n"
            )
            sys.stdout.flush()


def _measured(exchange: Exchange, parts: list[MarketDay]) -> Taken:
    """Write a day's file and measure in a process of its own how it is stored."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "day"
        _write(exchange, file, _TEXTS[exchange](parts))
        size = CONTRACTS[SYMBOL] if exchange is Exchange.OKX else 1.0
        words = (exchange, SYMBOL, str(DAY), str(file), str(size))
        command = [sys.executable, "-m", "tests.benchmarks.stored_day", *words]
        said = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)  # noqa: S603
    seconds, cpu, peak, trades = said.stdout.split()
    return Taken(float(seconds), float(cpu), float(peak), int(trades))


def _parts(market: SimulatedMarket, exchange: Exchange, rows: int, *, shuffled: bool) -> list[MarketDay]:
    """Return a day of so many rows in parts, which are in another order if `shuffled`."""
    span, parts, wanted = EXCHANGES[exchange].files.span(DAY), [], rows
    fills = FILLS if exchange is Exchange.OKX else 1  # rows of each trade
    for utc in span.days:  # the days of some exchanges lie in two of UTC
        day = market.day(SYMBOL, utc)
        inside = (day.trades.time >= span.start_ms) & (day.trades.time < span.end_ms)
        first = int(inside.argmax())
        count = min(int(inside.sum()), wanted // fills)
        ends = range(first, first + count, _AT_ONCE)
        parts += [day.part(start, min(start + _AT_ONCE, first + count)) for start in ends]
        wanted -= count * fills
    if wanted:
        raise SystemExit(f"The invented day lacks {wanted:,} rows.")
    if shuffled:
        random.Random(1).shuffle(parts)
    return parts


def _write(exchange: Exchange, file: Path, texts: Iterable[bytes]) -> None:
    """Write a day's file, packed as its exchange does."""
    if exchange is Exchange.BYBIT:
        with gzip.open(file, "wb", compresslevel=1) as stream:
            stream.writelines(texts)
        return
    is_okx = exchange is Exchange.OKX
    name = f"{instrument(SYMBOL)}-trades-{DAY}.csv" if is_okx else binance_csv_name(SYMBOL, DAY)
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(name, "w", force_zip64=True) as stream,
    ):
        stream.writelines(texts)


def _binance_texts(parts: list[MarketDay]) -> Iterator[bytes]:
    for part in parts:
        yield _unzipped(binance_zip(part, header=part is parts[0]))


def _okx_texts(parts: list[MarketDay]) -> Iterator[bytes]:
    for part in parts:
        yield _unzipped(okx_zip([part], SYMBOL, DAY, header=part is parts[0]))


def _bybit_texts(parts: list[MarketDay]) -> Iterator[bytes]:
    """Yield the text of Bybit's file, newest first as it is published."""
    for number, part in enumerate(reversed(parts)):
        header, *rows = gzip.decompress(bybit_csv_gz(part)).splitlines(keepends=True)
        yield b"".join(reversed(rows) if number else (header, *reversed(rows)))


def _unzipped(packed: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(packed)) as one:
        return one.read(one.namelist()[0])


_TEXTS: dict[Exchange, Callable[[list[MarketDay]], Iterator[bytes]]] = {
    Exchange.BINANCE: _binance_texts,
    Exchange.BYBIT: _bybit_texts,
    Exchange.OKX: _okx_texts,
}


if __name__ == "__main__":
    main()
