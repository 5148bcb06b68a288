"""A night of recording in which much goes wrong: the store has every trade in the end, or says what not."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from liqmap.compute.selection import Cut
from liqmap.live.buffer import SLACK_MS
from liqmap.model import Exchange, Side, Trades
from liqmap.model.window import TimeWindow
from liqmap.simulator import Fault, MarketServer, SimulatedClock, SimulatedMarket
from liqmap.simulator.clock import epoch_ms
from liqmap.store.largest import read_largest
from liqmap.store.local import SegmentStore

START = datetime(2026, 3, 1, 23, 40, tzinfo=UTC)
DAY = datetime(2026, 3, 2, tzinfo=UTC)
PUBLISHED_AFTER = timedelta(hours=2, minutes=40)
SYMBOL = "BTCUSDT"
MARKET = SimulatedMarket(scale=0.02)
# Minutes pass at once, so that a few of them without trades say nothing.
SETTINGS = """storage.path = "{store}"
network.retry_wait = 0.5
recorder.symbols = ["BTCUSDT"]
recorder.most_traded = 0
recorder.backfill = "0h"
recorder.silence = 900
"""


@cache
def trades_of(day: date) -> Trades:
    return MARKET.day(SYMBOL, day).trades


class Script:
    """The market and its clock, and the recorder that a test starts and kills."""

    def __init__(self, server: MarketServer, clock: SimulatedClock, folder: Path) -> None:
        self.server = server
        self.clock = clock
        self.config = folder / "liqmap.toml"
        self.log = folder / "recorder.log"
        urls = "".join(f'{key} = "{url}"\n' for key, url in server.host.settings.items())
        self.config.write_text(SETTINGS.format(store=folder / "store") + urls)
        self.store = SegmentStore(folder / "store", max_size=10**12)
        self.process: asyncio.subprocess.Process
        self.connected_ms: dict[Exchange, int] = {}
        self.stored_ms: dict[Exchange, int] = {}
        self.connections: Counter[Exchange] = Counter()
        self.unplanned: Counter[Exchange] = Counter()
        self.listener: asyncio.Task[None]

    async def start(self) -> None:
        expected = {exchange: self.server.subscribed_connections[exchange] + 1 for exchange in Exchange}
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.liqmap.recorder_process", str(self.config)),
                self.server.clock_url,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        self.listener = asyncio.create_task(self.listen(self.process.stdout))
        await self.connected(expected)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def until(self, time: str) -> None:
        """Let minutes pass until a time of the day."""
        hours, minutes = (int(part) for part in time.split(":"))
        end = DAY + timedelta(hours=hours, minutes=minutes)
        while self.clock.now() < end:
            await self.pass_time(min(60.0, (end - self.clock.now()).total_seconds()))
            if self.process.returncode is None:
                await self.caught_up()

    async def connected(self, expected: dict[Exchange, int]) -> None:
        """Wait for so many connections in all; a recorder that waits before it tries again needs time."""
        for exchange, count in expected.items():
            while not await self.soon(lambda: self.server.subscribed_connections[exchange] >= count):  # noqa: B023
                await self.pass_time(1)
            self.note_connected(exchange)

    def note_connected(self, exchange: Exchange) -> None:
        self.connected_ms[exchange] = epoch_ms(self.clock.now())
        self.connections[exchange] = self.server.subscribed_connections[exchange]

    async def caught_up(self) -> None:
        """Wait until the minutes that have ended are stored: a disk does not write faster by this clock."""
        for exchange in self.connected_ms:
            while not await self.soon(self.stored_or_connected_anew(exchange)):
                await self.pass_time(1)
            # The hops of this clock can make a stream look late, and the recorder then opens another.
            if self.server.subscribed_connections[exchange] > self.connections[exchange]:
                self.unplanned[exchange] += 1
                self.note_connected(exchange)

    def stored_or_connected_anew(self, exchange: Exchange) -> Callable[[], bool]:
        """Return what tells whether the minutes that have ended since the last connection are stored."""
        since, now = self.connected_ms[exchange], epoch_ms(self.clock.now())
        time = np.concatenate([trades_of(day).time for day in self.days()])
        time = time[(time >= since) & (time <= now)]
        ended = (int(time[-1]) - SLACK_MS) // 60_000 * 60_000 if len(time) else 0
        if not len(time) or ended <= int(time[0]) + SLACK_MS + 1000:
            ended = 0
        before = self.connections[exchange]

        def is_met() -> bool:
            is_stored = self.stored_ms.get(exchange, 0) >= ended
            return is_stored or self.server.subscribed_connections[exchange] > before

        return is_met

    async def soon(self, condition: Callable[[], bool]) -> bool:
        """Give the recorder a second to meet `condition`, and tell whether it has."""
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                while not condition():
                    assert self.process.returncode is None, f"the recorder has ended:\n{self.log.read_text()}"
                    await asyncio.sleep(0.001)
                return True
        return False

    def days(self) -> list[date]:
        return [self.clock.now().date() - timedelta(days=back) for back in (1, 0)]

    async def listen(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            exchange, until = line.decode().split()
            self.stored_ms[Exchange(exchange)] = int(until)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.server.tick()
        await self.server.pump()
        await self.server.barrier()

    async def cut(self, *exchanges: Exchange) -> None:
        expected = {exchange: self.server.subscribed_connections[exchange] + 1 for exchange in exchanges}
        for exchange in exchanges:
            assert self.server.cut_streams(exchange) == 1
        await self.connected(expected)

    async def silence(self) -> None:
        """Let the streams go silent, and time pass until the recorder has found out."""
        expected = {exchange: self.server.subscribed_connections[exchange] + 1 for exchange in Exchange}
        for exchange in Exchange:
            self.server.silence(exchange)
        for _ in range(60):
            if all(self.server.subscribed_connections[each] >= count for each, count in expected.items()):
                return await self.connected(expected)
            await self.pass_time(60)
        pytest.fail("nobody noticed that the streams are silent")


@asynccontextmanager
async def script(folder: Path) -> AsyncIterator[Script]:
    clock = SimulatedClock(START)
    async with MarketServer(MARKET, clock=clock, publish_delay=PUBLISHED_AFTER, pump_every=None) as server:
        made = Script(server, clock, folder)
        await made.start()
        try:
            yield made
        finally:
            if made.process.returncode is None:
                made.process.kill()
            await made.process.wait()


def stored(store: SegmentStore, exchange: Exchange, window: TimeWindow) -> np.ndarray:
    """Return all trades that the store has of a window, as sorted rows of time, price, notional and side."""
    rows = []
    for part in store.parts(exchange, SYMBOL, window):
        for side in Side:
            found = read_largest(part.segment, side, window=part.window, cut=Cut()).trades
            rows.append(np.c_[found.time, found.price, found.notional, np.full(len(found), side is Side.BUY)])
    return _sorted(np.concatenate(rows))


def happened(window: TimeWindow, gaps: list[TimeWindow]) -> np.ndarray:
    """Return the generator's trades of a window without gaps, in the same form."""
    days = [trades_of(day) for day in window.days]
    rows = np.concatenate([np.c_[each.time, each.price, each.notional, each.is_buy] for each in days])
    inside = (rows[:, 0] >= window.start_ms) & (rows[:, 0] < window.end_ms)
    for gap in gaps:
        inside &= (rows[:, 0] < gap.start_ms) | (rows[:, 0] >= gap.end_ms)
    return _sorted(rows[inside])


