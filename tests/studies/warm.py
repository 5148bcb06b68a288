"""Warm markets: how long a cold start takes to fill them, how soon their maps come, what a day of them costs.

Run by `make warm-study`, or a part of it: python -m tests.studies.warm cold. Times of filling are by the
exchanges' own limits and a fast clock, so that this machine does not count. Those of maps are by this
machine's clock, through the bot as a process.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import aiohttp

from liqmap import utc_now
from liqmap.collect import recent
from liqmap.collect.supply import Supply, open_supply
from liqmap.exchanges import EXCHANGES
from liqmap.live.registry import Recordings
from liqmap.live.warm import WarmMarkets
from liqmap.model import Exchange, Market
from liqmap.model.window import HOUR, TimeWindow
from liqmap.settings import Settings, StorageSettings
from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket
from liqmap.simulator.dialects import BinanceStream, BybitStream
from liqmap.simulator.formats import binance_zip, bybit_csv_gz
from liqmap.simulator.okx_messages import okx_zip
from liqmap.simulator.okx_stream import OkxStream
from liqmap.simulator.tape import linear_symbols
from liqmap.store.local import SegmentStore
from liqmap.store.segments import Origin, segment_path
from liqmap.store.series import SeriesStore
from liqmap.store.writer import write_segment
from liqmap.workers.pool import WorkerPool
from tests.benchmarks.processes import bot_process
from tests.benchmarks.simulator import served
from tests.bot.discord_server import DiscordServer

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
START = datetime(2023, 8, 3, 12, tzinfo=UTC)
"""Noon: of the last 24 hours, Binance has published the first 12 and OKX the first 4."""

WINDOWS = (6 * HOUR, 24 * HOUR)
SCALE = float(os.environ.get("WARM_SCALE", "1"))
COMMANDS = 90
_QUIET_TURNS = 5
_LOOK_EVERY = timedelta(seconds=30)
_STEP = timedelta(seconds=1)


async def cold() -> None:
    """Print after how long the last hours of the most traded markets are whole, from an empty store."""
    clock, way = SimulatedClock(START), _UnderWay()
    async with (
        MarketServer(SimulatedMarket(scale=SCALE), clock=clock, pump_every=None) as server,
        _supply(server, clock, way) as supply,
        WarmMarkets(supply, want=lambda _exchange, _symbol: None),
    ):
        waited: dict[tuple[Exchange, timedelta], timedelta] = {}
        filled = [each for each in Exchange if EXCHANGES[each].backfill is not None]
        looked = clock.now()
        while len(waited) < len(WINDOWS) * len(filled):
            assert clock.now() < START + 24 * HOUR, waited
            await way.over()
            # What threads do shows in no alarm, so the clock goes in small steps.
            soon = min(*clock.alarms, clock.now() + _STEP)
            if soon - looked >= _LOOK_EVERY:
                looked = clock.now()
                for exchange in filled:
                    for length in WINDOWS:
                        if (exchange, length) not in waited and _is_whole(supply, exchange, length):
                            waited[exchange, length] = looked - START
            await clock.advance((soon - clock.now()).total_seconds())
        size = sum(path.stat().st_size for path in supply.store.root.rglob("*") if path.is_file())
    _say(f"from a cold start at {START:%H:%M} UTC until {', '.join(SYMBOLS)} are whole")
    for (exchange, length), after in sorted(waited.items()):
        _say(f"  {exchange}: {length // HOUR} h after {after.total_seconds() / 60:.0f} min")
    _say(f"  stored: {size / 1e6:,.0f} MB")


def _is_whole(supply: Supply, exchange: Exchange, length: timedelta) -> bool:
    # The filling begins a minute after the start, once the streams have begun, and ends where they do.
    window = TimeWindow.ending(START + timedelta(minutes=1), length)
    return not any(supply.store.missing(exchange, symbol, window) for symbol in SYMBOLS)


class _UnderWay:
    """Knows whether an answer or a worker is being waited for: that takes no time of the fast clock."""

    def __init__(self) -> None:
        self.trace = aiohttp.TraceConfig()
        self._open = 0
        self.trace.on_request_start.append(self._begin)
        self.trace.on_request_end.append(self._end)
        self.trace.on_request_exception.append(self._end)

    async def over(self) -> None:
        """Return once no request is open, and what was answered has been taken in."""
        quiet = 0
        while quiet < _QUIET_TURNS:
            await asyncio.to_thread(int)
            quiet = 0 if self._open else quiet + 1

    def counted(
        self, work: Callable[..., Coroutine[Any, Any, Any]]
    ) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return `work` with its calls counted."""

        async def count(*arguments: Any, **options: Any) -> Any:
            with self._counting():
                return await work(*arguments, **options)

        return count

    @contextmanager
    def _counting(self) -> Iterator[None]:
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1

    def write(self, *arguments: Any, **options: Any) -> Any:
        """Write a segment, in a thread."""
        with self._counting():
            return write_segment(*arguments, **options)

    async def _begin(self, *_: object) -> None:
        self._open += 1

    async def _end(self, *_: object) -> None:
        self._open -= 1


