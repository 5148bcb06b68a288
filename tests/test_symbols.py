"""Every symbol that an exchange has, through every door: each must come back as it stands."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from bot.ops.backup_file import read_backup
from bot.request import completing
from bot.request.asking import build_spec
from bot.request.completing import Typed
from bot.request.defaults import GuildDefaults
from bot.request.spec import MapSpec, decode_spec, encode_spec
from bot.request.symbols import Symbols
from bot.store.alerts import NewAlert
from liqmap import Exchange, Market
from liqmap.brackets import bracketed_symbols
from liqmap.cli import ledger, record, scan
from liqmap.cli import map as map_command
from liqmap.collect.listings import Listings
from liqmap.collect.symbols import KnownSymbols
from liqmap.exchanges import EXCHANGES
from liqmap.live.recorder import configured
from liqmap.mapping import HistoricalMapping
from liqmap.model.window import TimeWindow
from liqmap.parsing import parse_symbol
from liqmap.run import accuracy_report
from liqmap.run.typed import MapOptions, parse_request
from liqmap.settings import NetworkSettings, RecorderSettings, Settings, StorageSettings
from liqmap.simulator import SimulatedClock
from liqmap.text import completion_text
from tests.bot.conftest import REQUEST
from tests.doors.samples import BACKUP

SHARED = Path(__file__).parents[2] / "shared" / "data" / "more"
SETTINGS = Settings()
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
BINANCE, BYBIT, OKX = Exchange.BINANCE, Exchange.BYBIT, Exchange.OKX


def typed_into_the_bot(market: Market, typed: str) -> Market:
    # /liqmap, /subscribe
    spec = build_spec(GuildDefaults(), symbol=typed, window="6h", exchange=market.exchange.value)
    return spec.ending(NOW).market


def pressed_on_a_button(market: Market, typed: str) -> Market:
    # the id of a button under a map, and what is stored of a subscription
    request = replace(REQUEST, markets=(typed_into_the_bot(market, typed),))
    return decode_spec(encode_spec(MapSpec(request))).request.market


def suggested_while_typing(market: Market, typed: str) -> Market:
    # any option named symbol
    known = Typed(
        typed,
        {"exchange": market.exchange.value},
        defaults=GuildDefaults(),
        symbols=Symbols(lambda _: (f"{market.symbol}1", market.symbol)),
        now=NOW,
        max_days=90,
    )
    return Market(market.exchange, completing.symbols(known)[0])


def watched_by_an_alert(market: Market, typed: str) -> Market:
    # /alert near
    alert = NewAlert(1, 2, 3, market.exchange.value, parse_symbol(typed), 0.01, 1e6, timedelta(hours=1))
    return alert.markets[0]


def imported_from_a_backup(market: Market, typed: str) -> Market:
    # liqmap-bot import
    spec, backup = pressed_on_a_button(market, typed), cast("Any", BACKUP)
    code = encode_spec(MapSpec(replace(REQUEST, markets=(spec,))))
    content = backup | {
        "subscriptions": [backup["subscriptions"][0] | {"spec": code}],
        "alerts": [backup["alerts"][0] | {"exchange": market.exchange.value, "symbol": spec.symbol}],
    }
    saved = read_backup(json.dumps(content).encode(), now=NOW)
    assert saved.alerts[0].markets == saved.subscriptions[0].spec.request.markets
    return saved.alerts[0].markets[0]


parser_of = cache(lambda make: make())  # making one for each symbol would take longer than all the rest


def typed_for_a_map(market: Market, typed: str) -> Market:
    # liqmap SYMBOL …
    options = parser_of(map_command._parser).parse_args([typed, "6h", "--exchange", market.exchange])
    return map_command._request(options, SETTINGS).market


def typed_for_a_recording(market: Market, typed: str) -> Market:
    # liqmap record SYMBOL
    (found,) = record._typed(
        parser_of(record._record_parser).parse_args([typed, "--exchange", market.exchange])
    )
    return found


def typed_for_a_scan(market: Market, typed: str) -> Market:
    # liqmap scan SYMBOL
    (found,) = scan._request(
        parser_of(scan._parser).parse_args([typed, "--exchange", market.exchange])
    ).markets
    return found


def typed_for_the_ledger(market: Market, typed: str) -> Market:
    # liqmap ledger seal SYMBOL, liqmap ledger backtest SYMBOL
    return ledger._typed(parser_of(ledger._parser).parse_args(["seal", typed, "--exchange", market.exchange]))


def given_to_the_library(market: Market, typed: str) -> Market:
    # liqmap.draw(…), liqmap.adraw(…)
    options: MapOptions = {"exchange": market.exchange.value}
    return parse_request(typed, "6h", "top_n 100", options, max_days=90).market


def given_to_the_mapping(market: Market, typed: str) -> Market:
    # HistoricalMapping(…)
    times = ("2023-08-01 00:00:00", "2023-08-01 06:00:00")
    return HistoricalMapping(typed, *times, market.exchange.value)._market


DOORS = (
    typed_into_the_bot,
    pressed_on_a_button,
    suggested_while_typing,
    watched_by_an_alert,
    imported_from_a_backup,
    typed_for_a_map,
    typed_for_a_recording,
    typed_for_a_scan,
    typed_for_the_ledger,
    given_to_the_library,
    given_to_the_mapping,
)
"""What people type on, each as far as to the market that is then completed by the symbols that are known."""

PARSING = frozenset(
    {
        *("bot.commands.accuracy", "bot.commands.alerts", "bot.request.asking", "bot.request.completing"),
        *("liqmap.cli.ledger", "liqmap.cli.record", "liqmap.cli.scan"),
        *("liqmap.live.recorder", "liqmap.mapping", "liqmap.run.typed"),
        *("liqmap.parsing.__init__", "liqmap.parsing.markets"),
    }
)
"""The modules that parse symbols. Each is behind one of the doors, or in `come_back` itself."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of an empty store, by which no exchange can be reached."""
    return Settings(storage=StorageSettings(path=tmp_path), network=NetworkSettings(attempts=1))


