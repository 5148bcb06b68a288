from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.commands.options import OPTIONS
from bot.request import completing
from bot.request.completing import Typed
from bot.request.defaults import GuildDefaults
from bot.request.symbols import Symbols
from liqmap.model import Exchange
from liqmap.parsing import POPULAR_SYMBOLS, parse_end, parse_window

NOW = datetime(2026, 1, 3, 9, 30, 15, tzinfo=UTC)
LISTED = {
    # The most traded first, as `Symbols` has them.
    Exchange.BINANCE: ("BTCUSDT", "ETHUSDT", "OPENUSDT", "1000SHIBUSDT", "OPUSDT", "BTCUSDC", "BTCDOMUSDT"),
    Exchange.BYBIT: ("SHIB1000USDT", "BTCPERP", "BTC-26JUN26"),
}


def typed(text: str, *, defaults: GuildDefaults | None = None, **chosen: object) -> Typed:
    symbols = Symbols(offered=lambda exchange: LISTED.get(exchange, POPULAR_SYMBOLS))
    return Typed(text, chosen, defaults or GuildDefaults(), symbols, NOW, max_days=90)


@pytest.mark.parametrize(
    ("text", "chosen", "found"),
    [
        ("", {}, [*LISTED[Exchange.BINANCE]]),
        ("shib", {}, ["1000SHIBUSDT"]),
        ("Shib", {"exchange": "bybit"}, ["SHIB1000USDT"]),
        ("op", {}, ["OPUSDT", "OPENUSDT"]),
        ("btc", {}, ["BTCUSDT", "BTCUSDC", "BTCDOMUSDT"]),
        ("btc/usdc", {}, ["BTCUSDC"]),
        ("BTCUSDT.P", {}, ["BTCUSDT"]),
        ("dom", {}, ["BTCDOMUSDT"]),
        ("btc-26", {"exchange": "bybit"}, ["BTC-26JUN26"]),
        ("eth", {"exchange": "bybit"}, []),
        ("eth", {"exchange": "an exchange that is not known"}, ["ETHUSDT"]),
        ("!", {}, []),
    ],
)
def test_suggested_symbols_are_those_of_the_exchange_nearest_to_the_text(
    text: str, chosen: dict[str, Any], found: list[str]
):
    assert completing.symbols(typed(text, **chosen)) == found


def test_symbols_are_those_of_the_server_s_exchange():
    found = completing.symbols(typed("btc", defaults=GuildDefaults(exchange="bybit")))
    assert found == ["BTCPERP", "BTC-26JUN26"]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("", ["15m", "1h", "4h", "6h", "12h", "24h", "3d", "7d", "30d", "90d"]),
        ("90M", ["90m"]),
        ("6", ["6h", "6d", "6m"]),
        ("100", ["100h", "100m"]),
        ("2 weeks", ["2 weeks"]),
        ("soon", []),
    ],
)
def test_suggested_windows_are_the_typed_one_and_common_ones(text: str, first: list[str]):
    assert completing.windows(typed(text)) == first


@pytest.mark.parametrize(
    ("text", "chosen", "found"),
    [
        ("", {"mode": "portion"}, ["0.1%", "1%", "5%"]),
        ("2", {"mode": "portion"}, ["2%"]),
        ("7", {}, ["7", "70", "700"]),
        ("25", {}, ["25", "250", "2500"]),
        ("5", {"mode": "gross_value"}, ["5", "5k", "50k", "500k", "5m"]),
        ("lots", {}, []),
    ],
)
def test_values_fit_the_mode(text: str, chosen: dict[str, Any], found: list[str]):
    assert completing.values(typed(text, **chosen)) == found


def test_values_fit_the_server_s_mode():
    assert completing.values(typed("", defaults=GuildDefaults(mode="gross_value")))[0] == "50k"


@pytest.mark.parametrize(
    ("text", "first", "count"),
    [
        ("", "2026-01-03 09:00", 8),
        ("2023", "2023-01-01 00:00", 12),
        ("2023-08", "2023-08-01 00:00", 25),
        ("2023-02-2", "2023-02-20 00:00", 9),
        ("2023-08-01", "2023-08-01", 25),
        ("2023-08-01 0", "2023-08-01 00:00", 10),
        ("2026-01-03", "2026-01-03", 11),
        ("2026-01-04", "", 0),
        ("9999", "", 0),
    ],
)
def test_ends_are_past_times_that_begin_as_typed(text: str, first: str, count: int):
    found = completing.ends(typed(text))
    assert (found[:1], len(found)) == ([first] if first else [], count)


@given(st.sampled_from(sorted(OPTIONS)), st.text(max_size=120) | st.from_regex(r"[0-9:., -]{1,12}"))
def test_suggestions_are_few_and_short_and_raise_nothing(name: str, text: str):
    suggest = OPTIONS[name].suggest
    if suggest is not None:
        found = suggest(typed(text))
        assert len(found) <= 25
        assert all(0 < len(each) <= 100 for each in found)
        assert len(set(found)) == len(found)


@given(st.from_regex(r"[0-9]{1,4}[a-z ]{0,6}|20[0-9-]{0,9}[0-9: ]{0,6}", fullmatch=True))
def test_windows_and_ends_that_are_suggested_can_be_drawn(text: str):
    assert all(parse_window(each) <= timedelta(days=90) for each in completing.windows(typed(text)))
    assert all(parse_end(each, now=NOW) <= NOW for each in completing.ends(typed(text)))
