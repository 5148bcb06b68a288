"""OKX linear swaps, live: trades by REST of the last three months, and the public streams.

Source: OKX's documentation of its API v5, Get trades history, Trades and Liquidation orders channels, and its
change log of 2025 and 2026; frames recorded in 2022 and in October 2026.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import numpy as np

from liqmap.errors import DataError, LiqmapError, RequestError, parser_door
from liqmap.exchanges.fields import id_of, price_of, size_of, written_time_of
from liqmap.exchanges.messages import (
    Acknowledged,
    Leaving,
    Liquidation,
    LiquidationPage,
    Message,
    Newest,
    Page,
    PartlyUnreadable,
    StreamTrade,
    json_object,
    named_in,
)
from liqmap.exchanges.okx.names import family_of, instrument_of, is_linear, symbol_of_swap
from liqmap.exchanges.okx.pages import is_unknown, rows_of
from liqmap.model import Side, Trades

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_POSITIONS = {"long": Side.BUY, "short": Side.SELL}
_CLOSED = {"sell": Side.BUY, "buy": Side.SELL}  # of a position that is "net": the order's side closed it
_LEAVING = "64008"
_NOT_NOW: Final = frozenset({"60014", "64007"})  # too many subscriptions, and a failure of the exchange's own
_NAMED = re.compile(r"instId:([\w-]+)")
_WHAT = "recent trades"


class OkxLive:
    """OKX's public streams of linear swaps.

    The channel `trades` sends an order once for each price, with the number of its fills: what is largest
    there is what is largest on Binance.
    """

    numbered = True
    complete_liquidations = False  # "not the total", says the documentation
    reports_fills = False  # but bankruptcy prices
    heartbeat: str | None = "ping"
    heartbeat_seconds = 20.0  # of the 30 after which a silent connection is closed
    lifetime: timedelta | None = None
    newest_weight = 1
    subscriptions_an_hour: int | None = 480
    most_symbols = 400  # of the 480 subscriptions in an hour, if each has to be made anew on its own

    def records(self, symbol: str) -> bool:
        """Return whether `symbol` is a linear swap."""
        return is_linear(symbol)

    def stream_url(self, base_url: str) -> str:
        """Return the address of the public streams."""
        return f"{base_url}/ws/v5/public"

    def subscribe(self, symbols: Sequence[str], *, number: int) -> str:
        """Return the message that asks for the trades of `symbols`, and for the liquidations of all swaps."""
        trades = [{"channel": "trades", "instId": instrument_of(symbol)} for symbol in symbols]
        liquidations = {"channel": "liquidation-orders", "instType": "SWAP"}
        return json.dumps({"id": str(number), "op": "subscribe", "args": [*trades, liquidations]})

    def read(self, text: str) -> Message:
        """Return what a message holds. Raises DataError if it is none, whatever it is.

        Trades: `tradeId` is the id of the last of `count` fills, whose ids follow each other::

            {"arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"data":[{"instId":"BTC-USDT-SWAP",
             "tradeId":"2000000103","px":"60000.1","sz":"12.5","side":"buy","ts":"1790000000123","count":"3",
             "source":"0","seqId":77}]}

        Liquidations, whose `posSide` is the side of the position; where that is net, a sell closed a long::

            {"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"details":[{"bkLoss":"0",
             "bkPx":"82655.7","ccy":"","posSide":"long","side":"sell","sz":"8.55","ts":"1791565600771"}],
             "instFamily":"BTC-USDT","instId":"BTC-USDT-SWAP","instType":"SWAP","uly":"BTC-USDT"}]}

        Each argument of a subscription is acknowledged, or refused, on its own::

            {"id":"1","event":"subscribe","arg":{"channel":"trades","instId":"BTC-USDT-SWAP"},"connId":"a1"}
            {"id":"1","event":"error","code":"60018","msg":"Wrong URL or channel:trades,instId:NO-USDT-SWAP
             doesn't exist. Please use the correct URL, channel and parameters referring to API document."}

        And OKX says when it is about to close the connection::

            {"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade.
             Please reconnect.","connId":"a4d3ae55"}
        """
        if text == "pong":  # the one message that is no JSON
            return None
        with parser_door("OKX sent a message that cannot be read; if it goes on, check for an update."):
            return self._read(json_object(text))

    def _read(self, message: dict[str, Any]) -> Message:
        # Nearly every message is of trades. A pattern of the whole message would take longer than its trade.
        if "event" in message:
            return _answer(message)
        channel, rows = message["arg"]["channel"], message["data"]
        if isinstance(rows, list) and channel == "trades":
            return [trade for row in rows for trade in _trade(row)]
        if isinstance(rows, list) and channel == "liquidation-orders":
            return _liquidations(rows)
        raise TypeError("a message is of no kind that is known")

    def newest_url(self, base_url: str, symbol: str) -> str:
        """Return the address of the newest trade of `symbol`."""
        return f"{base_url}/api/v5/market/trades?instId={quote(instrument_of(symbol))}&limit=1"

    def newest(self, answer: object, *, asked: datetime) -> Newest:
        """Return what `newest_url` has answered. Raises RequestError if there is no such swap, DataError."""
        times = OkxBackfill().read_page(answer).trades.time
        return Newest(int(times[-1]) if len(times) else None, int(asked.timestamp() * 1000))


class OkxLiquidationPages:
    """The liquidations of about a day by REST; some of each moment, as in the stream."""

    reach = timedelta(hours=24)
    late = timedelta(minutes=1)
    page_rows = 100
    weight = 1

    def page_url(self, base_url: str, symbol: str, *, before_ms: int) -> str:
        """Return the address of the newest 100 before a time."""
        query = {"instType": "SWAP", "uly": family_of(symbol), "state": "filled", "limit": self.page_rows}
        return f"{base_url}/api/v5/public/liquidation-orders?{urlencode(query | {'after': before_ms})}"

    def read_page(self, answer: object, symbol: str) -> LiquidationPage:
        """Return a page, whose rows are as in the stream. Raises DataError."""
        rows = rows_of(answer, what="liquidations")
        with parser_door("OKX's answer about liquidations cannot be read; try again later."):
            its = tuple(each for each in _liquidations(rows) if each.symbol == symbol)
            return LiquidationPage(
                its, tuple(written_time_of(detail["ts"]) for row in rows for detail in row["details"])
            )


class OkxBackfill:
    """Pages of single fills by REST, backwards from an id or a time."""

    reach = timedelta(days=89)  # OKX keeps three months, and the shortest three have 89 days
    page_rows = 100
    page_weight = 1
    sends_fills = True

    def page_url(
        self, base_url: str, symbol: str, *, from_id: int | None = None, from_ms: int | None = None
    ) -> str:
        """Return the address of the page that starts with an id, ends before a time, or is the newest."""
        query: dict[str, str | int] = {"instId": instrument_of(symbol), "limit": self.page_rows}
        if from_id is not None:
            # Pages go backwards: `after` means older than, and ids follow each other.
            query |= {"type": 1, "after": from_id + self.page_rows}
        if from_ms is not None:
            query |= {"type": 2, "after": from_ms}
        return f"{base_url}/api/v5/market/history-trades?{urlencode(query)}"

    def first_id(self, page: Page, milliseconds: int) -> int | None:
        """Return the id that the first fill at or after a time has, by the page that ends before it."""
        earlier = page.ids[page.trades.time < milliseconds]
        return int(earlier[-1]) + 1 if len(earlier) else None

    def read_page(self, answer: object) -> Page:
        """Return the fills of a page, each id once.

        Raises RequestError if there is no such swap, DataError if it is no page. A row; they come newest
        first::

            {"instId":"BTC-USDT-SWAP","side":"sell","sz":"0.01","source":"0","px":"29963.2",
             "tradeId":"242720720","ts":"1654161646974"}
        """
        if is_unknown(answer):
            raise RequestError("OKX has no such swap; check the symbol.")
        rows = rows_of(answer, what=_WHAT)
        with parser_door("OKX sent a page that is not of trades; try again later."):
            return _page(rows)

    def explained(self, answer: object, symbol: str) -> LiqmapError:
        """Return the error that {"code":"51001","data":[],"msg":"Instrument ID doesn't exist."} means."""
        if is_unknown(answer):
            return RequestError(f"OKX has no swap named {symbol}; check the symbol.")
        try:
            rows_of(answer, what=_WHAT)
        except DataError as error:
            return error
        return DataError("OKX refuses to tell recent trades; try again later.")


def _answer(message: dict[str, Any]) -> Message:
    """Return what an answer to a subscription holds, or a notice."""
    match message:
        case {"event": "subscribe", "id": str(number), "arg": {"channel": "trades", "instId": str(name)}}:
            return _acknowledged(number, name, accepted=True)
        # Who is not accepted for now still waits, and is asked for again.
        case {"event": "error", "id": str(number), "msg": str(words), **more} if (
            more.get("code") not in _NOT_NOW
        ):
            found = _NAMED.search(words)
            return _acknowledged(number, found[1] if found else None, accepted=False)
        case {"event": "notice", "code": code} if code == _LEAVING:
            return Leaving()
        case {"event": str()}:
            return None
    raise TypeError("a message is of no kind that is known")


def _acknowledged(number: str, instrument: str | None, *, accepted: bool) -> Acknowledged:
    symbol = None if instrument is None else symbol_of_swap(instrument)
    return Acknowledged(int(number), accepted, symbol)


def _trade(row: dict[str, Any]) -> Iterator[StreamTrade]:
    symbol = symbol_of_swap(row["instId"])
    if symbol is None:
        return
    number, fills = _number(row["tradeId"]), _number(row.get("count", "1"))
    if not 1 <= fills <= number + 1:
        raise ValueError("an order has an odd number of fills")
    size = size_of(row["sz"])
    price = price_of(row["px"]) if size else 0.0
    is_buy = _SIDES[row["side"]] is Side.BUY
    yield StreamTrade(symbol, number, written_time_of(row["ts"]), price, size, is_buy, fills=fills)


def _number(text: object) -> int:
    if not isinstance(text, str):
        raise TypeError("a number is not a text")
    return id_of(int(text))


def _liquidations(rows: list[dict[str, Any]]) -> list[Liquidation]:
    """Return the liquidations. Raises PartlyUnreadable if some cannot be read: no trade is lost by that."""
    found, unread, problem = [], [], None
    for row in rows:
        try:
            with parser_door("OKX sent a liquidation that cannot be read; check for an update."):
                symbol = symbol_of_swap(row["instId"])
                found += [_liquidation(symbol, detail) for detail in row["details"] if symbol is not None]
        except DataError as error:
            problem = error
            unread.append(row)
    readable = [each for each in found if each.size]
    if problem is not None:
        symbols = named_in(unread, "instId", symbol_of_swap)
        raise PartlyUnreadable(str(problem), readable, symbols) from problem.__cause__
    return readable


def _liquidation(symbol: str, row: dict[str, Any]) -> Liquidation:
    size, side = size_of(row["sz"]), row["side"]
    price = price_of(row["bkPx"]) if size else 0.0
    position = _CLOSED[side] if row["posSide"] == "net" else _POSITIONS[row["posSide"]]
    return Liquidation(symbol, written_time_of(row["ts"]), position, price, size)


def _page(rows: list[dict[str, Any]]) -> Page:
    columns = [
        (
            _number(row["tradeId"]),
            written_time_of(row["ts"]),
            price_of(row["px"]) if size_of(row["sz"]) else 0.0,
            size_of(row["sz"]),
            _SIDES[row["side"]] is Side.BUY,
        )
        for row in rows
    ]
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
