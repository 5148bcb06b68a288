"""Live data: how fast the last hours come by REST, and what a recorder bears in a crash."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import psutil

from liqmap.clock import Clock, SystemClock, utc_now
from liqmap.collect.clients import rest_clients
from liqmap.collect.contracts import Contracts
from liqmap.collect.recent import RecentTrades, recent_trades
from liqmap.live.registry import Recordings
from liqmap.model import Exchange
from liqmap.model.window import TimeWindow
from liqmap.net.session import open_session
from liqmap.settings import Settings, StorageSettings
from liqmap.simulator import GENEROUS, MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.local import SegmentStore
from tests.benchmarks.market import END, SYMBOL
from tests.benchmarks.simulator import crashing_exchanges, simulated_exchanges
from tests.benchmarks.table import Table
from tests.liqmap.market_time import driven

FILLED = timedelta(hours=6)
RECORDED_SECONDS = 100
MANY_SECONDS = 90  # so that a minute is stored
STREAMED_SYMBOLS = 400  # of each exchange
QUIET_RATE = 2000  # trades a second of each exchange
RATE = 50_000
GRANTED = 2400


async def measure_fill(folder: Path, table: Table) -> None:
    """Fetch trades by REST: as fast as can be, and inside the budget that the exchange grants."""
    table.heading("The last hours by REST (Binance: 1,000 trades a page of weight 20)")
    settings = Settings(storage=StorageSettings(path=folder))
    async with simulated_exchanges(settings, weight_limit=GENEROUS) as redirected:
        clock = SystemClock()
        async with _recent(redirected, clock) as (recent, store):
            end = utc_now().replace(second=0, microsecond=0) - timedelta(minutes=1)
            # The market is invented when it is first asked for, which is not to be measured.
            await recent.fill(SYMBOL, [TimeWindow.ending(end - FILLED, timedelta(minutes=1))], report=_ignore)
            started = time.perf_counter()
            rows = await _filled(recent, store, TimeWindow.ending(end, FILLED))
            elapsed = time.perf_counter() - started
    table.value(f"no limit: {rows:,} trades fetched, checked and stored", rows / elapsed, unit="trades/s")
    table.value(f"what a budget of {GRANTED:,} a minute allows", GRANTED * 50 / 60, unit="trades/s")
    simulated = SimulatedClock(END)
    async with MarketServer(
        SimulatedMarket(), clock=simulated, weight_limit=GRANTED, pump_every=None
    ) as server:
        async with _recent(server.redirect(settings), simulated) as (recent, store):
            rows = await driven(simulated, _filled(recent, store, TimeWindow.ending(END, FILLED)))
        share = settings.exchanges.binance.weight_share
        minutes = (simulated.now() - END).total_seconds() / 60
    table.value(f"the share of it that is used, {share:.0%}, allows", share * GRANTED * 50, unit="trades/min")
    table.value(f"… and brings, {rows:,} trades in {minutes:.1f} min", rows / minutes, unit="trades/min")


@asynccontextmanager
async def _recent(settings: Settings, clock: Clock) -> AsyncIterator[tuple[RecentTrades, SegmentStore]]:
    store = SegmentStore(settings.storage.path / "filled", max_size=settings.storage.max_size)
    store.open(now=clock.now())
    async with open_session(settings.network) as session:
        clients = rest_clients(settings, session=session, clock=clock)
        contracts = Contracts(settings, clients=clients, clock=clock)
        recent = recent_trades(settings, store=store, clients=clients, contracts=contracts)
        yield recent[Exchange.BINANCE], store


async def _filled(recent: RecentTrades, store: SegmentStore, window: TimeWindow) -> int:
    """Fetch a window and return how many trades it has."""
    await recent.fill(SYMBOL, [window], report=_ignore)
    assert not store.missing(Exchange.BINANCE, SYMBOL, window)
    parts = store.parts(Exchange.BINANCE, SYMBOL, window)
    return sum(part.segment.buys + part.segment.sells for part in parts)


async def measure_crash(folder: Path, table: Table) -> None:
    """Let a recorder of its own take in the same crash from each exchange."""
    for exchange in Exchange:
        async with crashing_exchanges(rate=RATE) as (urls, symbols):
            table.heading(f"A recorder in a crash: {RATE:,} trades/s on {len(symbols)} symbols of {exchange}")
            config, store = folder / f"{exchange}.toml", folder / f"store-{exchange}"
            config.write_text(f'storage.path = "{store}"\nengine.workers = 1\n{urls}')
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "liqmap", "record", *symbols),
                *("--exchange", exchange, "--config", str(config)),
                stderr=asyncio.subprocess.DEVNULL,
            )
            used, memory = await _watched(psutil.Process(process.pid))
            now, found = utc_now(), list(Recordings(store).all())
            process.terminate()
            await process.wait()
        assert len(found) == len(symbols)
        table.row("of one core", used, unit="%")
        table.value("most memory", max(memory), unit="MiB")
        table.value("… in the first half", max(memory[: len(memory) // 2]), unit="MiB")
        ends = [(now - each.until).total_seconds() for each in found if each.until]
        table.row("stored until so long ago, of which a minute is always open", ends, unit="s")
        table.value("streams that broke, together", sum(each.cuts for each in found), unit="")


async def measure_many_streams(folder: Path, table: Table) -> None:
    """Let one recorder take in the streams of all three exchanges, most of them of quiet symbols."""
    streams, rate = 2 * STREAMED_SYMBOLS + 2 * STREAMED_SYMBOLS + STREAMED_SYMBOLS + 1, 3 * QUIET_RATE
    table.heading(f"A recorder of {streams:,} streams of three exchanges: {rate:,} trades/s in all")
    async with crashing_exchanges(rate=QUIET_RATE, symbols=STREAMED_SYMBOLS) as (urls, symbols):
        config, store = folder / "many.toml", folder / "store-many"
        recorded = f"recorder.most_symbols = {STREAMED_SYMBOLS}\n"
        config.write_text(f'storage.path = "{store}"\nengine.workers = 1\n{recorded}{urls}')
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "liqmap", "record", *symbols, "--config", str(config)),
            stdout=asyncio.subprocess.DEVNULL,  # it names every symbol
            stderr=asyncio.subprocess.DEVNULL,
        )
        used, memory = await _watched(psutil.Process(process.pid), seconds=MANY_SECONDS)
        found = list(Recordings(store).all())
        process.terminate()
        await process.wait()
    alive = [each for each in found if each.connected and each.until is not None]
    table.row("of one core", used[1:], unit="%")
    table.value("most memory", max(memory), unit="MiB")
    table.value("symbols whose minutes were stored", len(alive), unit=f"of {3 * len(symbols)}")


async def _watched(
    recorder: psutil.Process, *, seconds: int = RECORDED_SECONDS
) -> tuple[list[float], list[float]]:
    """Return what a process took of a core in each ten seconds [%], and its memory each second [MiB]."""
    used: list[float] = []
    memory: list[float] = []
    recorder.cpu_percent()
    for second in range(1, seconds + 1):
        await asyncio.sleep(1)
        memory.append(recorder.memory_info().rss / 2**20)
        if second % 10 == 0:
            used.append(recorder.cpu_percent())
    return used, memory


def _ignore(_share: float, _left: float) -> None:
    """Report nothing."""
