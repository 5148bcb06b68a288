import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from liqmap.errors import DataError, RequestError
from liqmap.exchanges.bybit.live import BybitLive
from liqmap.exchanges.messages import Acknowledged, Liquidation, Newest, PartlyUnreadable, StreamTrade
from liqmap.model import Side
from tests.liqmap.exchanges.binance.test_live import (
    HOSTILE_NUMBERS,
    HOSTILE_SIDES,
    HOSTILE_SYMBOLS,
    HOSTILE_TIMES,
    NOTHING,
)

EXECUTION = "20f43950-d8dd-5b31-9112-a178eb6023"
TRADES: dict[str, Any] = {
    "topic": "publicTrade.BTCUSDT",
    "type": "snapshot",
    "ts": 1672304486868,
    "data": [
        {
            "T": 1672304486865,
            "s": "BTCUSDT",
            "S": "Buy",
            "v": "0.001",
            "p": "16578.50",
            "L": "PlusTick",
            "i": f"{EXECUTION}af",
            "BT": False,
            "RPI": False,
            "seq": 1783284617,
        },
        {
            "T": 1672304486866,
            "s": "BTCUSDT",
            "S": "Sell",
            "v": "0.5",
            "p": "16578.00",
            "L": "MinusTick",
            "i": f"{EXECUTION}b0",
            "BT": False,
        },
    ],
}
LIQUIDATIONS: dict[str, Any] = {
    "topic": "allLiquidation.ROSEUSDT",
    "type": "snapshot",
    "ts": 1739502303204,
    "data": [{"T": 1739502302929, "s": "ROSEUSDT", "S": "Sell", "v": "20000", "p": "0.04499"}],
}
ANSWER: dict[str, Any] = {
    "retCode": 0,
    "retMsg": "OK",
    "time": 1672053054358,
    "result": {
        "category": "linear",
        "list": [
            {
                "execId": "2100000000007764263",
                "symbol": "BTCUSDT",
                "price": "16618.49",
                "size": "0.00012",
                "side": "Buy",
                "time": "1672052955758",
                "isBlockTrade": False,
            }
        ],
    },
}

NO_RESULTS: list[Any] = [None, [], {}, {"list": None}, {"list": [None]}]
NO_TEXTS: list[Any] = ["", "x", "nan", float("inf"), None, [], "7", -1]
NO_TIMES: list[Any] = [None, "1672053054358", True, -1, 1672053054]


def read(message: object) -> Any:
    return BybitLive().read(message if isinstance(message, str) else json.dumps(message))


def changed(message: dict[str, Any], key: str, *, to: object) -> dict[str, Any]:
    """Return `message` with its last row changed."""
    changed = copy.deepcopy(message)
    changed["data"][-1][key] = to
    return changed


def test_trades_are_of_the_taker_side():
    assert read(TRADES) == [
        StreamTrade("BTCUSDT", None, 1672304486865, 16578.5, 0.001, True, f"{EXECUTION}af"),
        StreamTrade("BTCUSDT", None, 1672304486866, 16578.0, 0.5, False, f"{EXECUTION}b0"),
    ]


@pytest.mark.parametrize(("reported", "position"), [("Buy", Side.BUY), ("Sell", Side.SELL)])
def test_liquidations_have_the_side_of_the_position(reported: str, position: Side):
    found = read(changed(LIQUIDATIONS, "S", to=reported))
    assert found == [Liquidation("ROSEUSDT", 1739502302929, position, 0.04499, 20000.0)]


@pytest.mark.parametrize(
    "message",
    [
        {"success": True, "ret_msg": "pong", "conn_id": "465772b1", "req_id": "", "op": "ping"},
        {"topic": "tickers.BTCUSDT", "data": {"symbol": "BTCUSDT"}},
        {"op": "auth"},
        {},
    ],
)
def test_other_messages_are_of_no_interest(message: object):
    assert read(message) is None


def test_unknown_keys_are_ignored():
    assert read(changed(TRADES, "zz", to={})) == read(TRADES)


