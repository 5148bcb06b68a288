from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from liqmap.collect.listings import KEPT_FOR, LOOKED_AGAIN_AFTER, RETRIED_AFTER, Listings
from liqmap.errors import RequestError
from liqmap.model import Exchange, MapRequest, Market, TopN
from liqmap.model.window import TimeWindow
from liqmap.parsing import parse_symbol
from liqmap.settings import (
    BinanceSettings,
    BybitSettings,
    ExchangesSettings,
    NetworkSettings,
    Settings,
    StorageSettings,
)
from liqmap.simulator import SimulatedClock
from tests.liqmap.market_time import until
from tests.served import served

BINANCE, BYBIT = Exchange.BINANCE, Exchange.BYBIT

LISTED = {
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
        self.binance: object = LISTED
        self.volumes: object = []
        self.files: set[str] = set()
        self.file_status = 404

    async def file(self, request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        self.asked.append(name)
        return web.Response(status=200 if name in self.files else self.file_status)

    async def exchange_info(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        return web.json_response(self.binance, status=self.status)

    async def tickers(self, _: web.Request) -> web.Response:
        return web.json_response(self.volumes)

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
async def settings(exchanges: Exchanges, tmp_path: Path) -> AsyncIterator[Settings]:
    app = web.Application()
    app.router.add_get("/fapi/v1/exchangeInfo", exchanges.exchange_info)
    app.router.add_get("/fapi/v1/ticker/24hr", exchanges.tickers)
    app.router.add_get("/v5/market/instruments-info", exchanges.instruments_info)
    app.router.add_get("/files/{path:.*}", exchanges.file)
    async with served(app) as url:
        addresses: Any = {"api_url": url, "archive_url": f"{url}/files"}
        yield Settings(
            storage=StorageSettings(path=tmp_path),
            exchanges=ExchangesSettings(
                binance=BinanceSettings(**addresses), bybit=BybitSettings(**addresses)
            ),
            network=NetworkSettings(attempts=1),
        )


@pytest.fixture
async def listings(settings: Settings, clock: Hand) -> AsyncIterator[Listings]:
    async with Listings(settings, clock=clock) as listings:
        yield listings


async def test_symbols_that_trade_are_listed(listings: Listings):
    assert listings.trading(Exchange.BINANCE) == frozenset()
    assert await listings.symbols(Exchange.BINANCE) == {"BTCUSDT", "ETHUSDT"}
    assert listings.trading(Exchange.BINANCE) == {"BTCUSDT", "ETHUSDT"}


async def test_every_page_and_category_is_read(listings: Listings):
    assert await listings.symbols(Exchange.BYBIT) == {"BTCUSDT", "XRPUSDT", "BTCUSD"}


async def test_list_is_fetched_again_each_day(listings: Listings, exchanges: Exchanges, clock: Hand):
    for _ in range(3):
        await listings.symbols(Exchange.BINANCE)
    assert len(exchanges.asked) == 1
    exchanges.binance = {"symbols": [*LISTED["symbols"], {"symbol": "NEWUSDT", "status": "TRADING"}]}
    clock.time += KEPT_FOR
    assert "NEWUSDT" in await listings.symbols(Exchange.BINANCE)


async def test_list_is_fetched_again_for_a_symbol_that_it_lacks(
    listings: Listings, exchanges: Exchanges, clock: Hand
):
    window = TimeWindow.ending(clock.now(), timedelta(hours=6))
    new = Market(BINANCE, "BTC")  # a contract of that name: not BTCUSDT
    assert await listings.meant(new, window) == Market(BINANCE, "BTCUSDT")
    exchanges.binance = {"symbols": [*LISTED["symbols"], {"symbol": "BTC", "status": "TRADING"}]}
    assert await listings.meant(new, window) == Market(BINANCE, "BTCUSDT")
    clock.time += LOOKED_AGAIN_AFTER
    assert await listings.meant(new, window) == new
    assert exchanges.asked.count("/fapi/v1/exchangeInfo") == 2


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
async def test_invalid_symbol_is_left_out_and_the_others_stay(
    listings: Listings, exchanges: Exchanges, row: object, caplog: pytest.LogCaptureFixture
):
    exchanges.binance = {
        "symbols": [row, {"symbol": "币安人生USDT", "status": "TRADING"}, *LISTED["symbols"]]
    }
    assert await listings.symbols(Exchange.BINANCE) == {"BTCUSDT", "ETHUSDT", "币安人生USDT"}
    assert "lists 1 invalid symbols" in caplog.text
    assert (await listings.near(Exchange.BINANCE, "ETHUSTD"))[0] == "ETHUSDT"


async def test_exchange_that_refuses_is_tried_again_later(
    listings: Listings, exchanges: Exchanges, clock: Hand
):
    exchanges.status = 503
    assert await listings.symbols(Exchange.BINANCE) == frozenset()
    assert await listings.near(Exchange.BINANCE, "BTCUSTD") == ()
    assert len(exchanges.asked) == 1
    exchanges.status = 200
    clock.time += RETRIED_AFTER
    assert await listings.near(Exchange.BINANCE, "BTCUSTD") == ("BTCUSDT",)


async def test_exchange_that_refused_before_the_clock_was_set_back_is_asked_at_once(
    listings: Listings, exchanges: Exchanges, clock: Hand
):
    exchanges.status = 503
    await listings.symbols(Exchange.BINANCE)
    exchanges.status = 200
    clock.time -= timedelta(hours=6)
    assert await listings.symbols(Exchange.BINANCE) == {"BTCUSDT", "ETHUSDT"}


async def test_near_names_are_those_spelt_alike(listings: Listings):
    assert (await listings.near(Exchange.BINANCE, "ETHUSTD"))[0] == "ETHUSDT"
    assert await listings.near(Exchange.BINANCE, "BTCUSDT") == ()
    assert await listings.near(Exchange.BINANCE, "QQQQQ") == ()
    assert await listings.near(Exchange.BINANCE, "TCU") == ("BTCUSDT",)


@pytest.mark.parametrize(
    ("exchange", "symbol", "sentence"),
    [
        (Exchange.BINANCE, "BTCUSD_PERP", "No trade passes."),
        (Exchange.BINANCE, "BTCUSD_261225", "No trade passes."),
        (Exchange.BINANCE, "BTCUSDT", "No trade passes."),
        (Exchange.BINANCE, "BTCUSTD", "Binance lists no “btcustd”; did you mean BTCUSDT?"),
        (Exchange.BYBIT, "BTVUSD", "Bybit lists no “btvusd”; did you mean BTCUSD or BTCUSDT?"),
    ],
)
async def test_only_symbols_of_a_fetched_list_get_similar_names(
    listings: Listings, clock: Hand, exchange: Exchange, symbol: str, sentence: str
):
    window = TimeWindow.ending(clock.now(), timedelta(hours=6))
    error = RequestError("No trade passes.")
    request = MapRequest((Market(exchange, symbol),), window, TopN(1))
    assert str(await listings.suggesting(error, request, typed=symbol.lower())) == sentence


async def test_symbols_are_ranked_by_volume_and_then_as_popular(
    listings: Listings, exchanges: Exchanges, clock: Hand
):
    names = ("AAAUSDT", "ETHUSDT", "BTCUSDT", "ZZZUSDT")
    exchanges.binance = {"symbols": [{"symbol": each, "status": "TRADING"} for each in names]}
    exchanges.volumes = [{"symbol": "ZZZUSDT", "quoteVolume": "15.30000000"}]
    await listings.symbols(BINANCE)
    assert listings.ranked(BINANCE) == ("ZZZUSDT", "BTCUSDT", "ETHUSDT", "AAAUSDT")
    clock.time += KEPT_FOR
    exchanges.volumes = {"code": -1003}
    await listings.symbols(BINANCE)
    assert listings.ranked(BINANCE)[0] == "ZZZUSDT"


async def test_list_that_an_earlier_version_kept_has_no_volumes(settings: Settings, clock: Hand):
    kept = settings.storage.path / "listings" / "binance.json"
    kept.parent.mkdir()
    kept.write_text('{"fetched": "2026-01-01T00:00:00+00:00", "symbols": {"BUSDT": "2026-01-01"}}')
    async with Listings(settings, clock=clock) as listings:
        assert listings.ranked(BINANCE) == ("BUSDT",)


NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


async def meant(listings: Listings, typed: str, *, exchange: Exchange = BINANCE, days: float = 2) -> str:
    """Return what a typed symbol means in the window of that length that ends with the year."""
    window = TimeWindow.ending(NEW_YEAR, timedelta(days=days))
    request = MapRequest((Market(exchange, parse_symbol(typed)),), window, TopN(1))
    return (await listings.completed(request)).market.symbol


async def test_symbol_of_the_bracket_tables_is_taken_as_it_stands_without_asking(
    listings: Listings, exchanges: Exchanges
):
    for symbol in ("ETHBTC", "BTCUSD1", "ETHU", "ADABUSD"):
        assert await meant(listings, symbol) == symbol
    assert exchanges.asked == []


async def test_symbol_that_the_exchange_lists_is_taken_as_it_stands(listings: Listings, exchanges: Exchanges):
    exchanges.binance = {"symbols": [*LISTED["symbols"], {"symbol": "SOLU", "status": "TRADING"}]}
    assert await meant(listings, "solu") == "SOLU"
    assert exchanges.asked == ["/fapi/v1/exchangeInfo"]


async def test_symbol_that_was_listed_before_is_still_known(
    listings: Listings, exchanges: Exchanges, clock: Hand
):
    exchanges.binance = {"symbols": [*LISTED["symbols"], {"symbol": "SOLU", "status": "TRADING"}]}
    await listings.symbols(BINANCE)
    exchanges.binance = LISTED
    clock.time += KEPT_FOR
    assert "SOLU" not in await listings.symbols(BINANCE)
    assert await meant(listings, "solu") == "SOLU"


@pytest.mark.parametrize("day", ["2025-12-30", "2025-12-31"])
async def test_symbol_with_a_file_of_the_window_is_taken_as_it_stands(
    listings: Listings, exchanges: Exchanges, day: str
):
    exchanges.files = {f"OLDU-aggTrades-{day}.zip"}
    assert await meant(listings, "oldu") == "OLDU"
    asked = len(exchanges.asked)
    assert await meant(listings, "oldu") == "OLDU"
    assert len(exchanges.asked) == asked, "what was found out is remembered"


async def test_symbol_whose_completion_alone_has_a_file_is_completed(
    listings: Listings, exchanges: Exchanges
):
    exchanges.files = {"LUNAUSDT-aggTrades-2025-12-30.zip"}
    assert await meant(listings, "luna") == "LUNAUSDT"


async def test_symbol_of_a_window_of_today_has_no_files_to_look_for(
    listings: Listings, exchanges: Exchanges, clock: Hand
):
    clock.time += timedelta(hours=6)
    window = TimeWindow.ending(clock.now(), timedelta(hours=6))
    request = MapRequest((Market(BINANCE, "BTC"),), window, TopN(1))
    assert (await listings.completed(request)).market.symbol == "BTCUSDT"
    assert exchanges.asked == ["/fapi/v1/exchangeInfo"]


@pytest.mark.parametrize(
    ("exchange", "typed", "symbol"),
    [
        (BINANCE, "btc", "BTCUSDT"),
        (BINANCE, "BTC/USDT", "BTCUSDT"),
        (BINANCE, "BTCPERP", "BTCUSDT"),
        (BINANCE, "zzz", "ZZZ"),
        (BYBIT, "xrp", "XRPUSDT"),
        (BYBIT, "BTCUSD_PERP", "BTCUSD"),
        (BYBIT, "ETHBTC", "ETHBTC"),
        (BYBIT, "ETHPERP", "ETHPERP"),
        (BYBIT, "ETHUSDH24", "ETHUSDH24"),
    ],
)
async def test_symbol_is_completed_to_what_exists_or_stays_as_it_was_typed(
    listings: Listings, exchange: Exchange, typed: str, symbol: str
):
    assert await meant(listings, typed, exchange=exchange) == symbol


@pytest.mark.parametrize(
    ("exchange", "typed", "symbol"),
    [
        (BINANCE, "btc", "BTCUSDT"),
        (BINANCE, "zzz", "ZZZUSDT"),
        (BYBIT, "xrp", "XRPUSDT"),
        (BYBIT, "BTCPERP", "BTCPERP"),
        (BYBIT, "ETHUSDH24", "ETHUSDH24"),
    ],
)
async def test_symbol_means_the_usual_contract_if_no_exchange_can_be_reached(
    listings: Listings, exchanges: Exchanges, exchange: Exchange, typed: str, symbol: str
):
    exchanges.status = exchanges.file_status = 503
    assert await meant(listings, typed, exchange=exchange) == symbol


async def test_lists_are_kept_on_disk(settings: Settings, exchanges: Exchanges, clock: Hand):
    for _ in range(2):
        async with Listings(settings, clock=clock) as listings:
            assert await listings.symbols(BINANCE) == {"BTCUSDT", "ETHUSDT"}
            assert listings.trading(BINANCE) == {"BTCUSDT", "ETHUSDT"}
    assert len(exchanges.asked) == 1
    clock.time -= timedelta(days=400)  # set back
    async with Listings(settings, clock=clock) as listings:
        await listings.symbols(BINANCE)
    assert len(exchanges.asked) == 2


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "7", "{}", '{"fetched": "2026-01-01", "symbols": {}}', "[" * 100_000),
        '{"fetched": "2026-01-01T00:00:00+00:00", "symbols": {"BTCUSDT": 7}}',
        '{"fetched": "2026-01-01T00:00:00+00:00", "symbols": ["BTCUSDT"]}',
    ],
)
async def test_damaged_list_is_fetched_again(
    settings: Settings, exchanges: Exchanges, clock: Hand, content: str
):
    path = settings.storage.path / "listings" / "binance.json"
    path.parent.mkdir()
    path.write_text(content)
    async with Listings(settings, clock=clock) as listings:
        assert listings.trading(BINANCE) == frozenset()
        assert await listings.symbols(BINANCE) == {"BTCUSDT", "ETHUSDT"}
    assert len(exchanges.asked) == 1


async def test_list_that_cannot_be_written_is_used_anyway(settings: Settings, clock: Hand):
    (settings.storage.path / "listings").write_text("a file where the folder should be")
    async with Listings(settings, clock=clock) as listings:
        assert await listings.symbols(BINANCE) == {"BTCUSDT", "ETHUSDT"}
        assert await meant(listings, "eth") == "ETHUSDT"


async def test_lists_are_fetched_at_the_start_and_once_a_day(settings: Settings, exchanges: Exchanges):
    clock = SimulatedClock(NEW_YEAR)
    async with Listings(settings, clock=clock, daily=True) as listings:
        await until(lambda: len(clock._sleepers) == len(Exchange))
        assert listings.trading(BINANCE) == {"BTCUSDT", "ETHUSDT"}
        assert listings.trading(BYBIT) == {"BTCUSDT", "XRPUSDT", "BTCUSD"}
        exchanges.binance = {"symbols": [{"symbol": "NEWUSDT", "status": "TRADING"}]}
        await clock.advance(KEPT_FOR.total_seconds())
        await until(lambda: listings.trading(BINANCE) == {"NEWUSDT"})
