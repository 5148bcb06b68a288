import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.errors import DataError, RequestError
from liqmap.exchanges.binance.live import BinanceBackfill, BinanceLive
from liqmap.exchanges.messages import (
    Acknowledged,
    Liquidation,
    Newest,
    RiskTier,
    StreamTrade,
    SymbolTiers,
)
from liqmap.model import Side

T = 1791102056684
TRADE: dict[str, Any] = {
    "stream": "btcusdt@aggTrade",
    "data": {
        "e": "aggTrade",
        "E": 1791102056700,
        "s": "BTCUSDT",
        "a": 5933014,
        "p": "85079.10",
        "q": "0.023",
        "nq": "0.023",
        "f": 100,
        "l": 105,
        "T": T,
        "m": True,
        "st": 1,
    },
}
LIQUIDATION = {
    "stream": "btcusdt@forceOrder",
    "data": {
        "e": "forceOrder",
        "E": 1568014460893,
        "o": {
            "s": "BTCUSDT",
            "S": "SELL",
            "o": "LIMIT",
            "f": "IOC",
            "q": "0.014",
            "p": "9910",
            "ap": "9911.5",
            "X": "FILLED",
            "l": "0.004",
            "z": "0.014",
            "T": 1568014460893,
        },
    },
}
CONTRACT: dict[str, Any] = {
    "stream": "!contractInfo",
    "data": {
        "e": "contractInfo",
        "E": 1697379999314,
        "s": "LOOMUSDT",
        "ps": "LOOMUSDT",
        "ct": "PERPETUAL",
        "dt": 4133404800000,
        "ot": 1697034600000,
        "cs": "TRADING",
        "bks": [
            {"bs": 1, "bnf": 0, "bnc": 25000, "mmr": 0.03, "cf": 0, "mi": 11, "ma": 20},
            {"bs": 2, "bnf": 25000, "bnc": 200000, "mmr": 0.05, "cf": 500, "mi": 6, "ma": 10},
        ],
    },
}
ROW = {
    "a": 3474491307,
    "p": "85079.10",
    "q": "0.023",
    "nq": "0.023",
    "f": 8144210172,
    "l": 8144210172,
    "T": 1791102056684,
    "m": False,
}

GARBAGE = [
    "",
    "x",
    "[]",
    "null",
    "1",
    '"data"',
    "NaN",
    "[" * 100_000,
    '{"data":[]}',
    '{"data":{}}',
    '{"data":0}',
]
"""What is no message at all, or one without anything that can be told."""

HOSTILE_NUMBERS: list[Any] = [
    None,
    True,
    1,
    0.5,
    [],
    "",
    "x",
    "nan",
    "NaN",
    "inf",
    "-1",
    "-1e-17",
    "1e400",
    "1e30",
]
NOTHING: list[Any] = ["0", "-0.0", "1e-999"]
"""What is no price, but may be a size."""
HOSTILE_TIMES: list[Any] = [
    None,
    True,
    "1791102056684",
    1791102056684.0,
    -1,
    0,
    1791102056,
    1791102056684000,
    10**30,
    [],
]
HOSTILE_IDS: list[Any] = [None, True, "7", 7.0, -1, 1 << 62, 10**30, []]
HOSTILE_FLAGS: list[Any] = [None, "false", 0, 1, []]
HOSTILE_SIDES: list[Any] = ["sideways", "", None, 1, []]
HOSTILE_SYMBOLS: list[Any] = [None, 7, [], {}]


def read(message: object) -> Any:
    return BinanceLive().read(message if isinstance(message, str) else json.dumps(message))


def changed(message: dict[str, Any], *path: str, to: object) -> dict[str, Any]:
    changed = copy.deepcopy(message)
    at = changed
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return changed


def test_trade_of_a_maker_who_bought_is_a_sell():
    assert read(TRADE) == [StreamTrade("BTCUSDT", 5933014, T, 85079.1, 0.023, is_buy=False)]
    assert read(changed(TRADE, "data", "m", to=False))[0].is_buy


@pytest.mark.parametrize(("order", "position"), [("SELL", Side.BUY), ("BUY", Side.SELL)])
def test_liquidation_has_the_side_of_the_position_that_the_order_closed(order: str, position: Side):
    found = read(changed(LIQUIDATION, "data", "o", "S", to=order))
    assert found == [Liquidation("BTCUSDT", 1568014460893, position, 9911.5, 0.014, 9910.0)]


def test_brackets_of_a_changed_contract_are_read():
    assert read(CONTRACT) == [
        SymbolTiers("LOOMUSDT", (RiskTier(25_000, 0.03, 20, 0), RiskTier(200_000, 0.05, 10, 500)))
    ]


@pytest.mark.parametrize(("key", "value"), [("bks", []), ("bks", None), ("st", 2)])
def test_contract_without_new_brackets_or_of_coin_m_is_of_no_interest(key: str, value: object):
    assert read(changed(CONTRACT, "data", key, to=value)) is None
    assert read(changed(CONTRACT, "data", "st", to=1)) == read(CONTRACT)


