"""A server on this machine that publishes the simulated market as the exchanges publish theirs."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from datetime import date, timedelta
from typing import TYPE_CHECKING, Self

from aiohttp import web

from liqmap.clock import SystemClock
from liqmap.model import Exchange
from liqmap.settings.simulated import simulated_exchanges
from liqmap.simulator.binance_rest import BinanceRest
from liqmap.simulator.bybit_rest import BybitRest
from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.dialects import BinanceStream, BybitStream
from liqmap.simulator.faults import Fault, PlannedFault, respond_faulty
from liqmap.simulator.feed import Feed
from liqmap.simulator.files import DayFiles
from liqmap.simulator.host import Host
from liqmap.simulator.messages import BINANCE_CONTRACTS, binance_contract
from liqmap.simulator.okx_rest import OkxRest
from liqmap.simulator.okx_stream import LEAVING, OkxStream
from liqmap.simulator.series_rest import BinanceSeries, BybitSeries, OkxSeries
from liqmap.simulator.streams import Streams
from liqmap.simulator.tape import Tape, linear_symbols
from liqmap.simulator.ticks import Ticks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from datetime import datetime
    from socket import socket
    from types import TracebackType

    from aiohttp.web_response import StreamResponse

    from liqmap.clock import Clock
    from liqmap.settings import AnySettings
    from liqmap.simulator.dialects import Dialect
    from liqmap.simulator.market import SimulatedMarket
    from liqmap.simulator.messages import Bracket

    _Handler = Callable[[web.Request], Awaitable[web.Response]]
    _Route = tuple[str, _Handler]

SIMULATED_HEADER = {"X-Simulated-Market": "1"}
"""Every answer has this header. The engine marks everything that comes from such an answer as simulated."""


class MarketServer:
    """Serves `market` on 127.0.0.1. Use it as `async with MarketServer(market) as server`.

    The server goes by `clock`: nothing later has happened yet. A day's file is published `publish_delay`
    after the day's end. Days after `published_until`, which may be changed at any time, are not published.
    Binance's API grants a weight of `weight_limit` a minute, and OKX's as many requests. Streams send what is
    due every `pump_every` seconds of the clock, or with None only when `pump` is called. Use None to simulate
    hours: waking up so often would take a test longer than the sending.
    """

    def __init__(
        self,
        market: SimulatedMarket,
        *,
        clock: Clock | None = None,
        published_until: date | None = None,
        publish_delay: timedelta = timedelta(0),
        weight_limit: int = 2400,
        pump_every: float | None = 0.1,
        port: int = 0,
        listener: socket | None = None,
    ) -> None:
        self.requests: Counter[str] = Counter()
        self.published_until = published_until
        self._clock = SystemClock() if clock is None else clock
        self.host = Host(self._clock, port, listener=listener)
        self._publish_delay = publish_delay
        self._pump_every = pump_every
        self._weight_limit = weight_limit
        self._faults: list[PlannedFault] = []
        tape = Tape(market)
        self._files = DayFiles(tape, published=self._is_published)
        self._binance = BinanceRest(tape, self._clock, weight_limit=weight_limit)
        self._bybit = BybitRest(tape, self._clock)
        self._binance_series = BinanceSeries(tape, self._clock, self._binance.budget)
        self._bybit_series = BybitSeries(tape, self._clock)
        self._okx_series = OkxSeries(tape, self._clock)
        # OKX grants 20 in two seconds, where Binance grants 2400 a minute.
        self._okx = OkxRest(tape, self._clock, limit=weight_limit // 120)
        self._streams = Streams(
            self._clock, lambda symbol: tape.day(symbol, self._clock.now().date()), headers=SIMULATED_HEADER
        )
        self._feed = Feed(tape, self._clock, self._streams)
        self._ticks = Ticks(self._clock)
        self._pumping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        for path, dialect, mute in _stream_routes():
            app.router.add_get(path, self._stream(dialect, mute=mute))
        # Without faults: the clock is the test's own, and no exchange's.
        app.router.add_get("/clock", self._ticks.serve)
        for path, handler in (*self._binance_routes(), *self._bybit_routes(), *self._okx_routes()):
            app.router.add_get(path, self._faulty(handler))
        await self.host.start(app)
        if self._pump_every is not None:
            self._pumping = asyncio.create_task(self._feed.run(self._pump_every))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pumping is not None:
            self._pumping.cancel()
            with suppress(asyncio.CancelledError):
                await self._pumping
        # A client that stays connected would keep the server from stopping.
        self._streams.cut()
        await self.host.stop()

    @property
    def binance_url(self) -> str:
        """The simulated value of the settings `exchanges.binance.archive_url` and `api_url`."""
        return self.host.url("/binance")

    @property
    def bybit_url(self) -> str:
        """The simulated value of the settings `exchanges.bybit.archive_url` and `api_url`."""
        return self.host.url("/bybit")

    @property
    def okx_url(self) -> str:
        """The simulated value of the settings `exchanges.okx.archive_url` and `api_url`."""
        return self.host.url("/okx")

    @property
    def okx_stream_url(self) -> str:
        """The simulated value of the setting `exchanges.okx.stream_url`."""
        return self.host.url("/okx", scheme="ws")

    @property
    def binance_stream_url(self) -> str:
        """The simulated value of the setting `exchanges.binance.stream_url`."""
        return self.host.url("/binance", scheme="ws")

    @property
    def bybit_stream_url(self) -> str:
        """The simulated value of the setting `exchanges.bybit.stream_url`."""
        return self.host.url("/bybit", scheme="ws")

    @property
    def clock_url(self) -> str:
        """The address at which `remote_clock` finds this server's time."""
        return self.host.url("/clock", scheme="ws")

    @property
    def stream_connections(self) -> Counter[Exchange]:
        """How many stream connections each exchange has accepted so far."""
        return self._streams.accepted

    @property
    def subscribed_connections(self) -> Counter[Exchange]:
        """How many of them have subscribed: a client may give up before its handshake is done."""
        return self._streams.subscribed

    def redirect(self, settings: AnySettings) -> AnySettings:
        """Return `settings` with this server as the exchanges, and a store of its own."""
        return simulated_exchanges(settings, port=self.host.port, weight_limit=self._weight_limit)

    def plan(self, pattern: str, fault: Fault, *, times: int = 1) -> None:
        """Show `fault` to the next `times` requests whose path matches the regular expression `pattern`."""
        self._faults.append(PlannedFault(pattern, fault, times))

    async def pump(self) -> None:
        """Send every stream client all that is due now, no faster than it reads."""
        await self._feed.pump()

    async def barrier(self) -> None:
        """Return when every stream client has processed all that it was sent so far, or is gone."""
        await self._streams.barrier()

    async def connected(self, exchange: Exchange, count: int) -> None:
        """Return once `count` stream connections have been accepted since the start and have subscribed."""
        await self._streams.connected(exchange, count)

    async def announce(self, symbol: str, brackets: Sequence[Bracket] = ()) -> None:
        """Send Binance's message about a changed contract to every client that has subscribed to them."""
        await self._streams.announce(
            BINANCE_CONTRACTS, binance_contract(symbol, brackets, epoch_ms(self._clock.now()))
        )

    async def announce_closing(self) -> None:
        """Tell OKX's clients that their connections will soon be closed."""
        await self._streams.say(Exchange.OKX, LEAVING)

    async def tick(self) -> None:
        """Send the time to every process that follows this clock, and return when each has acted on it."""
        await self._ticks.tick()

    def cut_streams(self, exchange: Exchange | None = None) -> int:
        """Reset the stream connections of `exchange`, or all, and return how many there were."""
        return self._streams.cut(exchange)

    def silence(self, exchange: Exchange, *symbols: str) -> None:
        """Send nothing more of `symbols`, or nothing at all, over the connections that exist now.

        They stay open and keep acknowledging messages.
        """
        self._streams.silence(exchange, *symbols)

    def refuse_streams(self, exchange: Exchange, *, times: int = 1, status: int = 503) -> None:
        """Answer the next `times` attempts to open a stream with `status`."""
        self._streams.refuse(exchange, times=times, status=status)

    # Each exchange's files come last, because their path matches every other one.
    def _binance_routes(self) -> Iterator[_Route]:
        yield "/binance/fapi/v1/aggTrades", self._binance.trades
        yield "/binance/fapi/v1/exchangeInfo", self._binance.listings
        yield "/binance/fapi/v1/ticker/24hr", self._binance.volumes
        yield "/binance/fapi/v1/time", self._binance.time
        yield "/binance/fapi/v1/markPriceKlines", self._binance_series.marks
        yield "/binance/futures/data/openInterestHist", self._binance_series.interest
        yield "/binance{path:/.*}", self._files.binance

    def _bybit_routes(self) -> Iterator[_Route]:
        yield "/bybit/v5/market/recent-trade", self._bybit.trades
        yield "/bybit/v5/market/instruments-info", self._bybit.listings
        yield "/bybit/v5/market/tickers", self._bybit.volumes
        yield "/bybit/v5/market/risk-limit", self._bybit.risk_limits
        yield "/bybit/v5/market/time", self._bybit.time
        yield "/bybit/v5/market/mark-price-kline", self._bybit_series.marks
        yield "/bybit/v5/market/open-interest", self._bybit_series.interest
        yield "/bybit{path:/.*}", self._files.bybit

    def _okx_routes(self) -> Iterator[_Route]:
        yield "/okx/api/v5/market/history-trades", self._okx.history
        yield "/okx/api/v5/market/trades", self._okx.newest
        yield "/okx/api/v5/market/tickers", self._okx.volumes
        yield "/okx/api/v5/public/time", self._okx.time
        yield "/okx/api/v5/public/instruments", self._okx.instruments
        yield "/okx/api/v5/public/position-tiers", self._okx.tiers
        yield "/okx/api/v5/public/liquidation-orders", self._okx.liquidations
        yield "/okx/api/v5/market/history-mark-price-candles", self._okx_series.marks
        yield "/okx/api/v5/rubik/stat/contracts/open-interest-history", self._okx_series.interest
        yield "/okx{path:/.*}", self._files.okx

    def _stream(self, dialect: Dialect, *, mute: bool) -> Callable[[web.Request], Awaitable[StreamResponse]]:
        async def serve(request: web.Request) -> StreamResponse:
            self.requests[request.path] += 1
            return await self._streams.serve(request, dialect, mute=mute)

        return serve

    def _is_published(self, day: date, ended: datetime) -> bool:
        if self.published_until is not None and day > self.published_until:
            return False
        return ended <= self._clock.now() - self._publish_delay

    def _faulty(self, handler: _Handler) -> Callable[[web.Request], Awaitable[StreamResponse]]:
        """Return `handler` with its answers counted, marked as simulated, and made faulty as planned."""

        async def answer(request: web.Request) -> StreamResponse:
            response = await handler(request)
            response.headers.update(SIMULATED_HEADER)
            self.requests[request.path] += 1
            due = next((planned for planned in self._faults if planned.matches(request.path)), None)
            if due is None:
                return response
            due.times -= 1
            body = response.body
            return await respond_faulty(request, due.fault, body if isinstance(body, bytes) else b"")

        return answer


def _stream_routes() -> Iterator[tuple[str, Dialect, bool]]:
    """Yield the addresses of streams, what each of them speaks, and whether it sends no trades."""
    binance = BinanceStream(linear_symbols())
    yield "/binance/market/stream", binance, False
    # Since 2026-04-23 the old addresses connect, acknowledge, and send no trades.
    yield "/binance/stream", binance, True
    yield "/binance/ws", binance, True
    yield "/bybit/v5/public/linear", BybitStream(linear_symbols()), False
    yield "/okx/ws/v5/public", OkxStream(linear_symbols()), False
