from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from liqmap.collect.listings import KEPT_FOR, RETRIED_AFTER, Listings
from liqmap.errors import RequestError
from liqmap.model import Exchange, MapRequest, Market, TopN
from liqmap.settings import BinanceSettings, BybitSettings, ExchangesSettings, NetworkSettings, Settings
from liqmap.window import TimeWindow
from tests.served import served

BINANCE = {
    "timezone": "UTC",
    "symbols": [
        {"symbol": "BTCUSDT", "pair": "BTCUSDT", "contractType": "PERPETUAL", "status": "TRADING"},
        {"symbol": "ETHUSDT", "pair": "ETHUSDT", "contractType": "PERPETUAL", "status": "TRADING"},
        {"symbol": "BTCSTUSDT", "pair": "BTCSTUSDT", "contractType": "PERPETUAL", "status": "SETTLING"},
    ],
}


class Exchanges:
    """Both exchanges' lists, on this machine."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.status = 200
        self.binance: object = BINANCE

    async def exchange_info(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.json_response(self.binance, status=self.status)

    async def instruments_info(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        pages = {("linear", None): (["BTCUSDT"], "p2"), ("linear", "p2"): (["XRPUSDT"], "")}
        key = (request.query["category"], request.query.get("cursor"))
        symbols, cursor = pages.get(key, (["BTCUSD"], ""))
        listed = [{"symbol": each, "status": "Trading"} for each in symbols]
        return web.json_response({"retCode": 0, "result": {"list": listed, "nextPageCursor": cursor}})


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    async def sleep(self, seconds: float, /) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def exchanges() -> Exchanges:
    return Exchanges()


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
async def listings(exchanges: Exchanges, clock: Hand) -> AsyncIterator[Listings]:
    app = web.Application()
    app.router.add_get("/fapi/v1/exchangeInfo", exchanges.exchange_info)
    app.router.add_get("/v5/market/instruments-info", exchanges.instruments_info)
    async with served(app) as url:
        addresses = ExchangesSettings(binance=BinanceSettings(api_url=url), bybit=BybitSettings(api_url=url))
        settings = Settings(exchanges=addresses, network=NetworkSettings(attempts=1))
        async with Listings(settings, clock=clock) as listings:
            yield listings


async def test_symbols_that_trade_are_listed(listings: Listings):
    assert listings.known(Exchange.BINANCE) == frozenset()
    assert await listings.symbols(Exchange.BINANCE) == {"BTCUSDT", "ETHUSDT"}
    assert listings.known(Exchange.BINANCE) == {"BTCUSDT", "ETHUSDT"}


async def test_every_page_and_category_is_read(listings: Listings):
    assert await listings.symbols(Exchange.BYBIT) == {"BTCUSDT", "XRPUSDT", "BTCUSD"}


async def test_list_is_fetched_anew_each_day(listings: Listings, exchanges: Exchanges, clock: Hand):
    for _ in range(3):
        await listings.symbols(Exchange.BINANCE)
    assert len(exchanges.asked) == 1
    exchanges.binance = {"symbols": [*BINANCE["symbols"], {"symbol": "NEWUSDT", "status": "TRADING"}]}
    clock.time += KEPT_FOR
    assert "NEWUSDT" in await listings.symbols(Exchange.BINANCE)


@pytest.mark.parametrize("content", [{"symbols": None}, {}, {"symbols": [{"status": "TRADING"}]}])
async def test_old_list_serves_while_the_exchange_makes_no_sense(
    listings: Listings, exchanges: Exchanges, clock: Hand, content: object
):
    await listings.symbols(Exchange.BINANCE)
    exchanges.binance = content
    clock.time += KEPT_FOR
    assert await listings.symbols(Exchange.BINANCE) == {"BTCUSDT", "ETHUSDT"}


@pytest.mark.parametrize(
    "row",
    [
        {"symbol": 5, "status": "TRADING"},
        {"symbol": "A" * 300, "status": "TRADING"},
        {"symbol": "", "status": "TRADING"},
        {"symbol": "BTC USDT\n", "status": "TRADING"},
        {"symbol": "@everyone", "status": "TRADING"},
        {"symbol": None, "status": "TRADING"},
        {"status": "TRADING"},
        {"symbol": "NEWUSDT"},
        "ETHUSDT",
        None,
        [],
    ],
)
async def test_symbol_that_cannot_be_is_left_out_and_the_others_stay(
    listings: Listings, exchanges: Exchanges, row: object, caplog: pytest.LogCaptureFixture
):
    exchanges.binance = {
        "symbols": [row, {"symbol": "币安人生USDT", "status": "TRADING"}, *BINANCE["symbols"]]
    }
    assert await listings.symbols(Exchange.BINANCE) == {"BTCUSDT", "ETHUSDT", "币安人生USDT"}
    assert "lists 1 symbols that cannot be" in caplog.text
    assert (await listings.near(Exchange.BINANCE, "ETHUSTD"))[0] == "ETHUSDT"


async def test_exchange_that_refuses_is_asked_again_later(
    listings: Listings, exchanges: Exchanges, clock: Hand
):
    exchanges.status = 503
    assert await listings.symbols(Exchange.BINANCE) == frozenset()
    assert await listings.near(Exchange.BINANCE, "BTCUSTD") == ()
    assert len(exchanges.asked) == 1
    exchanges.status = 200
    clock.time += RETRIED_AFTER
    assert await listings.near(Exchange.BINANCE, "BTCUSTD") == ("BTCUSDT",)


async def test_near_names_are_those_spelt_alike(listings: Listings):
    assert (await listings.near(Exchange.BINANCE, "ETHUSTD"))[0] == "ETHUSDT"
    assert await listings.near(Exchange.BINANCE, "BTCUSDT") == ()
    assert await listings.near(Exchange.BINANCE, "QQQQQ") == ()


@pytest.mark.parametrize(
    ("exchange", "symbol", "more"),
    [
        (Exchange.BINANCE, "BTCUSD_PERP", ""),
        (Exchange.BINANCE, "BTCUSD_261225", ""),
        (Exchange.BINANCE, "BTCUSTD", " Binance lists no BTCUSTD; did you mean BTCUSDT?"),
        (Exchange.BYBIT, "BTVUSD", " Bybit lists no BTVUSD; did you mean BTCUSD or BTCUSDT?"),
    ],
)
async def test_only_symbols_of_a_list_that_is_fetched_are_told_near_names(
    listings: Listings, clock: Hand, exchange: Exchange, symbol: str, more: str
):
    window = TimeWindow.ending(clock.now(), timedelta(hours=6))
    error = RequestError("No trade passes.")
    told = await listings.suggesting(error, MapRequest((Market(exchange, symbol),), window, TopN(1)))
    assert str(told) == f"No trade passes.{more}"