@pytest.mark.parametrize("key", ["bnc", "mmr", "ma", "cf"])
@pytest.mark.parametrize("value", [None, True, "25000", [], {}, 10**400])
def test_bracket_with_a_hostile_value_is_refused(key: str, value: object):
    broken = changed(CONTRACT, "data", "bks", to=[CONTRACT["data"]["bks"][0] | {key: value}])
    with pytest.raises(DataError, match="Binance sent a message that cannot be read"):
        read(broken)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_bracket_that_is_not_a_number_is_refused(text: str):
    with pytest.raises(DataError, match="Binance sent a message that cannot be read"):
        read(json.dumps(CONTRACT).replace("25000", text))


@pytest.mark.parametrize("value", [7, "bks", {"a": 1}, [7], ["x"], [None]])
def test_brackets_of_another_shape_are_refused(value: object):
    with pytest.raises(DataError, match="Binance sent a message that cannot be read"):
        read(changed(CONTRACT, "data", "bks", to=value))


def test_unknown_keys_and_events_are_of_no_interest():
    assert read(changed(TRADE, "data", "zz", to=[1])) == read(TRADE)
    assert read(changed(TRADE, "data", "e", to="markPriceUpdate")) is None
    assert read({"ping": 1}) is None


def test_answers_to_subscriptions_are_matched_by_their_number():
    assert read('{"result":null,"id":3}') == Acknowledged(3, accepted=True)
    assert read('{"error":{"code":2,"msg":"Invalid request"},"id":3}') == Acknowledged(3, accepted=False)


@pytest.mark.parametrize("text", [*GARBAGE, '{"id":[]}', '{"id":null}', '{"id":"1"}', '{"data":7,"id":1}'])
def test_garbage_is_a_sentence(text: str):
    with pytest.raises(DataError, match="Binance sent a message that cannot be read"):
        read(text)


@pytest.mark.parametrize(
    ("path", "value"),
    [(("data", "p"), value) for value in [*HOSTILE_NUMBERS, *NOTHING]]
    + [(("data", "q"), value) for value in HOSTILE_NUMBERS]
    + [(("data", "T"), value) for value in HOSTILE_TIMES]
    + [(("data", "a"), value) for value in HOSTILE_IDS]
    + [(("data", "m"), value) for value in HOSTILE_FLAGS]
    + [(("data", "s"), value) for value in HOSTILE_SYMBOLS],
)
def test_trade_with_a_hostile_value_is_refused(path: tuple[str, ...], value: object):
    with pytest.raises(DataError, match="Binance sent a message that cannot be read"):
        read(changed(TRADE, *path, to=value))


@pytest.mark.parametrize("size", [*NOTHING, "1e-17", "9e-13"])
@pytest.mark.parametrize("price", ["85079.10", "0", "x", None])
def test_trade_of_size_0_keeps_its_place_among_the_ids(size: str, price: str | None):
    found = read(changed(changed(TRADE, "data", "q", to=size), "data", "p", to=price))
    assert found == [StreamTrade("BTCUSDT", 5933014, T, 0.0, 0.0, is_buy=False)]
    page = BinanceBackfill().read_page([ROW, ROW | {"a": 3474491308, "q": size, "p": price}])
    assert page.ids.tolist() == [3474491307, 3474491308]
    assert page.trades.size.tolist() == [0.023, 0]


@pytest.mark.parametrize("size", NOTHING)
def test_liquidation_of_size_0_is_none(size: str):
    assert read(changed(LIQUIDATION, "data", "o", "z", to=size)) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [("ap", value) for value in [*HOSTILE_NUMBERS, *NOTHING]]
    + [("z", value) for value in HOSTILE_NUMBERS]
    + [("T", value) for value in HOSTILE_TIMES]
    + [("s", value) for value in HOSTILE_SYMBOLS]
    + [("S", value) for value in HOSTILE_SIDES],
)
def test_liquidation_with_a_hostile_value_is_refused(key: str, value: object):
    with pytest.raises(DataError, match="Binance sent a message that cannot be read"):
        read(changed(LIQUIDATION, "data", "o", key, to=value))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), st.lists, max_leaves=3))
def test_any_value_anywhere_is_refused_or_sound(value: object):
    for key in TRADE["data"]:
        try:
            (found,) = read(changed(TRADE, "data", key, to=value)) or [None]
        except DataError:
            continue
        assert found is None or (0 < found.price < 1e15 and 0 < found.size < 1e15 and found.time == T)


