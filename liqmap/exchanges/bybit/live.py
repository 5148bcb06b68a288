"""Bybit's public streams of linear contracts. Bybit does not serve the earlier trades of today.

Source: github.com/bybit-exchange/docs, v5: Public Trading History, websocket Trade and All Liquidation.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from liqmap.errors import DataError, RequestError, parser_door
from liqmap.exchanges.bybit.ids import is_id
from liqmap.exchanges.fields import price_of, size_of, symbol_of, time_of, written_time_of
from liqmap.exchanges.messages import (
    Acknowledged,
    Liquidation,
    Message,
    Newest,
    PartlyUnreadable,
    StreamTrade,
    json_object,
    named_in,
)
from liqmap.model import Side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

_SIDES = {"Buy": Side.BUY, "Sell": Side.SELL}
_LONGEST_ID = 40  # a UUID has 36 characters
_LINEAR = re.compile(r"\w+(?:USDT|PERP|USDC)")


class BybitLive:
    """Bybit's public streams of linear contracts."""

    numbered = False
    complete_liquidations = True
    reports_fills = False  # but bankruptcy prices
    heartbeat: str | None = '{"op":"ping"}'
    heartbeat_seconds = 20.0
    lifetime: timedelta | None = None
    newest_weight = 1
    subscriptions_an_hour: int | None = None
    most_symbols = 250  # a connection takes topics of 21,000 characters, of each symbol up to 75

    def records(self, symbol: str) -> bool:
        """Return whether `symbol` is a linear contract; inverse ones have a stream address of their own."""
        return _LINEAR.fullmatch(symbol) is not None

    def stream_url(self, base_url: str) -> str:
        """Return the address of the streams of linear contracts."""
        return f"{base_url}/v5/public/linear"

    def subscribe(self, symbols: Sequence[str], *, number: int) -> str:
        """Return the message that asks for the trades and liquidations of `symbols`."""
        topics = [f"{name}.{symbol}" for symbol in symbols for name in ("publicTrade", "allLiquidation")]
        return json.dumps({"op": "subscribe", "args": topics, "req_id": str(number)})

    def read(self, text: str) -> Message:
        """Return what a message holds. Raises DataError for any other text.

        Trades, whose `S` is the taker's side::

            {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{
             "T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick",
             "i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"RPI":false,"seq":1783284617}]}

        Liquidations, whose `S` is the side of the position, so that Buy was a long::

            {"topic":"allLiquidation.ROSEUSDT","type":"snapshot","ts":1739502303204,"data":[{
             "T":1739502302929,"s":"ROSEUSDT","S":"Sell","v":"20000","p":"0.04499"}]}
        """
        with parser_door("Bybit sent a message that cannot be read; if it goes on, check for an update."):
            return self._read(json_object(text))

    def _read(self, message: dict[str, Any]) -> Message:
        kind = str(message.get("topic", "")).partition(".")[0]
        match kind:
            case "publicTrade":
                return [_trade(row) for row in message["data"]]
            case "allLiquidation":
                return _liquidations(message["data"])
            case _ if message.get("op") == "subscribe":
                # Bybit refuses a whole message if one of its topics is subscribed to already.
                comes = message["success"] is True or "already subscribed" in str(message.get("ret_msg"))
                return Acknowledged(int(message["req_id"]), comes)
            case _:
                return None

    def newest_url(self, base_url: str, symbol: str) -> str:
        """Return the address of the newest trade of `symbol`."""
        return f"{base_url}/v5/market/recent-trade?category=linear&symbol={quote(symbol)}&limit=1"

    def newest(self, answer: object, *, asked: datetime) -> Newest:
        """Return the answer of `newest_url`, with its time by Bybit's clock.

        Raises RequestError if there is no such symbol, DataError if the answer cannot be read. The answer::

            {"retCode":0,"retMsg":"OK","result":{"category":"linear","list":[{"execId":"2100000000007764263",
             "symbol":"BTCUSDT","price":"16618.49","size":"0.00012","side":"Buy","time":"1672052955758"}]},
             "time":1672053054358}
        """
        del asked  # this machine's clock may be wrong
        match answer:
            case {"retCode": 10001}:  # params error: symbol invalid
                raise RequestError("Bybit has no such linear contract; check the symbol.")
            case {"retCode": 10006}:
                raise DataError("Bybit is limiting requests; try again in a minute.")
        with parser_door("Bybit's newest trade cannot be read; try again later."):
            return _newest(answer)


def _newest(answer: object) -> Newest:
    match answer:
        case {"retCode": 0, "time": said, "result": {"list": list(rows)}}:
            return Newest(max((written_time_of(row["time"]) for row in rows), default=None), time_of(said))
    raise TypeError("this is no answer about trades")


def _trade(row: dict[str, Any]) -> StreamTrade:
    is_buy, size = _SIDES[row["S"]] is Side.BUY, size_of(row["v"])
    price = price_of(row["p"]) if size else 0.0
    return StreamTrade(symbol_of(row["s"]), None, time_of(row["T"]), price, size, is_buy, _name(row.get("i")))


def _name(value: object) -> str:
    """Return what identifies a trade, "" if nothing does; such a trade never counts as repeated."""
    return value if isinstance(value, str) and len(value) <= _LONGEST_ID and is_id(value) else ""


def _liquidations(rows: list[dict[str, Any]]) -> list[Liquidation]:
    """Return the liquidations. Raises PartlyUnreadable if some cannot be read, which costs no trades."""
    found, unread, problem = [], [], None
    for row in rows:
        try:
            with parser_door("Bybit sent a liquidation that cannot be read; check for an update."):
                found.append(_liquidation(row))
        except DataError as error:
            problem = error
            unread.append(row)
    readable = [each for each in found if each.size]
    if problem is not None:
        symbols = named_in(unread, "s", symbol_of)
        raise PartlyUnreadable(str(problem), readable, symbols) from problem.__cause__
    return readable


def _liquidation(row: dict[str, Any]) -> Liquidation:
    size = size_of(row["v"])
    price = price_of(row["p"]) if size else 0.0
    return Liquidation(symbol_of(row["s"]), time_of(row["T"]), _SIDES[row["S"]], price, size)
