"""Binance USDⓈ-M futures, live: aggregate trades by REST, and the market streams.

Source: developers.binance.com, USDⓈ-M futures: Compressed/Aggregate Trades List, its change log of
2026, Important-WebSocket-Change-Notice (2026-03-06), Aggregate Trade, Liquidation Order and Contract Info
Streams.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import numpy as np

from liqmap.errors import DataError, LiqmapError, RequestError, parser_door
from liqmap.exchanges.fields import amount_of, code_text, id_of, price_of, size_of, symbol_of, time_of
from liqmap.exchanges.messages import (
    Acknowledged,
    Liquidation,
    Message,
    Newest,
    Page,
    RiskTier,
    StreamTrade,
    SymbolTiers,
    json_object,
)
from liqmap.model import Side, Trades

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


_CLOSED = {"SELL": Side.BUY, "BUY": Side.SELL}
_CONTRACTS = "!contractInfo"  # covers all symbols, so that one subscription is enough
_USD_M = 1


class BinanceLive:
    """Binance's streams. The addresses without /market acknowledge but stay silent since April 2026."""

    numbered = True
    complete_liquidations = False  # the latest of each second only
    reports_fills = True
    heartbeat: str | None = None  # the server pings, and the client library answers
    heartbeat_seconds = 0.0
    lifetime: timedelta | None = timedelta(hours=23)  # the exchange cuts after 24
    newest_weight = 20
    subscriptions_an_hour: int | None = None
    most_symbols = 500  # a connection takes 1024 streams, two of each symbol

    def records(self, symbol: str) -> bool:
        """Return whether `symbol` is a USDⓈ-M future; COIN-M has a host of its own."""
        return "USD_" not in symbol

    def stream_url(self, base_url: str) -> str:
        """Return the address of the combined market streams."""
        return f"{base_url}/market/stream"

    def subscribe(self, symbols: Sequence[str], *, number: int) -> str:
        """Return the message that asks for the trades and liquidations of `symbols`, and for new brackets."""
        streams = [f"{symbol.lower()}@{name}" for symbol in symbols for name in ("aggTrade", "forceOrder")]
        return json.dumps({"method": "SUBSCRIBE", "params": [*streams, _CONTRACTS], "id": number})

    def read(self, text: str) -> Message:
        """Return what a message holds. Raises DataError for any other text.

        A trade, whose `m` says that the buyer was the maker, so that the taker sold::

            {"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1791102056700,"s":"BTCUSDT",
             "a":5933014,"p":"0.001","q":"100","nq":"100","f":100,"l":105,"T":1791102056684,"m":true}}

        A liquidation, whose `S` is the side of the closing order, so that SELL closed a long::

            {"stream":"btcusdt@forceOrder","data":{"e":"forceOrder","E":1568014460893,"o":{"s":"BTCUSDT",
             "S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"9910","ap":"9910","X":"FILLED",
             "l":"0.014","z":"0.014","T":1568014460893}}}

        A change of a contract. `bks` are its new brackets, absent if something else has changed::

            {"stream":"!contractInfo","data":{"e":"contractInfo","E":1697379999314,"s":"LOOMUSDT",
             "ps":"LOOMUSDT","ct":"PERPETUAL","dt":4133404800000,"ot":1697034600000,"cs":"TRADING","bks":[
             {"bs":1,"bnf":0,"bnc":25000,"mmr":0.03,"cf":0,"mi":11,"ma":20},
             {"bs":2,"bnf":25000,"bnc":200000,"mmr":0.05,"cf":500,"mi":6,"ma":10}]}}
        """
        with parser_door("Binance sent a message that cannot be read; if it goes on, check for an update."):
            return self._read(json_object(text))

    def _read(self, message: dict[str, Any]) -> Message:
        event = message.get("data")
        if event is None:
            # {"result":null,"id":1}, even for names that do not exist
            return _acknowledged(message) if "id" in message else None
        match event["e"]:
            case "aggTrade":
                return [_trade(event["s"], event)]
            case "forceOrder":
                return [order for order in [_liquidation(event["o"])] if order.size]
            case "contractInfo" if event.get("bks") and event.get("st", _USD_M) == _USD_M:
                return [SymbolTiers(symbol_of(event["s"]), tuple(_tier(row) for row in event["bks"]))]
            case _:
                return None

    def newest_url(self, base_url: str, symbol: str) -> str:
        """Return the address of the newest trade of `symbol`."""
        return f"{base_url}/fapi/v1/aggTrades?symbol={quote(symbol)}&limit=1"

    def newest(self, answer: object, *, asked: datetime) -> Newest:
        """Return the answer of `newest_url`, requested at `asked`. Raises DataError if it cannot be read."""
        times = BinanceBackfill().read_page(answer).trades.time
        return Newest(int(times[-1]) if len(times) else None, int(asked.timestamp() * 1000))