def _sorted(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


@pytest.mark.timeout(900)
async def test_scripted_day_ends_with_every_trade_or_a_declared_gap(tmp_path: Path):
    async with script(tmp_path) as day:
        await day.until("0:30")
        await day.cut(*Exchange)
        await day.until("1:00")
        await day.cut(Exchange.BINANCE)
        await day.until("1:15")
        await day.silence()
        await day.until("2:10")
        await day.kill()
        await day.until("2:17")
        await day.start()
        await day.until("3:00")  # the day before has been published meanwhile
        day.server.plan("aggTrades", Fault.IP_BAN)
        await day.cut(*Exchange)
        await day.until("3:45")
        await day.pass_time(20)
        await day.kill()
        await day.start()
        await day.until("4:30")
        await day.cut(*Exchange)
        await day.until("5:40")
        began = day.store.missing(Exchange.BINANCE, SYMBOL, TimeWindow(START, DAY))
        whole = TimeWindow(began[0].end if began else START, DAY + timedelta(hours=5, minutes=39))
        for _ in range(30):  # until the last repair is done
            if not day.store.missing(Exchange.BINANCE, SYMBOL, whole):
                break
            await day.pass_time(60)
        day.process.send_signal(signal.SIGTERM)
        assert await day.process.wait() == 0

    assert day.store.missing(Exchange.BINANCE, SYMBOL, whole) == []
    assert np.array_equal(stored(day.store, Exchange.BINANCE, whole), happened(whole, []))

    gaps = day.store.missing(Exchange.BYBIT, SYMBOL, whole)
    assert np.array_equal(stored(day.store, Exchange.BYBIT, whole), happened(whole, gaps))
    unplanned = day.unplanned[Exchange.BYBIT]
    assert 5 <= len(gaps) <= 8 + unplanned  # two kills, three cuts, one silence
    assert sum((gap.length for gap in gaps), timedelta()) < timedelta(minutes=30 + 2 * unplanned)

    log = day.log.read_text()
    assert "is silent though it is traded" in log
    assert "The exchange limits requests until" in log
    assert "Traceback" not in log
    before = TimeWindow(DAY - timedelta(days=1), DAY)
    assert [part.segment.origin.window for part in day.store.parts(Exchange.BINANCE, SYMBOL, before)] == [
        before
    ]
