from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.collect.supply import Supply
from liqmap.live.warm import WarmMarkets
from liqmap.model import Exchange
from liqmap.model.window import TimeWindow
from liqmap.settings import RecorderSettings
from liqmap.simulator import Fault, MarketServer, SimulatedClock, SimulatedMarket
from tests.liqmap.supplies import supplies

NOW = datetime(2023, 8, 3, 12, 0, 30, tzinfo=UTC)
PAGES = "/binance/fapi/v1/aggTrades"
BINANCE = Exchange.BINANCE
HOURS = {count: timedelta(hours=count) for count in (1, 20)}


class Warm:
    """Markets that are kept warm, and all that a test may want to touch."""

    def __init__(self, server: MarketServer, clock: SimulatedClock, by: Supply) -> None:
        self.server, self.clock, self.by = server, clock, by
        self.wanted: list[tuple[Exchange, str]] = []
        self.markets = WarmMarkets(by, want=lambda exchange, symbol: self.wanted.append((exchange, symbol)))

    def again(self) -> Warm:
        """Return what the next start of the process is."""
        return Warm(self.server, self.clock, self.by)

    def missing(self, symbol: str, hours: int = 24) -> list[TimeWindow]:
        end = self.clock.now().replace(second=0, microsecond=0)
        return self.by.store.missing(BINANCE, symbol, TimeWindow.ending(end, timedelta(hours=hours)))

    async def until_filled(self) -> None:
        """Let time pass until all exchanges sleep until the next day."""
        async with asyncio.timeout(60):
            while not self._sleeps():
                await asyncio.to_thread(int)
                soon = [due for due in self.clock.alarms if due - self.clock.now() < HOURS[1]]
                if soon and not self._sleeps():
                    await self.clock.advance((min(soon) - self.clock.now()).total_seconds())

    def _sleeps(self) -> bool:
        return sum(due - self.clock.now() > HOURS[20] for due in self.clock.alarms) == len(Exchange)


@asynccontextmanager
async def warm(folder: Path, **settings: object) -> AsyncIterator[Warm]:
    clock, market = SimulatedClock(NOW), SimulatedMarket(scale=0.005)
    recorder = RecorderSettings(**settings)  # type: ignore[arg-type]
    async with (
        MarketServer(market, clock=clock, weight_limit=1_000_000, pump_every=None) as server,
        supplies(folder, server, clock, recorder=recorder) as by,
    ):
        yield Warm(server, clock, by)


async def test_most_traded_markets_are_recorded_and_their_last_day_is_filled(tmp_path: Path):
    async with warm(tmp_path, most_traded=2) as made, made.markets:
        await made.until_filled()
        assert {symbol for exchange, symbol in made.wanted if exchange is BINANCE} == {"BTCUSDT", "ETHUSDT"}
        assert all(sum(each is exchange for each, _ in made.wanted) == 2 for exchange in Exchange)
        assert made.missing("BTCUSDT") == made.missing("ETHUSDT") == []


async def test_next_start_fetches_nothing_again(tmp_path: Path):
    async with warm(tmp_path, most_traded=1) as made:
        async with made.markets:
            await made.until_filled()
        asked = made.server.requests[PAGES]
        assert asked > 0
        async with made.again().markets:
            await made.until_filled()
        # The few minutes that have passed meanwhile, and no hour of before.
        assert made.server.requests[PAGES] - asked < 8


async def test_newest_hours_of_all_markets_come_before_older_ones(tmp_path: Path):
    async with warm(tmp_path, most_traded=2, backfill=timedelta(hours=6)) as made, made.markets:
        await made.until_filled()
        kept = sorted(
            made.by.store.root.glob("*/binance/**/manifest*"), key=lambda path: path.stat().st_mtime_ns
        )
        starts = [path.parent.name.split("-")[0] for path in kept if "T00" not in path.parent.name]
        assert starts == sorted(starts, reverse=True)


async def test_exchange_that_does_not_answer_is_asked_again_within_minutes(tmp_path: Path):
    async with warm(tmp_path, most_traded=1) as made:
        made.server.plan("ticker/24hr", Fault.UNAVAILABLE, times=2)
        async with made.markets:
            await made.until_filled()
        assert (BINANCE, "BTCUSDT") in made.wanted


@pytest.mark.parametrize("settings", [{"most_traded": 0}, {"most_traded": 1, "backfill": timedelta(0)}])
async def test_what_is_turned_off_fetches_no_trades(tmp_path: Path, settings: dict[str, object]):
    async with warm(tmp_path, **settings) as made, made.markets:
        await made.until_filled()
        assert made.server.requests[PAGES] == 0
        assert len(made.wanted) == settings["most_traded"] * len(Exchange)  # type: ignore[operator]