def has_stream(market: Market) -> bool:
    return EXCHANGES[market.exchange].live.records(market.symbol)


def come_back(typed: Mapping[str, Market], settings: Settings) -> None:
    """Check that all that is typed comes back as the market that bears that name, from every door."""
    completed = cache(KnownSymbols(settings.storage.path).completed)
    for door in DOORS:
        found = {text: completed(door(market, text)) for text, market in typed.items()}
        assert found == typed, door.__name__
    recorded = [each for each in dict.fromkeys(typed.values()) if has_stream(each)]
    names = RecorderSettings(symbols=tuple(f"{each.exchange}:{each.symbol}" for each in recorded))
    assert [Market(*each) for each in configured(settings.model_copy(update={"recorder": names}))] == recorded
    sealed = frozenset(typed.values())
    assert {text: accuracy_report._meant(parse_symbol(text), sealed) for text in typed} == typed


def test_every_module_that_parses_symbols_is_behind_a_door():
    root = Path(__file__).parents[1]
    found = {
        ".".join(path.relative_to(root).with_suffix("").parts)
        for folder in ("bot", "liqmap")
        for path in (root / folder).rglob("*.py")
        if "parse_symbol(" in path.read_text() or "parse_symbol," in path.read_text()
    }
    assert found == PARSING


def test_all_956_symbols_of_the_bracket_tables_come_back_unchanged(settings: Settings):
    markets = [Market(BINANCE, symbol) for symbol in sorted(bracketed_symbols(BINANCE))]
    assert len(markets) == 956
    come_back({each.symbol.lower(): each for each in markets}, settings)


async def test_known_symbols_need_no_exchange(settings: Settings):
    markets = [Market(BINANCE, symbol) for symbol in sorted(bracketed_symbols(BINANCE))]
    async with Listings(settings, clock=SimulatedClock(NOW)) as listings:
        window = TimeWindow.ending(NOW, timedelta(days=3))
        assert [await listings.meant(market, window) for market in markets] == markets


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the real lists of ../shared/data are not here")
@pytest.mark.parametrize("exchange", Exchange)
def test_all_symbols_of_the_real_lists_come_back_unchanged(settings: Settings, exchange: Exchange):
    listed = dict(LISTS[exchange]())
    assert len(listed) > 2
    KnownSymbols(settings.storage.path).keep(exchange, frozenset(listed.values()), now=NOW)
    come_back({typed: Market(exchange, symbol) for typed, symbol in sorted(listed.items())}, settings)