class BinanceBackfill:
    """Pages of aggregate trades by REST, of the last 48 hours only (error −4166 for older ones)."""

    reach = timedelta(
        hours=47, minutes=50
    )  # less than 48 h, because the limit advances while pages are fetched
    page_rows = 1000
    page_weight = 20  # for any number of rows
    sends_fills = False

    def page_url(
        self, base_url: str, symbol: str, *, from_id: int | None = None, from_ms: int | None = None
    ) -> str:
        """Return the address of the page that starts with an id or a time, or of the newest page."""
        query: dict[str, str | int] = {"symbol": symbol, "limit": self.page_rows}
        if from_id is not None:
            query["fromId"] = from_id
        if from_ms is not None:
            query |= {"startTime": from_ms, "limit": 1}
        return f"{base_url}/fapi/v1/aggTrades?{urlencode(query)}"

    def first_id(self, page: Page, milliseconds: int) -> int | None:  # noqa: ARG002 - the page starts there
        """Return the first id of the page that starts with a time."""
        return int(page.ids[0]) if len(page.ids) else None

    def read_page(self, answer: object) -> Page:
        """Return the trades of a page, each id once. Raises DataError if it cannot be read.

        A row, whose `m` says that the taker sold::

            {"a":3474491307,"p":"85079.10","q":"0.023","nq":"0.023","f":8144210172,"l":8144210172,
             "T":1791102056684,"m":false}
        """
        with parser_door("Binance sent a page that is not of trades; try again later."):
            return self._page(answer)

    def _page(self, answer: object) -> Page:
        rows: list[dict[str, Any]] = answer if isinstance(answer, list) else [{}]
        columns = [_trade("", row)[1:6] for row in rows]
        ids, time, price, size, is_buy = zip(*columns, strict=True) if columns else [()] * 5
        every = np.array(ids, np.int64)
        each = np.unique(every, return_index=True)[1]
        trades = Trades(
            np.array(time, np.int64)[each],
            np.array(price, np.float64)[each],
            np.array(size, np.float64)[each],
            np.array(is_buy, np.bool_)[each],
        )
        return Page(every[each], trades)

    def used_weight(self, headers: Mapping[str, str]) -> int | None:
        """Return the weight used in this minute, from the header X-MBX-USED-WEIGHT-1M."""
        text = headers.get("X-MBX-USED-WEIGHT-1M", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

    def explained(self, answer: object, symbol: str) -> LiqmapError:
        """Return the error for an answer such as {"code":-1121,"msg":"Invalid symbol."}."""
        match answer:
            case {"code": -1121}:
                return RequestError(f"Binance has no future named {symbol}; check the symbol.")
            case {"code": -4166}:
                return DataError("Binance serves recent trades of the last two days only; try a later end.")
            case {"code": int(code)}:
                return DataError(
                    f"Binance refuses to send recent trades ({code_text(code)}); try again later."
                )
            case _:
                return DataError("Binance refuses to send recent trades; try again later.")


def _trade(symbol: object, row: dict[str, Any]) -> StreamTrade:
    is_maker, size = row["m"], size_of(row["q"])
    if type(is_maker) is not bool:
        raise TypeError("a trade's side is of another type")
    price = price_of(row["p"]) if size else 0.0
    return StreamTrade(symbol_of(symbol), id_of(row["a"]), time_of(row["T"]), price, size, not is_maker)


def _liquidation(order: dict[str, Any]) -> Liquidation:
    size = size_of(order["z"])
    price, limit = (price_of(order[key]) if size else 0.0 for key in ("ap", "p"))
    position = _CLOSED[order["S"]]
    return Liquidation(symbol_of(order["s"]), time_of(order["T"]), position, price, size, limit)


def _tier(row: dict[str, Any]) -> RiskTier:
    return RiskTier(*(amount_of(row[key]) for key in ("bnc", "mmr", "ma", "cf")))


def _acknowledged(message: dict[str, Any]) -> Acknowledged:
    number = message["id"]
    if type(number) is not int:
        raise TypeError("a message answers no request")
    return Acknowledged(number, "error" not in message)
