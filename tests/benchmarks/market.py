"""Ninety days of the simulated market: made once a run, served as files by a process of their own."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

from aiohttp import web

from liqmap import Exchange, Settings, TimeWindow
from liqmap.exchanges import EXCHANGES
from liqmap.simulator import SimulatedMarket
from liqmap.simulator.formats import binance_checksum, binance_zip, bybit_csv_gz
from liqmap.simulator.listings import MarketDay
from liqmap.store.segments import Origin, segment_path
from liqmap.store.writer import write_segment

SYMBOL = "BTCUSDT"
END = datetime(2023, 8, 31, 12, tzinfo=UTC)
"""Where the measured windows end: at noon, so that their first and last days are read in part."""

DAYS = [END.date() - timedelta(days=back) for back in range(91)]
"""The days of the longest window, newest first."""

FILES = 31
"""So many of them, the newest, are fetched from an exchange; the older ones are stored as they are made."""

BYBIT_FILES = 3


def make_market(files: Path, store: Path) -> None:
    """Write the newest days as exchanges' files below `files`, and the older ones as segments of `store`."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        jobs = [
            executor.submit(_publish, day, files, bybit=index < BYBIT_FILES)
            for index, day in enumerate(DAYS[:FILES])
        ]
        jobs += [executor.submit(store_day, day, store) for day in DAYS[FILES:]]
        for job in jobs:
            job.result()


def _publish(day: date, files: Path, *, bybit: bool) -> None:
    made = SimulatedMarket().day(SYMBOL, day)
    _write(files, Exchange.BINANCE, day, binance_zip(made))
    if bybit:
        _write(files, Exchange.BYBIT, day, bybit_csv_gz(made))


def _write(files: Path, exchange: Exchange, day: date, content: bytes) -> None:
    source = EXCHANGES[exchange].files.day_file("", SYMBOL, day)
    path = files / exchange / source.url.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if source.checksum_url:
        checksum = binance_checksum(content, path.name)
        (files / exchange / source.checksum_url.lstrip("/")).write_bytes(checksum)


def store_day(day: date, store: Path) -> None:
    """Write a day as a segment of `store`."""
    made: MarketDay = SimulatedMarket().day(SYMBOL, day)
    window = TimeWindow.of_day(day)
    origin = Origin(Exchange.BINANCE, SYMBOL, window, "made here", "", simulated=True)
    path = segment_path(store, origin.exchange, SYMBOL, window)
    write_segment(path, origin, made.trades, incoming=store / "incoming")


@asynccontextmanager
async def served(files: Path, settings: Settings) -> AsyncIterator[Settings]:
    """Serve `files` from another process, and yield `settings` with that as the exchanges."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.market", str(files)), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        base = (await process.stdout.readline()).decode().strip()
        exchanges = settings.exchanges
        addresses = {
            exchange.value: getattr(exchanges, exchange).model_copy(
                update={"archive_url": f"{base}/{exchange}"}
            )
            for exchange in Exchange
        }
        yield settings.model_copy(update={"exchanges": exchanges.model_copy(update=addresses)})
    finally:
        process.terminate()
        await process.wait()


async def _serve(files: Path) -> None:
    app = web.Application()
    app.on_response_prepare.append(partial(_mark))
    app.router.add_static("/", files)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sys.stdout.write(f"http://127.0.0.1:{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def _mark(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Simulated-Market"] = "1"


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
