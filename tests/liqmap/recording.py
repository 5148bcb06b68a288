"""A recorder over a simulated market whose time tests move on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from liqmap.collect.brackets import BracketTables
from liqmap.live.exchange import ExchangeRecorder
from liqmap.live.recorder import Recorder
from liqmap.live.symbol import SymbolRecorder
from liqmap.model import Exchange
from liqmap.model.window import TimeWindow, merged
from liqmap.settings import RecorderSettings
from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.local import SegmentStore
from liqmap.store.segments import segment_windows
from tests.liqmap.market_time import WrongClock, held, traded, until
from tests.liqmap.supplies import supplies

# Later than any file's own time, by which what is held twice is removed after a while.
START = datetime(2051, 5, 6, 11, 57, 10, 250_000, tzinfo=UTC)
MARKET = SimulatedMarket(scale=0.05)  # BTCUSDT: some 40 trades a minute


class Recording:
    """A recorder, and all that a test may want to touch."""

    def __init__(
        self, recorder: Recorder, server: MarketServer, store: SegmentStore, clock: SimulatedClock
    ) -> None:
        self.recorder = recorder
        self.server = server
        self.store = store
        self.clock = clock

    def on(self, exchange: Exchange) -> ExchangeRecorder:
        """Return the recorder of one exchange."""
        return self.recorder.exchanges[exchange]

    def symbol(self, exchange: Exchange, symbol: str = "BTCUSDT") -> SymbolRecorder:
        """Return the recorder of one symbol, which must be recorded."""
        return self.on(exchange).recorders[symbol]

    def subscribed(self, exchange: Exchange, symbol: str) -> bool:
        """Return whether the stream of `symbol` has been acknowledged."""
        recorder = self.on(exchange).recorders.get(symbol)
        return recorder is not None and recorder.recording.connected

    async def until_subscribed(self, exchange: Exchange, symbol: str = "BTCUSDT") -> None:
        """Wait until the stream of `symbol` has been acknowledged."""
        await until(lambda: self.subscribed(exchange, symbol))

    async def until_stored(self, exchange: Exchange, end: str) -> None:
        """Wait until what the store has of BTCUSDT ends at a time of day."""
        await until(lambda: self.spans(exchange)[-1:] != [] and self.spans(exchange)[-1].endswith(end))
        # A segment is seen before its writer has read it back and is done with it.
        last = self.covered(exchange)[-1].end
        await until(lambda: (self.symbol(exchange).recording.until or START) >= last)

    async def live(self, seconds: float, *, step: float = 5) -> None:
        """Let time pass while the streams send what happens."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < end:
            await self.clock.advance(min(step, (end - self.clock.now()).total_seconds()))
            await self.server.pump()
            await self.server.barrier()
            await until(self._stored)

    async def until_maintained(self) -> None:
        """Wait until the store has been looked after, and that is to happen again in ten minutes."""
        await until(lambda: sum(map(_is_of_maintenance, self.clock.alarms)) == len(Exchange))

    def _stored(self) -> bool:
        recorders = [recorder for each in Exchange for recorder in self.on(each).recorders.values()]
        return not any(recorder.has_news for recorder in recorders)

    def covered(self, exchange: Exchange, symbol: str = "BTCUSDT") -> list[TimeWindow]:
        """Return what the store has of a symbol."""
        return merged(segment_windows(self.store.root, exchange, symbol))

    def spans(self, exchange: Exchange, symbol: str = "BTCUSDT") -> list[str]:
        """Return what the store has of a symbol, as text."""
        return [f"{each.start:%H:%M:%S}-{each.end:%H:%M:%S}" for each in self.covered(exchange, symbol)]

    async def until_covered(self, exchange: Exchange, *spans: str, symbol: str = "BTCUSDT") -> None:
        """Wait until the store has just `spans`."""
        try:
            await until(lambda: self.spans(exchange, symbol) == list(spans))
        except TimeoutError:
            raise AssertionError(self.spans(exchange, symbol)) from None

    def exact(self, exchange: Exchange, symbol: str = "BTCUSDT", *, scale: float = MARKET.scale) -> bool:
        """Return whether the store has just the trades of what it covers, and some."""
        windows = self.covered(exchange, symbol)  # once: threads may be writing more
        parts = [part for each in windows for part in self.store.parts(exchange, symbol, each)]
        mine = held(parts).tolist()
        made = [
            row for each in windows for row in traded(SimulatedMarket(scale=scale), symbol, each).tolist()
        ]
        if exchange is Exchange.OKX:  # whose files do not tell two orders of one moment and price apart
            mine, made = _by_moment(mine), _by_moment(made)
        return len(mine) > 0 and mine == made


def _by_moment(rows: list[list[float]]) -> list[list[float]]:
    """Return rows (time, price, size, side) with those of one time, price and side added up, in order."""
    sizes: defaultdict[tuple[float, float, float], float] = defaultdict(float)
    for time, price, size, side in rows:
        sizes[time, price, side] += size
    return [[time, price, round(size, 9), side] for (time, price, side), size in sorted(sizes.items())]


def _is_of_maintenance(due: datetime) -> bool:
    return due == due.replace(minute=due.minute // 10 * 10, second=5, microsecond=0)


@asynccontextmanager
async def market(
    *, scale: float = MARKET.scale, start: datetime = START, **options: Any
) -> AsyncIterator[tuple[MarketServer, SimulatedClock]]:
    clock = SimulatedClock(start)
    async with MarketServer(
        SimulatedMarket(scale=scale),
        clock=clock,
        pump_every=None,
        weight_limit=options.pop("weight_limit", 100_000),
        **options,
    ) as server:
        yield server, clock


@asynccontextmanager
async def recording(
    folder: Path, server: MarketServer, clock: SimulatedClock, *symbols: str, **options: Any
) -> AsyncIterator[Recording]:
    retry_wait, ahead = options.pop("retry_wait", 0), options.pop("ahead", timedelta())
    machine = WrongClock(clock, ahead)
    chosen = RecorderSettings(symbols=symbols, **options)
    async with supplies(folder, server, machine, retry_wait=retry_wait, recorder=chosen) as by:
        recorder = Recorder(
            by,
            brackets=BracketTables(
                by.settings, clients=by.clients, contracts=by.contracts, clock=machine, daily=False
            ),
        )
        async with recorder:
            yield Recording(recorder, server, by.store, clock)
