"""The exchanges' REST APIs of open interest and mark prices over the simulated market.

Source: developers.binance.com, USDⓈ-M futures, market data endpoints; github.com/bybit-exchange/docs, v5
market endpoints; OKX's documentation of its API v5, trading statistics and public data.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from aiohttp import web

from liqmap.simulator.bybit_rest import bybit_answer, bybit_refused
from liqmap.simulator.clock import epoch_ms, from_epoch_ms
from liqmap.simulator.listings import LISTINGS
from liqmap.simulator.okx_messages import symbol_named
from liqmap.simulator.okx_rest import UNKNOWN, okx_answer, okx_limit, okx_refused
from liqmap.simulator.series import STEP_MS
from liqmap.simulator.series_formats import (
    binance_candles,
    binance_interest,
    bybit_candles,
    bybit_interest,
    okx_candles,
    okx_interest,
)
from liqmap.simulator.tape import linear_symbols

if TYPE_CHECKING:
    from collections.abc import Callable

    from liqmap.clock import Clock
    from liqmap.simulator.limits import WeightLimit
    from liqmap.simulator.series import SeriesDay
    from liqmap.simulator.tape import Tape

_HISTORY_MS = 30 * 86_400_000  # of Binance's open interest
_OKX_LIMIT, _OKX_INTEREST_KEPT = 100, 1440
_BYBIT_INTEREST_LIMIT, _BYBIT_MARKS_LIMIT = 200, 1000

Row = TypeVar("Row")


class _Rows:
    """The rows of a window's days, up to the clock's time."""

    def __init__(self, tape: Tape, clock: Clock) -> None:
        self._tape = tape
        self._clock = clock

    def now(self) -> int:
        return epoch_ms(self._clock.now())

    async def between(
        self,
        symbol: str,
        first_ms: int,
        last_ms: int,
        *,
        rows: Callable[[SeriesDay], list[Row]],
        time: Callable[[Row], int],
    ) -> list[Row]:
        """Return the rows with first_ms <= time <= last_ms that exist by now, oldest first."""
        last_ms = min(last_ms, self.now())
        # The value of midnight is the last one of the day before.
        day, last = from_epoch_ms(max(first_ms - STEP_MS, 0)).date(), from_epoch_ms(last_ms).date()
        found: list[Row] = []
        while day <= last:
            found += rows(await self._tape.series(symbol, day))
            day += timedelta(days=1)
        return [row for row in found if first_ms <= time(row) <= last_ms]


class BinanceSeries(_Rows):
    """Binance's answers. Only those with mark prices count against the API's weight limit."""

    def __init__(self, tape: Tape, clock: Clock, budget: WeightLimit) -> None:
        super().__init__(tape, clock)
        self._budget = budget

    async def interest(self, request: web.Request) -> web.Response:
        """Answer GET /futures/data/openInterestHist: the newest rows of the times asked for, oldest first."""
        query = request.query
        symbol, limit = query.get("symbol", ""), int(query.get("limit", "30"))
        end = int(query.get("endTime", str(self.now())))
        start = int(query.get("startTime", str(end - limit * STEP_MS)))
        if symbol not in linear_symbols() or query.get("period") != "5m":
            return _refused(-1121, "Invalid symbol.")
        if start < self.now() - _HISTORY_MS or not 1 <= limit <= 500:
            return _refused(-1130, "parameter 'startTime' is invalid.")
        rows = await self.between(
            symbol, start, end, rows=binance_interest, time=lambda row: row["timestamp"]
        )
        return web.json_response(rows[-limit:])

    async def marks(self, request: web.Request) -> web.Response:
        """Answer GET /fapi/v1/markPriceKlines: the oldest rows of the times asked for, oldest first."""
        query = request.query
        symbol, limit = query.get("symbol", ""), int(query.get("limit", "500"))
        charge = self._budget.charge(1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10)
        headers = {"X-MBX-USED-WEIGHT-1M": str(charge.used)}
        if charge.refusal is not None:
            headers["Retry-After"] = str(charge.retry_after)
            body = {"code": -1003, "msg": "Too many requests."}
            return web.json_response(body, status=charge.refusal, headers=headers)
        if symbol not in linear_symbols() or query.get("interval") != "1m":
            return _refused(-1121, "Invalid symbol.")
        if not 1 <= limit <= 1500:
            return _refused(-1130, "Data sent for parameter 'limit' is not valid.")
        end = int(query.get("endTime", str(self.now())))
        start = int(query.get("startTime", str(end - limit * 60_000)))
        rows = await self.between(symbol, start, end, rows=binance_candles, time=lambda row: int(row[0]))
        return web.json_response(rows[:limit], headers=headers)


class BybitSeries(_Rows):
    """Bybit's answers, newest first."""

    async def interest(self, request: web.Request) -> web.Response:
        """Answer GET /v5/market/open-interest, a page of at most 200 rows, with the cursor of the next."""
        query = request.query
        limit = min(int(query.get("limit", "50")), _BYBIT_INTEREST_LIMIT)
        if query.get("intervalTime") != "5min" or not _lists(request):
            return bybit_refused()
        end = int(query.get("endTime", str(self.now())))
        start = int(query.get("startTime", str(end - limit * STEP_MS)))
        rows = await self.between(
            query["symbol"], start, end, rows=bybit_interest, time=lambda row: int(row["timestamp"])
        )
        # A real cursor is opaque; nothing may depend on what is in it.
        first = int(query.get("cursor", "0") or 0)
        page = rows[::-1][first : first + limit]
        more = quote(f"{first + limit}") if first + limit < len(rows) else ""
        return _bybit_page(request, page, nextPageCursor=more)

    async def marks(self, request: web.Request) -> web.Response:
        """Answer GET /v5/market/mark-price-kline, a page of at most 1000 rows."""
        query = request.query
        limit = min(int(query.get("limit", "200")), _BYBIT_MARKS_LIMIT)
        if query.get("interval") != "1" or not _lists(request):
            return bybit_refused()
        end = int(query.get("end", str(self.now())))
        start = int(query.get("start", str(end - limit * 60_000)))
        rows = await self.between(
            query["symbol"], start, end, rows=bybit_candles, time=lambda row: int(row[0])
        )
        return _bybit_page(request, rows[::-1][:limit])


