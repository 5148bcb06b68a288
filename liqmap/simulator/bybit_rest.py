"""Serve Bybit's REST API from the simulated market: the newest trades, listings, and risk limits.

Source: github.com/bybit-exchange/docs, v5 market endpoints.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import web

from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.formats import risk_limits
from liqmap.simulator.listings import LISTINGS, Listing
from liqmap.simulator.messages import bybit_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from liqmap.clock import Clock
    from liqmap.simulator.tape import Tape

_SYMBOLS_A_PAGE = 3  # so few that paging is needed
_DEFAULT_LIMIT, _LARGEST_LIMIT = 500, 1000


class BybitRest:
    """Answers requests from `tape` at `clock`'s time."""

    def __init__(self, tape: Tape, clock: Clock) -> None:
        self._tape = tape
        self._clock = clock

    async def trades(self, request: web.Request) -> web.Response:
        """Answer GET /v5/market/recent-trade: the newest trades, newest first; there is no paging."""
        symbol, category = request.query.get("symbol", ""), request.query.get("category", "linear")
        if symbol not in LISTINGS or category != _category(symbol):
            return bybit_refused()
        limit = request.query.get("limit", str(_DEFAULT_LIMIT))
        if not (limit.isascii() and limit.isdigit()):
            return bybit_refused("limit")
        stop = epoch_ms(self._clock.now()) + 1
        parts = await self._tape.before(symbol, stop, limit=min(max(int(limit), 1), _LARGEST_LIMIT))
        rows = ",".join(reversed([row for part in parts for row in bybit_rows(part)]))
        text = (
            f'{{"retCode":0,"retMsg":"OK","result":{{"category":"{category}","list":[{rows}]}},'
            f'"retExtInfo":{{}},"time":{stop - 1}}}'
        )
        return web.Response(text=text, content_type="application/json")

    async def time(self, request: web.Request) -> web.Response:  # noqa: ARG002 - it takes no parameters
        """Answer GET /v5/market/time."""
        now = epoch_ms(self._clock.now())
        return bybit_answer({"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)}, now)

    async def listings(self, request: web.Request) -> web.Response:
        """Answer GET /v5/market/instruments-info, a few symbols a page."""
        return _page([[_listed(symbol, LISTINGS[symbol])] for symbol in _symbols(request)], request)

    async def volumes(self, request: web.Request) -> web.Response:
        """Answer GET /v5/market/tickers, all symbols of a category at once."""
        rows = [_traded(symbol, LISTINGS[symbol]) for symbol in _symbols(request)]
        return bybit_answer({"category": _category_of(request), "list": rows})

    async def risk_limits(self, request: web.Request) -> web.Response:
        """Answer GET /v5/market/risk-limit: one symbol, or a few symbols a page."""
        category, symbol = _category_of(request), request.query.get("symbol")
        if symbol is not None:
            if symbol not in _symbols(request):
                return bybit_refused()
            return _page([risk_limits(symbol, inverse=category == "inverse")], request)
        return _page(
            [risk_limits(each, inverse=category == "inverse") for each in _symbols(request)], request
        )


def _category_of(request: web.Request) -> str:
    return request.query.get("category", "linear")


def _symbols(request: web.Request) -> list[str]:
    return sorted(name for name in LISTINGS if _category(name) == _category_of(request))


def _category(symbol: str) -> str:
    """Return the category that lists `symbol`, "" for COIN-M symbols, which only Binance has."""
    dollars = LISTINGS[symbol].dollars
    return "linear" if dollars is None else "inverse" if dollars == 1 else ""


def _page(groups: Sequence[list[dict[str, Any]]], request: web.Request) -> web.Response:
    """Answer with the requested page, a few groups of rows, and the cursor of the next page or "".

    Reserved characters of a cursor are quoted: first%3D6%26last%3D8.
    """
    found = re.fullmatch(r"first=(\d+)&last=\d+", request.query.get("cursor") or "first=0&last=0")
    if found is None:
        return bybit_refused("cursor")
    # A client must send the cursor as it got it: quoted twice, it does not match.
    first = int(found[1])
    more = first + _SYMBOLS_A_PAGE
    result = {
        "category": _category_of(request),
        "list": [row for group in groups[first:more] for row in group],
        "nextPageCursor": quote(f"first={more}&last={more + _SYMBOLS_A_PAGE}") if more < len(groups) else "",
    }
    return bybit_answer(result)


def _listed(symbol: str, listing: Listing) -> dict[str, Any]:
    inverse = listing.dollars is not None
    return {
        "symbol": symbol,
        "contractType": "InversePerpetual" if inverse else "LinearPerpetual",
        "status": "Trading",
        "baseCoin": symbol.removesuffix("T").removesuffix("USD"),
        "quoteCoin": "USD" if inverse else "USDT",
        "priceScale": str(listing.price_decimals),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
        "priceFilter": {"tickSize": f"{10**-listing.price_decimals:.{listing.price_decimals}f}"},
        "lotSizeFilter": {"qtyStep": f"{10**-listing.size_decimals:.{listing.size_decimals}f}"},
    }


def _traded(symbol: str, listing: Listing) -> dict[str, Any]:
    coins = listing.day_notional / listing.price
    inverse = listing.dollars is not None
    # Sizes of an inverse contract are dollars, so its volume is in dollars and its turnover in coins.
    turnover, volume = (coins, listing.day_notional) if inverse else (listing.day_notional, coins)
    return {
        "symbol": symbol,
        "lastPrice": f"{listing.price:.{listing.price_decimals}f}",
        "turnover24h": f"{turnover:.4f}",
        "volume24h": f"{volume:.4f}",
    }


def bybit_answer(result: Mapping[str, Any], now: int = 0) -> web.Response:
    """Return an answer of Bybit's API with `result`, made at `now` [ms]."""
    return web.json_response({"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now})


def bybit_refused(parameter: str = "symbol") -> web.Response:
    """Return Bybit's refusal of a request because of a `parameter`."""
    return web.json_response({"retCode": 10001, "retMsg": f"params error: {parameter} invalid", "result": {}})