@pytest.mark.parametrize(
    ("exchange", "typed", "listed", "said"),
    [
        (OKX, "1000PEPEUSDT", "PEPEUSDT", "1000PEPEUSDT: PEPEUSDT"),
        (OKX, "1000PEPE-USDT-SWAP", "PEPEUSDT", "1000PEPE-USDT-SWAP: PEPEUSDT"),
        (OKX, "BTC-USDT-SWAP", "BTCUSDT", "BTC-USDT-SWAP: BTCUSDT"),
        (OKX, "btc-usdt", "BTCUSDT", None),
        (OKX, "BTC", "BTCUSDT", "BTC: BTCUSDT"),
        (BINANCE, "PEPEUSDT", "1000PEPEUSDT", "PEPEUSDT: 1000PEPEUSDT"),
        (BINANCE, "BTCPERP", "BTCUSDT", "BTCPERP: BTCUSDT"),
        (BYBIT, "BTCUSDC", "BTCPERP", "BTCUSDC: BTCPERP"),
    ],
)
def test_symbol_that_is_not_listed_is_completed_and_that_is_said(
    settings: Settings, exchange: Exchange, typed: str, listed: str, said: str | None
):
    known = KnownSymbols(settings.storage.path)
    known.keep(exchange, frozenset({listed, "ETHUSDT"}), now=NOW)
    named = Market(exchange, parse_symbol(typed))
    meant = known.completed(named)
    assert meant == Market(exchange, listed)
    assert completion_text([named], [meant]) == said


@pytest.mark.parametrize(
    "typed", ["BTC-USD-SWAP", "BTC-USDT-260327", "BTC-USDC-SWAP", "1000PEPEUSDC", "XBTCUSDT"]
)
def test_symbol_of_okx_that_is_not_listed_never_becomes_another_contract(settings: Settings, typed: str):
    known = KnownSymbols(settings.storage.path)
    known.keep(OKX, frozenset({"BTCUSDT", "PEPEUSDT"}), now=NOW)
    assert known.completed(Market(OKX, typed)) == Market(OKX, typed)


def test_completion_names_the_exchanges_on_which_a_symbol_means_something_else():
    typed = [Market(exchange, "BTCUSD") for exchange in (BINANCE, BYBIT)]
    drawn = [Market(BINANCE, "BTCUSD_PERP"), Market(BYBIT, "BTCUSD")]
    assert completion_text(typed, drawn) == "BTCUSD: BTCUSD_PERP on Binance"
    both = [Market(exchange, "BTC") for exchange in (BINANCE, BYBIT)]
    assert completion_text(both, [Market(each, "BTCUSDT") for each in (BINANCE, BYBIT)]) == "BTC: BTCUSDT"
    split = "BTC: BTCUSD_PERP on Binance, BTCUSD on Bybit"
    assert completion_text(both, drawn) == split
    assert completion_text(both, drawn[:1]) == "BTC: BTCUSD_PERP"  # the other one was left out


def of_binance() -> Iterator[tuple[str, str]]:
    """Yield the symbols of recorded answers of Binance's REST API, as they are typed and listed."""
    for path in (SHARED / "binance_rest").glob("*.json"):
        for answer in json.loads(path.read_text()):
            rows = answer["data"] if isinstance(answer["data"], list) else [answer["data"]]
            for row in rows:
                if isinstance(row, dict) and "symbol" in row:
                    yield row["symbol"], row["symbol"]


def of_bybit() -> Iterator[tuple[str, str]]:
    """Yield the symbols of Bybit's risk limits, and OKX's, which no exchange here lists by that name."""
    page = json.loads((SHARED / "bybit" / "risk_limit_rows.json").read_text())
    symbols = [row["symbol"] for row in page["result"]["list"]]
    for symbol in (*symbols, *(row["instId"] for row in okx_rows())):
        yield symbol, symbol


def of_okx() -> Iterator[tuple[str, str]]:
    """Yield OKX's linear swaps as users write them: BTCUSDT, BTC-USDT and BTC-USDT-SWAP."""
    for row in okx_rows():
        if row["ctType"] == "linear":
            name = row["instId"]
            symbol = name.removesuffix("-SWAP").replace("-", "")
            for typed in (name, name.lower(), name.removesuffix("-SWAP"), symbol):
                yield typed, symbol


def okx_rows() -> Iterator[Mapping[str, str]]:
    """Yield the rows of recorded lists of OKX's swaps."""
    with (SHARED / "okx" / "instruments_swap_2022-05-13.csv").open(newline="") as file:
        yield from csv.DictReader(file)
    yield from json.loads((SHARED / "okx" / "instruments_swap_recorded_2026-09-25.json").read_text())["data"]


LISTS: dict[Exchange, Callable[[], Iterator[tuple[str, str]]]] = {
    BINANCE: of_binance,
    BYBIT: of_bybit,
    OKX: of_okx,
}