@pytest.mark.parametrize("success", [True, False])
def test_answers_to_subscriptions_are_matched_by_their_number(success: bool):
    answer = {"success": success, "ret_msg": "", "conn_id": "465772b1", "req_id": "3", "op": "subscribe"}
    assert read(answer) == Acknowledged(3, accepted=success)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[]", "null", "1", '"topic"', "[" * 100_000),
        *(f'{{"topic":"publicTrade.BTCUSDT"{rest}}}' for rest in ("", ',"data":null', ',"data":[1]')),
        *(f'{{"topic":"publicTrade.BTCUSDT","data":{rest}}}' for rest in ('{"T":1}', "[{}]", '"x"', "7")),
        '{"op":"subscribe","success":true}',
        '{"op":"subscribe","success":true,"req_id":""}',
        '{"op":"subscribe","success":true,"req_id":[]}',
    ],
)
def test_garbage_is_a_sentence(text: str):
    with pytest.raises(DataError, match="Bybit sent a message that cannot be read"):
        read(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [("p", value) for value in [*HOSTILE_NUMBERS, *NOTHING]]
    + [("v", value) for value in HOSTILE_NUMBERS]
    + [("T", value) for value in HOSTILE_TIMES]
    + [("s", value) for value in HOSTILE_SYMBOLS]
    + [("S", value) for value in HOSTILE_SIDES],
)
def test_hostile_value_costs_all_trades_of_a_message_and_one_liquidation(key: str, value: object):
    with pytest.raises(DataError, match="Bybit sent a message that cannot be read"):
        read(changed(TRADES, key, to=value))
    two = {**LIQUIDATIONS, "data": [*LIQUIDATIONS["data"], dict(LIQUIDATIONS["data"][0])]}
    with pytest.raises(PartlyUnreadable, match="Bybit sent a liquidation that cannot be read") as caught:
        read(changed(two, key, to=value))
    assert caught.value.readable == read(LIQUIDATIONS)


@pytest.mark.parametrize("size", [*NOTHING, "1e-17"])
@pytest.mark.parametrize("price", ["16578.00", "0", None])
def test_trade_of_size_0_costs_no_other_of_its_message(size: str, price: str | None):
    found = read(changed(changed(TRADES, "v", to=size), "p", to=price))
    assert [(each.size, each.price) for each in found] == [(0.001, 16578.5), (0, 0)]


@pytest.mark.parametrize("size", NOTHING)
def test_liquidation_of_size_0_is_none(size: str):
    assert read(changed(LIQUIDATIONS, "v", to=size)) == []


@pytest.mark.parametrize(
    "name", [None, "", "null", "00000000-0000-0000-0000-000000000000", 7, True, [1] * 100, {}, "x" * 41]
)
def test_trade_without_a_name_or_with_a_hostile_one_is_a_trade(name: object):
    (_, trade) = read(changed(TRADES, "i", to=name))
    assert trade.name == ""
    plain = copy.deepcopy(TRADES)
    del plain["data"][1]["i"]
    assert read(plain)[1].name == ""


def test_streams_are_subscribed_to_by_topic():
    live = BybitLive()
    assert live.stream_url("wss://stream.bybit.com") == "wss://stream.bybit.com/v5/public/linear"
    assert json.loads(live.subscribe(("BTCUSDT",), number=7)) == {
        "op": "subscribe",
        "args": ["publicTrade.BTCUSDT", "allLiquidation.BTCUSDT"],
        "req_id": "7",
    }


@pytest.mark.parametrize(
    ("symbol", "records"),
    [("BTCUSDT", True), ("BTCPERP", True), ("BTCUSDC", True), ("BTCUSD", False), ("BTCUSDZ26", False)],
)
def test_linear_symbols_are_recorded(symbol: str, records: bool):
    assert BybitLive().records(symbol) is records


def newest(answer: object) -> Newest:
    return BybitLive().newest(answer, asked=datetime(2020, 1, 1, tzinfo=UTC))


def test_newest_trade_has_the_time_of_the_exchange():
    assert (
        BybitLive().newest_url("https://api.bybit.com", "BTCUSDT")
        == "https://api.bybit.com/v5/market/recent-trade?category=linear&symbol=BTCUSDT&limit=1"
    )
    assert newest(ANSWER) == Newest(1672052955758, 1672053054358)
    assert newest(ANSWER | {"result": {"list": []}}) == Newest(None, 1672053054358)


def test_newest_of_an_unknown_symbol_is_a_request_error():
    with pytest.raises(RequestError, match="no such linear contract"):
        newest({"retCode": 10001, "retMsg": "params error: Symbol Invalid", "result": {}})


def test_newest_that_is_limited_says_when_to_ask_again():
    with pytest.raises(DataError, match="Bybit is limiting requests; try again in a minute"):
        newest({"retCode": 10006, "retMsg": "Too many visits!", "result": {}})


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        *(ANSWER | {"result": result} for result in NO_RESULTS),
        *(ANSWER | {"result": {"list": [{"time": time}]}} for time in NO_TEXTS),
        *(ANSWER | {"time": time} for time in NO_TIMES),
    ],
)
def test_newest_of_no_answer_is_a_sentence(answer: object):
    with pytest.raises(DataError, match="cannot be read"):
        newest(answer)
