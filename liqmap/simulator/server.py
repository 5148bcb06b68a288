"""A server on this machine that publishes the simulated market as Binance and Bybit publish theirs."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Self

from aiohttp import web
from cachetools import LRUCache

from liqmap.simulator.faults import Fault, PlannedFault, respond_faulty
from liqmap.simulator.formats import binance_checksum, binance_zip, bybit_csv_gz, risk_limits
from liqmap.simulator.market import LISTINGS, Market

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp.web_response import StreamResponse

    from liqmap.settings import AnySettings

SIMULATED_HEADER = {"X-Simulated-Market": "1"}
"""Every answer carries this header, by which the engine marks what comes of it as simulated."""

_CACHED_FILES = 16
_SYMBOLS_A_PAGE = 3  # few, so that there are several pages
_BINANCE_FILE = re.compile(
    r"/data/futures/(?:um|cm)/daily/aggTrades/(?P<symbol>\w+)/(?P=symbol)-aggTrades-(?P<day>[\d-]{10})\.zip(?P<checksum>\.CHECKSUM)?"
)
_BYBIT_FILE = re.compile(r"/trading/(?P<symbol>\w+)/(?P=symbol)(?P<day>[\d-]{10})\.csv\.gz")
_NO_SUCH_KEY = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
)


class MarketServer:
    """Serves `market` on 127.0.0.1. Use it as `async with MarketServer(market) as server`.

    Days after `published_until` do not exist yet; by default every day does, today's included.
    """

    def __init__(self, market: Market, *, published_until: date | None = None, port: int = 0) -> None:
        self.requests: Counter[str] = Counter()
        self._market = market
        self._published_until = published_until
        self._port = port
        self._faults: list[PlannedFault] = []
        self._files: LRUCache[tuple[str, str, date], asyncio.Task[bytes]] = LRUCache(_CACHED_FILES)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/binance{path:/.*}", self._binance)
        app.router.add_get("/bybit/v5/market/risk-limit", self._risk_limits)
        app.router.add_get("/bybit{path:/.*}", self._bybit)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def binance_url(self) -> str:
        """The simulated value of the setting `exchanges.binance.archive_url`."""
        return f"http://127.0.0.1:{self._port}/binance"

    @property
    def bybit_url(self) -> str:
        """The simulated value of the setting `exchanges.bybit.archive_url`."""
        return f"http://127.0.0.1:{self._port}/bybit"

    def redirect(self, settings: AnySettings) -> AnySettings:
        """Return `settings` with this server as the exchanges, and a store of its own."""
        exchanges, storage = settings.exchanges, settings.storage
        binance = exchanges.binance.model_copy(update={"archive_url": self.binance_url})
        bybit = exchanges.bybit.model_copy(update={"archive_url": self.bybit_url, "api_url": self.bybit_url})
        return settings.model_copy(
            update={
                "storage": storage.model_copy(update={"path": storage.path / "simulated"}),
                "exchanges": exchanges.model_copy(update={"binance": binance, "bybit": bybit}),
            }
        )

    def plan(self, pattern: str, fault: Fault, *, times: int = 1) -> None:
        """Show `fault` to the next `times` requests whose path matches the regular expression `pattern`."""
        self._faults.append(PlannedFault(pattern, fault, times))

    async def _binance(self, request: web.Request) -> StreamResponse:
        found = _BINANCE_FILE.fullmatch(request.match_info["path"])
        body = await self._file("binance", found)
        if body is None or found is None:
            missing = web.Response(
                status=404, text=_NO_SUCH_KEY, content_type="application/xml", headers=SIMULATED_HEADER
            )
            return await self._respond(request, missing)
        if found["checksum"]:
            name = request.path.rpartition("/")[2].removesuffix(".CHECKSUM")
            body = binance_checksum(body, name)
        return await self._respond(request, web.Response(body=body, headers=SIMULATED_HEADER))

    async def _bybit(self, request: web.Request) -> StreamResponse:
        if not request.headers.get("User-Agent"):
            return await self._respond(request, web.Response(status=403, headers=SIMULATED_HEADER))
        body = await self._file("bybit", _BYBIT_FILE.fullmatch(request.match_info["path"]))
        if body is None:
            return await self._respond(request, web.Response(status=404, headers=SIMULATED_HEADER))
        return await self._respond(request, web.Response(body=body, headers=SIMULATED_HEADER))

    async def _risk_limits(self, request: web.Request) -> StreamResponse:
        inverse = request.query.get("category") == "inverse"
        symbols = sorted(name for name, each in LISTINGS.items() if (each.dollars == 1) == inverse)
        first = int(request.query.get("cursor") or 0)
        body = risk_limits(symbols[first : first + _SYMBOLS_A_PAGE], inverse=inverse)
        more = first + _SYMBOLS_A_PAGE
        body["result"]["nextPageCursor"] = str(more) if more < len(symbols) else ""
        return await self._respond(request, web.json_response(body, headers=SIMULATED_HEADER))

    async def _respond(self, request: web.Request, response: web.Response) -> StreamResponse:
        self.requests[request.path] += 1
        due = next((planned for planned in self._faults if planned.matches(request.path)), None)
        if due is None:
            return response
        due.times -= 1
        body = response.body
        return await respond_faulty(request, due.fault, body if isinstance(body, bytes) else b"")

    async def _file(self, exchange: str, found: re.Match[str] | None) -> bytes | None:
        if found is None or found["symbol"] not in LISTINGS:
            return None
        try:
            day = date.fromisoformat(found["day"])
        except ValueError:
            return None
        if self._published_until is not None and day > self._published_until:
            return None
        key = (exchange, found["symbol"], day)
        if key not in self._files:
            # Asked for twice at once, a day is made once; and never on the event loop.
            self._files[key] = asyncio.create_task(asyncio.to_thread(self._make, *key))
        return await asyncio.shield(self._files[key])

    def _make(self, exchange: str, symbol: str, day: date) -> bytes:
        made = self._market.day(symbol, day)
        return binance_zip(made) if exchange == "binance" else bybit_csv_gz(made)
