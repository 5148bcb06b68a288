from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange, MapRequest, MarginModel, Market, TopN
from liqmap.model.series import SeriesKind
from liqmap.model.window import DAY, HOUR, TimeWindow, missing
from liqmap.run.gathering import Gathering
from liqmap.run.parts import Manner, Parts, open_parts
from liqmap.settings import RecorderSettings, Settings, StorageSettings
from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.feeds import received_windows
from tests.liqmap.market_time import until

START = datetime(2051, 5, 6, 11, 57, 10, 250_000, tzinfo=UTC)
WINDOW = TimeWindow.ending(START.replace(minute=58, second=0, microsecond=0), DAY)
SYMBOL = "BTCUSDT"
FILLED = [each for each in Exchange if EXCHANGES[each].backfill is not None]


def lacks(parts: Parts, exchange: Exchange) -> bool:
    """Return whether anything is still to come that a map of `WINDOW` would ask for."""
    root, market = parts.store.root, Market(exchange, SYMBOL)
    kinds = [kind for kind in SeriesKind if kind in EXCHANGES[exchange].series]
    # Liquidations are reported for a day before the time of the request, which is after the window's end.
    newest = TimeWindow.ending(WINDOW.end, HOUR)
    reported = EXCHANGES[exchange].liquidations.pages is not None
    return bool(
        parts.store.missing(exchange, SYMBOL, WINDOW)
        or any(parts.sources.series.store.lacking(market, kind, WINDOW) for kind in kinds)
        or (reported and missing(newest, received_windows(root, exchange, SYMBOL, newest)))
    )


@asynccontextmanager
async def opened(
    folder: Path, server: MarketServer, clock: SimulatedClock, *, record: bool
) -> AsyncIterator[Parts]:
    settings = Settings(storage=StorageSettings(path=folder), recorder=RecorderSettings(most_traded=1))
    with ThreadPoolExecutor(2) as executor:
        async with AsyncExitStack() as stack:
            manner = Manner(
                clock=clock,
                executor=executor,
                record=record,
                resident=record,
                draws_here=False,
                traces=(),
                observe_shared=lambda _seconds, _succeeded: None,
            )
            yield await open_parts(server.redirect(settings), manner, stack)


async def until_warm(parts: Parts, server: MarketServer, clock: SimulatedClock) -> None:
    """Let time pass until the most traded market of each exchange is recorded and filled."""

    def is_taken_in() -> bool:
        exchanges = parts.recorder.exchanges.values()
        recorders = [each for on in exchanges for each in on.recorders.values()]
        return len(recorders) == len(Exchange) and not any(each.has_news for each in recorders)

    async with asyncio.timeout(60):
        while any(lacks(parts, each) for each in FILLED):
            await clock.advance(5)
            await server.pump()
            await server.barrier()
            await until(is_taken_in)


async def test_first_map_of_a_warm_market_asks_the_network_for_nothing(tmp_path: Path):
    clock, market = SimulatedClock(START), SimulatedMarket(scale=0.02)
    async with MarketServer(market, clock=clock, weight_limit=1_000_000, pump_every=None) as server:
        async with opened(tmp_path, server, clock, record=True) as parts:
            await until_warm(parts, server, clock)
        # Another process of the store fetches nothing in the background, so each request is the map's.
        before = server.requests.copy()
        async with opened(tmp_path, server, clock, record=False) as parts:
            for exchange in FILLED:
                request = MapRequest(
                    (Market(exchange, SYMBOL),), WINDOW, TopN(10), model=MarginModel(exchange)
                )
                gathered = await Gathering(request, parts.sources, progress=lambda _: None).result()
                assert gathered.is_final
                assert gathered.markets[0].series.mark is not None
                assert gathered.markets[0].series.interest is not None
        assert server.requests == before


async def test_work_in_the_background_that_fails_is_logged_and_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    begun = 0

    async def fails(*_: object, **__: object) -> None:
        nonlocal begun
        begun += 1
        raise OSError("no such disk")

    monkeypatch.setattr("liqmap.run.parts.keep_series", fails)
    clock = SimulatedClock(START)
    async with (
        MarketServer(SimulatedMarket(scale=0.001), clock=clock, pump_every=None) as server,
        opened(tmp_path, server, clock, record=True),
    ):
        await until(lambda: "no such disk" in caplog.text)
        await clock.advance(60)
        await until(lambda: begun == 2)
