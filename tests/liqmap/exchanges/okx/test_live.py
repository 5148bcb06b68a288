from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from liqmap.errors import DataError, RequestError
from liqmap.exchanges.messages import (
    Acknowledged,
    Leaving,
    Liquidation,
    Newest,
    PartlyUnreadable,
    StreamTrade,
)
from liqmap.exchanges.okx.live import OkxBackfill, OkxLive
from liqmap.exchanges.okx.pages import busy
from liqmap.model import Side
from tests.liqmap.exchanges.okx.samples import LIQUIDATION, NOTICE, ROW, SUBSCRIBED, TRADE, UNKNOWN, answer

LIVE, BACKFILL = OkxLive(), OkxBackfill()
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def read(message: dict[str, Any]) -> object:
    return LIVE.read(json.dumps(message))


def test_trade_stands_for_its_fills_and_bears_the_id_of_the_last():
    expected = StreamTrade("BTCUSDT", 2000000103, 1790000000123, 60000.1, 12.5, is_buy=True, fills=3)
    assert read(TRADE) == [expected]


def test_trades_of_other_instruments_are_left_out():
    # A recorded frame of 2022.
    row = {"instId": "BTC-USD-220527", "tradeId": "7849", "px": "30218.8", "sz": "1", "side": "buy"}
    message = {"arg": {"channel": "trades"}, "data": [row | {"ts": "1652459199958"}]}
    assert read(message) == []


def test_trade_without_a_count_is_one_fill():
    row = {key: value for key, value in TRADE["data"][0].items() if key != "count"}
    assert read(TRADE | {"data": [row]}) == [
        StreamTrade("BTCUSDT", 2000000103, 1790000000123, 60000.1, 12.5, is_buy=True)
    ]


@pytest.mark.parametrize(
    ("position", "side", "closed"),
    [
        ("long", "sell", Side.BUY),
        ("short", "buy", Side.SELL),
        ("net", "sell", Side.BUY),
        ("net", "buy", Side.SELL),
    ],
)
def test_liquidation_has_the_side_of_the_position(position: str, side: str, closed: Side):
    row = LIQUIDATION["data"][0]
    detail = row["details"][0] | {"posSide": position, "side": side}
    expected = Liquidation("BTCUSDT", 1791565600771, closed, 82655.7, 8.55)
    assert read(LIQUIDATION | {"data": [row | {"details": [detail]}]}) == [expected]


def test_one_liquidation_that_cannot_be_read_hides_no_other():
    bad = LIQUIDATION["data"][0] | {"details": [{"sz": "x"}]}
    with pytest.raises(PartlyUnreadable) as caught:
        read(LIQUIDATION | {"data": [bad, LIQUIDATION["data"][0]]})
    assert len(caught.value.readable) == 1


def test_each_argument_is_acknowledged_or_refused_on_its_own():
    words = "Wrong URL or channel:trades,instId:NO-USDT-SWAP doesn't exist. Please use the correct URL"
    assert read(SUBSCRIBED) == Acknowledged(1, accepted=True, symbol="BTCUSDT")
    assert read({"id": "7", "event": "error", "code": "60018", "msg": words}) == Acknowledged(
        7, False, "NOUSDT"
    )
    assert read({"id": "7", "event": "error", "code": "60012", "msg": "Invalid"}) == Acknowledged(
        7, False, None
    )
    assert read(SUBSCRIBED | {"arg": {"channel": "liquidation-orders", "instType": "SWAP"}}) is None


def test_word_that_the_connection_will_be_closed_is_heard():
    assert read(NOTICE) == Leaving()
    assert read(NOTICE | {"code": "64007"}) is None


def test_pong_is_no_news():
    assert LIVE.read("pong") is None


@pytest.mark.parametrize("text", ["pang", "[]", "{}", '{"arg":{"channel":"books"},"data":[]}'])
def test_what_is_no_message_is_an_error(text: str):
    with pytest.raises(DataError, match="OKX sent a message"):
        LIVE.read(text)


def test_order_of_more_fills_than_there_are_ids_is_an_error():
    with pytest.raises(DataError):
        read(TRADE | {"data": [TRADE["data"][0] | {"tradeId": "1", "count": "3"}]})


def test_subscription_asks_for_orders_and_all_liquidations():
    asked = json.loads(LIVE.subscribe(["BTCUSDT", "PEPEUSDT"], number=3))
    assert asked["id"] == "3"
    assert [each.get("instId") or each["instType"] for each in asked["args"]] == [
        "BTC-USDT-SWAP",
        "PEPE-USDT-SWAP",
        "SWAP",
    ]


def test_newest_trade_is_of_the_answer_and_as_old_as_the_question():
    assert LIVE.newest(answer(ROW), asked=NOW) == Newest(1654161646974, int(NOW.timestamp() * 1000))
    assert LIVE.newest(answer(), asked=NOW).trade is None


def test_unknown_symbol_is_reported_so_though_the_status_is_that_of_success():
    with pytest.raises(RequestError, match="no such swap"):
        LIVE.newest(UNKNOWN, asked=NOW)
    assert isinstance(BACKFILL.explained(UNKNOWN, "NOUSDT"), RequestError)


def test_page_begins_with_the_id_asked_for_though_pages_go_backwards():
    url = BACKFILL.page_url("https://x", "BTCUSDT", from_id=1000)
    assert url == "https://x/api/v5/market/history-trades?instId=BTC-USDT-SWAP&limit=100&type=1&after=1100"


def test_first_id_at_a_time_follows_the_last_before_it():
    page = BACKFILL.read_page(answer(ROW | {"tradeId": "7", "ts": "1654161646975"}, ROW | {"tradeId": "6"}))
    assert page.ids.tolist() == [6, 7]
    assert BACKFILL.first_id(page, 1654161646975) == 7
    assert BACKFILL.first_id(page, 1654161646976) == 8
    assert BACKFILL.first_id(page, 1654161646974) is None


@pytest.mark.parametrize("code", ["50011", "50013", "50001", "50026", "50004"])
def test_what_passes_is_no_answer(code: str):
    assert busy({"code": code, "data": [], "msg": "Too Many Requests"}) == 2.0


@pytest.mark.parametrize("other", [answer(ROW), UNKNOWN, [], {"code": 50011}])
def test_what_does_not_pass_is_an_answer(other: object):
    assert busy(other) is None
