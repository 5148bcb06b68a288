from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from liqmap.collect.liquidations import LiquidationDays
from liqmap.collect.series import SeriesCollector
from liqmap.live.registry import Recording, Recordings
from liqmap.live.series import keep_series
from liqmap.live.status import recording_status
from liqmap.model import Exchange, Market
from liqmap.model.series import SeriesKind
from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket
from liqmap.text import series_text
from tests.liqmap.market_time import until
from tests.liqmap.supplies import supplies

NOW = datetime(2026, 7, 2, 7, 33, 20, tzinfo=UTC)


async def test_series_of_live_recordings_are_kept_and_their_freshness_is_reported(tmp_path: Path):
    clock = SimulatedClock(NOW)
    market = Market(Exchange.BYBIT, "BTCUSDT")
    async with (
        MarketServer(SimulatedMarket(scale=0.002), clock=clock, pump_every=None) as server,
        supplies(tmp_path, server, clock) as its,
    ):
        root = its.settings.storage.path
        live = Recording(market.exchange, market.symbol, updated=NOW, since=NOW, connected=True)
        series = SeriesCollector(its.settings, session=its.session, clients=its.clients, clock=clock)
        liquidations = LiquidationDays(its.settings, store=its.store, session=its.session)
        keeping = asyncio.create_task(keep_series(series, liquidations, root=root, clock=clock))

        def kept_until() -> datetime | None:
            """Return the end of the mark prices, which are fetched last."""
            newest = series.store.newest(market, SeriesKind.MARK_PRICE)
            return None if newest is None else newest.end

        async def pass_minutes(minutes: int) -> None:
            """Let minutes pass, each once the exchanges have done what is due and wait for the next one."""
            for _ in range(minutes):
                Recordings(root).write(replace(live, updated=clock.now()))
                await clock.advance(60)
                await until(lambda: clock.alarms.count(clock.now() + timedelta(minutes=1)) == len(Exchange))

        await pass_minutes(1)
        assert kept_until() is None
        await pass_minutes(1)
        (status,) = recording_status(root, now=clock.now())
        await pass_minutes(14)
        assert kept_until() == NOW.replace(minute=35, second=0)
        await pass_minutes(1)
        assert kept_until() == NOW.replace(minute=50, second=0)
        keeping.cancel()
        await series.close()
    assert dict(status.series) == dict.fromkeys(SeriesKind, NOW.replace(minute=35, second=0))
    assert series_text(status.series) == "open interest until Jul 02 07:35, mark price until Jul 02 07:35 UTC"
