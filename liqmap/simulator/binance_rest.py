"""Serve Binance's REST API from the simulated market: aggregate trades of the last two days, and listings.

Source: developers.binance.com, USDⓈ-M futures, market data endpoints and change log of 2026.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.limits import Charge, WeightLimit
from liqmap.simulator.listings import LISTINGS, Listing
from liqmap.simulator.messages import binance_rows
from liqmap.simulator.tape import linear_symbols

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liqmap.clock import Clock
    from liqmap.simulator.listings import MarketDay
    from liqmap.simulator.tape import Tape

_HOUR_MS = 3_600_000
_HISTORY_MS = 48 * _HOUR_MS
_TRADES_WEIGHT = 20  # whatever the `limit` of the request is
_LISTINGS_WEIGHT = _TIME_WEIGHT = 1
_VOLUMES_WEIGHT = 40  # of a request without a symbol
_DEFAULT_LIMIT, _LARGEST_LIMIT = 500, 1000


class _RefusedError(Exception):
    """An error of the API: its code and text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Query:
    """The parameters of GET /fapi/v1/aggTrades. Times are in ms, both ends included."""

    symbol: str
    from_id: int | None
    start: int | None
    end: int | None
    limit: int

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        symbol = query.get("symbol", "")
        if not symbol:
            raise _RefusedError(
                -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            )
        if symbol not in linear_symbols():
            raise _RefusedError(-1121, "Invalid symbol.")
        names = ("fromId", "startTime", "endTime")
        from_id, start, end = (_number(query, name) for name in names)
        if from_id is not None and (start is not None or end is not None):
            raise _RefusedError(-1128, "Combination of optional parameters invalid.")
        if start is not None and end is not None and end - start >= _HOUR_MS:
            raise _RefusedError(-1127, "More than 1 hours between startTime and endTime.")
        limit = _number(query, "limit")
        if limit is not None and not 1 <= limit <= _LARGEST_LIMIT:
            raise _RefusedError(-1130, "Data sent for parameter 'limit' is not valid.")
        return cls(symbol, from_id, start, end, limit or _DEFAULT_LIMIT)


class BinanceRest:
    """Answers requests from `tape` at `clock`'s time, within `weight_limit` a minute."""

    def __init__(self, tape: Tape, clock: Clock, *, weight_limit: int) -> None:
        self._tape = tape
        self._clock = clock
        self._weight_limit = weight_limit
        self.budget = WeightLimit(clock, weight_limit)

    async def trades(self, request: web.Request) -> web.Response:
        """Answer GET /fapi/v1/aggTrades: rows in the order of their ids, up to the clock's time."""
        charge = self.budget.charge(_TRADES_WEIGHT)
        if charge.refusal is not None:
            return _refused(charge, charge.refusal)
        try:
            parts = await self._parts(_Query.of(request.query))
        except _RefusedError as error:
            return _answer({"code": error.code, "msg": str(error)}, charge, status=400)
        rows = ",".join(row for part in parts for row in binance_rows(part))
        return web.Response(text=f"[{rows}]", content_type="application/json", headers=_headers(charge))

    async def listings(self, request: web.Request) -> web.Response:  # noqa: ARG002 - it takes no parameters
        """Answer GET /fapi/v1/exchangeInfo."""
        charge = self.budget.charge(_LISTINGS_WEIGHT)
        if charge.refusal is not None:
            return _refused(charge, charge.refusal)
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1}
        body = {
            "timezone": "UTC",
            "serverTime": epoch_ms(self._clock.now()),
            "rateLimits": [{**limit, "limit": self._weight_limit}],
            "symbols": [_listed(symbol, LISTINGS[symbol]) for symbol in linear_symbols()],
        }
        return _answer(body, charge)

    async def volumes(self, request: web.Request) -> web.Response:  # noqa: ARG002 - for all symbols only
        """Answer GET /fapi/v1/ticker/24hr."""
        charge = self.budget.charge(_VOLUMES_WEIGHT)
        if charge.refusal is not None:
            return _refused(charge, charge.refusal)
        return _answer([_traded(symbol, LISTINGS[symbol]) for symbol in linear_symbols()], charge)

    async def time(self, request: web.Request) -> web.Response:  # noqa: ARG002 - it takes no parameters
        """Answer GET /fapi/v1/time."""
        charge = self.budget.charge(_TIME_WEIGHT)
        if charge.refusal is not None:
            return _refused(charge, charge.refusal)
        return _answer({"serverTime": epoch_ms(self._clock.now())}, charge)

    async def _parts(self, query: _Query) -> list[MarketDay]:
        # Binance answers older times with an error, and not with the rows that are still there.
        now = epoch_ms(self._clock.now())
        oldest = now - _HISTORY_MS
        stop = 1 + (now if query.end is None else min(query.end, now))
        if min(stop - 1, now if query.start is None else query.start) < oldest:
            raise _too_old()
        if query.from_id is not None:
            parts = await self._tape.from_id(query.symbol, query.from_id, stop, limit=query.limit)
            if parts and parts[0].trades.time[0] < oldest:
                raise _too_old()
            return parts
        if query.start is None:
            return await self._tape.before(query.symbol, stop, limit=query.limit)
        return await self._tape.between(query.symbol, query.start, stop, limit=query.limit)


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise _RefusedError(-1102, f"Parameter '{name}' was malformed.")
    return int(text)


def _too_old() -> _RefusedError:
    return _RefusedError(-4166, "Search window is restricted to recent 2 days only.")


def _listed(symbol: str, listing: Listing) -> dict[str, Any]:
    tick, step = (f"{10**-places:.{places}f}" for places in (listing.price_decimals, listing.size_decimals))
    return {
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "status": "TRADING",
        "baseAsset": symbol.removesuffix("USDT"),
        "quoteAsset": "USDT",
        "pricePrecision": listing.price_decimals,
        "quantityPrecision": listing.size_decimals,
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": tick},
            {"filterType": "LOT_SIZE", "stepSize": step},
        ],
    }


def _traded(symbol: str, listing: Listing) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "lastPrice": f"{listing.price:.8f}",
        "volume": f"{listing.day_notional / listing.price:.8f}",
        "quoteVolume": f"{listing.day_notional:.8f}",
        "count": listing.trades_a_day,
    }


def _refused(charge: Charge, status: int) -> web.Response:
    text = "Too many requests; current limit of IP is exceeded. Please use the websocket for live updates."
    return _answer({"code": -1003, "msg": text}, charge, status=status)


def _answer(
    body: dict[str, Any] | list[dict[str, Any]], charge: Charge, *, status: int = 200
) -> web.Response:
    return web.json_response(body, status=status, headers=_headers(charge))


def _headers(charge: Charge) -> dict[str, str]:
    used = {"X-MBX-USED-WEIGHT-1M": str(charge.used)}
    return used if charge.refusal is None else {**used, "Retry-After": str(charge.retry_after)}
