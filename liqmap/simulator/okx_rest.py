"""OKX's REST API over the simulated market: trades and liquidations, instruments, position tiers, the time.

Source: OKX's documentation of its API v5, and recorded errors. Code "0" means success; most refusals have
HTTP status 200 too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.listings import LISTINGS
from liqmap.simulator.okx_messages import (
    CONTRACTS,
    FILLS,
    instrument,
    okx_instrument,
    okx_liquidations,
    okx_rows,
    okx_ticker,
    okx_tiers,
    symbol_named,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.clock import Clock
    from liqmap.simulator.listings import MarketDay
    from liqmap.simulator.tape import Tape

_HISTORY_DAYS = 92  # history-trades goes back three months
_LARGEST_PAGE, _LARGEST_NEWEST = 100, 500
_FAMILIES = 5
_PERIOD_MS = 2000  # requests are counted in spans of two seconds
_LIQUIDATIONS_MS = 86_400_000
_ODD = 5  # pages before a time that is a multiple of this are empty at first

_Refusal = tuple[str, str, int]

UNKNOWN: Final[_Refusal] = (
    "51001",
    "Instrument ID, Instrument ID code, or Spread ID doesn't exist.",
    200,
)
"""The code, text and HTTP status of the refusal of a name that OKX does not list."""


class OkxRest:
    """Answers of the API at `clock`'s time, from `tape`, to `limit` requests in two seconds."""

    def __init__(self, tape: Tape, clock: Clock, *, limit: int) -> None:
        self._tape = tape
        self._clock = clock
        self._limit = limit
        self._period = self._asked = 0
        self._hesitated: set[tuple[str, int]] = set()

    async def history(self, request: web.Request) -> web.Response:
        """Answer GET /api/v5/market/history-trades: up to 100 fills before an id or time, newest first."""
        query = request.query
        if (refusal := self._refusal(query.get("instId", ""))) is not None:
            return okx_refused(*refusal)
        symbol, after = symbol_named(query["instId"]) or "", query.get("after", "")
        if query.get("type", "1") == "2" and "before" in query:
            return okx_refused("50039", "before is not allowed with this type", 200)
        if after and not (after.isascii() and after.isdigit()):
            return okx_refused("51000", "Parameter after error", 200)
        limit, stop = okx_limit(query.get("limit"), _LARGEST_PAGE), epoch_ms(self._clock.now()) + 1
        # With type 2, `after` is a time and not an id.
        if after and query.get("type", "1") == "2":
            rows = await self._before(symbol, min(int(after), stop), limit)
        elif after:
            rows = await self._older(symbol, int(after), stop, limit)
        else:
            rows = await self._before(symbol, stop, limit)
        return okx_answer(rows)

    async def newest(self, request: web.Request) -> web.Response:
        """Answer GET /api/v5/market/trades: the newest fills, newest first."""
        if (refusal := self._refusal(request.query.get("instId", ""))) is not None:
            return okx_refused(*refusal)
        symbol = symbol_named(request.query["instId"]) or ""
        limit = okx_limit(request.query.get("limit"), _LARGEST_NEWEST)
        return okx_answer(await self._before(symbol, epoch_ms(self._clock.now()) + 1, limit))

    async def liquidations(self, request: web.Request) -> web.Response:
        """Answer GET /api/v5/public/liquidation-orders: up to 100 of the last day, newest first.

        Now and then, a page before a time is empty on the first request, although there are rows.
        """
        query = request.query
        name = f"{query.get('uly', '')}-SWAP"
        if (refusal := self._refusal(name)) is not None:
            return okx_refused(*refusal)
        now = epoch_ms(self._clock.now())
        after, symbol = query.get("after", ""), symbol_named(name) or ""
        before = min(int(after), now + 1) if after.isascii() and after.isdigit() else now + 1
        if after and before % _ODD == 0 and (name, before) not in self._hesitated:
            self._hesitated.add((name, before))
            return okx_answer([])
        parts = await self._tape.liquidations(symbol, max(now - _LIQUIDATIONS_MS, 0), before)
        rows = [row for part in parts for row in okx_liquidations(name, part)]
        details = [each for row in rows for each in row["details"]][::-1]
        shown = details[: okx_limit(query.get("limit"), _LARGEST_PAGE)]
        return okx_answer([rows[0] | {"details": shown}] if shown else [])

    async def time(self, request: web.Request) -> web.Response:  # noqa: ARG002 - it takes no parameters
        """Answer GET /api/v5/public/time."""
        return okx_answer([{"ts": str(epoch_ms(self._clock.now()))}])

    async def instruments(self, request: web.Request) -> web.Response:
        """Answer GET /api/v5/public/instruments: every swap, an inverse one among them."""
        if request.query.get("instType") != "SWAP":
            return okx_refused("51000", "Parameter instType error", 200)
        inverse = {"ctType": "inverse", "ctVal": "100", "ctMult": "1", "ctValCcy": "USD", "settleCcy": "BTC"}
        inverse |= {"instId": "BTC-USD-SWAP", "instType": "SWAP", "lever": "100", "state": "live"}
        return okx_answer([*(okx_instrument(symbol, LISTINGS[symbol]) for symbol in CONTRACTS), inverse])

    async def volumes(self, request: web.Request) -> web.Response:
        """Answer GET /api/v5/market/tickers, all swaps at once."""
        if request.query.get("instType") != "SWAP":
            return okx_refused("51000", "Parameter instType error", 200)
        return okx_answer([okx_ticker(symbol, LISTINGS[symbol]) for symbol in CONTRACTS])

    async def tiers(self, request: web.Request) -> web.Response:
        """Answer GET /api/v5/public/position-tiers, of up to five families of instruments."""
        families = request.query.get("instFamily", "").split(",")
        known = {instrument(symbol).removesuffix("-SWAP") for symbol in CONTRACTS}
        if len(families) > _FAMILIES or not known.issuperset(families):
            return okx_refused("51000", "Parameter instFamily error", 200)
        return okx_answer([row for family in families for row in okx_tiers(family)])

    def _refusal(self, name: str) -> _Refusal | None:
        period = epoch_ms(self._clock.now()) // _PERIOD_MS
        if period != self._period:
            self._period, self._asked = period, 0
        self._asked += 1
        if self._asked > self._limit:
            return "50011", "Too Many Requests", 429
        return None if symbol_named(name) else UNKNOWN

    async def _before(self, symbol: str, stop_ms: int, limit: int) -> list[dict[str, Any]]:
        return _newest_first(await self._tape.before(symbol, stop_ms, limit=limit), limit)

    async def _older(self, symbol: str, fill: int, stop_ms: int, limit: int) -> list[dict[str, Any]]:
        """Return the fills with ids below `fill`."""
        first = max(0, fill - limit) // FILLS
        count = fill // FILLS - first + 1
        parts = await self._tape.from_id(symbol, first, stop_ms, limit=count, days=_HISTORY_DAYS)
        newest = await self._tape.before(symbol, stop_ms, limit=1)
        # For an id beyond the newest one, OKX answers with the newest fills.
        if newest and int(newest[-1].ids[-1]) < fill // FILLS:
            return await self._before(symbol, stop_ms, limit)
        rows = _newest_first(parts, count * FILLS)
        return [row for row in rows if int(row["tradeId"]) < fill][:limit]


def _newest_first(parts: list[MarketDay], limit: int) -> list[dict[str, Any]]:
    return [row for part in parts for row in okx_rows(part)][::-1][:limit]


def okx_limit(text: str | None, most: int) -> int:
    """Return how many rows the `limit` of a request asks for: `most` at most, and without a limit."""
    return min(int(text), most) if text and text.isascii() and text.isdigit() else most


def okx_answer(rows: Sequence[object]) -> web.Response:
    """Return an answer of OKX's API with `rows`."""
    return web.json_response({"code": "0", "msg": "", "data": rows})


def okx_refused(code: str, text: str, status: int) -> web.Response:
    """Return a refusal of OKX's API."""
    return web.json_response({"code": code, "data": [], "msg": text}, status=status)