class OkxSeries(_Rows):
    """OKX's answers, newest first."""

    async def interest(self, request: web.Request) -> web.Response:
        """Answer GET /api/v5/rubik/stat/contracts/open-interest-history: of the newest 1,440 values.

        Both bounds are exclusive.
        """
        query, symbol = request.query, symbol_named(request.query.get("instId", "")) or ""
        if symbol not in linear_symbols() or query.get("period") != "5m":
            return okx_refused(*UNKNOWN)
        end = int(query.get("end", str(self.now() + 1))) - 1
        # OKX forgets the older values, so a recorder must fetch them in time.
        oldest = self.now() - _OKX_INTEREST_KEPT * STEP_MS
        start = max(int(query.get("begin", "0")) + 1, oldest)
        rows = await self.between(symbol, start, end, rows=okx_interest, time=lambda row: int(row[0]))
        return okx_answer(rows[::-1][: okx_limit(query.get("limit"), _OKX_LIMIT)])

    async def marks(self, request: web.Request) -> web.Response:
        """Answer GET /api/v5/market/history-mark-price-candles; both bounds are exclusive."""
        query, symbol = request.query, symbol_named(request.query.get("instId", "")) or ""
        if symbol not in linear_symbols() or query.get("bar") != "1m":
            return okx_refused(*UNKNOWN)
        end = int(query.get("after", str(self.now()))) - 1
        start = int(query.get("before", str(end - _OKX_LIMIT * 60_000))) + 1
        rows = await self.between(symbol, start, end, rows=okx_candles, time=lambda row: int(row[0]))
        # The last value of a row is "0" while its minute is not over.
        if rows and int(rows[-1][0]) + 60_000 > self.now():
            rows[-1][5] = "0"
        return okx_answer(rows[::-1][: okx_limit(query.get("limit"), _OKX_LIMIT)])


def _lists(request: web.Request) -> bool:
    """Return whether Bybit lists a symbol in the requested category: inverse ones are named BTCUSD."""
    listing = LISTINGS.get(request.query.get("symbol", ""))
    category = request.query.get("category", "linear")
    return listing is not None and category == ("linear" if listing.dollars is None else "inverse")


def _bybit_page(request: web.Request, rows: list[Any], **more: str) -> web.Response:
    query = request.query
    named = {"symbol": query["symbol"], "category": query.get("category", "linear")}
    return bybit_answer({**named, "list": rows, **more})


def _refused(code: int, text: str) -> web.Response:
    return web.json_response({"code": code, "msg": text}, status=400)