def test_streams_are_subscribed_to_below_market_by_lowercase_names():
    live = BinanceLive()
    assert live.stream_url("wss://fstream.binance.com") == "wss://fstream.binance.com/market/stream"
    assert json.loads(live.subscribe(("BTCUSDT", "ETHUSDT"), number=7)) == {
        "method": "SUBSCRIBE",
        "params": [
            *("btcusdt@aggTrade", "btcusdt@forceOrder", "ethusdt@aggTrade", "ethusdt@forceOrder"),
            "!contractInfo",
        ],
        "id": 7,
    }


@pytest.mark.parametrize(
    ("symbol", "records"),
    [("BTCUSDT", True), ("BTCUSDC", True), ("BTCUSDT_261225", True), ("BTCUSD_PERP", False)],
)
def test_usd_margined_symbols_are_recorded(symbol: str, records: bool):
    assert BinanceLive().records(symbol) is records


def test_newest_trade_is_requested_alone():
    live = BinanceLive()
    url = live.newest_url("https://fapi.binance.com", "币安人生USDT")
    assert parse_qs(urlsplit(url).query) == {"symbol": ["币安人生USDT"], "limit": ["1"]}
    asked = datetime(2026, 10, 4, tzinfo=UTC)
    assert live.newest([ROW], asked=asked) == Newest(1791102056684, 1791072000000)
    assert live.newest([], asked=asked) == Newest(None, 1791072000000)
    with pytest.raises(DataError):
        live.newest({"code": -1}, asked=asked)


def test_pages_start_with_an_id_or_a_time():
    def query(**start: int) -> dict[str, list[str]]:
        url = urlsplit(BinanceBackfill().page_url("https://fapi.binance.com", "BTCUSDT", **start))
        assert f"{url.scheme}://{url.netloc}{url.path}" == "https://fapi.binance.com/fapi/v1/aggTrades"
        return parse_qs(url.query)

    assert query() == {"symbol": ["BTCUSDT"], "limit": ["1000"]}
    assert query(from_id=0) == {"symbol": ["BTCUSDT"], "limit": ["1000"], "fromId": ["0"]}
    assert query(from_ms=5) == {"symbol": ["BTCUSDT"], "limit": ["1"], "startTime": ["5"]}
    assert BinanceBackfill().reach < timedelta(hours=48)


def test_page_is_read_in_the_order_of_ids_each_once():
    second = ROW | {"a": 3474491308, "p": "85079.00", "m": True, "zz": None}
    page = BinanceBackfill().read_page([second, ROW, second])
    assert page.ids.tolist() == [3474491307, 3474491308]
    assert page.trades.time.tolist() == [1791102056684] * 2
    assert page.trades.price.tolist() == [85079.1, 85079.0]
    assert page.trades.size.tolist() == [0.023, 0.023]
    assert page.trades.is_buy.tolist() == [True, False]


def test_empty_page_has_no_trades():
    page = BinanceBackfill().read_page([])
    assert (len(page.ids), len(page.trades)) == (0, 0)
    assert page.trades.time.dtype == "int64"


@pytest.mark.parametrize("answer", [None, {}, {"code": -1121}, "x", [None], [[]], [{}], [ROW, {}], 7])
def test_answer_that_is_not_a_page_is_one_sentence(answer: object):
    with pytest.raises(DataError, match="not of trades"):
        BinanceBackfill().read_page(answer)


@pytest.mark.parametrize(
    ("key", "value"),
    [("p", value) for value in [*HOSTILE_NUMBERS, *NOTHING]]
    + [("q", value) for value in HOSTILE_NUMBERS]
    + [("T", value) for value in HOSTILE_TIMES]
    + [("a", value) for value in HOSTILE_IDS]
    + [("m", value) for value in HOSTILE_FLAGS],
)
def test_page_with_a_hostile_value_is_a_sentence(key: str, value: object):
    with pytest.raises(DataError, match="not of trades"):
        BinanceBackfill().read_page([ROW, ROW | {key: value}])


@pytest.mark.parametrize(
    ("text", "weight"),
    [("120", 120), ("0", 0), ("", None), ("-1", None), ("x", None), ("٣", None), ("9" * 5000, None)],
)
def test_used_weight_is_what_the_header_says(text: str, weight: int | None):
    assert BinanceBackfill().used_weight({"X-MBX-USED-WEIGHT-1M": text}) == weight
    assert BinanceBackfill().used_weight({}) is None


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        ({"code": -1121, "msg": "Invalid symbol."}, RequestError, "no future named XUSDT"),
        (
            {"code": -4166, "msg": "Search window is restricted to recent 2 days only."},
            DataError,
            "the last two days only",
        ),
        ({"code": -1003, "msg": "Too many requests"}, DataError, r"\(code -1003\)"),
        ({"code": "x"}, DataError, "refuses to send"),
        (["x"], DataError, "refuses to send"),
        (None, DataError, "refuses to send"),
    ],
)
def test_refusals_are_explained(answer: object, kind: type[Exception], sentence: str):
    with pytest.raises(kind, match=sentence):
        raise BinanceBackfill().explained(answer, "XUSDT")
