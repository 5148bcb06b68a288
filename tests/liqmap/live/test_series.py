from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from liqmap.collect.liquidations import LiquidationDays
from liqmap.collect.series import SeriesCollector
from liqmap.live.registry import Recording, Recordings
from liqmap.live.series import EVERY, keep_series
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
    async with (
        MarketServer(SimulatedMarket(scale=0.002), clock=clock, pump_every=None) as server,
        supplies(tmp_path, server, clock) as its,
    ):
        root = its.settings.storage.path
        live = Recording(Exchange.BYBIT, "BTCUSDT", updated=NOW + EVERY, since=NOW, connected=True)
        Recordings(root).write(live)
        series = SeriesCollector(its.settings, session=its.session, clients=its.clients, clock=clock)
        liquidations = LiquidationDays(its.settings, store=its.store, session=its.session)
        keeping = asyncio.create_task(keep_series(series, liquidations, root=root, clock=clock))
        await clock.advance(EVERY.total_seconds())
        market = Market(Exchange.BYBIT, "BTCUSDT")
        await until(lambda: all(series.store.newest(market, kind) for kind in SeriesKind))
        keeping.cancel()
        await series.close()
        (status,) = recording_status(root, now=clock.now())
    assert dict(status.series) == {
        SeriesKind.OPEN_INTEREST: NOW.replace(minute=45, second=0),
        SeriesKind.MARK_PRICE: NOW.replace(minute=48, second=0),
    }
    assert series_text(status.series) == "open interest until Jul 02 07:45, mark price until Jul 02 07:48 UTC"
