"""Every symbol that an exchange has, through every door: each must come back as it stands."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.request.asking import build_spec
from bot.request.defaults import GuildDefaults
from bot.request.spec import MapSpec, decode_spec, encode_spec
from liqmap import Exchange, Market
from liqmap.brackets import bracketed_symbols
from liqmap.cli import map as map_command
from liqmap.collect.listings import Listings
from liqmap.collect.symbols import KnownSymbols
from liqmap.exchanges import EXCHANGES
from liqmap.live.recorder import configured
from liqmap.mapping import HistoricalMapping
from liqmap.settings import NetworkSettings, RecorderSettings, Settings, StorageSettings
from liqmap.simulator import SimulatedClock
from liqmap.window import TimeWindow

SHARED = Path(__file__).parents[2] / "shared" / "data" / "more"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
BINANCE, BYBIT = Exchange.BINANCE, Exchange.BYBIT


def typed_into_the_bot(market: Market, settings: Settings) -> Market:
    # /liqmap, /subscribe
    spec = build_spec(
        GuildDefaults(), symbol=market.symbol, window="6h", mode="top_n", exchange=market.exchange.value
    )
    request = spec.ending(NOW)
    return KnownSymbols(settings.storage.path).completed(request.market)


def pressed_on_a_button(market: Market, settings: Settings) -> Market:
    # the id of a button under a map
    del settings
    spec = build_spec(
        GuildDefaults(), symbol=market.symbol, window="6h", mode="top_n", exchange=market.exchange.value
    )
    return decode_spec(encode_spec(MapSpec.of(spec.ending(NOW)))).markets[0]


def typed_on_the_command_line(market: Market, settings: Settings) -> Market:
    # liqmap SYMBOL …
    options = map_command._parser().parse_args([market.symbol.lower(), "6h", "--exchange", market.exchange])
    request = map_command._request(options, settings)
    return KnownSymbols(settings.storage.path).completed(request.market)


def named_in_the_settings(market: Market, settings: Settings) -> Market:
    # recorder.symbols
    recorder = RecorderSettings(symbols=(f"{market.exchange}:{market.symbol}",))
    ((exchange, symbol),) = configured(settings.model_copy(update={"recorder": recorder}))
    return Market(exchange, symbol)


def given_to_the_library(market: Market, settings: Settings) -> Market:
    # HistoricalMapping(…)
    mapping = HistoricalMapping(
        market.symbol, "2023-08-01 00:00:00", "2023-08-01 06:00:00", market.exchange.value
    )
    return KnownSymbols(settings.storage.path).completed(mapping._market)


DOORS = (
    typed_into_the_bot,
    pressed_on_a_button,
    typed_on_the_command_line,
    named_in_the_settings,
    given_to_the_library,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of an empty store, by which no exchange can be reached."""
    return Settings(storage=StorageSettings(path=tmp_path), network=NetworkSettings(attempts=1))


def has_stream(market: Market) -> bool:
    return EXCHANGES[market.exchange].live.records(market.symbol)


def test_all_956_symbols_of_the_bracket_tables_come_back_unchanged(settings: Settings):
    markets = [Market(BINANCE, symbol) for symbol in sorted(bracketed_symbols(BINANCE))]
    assert len(markets) == 956
    for door in DOORS:
        assert [door(market, settings) for market in markets] == markets, door.__name__


async def test_known_symbols_need_no_exchange(settings: Settings):
    markets = [Market(BINANCE, symbol) for symbol in sorted(bracketed_symbols(BINANCE))]
    async with Listings(settings, clock=SimulatedClock(NOW)) as listings:
        window = TimeWindow.ending(NOW, timedelta(days=3))
        assert [await listings.meant(market, window) for market in markets] == markets


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the real lists of ../shared/data are not here")
@pytest.mark.parametrize("exchange", Exchange)
def test_all_symbols_of_the_real_lists_come_back_unchanged(settings: Settings, exchange: Exchange):
    symbols = frozenset(LISTS[exchange]())
    assert len(symbols) > 2
    KnownSymbols(settings.storage.path).keep(exchange, symbols, now=NOW)
    markets = [Market(exchange, symbol) for symbol in sorted(symbols)]
    for door in DOORS:
        asked = [each for each in markets if door is not named_in_the_settings or has_stream(each)]
        assert [door(market, settings) for market in asked] == asked, door.__name__


def of_binance() -> Iterator[str]:
    """Yield the symbols of recorded answers of Binance's REST API."""
    for path in (SHARED / "binance_rest").glob("*.json"):
        for answer in json.loads(path.read_text()):
            rows = answer["data"] if isinstance(answer["data"], list) else [answer["data"]]
            yield from (row["symbol"] for row in rows if isinstance(row, dict) and "symbol" in row)


def of_bybit() -> Iterator[str]:
    """Yield the symbols of Bybit's risk limits, and OKX's, which no exchange here lists by that name."""
    page = json.loads((SHARED / "bybit" / "risk_limit_rows.json").read_text())
    yield from (row["symbol"] for row in page["result"]["list"])
    with (SHARED / "okx" / "instruments_swap_2022-05-13.csv").open(newline="") as file:
        yield from (row["instId"] for row in csv.DictReader(file))


def of_okx() -> Iterator[str]:
    """Yield OKX's linear swaps as users write them: BTCUSDT for BTC-USDT-SWAP."""
    with (SHARED / "okx" / "instruments_swap_2022-05-13.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["ctType"] == "linear":
                yield row["instId"].removesuffix("-SWAP").replace("-", "")


LISTS: dict[Exchange, Callable[[], Iterator[str]]] = {
    BINANCE: of_binance,
    BYBIT: of_bybit,
    Exchange.OKX: of_okx,
}
