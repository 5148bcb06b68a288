"""Bybit's REST API over the simulated market: the newest trades, what is listed, and risk limits.

Source: github.com/bybit-exchange/docs, v5 market endpoints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.formats import risk_limits
from liqmap.simulator.market import LISTINGS, Listing
from liqmap.simulator.messages import bybit_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.clock import Clock
    from liqmap.simulator.tape import Tape

_SYMBOLS_A_PAGE = 3  # few, so that there are several pages
_DEFAULT_LIMIT, _LARGEST_LIMIT = 500, 1000


class BybitRest:
    """Answers of the API at `clock`'s time, from `tape`."""

    def __init__(self, tape: Tape, clock: Clock) -> None:
        self._tape = tape
        self._clock = clock

    async def trades(self, request: web.Request) -> web.Response:
        """Answer GET /v5/market/recent-trade: the newest trades, newest first; there is no paging."""
        symbol, category = request.query.get("symbol", ""), request.query.get("category", "linear")
        if symbol not in LISTINGS or category != _category(symbol):
            return _refused("params error: symbol invalid")
        limit = request.query.get("limit", str(_DEFAULT_LIMIT))
        if not (limit.isascii() and limit.isdigit()):
            return _refused("params error: limit invalid")
        stop = epoch_ms(self._clock.now()) + 1
        parts = await self._tape.before(symbol, stop, limit=min(max(int(limit), 1), _LARGEST_LIMIT))
        rows = ",".join(reversed([row for part in parts for row in bybit_rows(part)]))
        text = (
            f'{{"retCode":0,"retMsg":"OK","result":{{"category":"{category}","list":[{rows}]}},'
            f'"retExtInfo":{{}},"time":{stop - 1}}}'
        )
        return web.Response(text=text, content_type="application/json")

    async def listings(self, request: web.Request) -> web.Response:
        """Answer GET /v5/market/instruments-info, a few symbols a page."""
        category = request.query.get("category", "linear")
        symbols = sorted(name for name in LISTINGS if _category(name) == category)
        page, cursor = _page(symbols, request)
        rows = [_listed(symbol, LISTINGS[symbol]) for symbol in page]
        return _answer({"category": category, "list": rows, "nextPageCursor": cursor})

    async def risk_limits(self, request: web.Request) -> web.Response:
        """Answer GET /v5/market/risk-limit, a few symbols a page."""
        inverse = request.query.get("category") == "inverse"
        symbols = sorted(name for name, each in LISTINGS.items() if (each.dollars == 1) == inverse)
        page, cursor = _page(symbols, request)
        body = risk_limits(page, inverse=inverse)
        body["result"]["nextPageCursor"] = cursor
        return web.json_response(body)


def _category(symbol: str) -> str:
    """Return the category that lists `symbol`; none lists COIN-M symbols, which are Binance's."""
    dollars = LISTINGS[symbol].dollars
    return "linear" if dollars is None else "inverse" if dollars == 1 else ""


def _page(symbols: Sequence[str], request: web.Request) -> tuple[Sequence[str], str]:
    """Return the symbols of the page asked for, and the cursor of the next one or ""."""
    first = int(request.query.get("cursor") or 0)
    more = first + _SYMBOLS_A_PAGE
    return symbols[first:more], str(more) if more < len(symbols) else ""


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


def _refused(text: str) -> web.Response:
    return web.json_response({"retCode": 10001, "retMsg": text, "result": {}})


def _answer(result: dict[str, Any]) -> web.Response:
    return web.json_response({"retCode": 0, "retMsg": "OK", "result": result})