@asynccontextmanager
async def _supply(server: MarketServer, clock: SimulatedClock, way: _UnderWay) -> AsyncIterator[Supply]:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as executor:
        settings = server.redirect(Settings(storage=StorageSettings(path=Path(folder))))
        async with (
            WorkerPool(workers=2, timeout=600, executor=executor) as pool,
            open_supply(settings, run=pool.run, clock=clock, traces=[way.trace]) as supply,
        ):
            vars(supply.days)["obtain"] = way.counted(supply.days.obtain)
            for client in supply.clients.values():
                vars(client)["_body"] = way.counted(client._body)
            with patch.object(recent, "write_segment", way.write):
                yield supply


async def commands() -> None:
    """Print how long people wait for maps of warm markets, from the command to both pictures."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            served("--weight-limit", "1000000", "--scale", str(SCALE)) as lines,
            DiscordServer() as server,
        ):
            config, store = Path(folder) / "liqmap.toml", Path(folder) / "store"
            config.write_text(
                f'storage.path = "{store}"\n{server.settings}{"".join(lines)}'
                "exchanges.binance.weight_a_minute = 1000000\nexchanges.okx.requests_in_2_seconds = 7000\n"
            )
            async with bot_process(config):
                await _filled(store)
                first = await server.command("liqmap", symbol="BTC", window="6h")
                await first.done  # not measured: the workers' first map
                waits = [await _asked(server, number) for number in range(COMMANDS)]
    cuts = statistics.quantiles(waits, n=20)
    _say(
        f"/liqmap of warm markets, {len(waits)} different maps one after the other:"
        f" p50 {statistics.median(waits):.2f} s, p95 {cuts[-1]:.2f} s, least {min(waits):.2f} s"
    )


async def _asked(server: DiscordServer, number: int) -> float:
    """Ask for a map that nobody has asked for, and return how long its pictures take [s]."""
    symbol = SYMBOLS[number % 3]
    exchange = (Exchange.BINANCE, Exchange.OKX)[number // 3 % 2]
    began = time.perf_counter()
    answer = await server.command(
        "liqmap", user=100 + number, symbol=symbol, window=f"{6 + number // 6}h", exchange=exchange.value
    )
    await answer.done
    waited = time.perf_counter() - began
    assert len(answer.files) == 2, answer.message
    await asyncio.sleep(0.5)
    return waited


async def _filled(root: Path) -> None:
    """Return once all markets are warm: recorded, with series, and on Binance and OKX with their last day."""
    store, series = SegmentStore(root, max_size=10**12), SeriesStore(root)
    async with asyncio.timeout(900):
        while True:
            await asyncio.sleep(2)
            recorded = [each for each in Recordings(root).all() if each.connected]
            end = utc_now().replace(second=0, microsecond=0) - timedelta(minutes=1)
            window = TimeWindow.ending(end, 24 * HOUR)
            lacking = [
                each
                for each in recorded
                if each.exchange is not Exchange.BYBIT and store.missing(each.exchange, each.symbol, window)
            ]
            # The newest are fetched every quarter of an hour; a map fetches what came since.
            older = TimeWindow.ending(end - timedelta(minutes=20), 23 * HOUR)
            lacking += [
                each
                for each in recorded
                for kind in EXCHANGES[each.exchange].series
                if series.lacking(Market(each.exchange, each.symbol), kind, older)
            ]
            if len(recorded) == 3 * len(Exchange) and not lacking:
                return


async def a_day() -> None:
    """Print what a day of the warm markets takes of the disk and the network."""
    day = (START - timedelta(days=1)).date()
    market = SimulatedMarket(scale=SCALE)
    dialects = [each(linear_symbols()) for each in (BinanceStream, BybitStream, OkxStream)]
    streamed = filed = stored = trades = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for symbol in SYMBOLS:
            made = market.day(symbol, day)
            trades += len(made.trades)
            hour = made.part(0, len(made.trades) // 24)
            streamed += 24 * sum(
                len(text) for dialect in dialects for text in dialect.trades(symbol, hour, 1_690_000_000_000)
            )
            before = market.day(symbol, day - timedelta(days=1))
            filed += (
                len(binance_zip(made)) + len(bybit_csv_gz(made)) + len(okx_zip([before, made], symbol, day))
            )
            window = TimeWindow.of_day(day)
            path = segment_path(Path(folder), Exchange.BINANCE, symbol, window)
            origin = Origin(Exchange.BINANCE, symbol, window, "made here", "", simulated=True)
            write_segment(path, origin, made.trades, incoming=Path(folder) / "incoming")
            stored += len(Exchange) * sum(file.stat().st_size for file in path.iterdir())
    _say(
        f"a day of {len(SYMBOLS)} markets on {len(Exchange)} exchanges, {trades:,.0f} trades on each:"
        f" streams {streamed / 1e6:,.0f} MB, published files {filed / 1e6:,.0f} MB,"
        f" stored {stored / 1e6:,.0f} MB"
    )


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


STUDIES: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
    "cold": cold,
    "commands": commands,
    "day": a_day,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or STUDIES:
        asyncio.run(STUDIES[name]())
