"""Simulate a crash: a few symbols that trade tens of thousands of times a second, to test a client's limits.

Only streams are served, and what a recorder needs: what each symbol traded, and OKX's list of contracts.
As on the exchanges, a client that does not keep up is disconnected.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from aiohttp import web

from liqmap.clock import SystemClock
from liqmap.model import Exchange
from liqmap.simulator.bursts import FIRST_ID, MOST_ROWS, BinanceBurst, Burst, BybitBurst, OkxBurst
from liqmap.simulator.bybit_rest import bybit_answer
from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.dialects import BinanceStream, BybitStream, Kind
from liqmap.simulator.host import Host
from liqmap.simulator.okx_messages import instrument
from liqmap.simulator.okx_rest import okx_answer
from liqmap.simulator.okx_stream import OkxStream
from liqmap.simulator.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime
    from types import TracebackType

    from aiohttp.web_response import StreamResponse
    from numpy.typing import NDArray

    from liqmap.clock import Clock
    from liqmap.simulator.connections import Connection
    from liqmap.simulator.dialects import Dialect

BATCH_SECONDS: Final = 0.02
MOST_BUFFERED: Final = 64_000_000
"""Bytes that may wait for a client before it is dropped."""

_VOLUME = "1000000.0"  # in a day, of each symbol

_log = logging.getLogger(__name__)


class CrashServer:
    """Streams of `symbols` invented symbols with `rate` trades a second in total, on 127.0.0.1.

    Use it as `async with CrashServer(rate=50_000, symbols=20) as server`. Trades are spread evenly over
    `clock`'s time, have contiguous ids, and are sent every BATCH_SECONDS. `dropped` counts clients that were
    disconnected because more than `most_buffered` bytes were waiting for them.
    """

    def __init__(
        self,
        *,
        rate: float,
        symbols: int,
        clock: Clock | None = None,
        most_buffered: int = MOST_BUFFERED,
        port: int = 0,
    ) -> None:
        # All names have one length, because all rows of text must.
        width = max(2, len(str(symbols - 1)))
        self.symbols = [f"CRASH{number:0{width}}USDT" for number in range(symbols)]
        self.dropped = 0
        self._rate = rate / symbols
        self._clock = SystemClock() if clock is None else clock
        self.host = Host(self._clock, port)
        self._most_buffered = most_buffered
        self._streams = Streams(self._clock, _nothing, headers={"X-Simulated-Market": "1"})
        self._sending: asyncio.Task[None] | None = None
        self._bursts: dict[Exchange, Burst] = {
            Exchange.BINANCE: BinanceBurst(self.symbols),
            Exchange.BYBIT: BybitBurst(self.symbols),
            Exchange.OKX: OkxBurst(self.symbols),
        }

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/binance/market/stream", self._handler(BinanceStream(self.symbols)))
        app.router.add_get("/bybit/v5/public/linear", self._handler(BybitStream(self.symbols)))
        app.router.add_get("/okx/ws/v5/public", self._handler(OkxStream(self.symbols)))
        app.router.add_get("/okx/api/v5/public/instruments", self._contracts)
        app.router.add_get("/binance/fapi/v1/ticker/24hr", self._binance_volumes)
        app.router.add_get("/bybit/v5/market/tickers", self._bybit_volumes)
        app.router.add_get("/okx/api/v5/market/tickers", self._okx_volumes)
        await self.host.start(app)
        self._sending = asyncio.create_task(self._send_batches())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending
        self._streams.cut()
        await self.host.stop()

    async def connected(self, exchange: Exchange, count: int) -> None:
        """Return once `count` connections have been accepted since the start and have subscribed."""
        await self._streams.connected(exchange, count)

    async def barrier(self) -> None:
        """Return when every client has processed all that it was sent so far, or is gone."""
        await self._streams.barrier()

    async def _contracts(self, request: web.Request) -> web.Response:  # noqa: ARG002 - there is one list
        """Answer with OKX's contracts, which a recorder must know: one coin each."""
        rows = [
            {"instId": instrument(symbol), "ctType": "linear", "ctVal": "1", "ctMult": "1", "lever": "100"}
            | {"ctValCcy": symbol.removesuffix("USDT"), "state": "live"}
            for symbol in self.symbols
        ]
        return okx_answer(rows)

    async def _binance_volumes(self, request: web.Request) -> web.Response:  # noqa: ARG002 - of all symbols
        return web.json_response([{"symbol": each, "quoteVolume": _VOLUME} for each in self.symbols])

    async def _bybit_volumes(self, request: web.Request) -> web.Response:  # noqa: ARG002 - of all symbols
        rows = [{"symbol": each, "turnover24h": _VOLUME} for each in self.symbols]
        return bybit_answer({"list": rows})

    async def _okx_volumes(self, request: web.Request) -> web.Response:  # noqa: ARG002 - of all symbols
        rows = [{"instId": instrument(each), "last": "1", "volCcy24h": _VOLUME} for each in self.symbols]
        return okx_answer(rows)

    def _handler(self, dialect: Dialect) -> Callable[[web.Request], Awaitable[StreamResponse]]:
        async def serve(request: web.Request) -> StreamResponse:
            return await self._streams.serve(request, dialect)

        return serve

    async def _send_batches(self) -> None:
        start, sent = self._clock.now(), 0
        while True:
            await self._clock.sleep(BATCH_SECONDS)
            due = int((self._clock.now() - start).total_seconds() * self._rate)
            # After a long delay it catches up in several batches, so that no batch takes much memory.
            for first in range(sent, due, MOST_ROWS):
                self._send(start, np.arange(first, min(first + MOST_ROWS, due)))
            sent = due

    def _send(self, start: datetime, numbers: NDArray[np.int64]) -> None:
        now = epoch_ms(self._clock.now())
        time = epoch_ms(start) + (numbers * 1000 / self._rate).astype(np.int64)
        for exchange, burst in self._bursts.items():
            clients = [each for each in self._streams.connections if each.dialect.exchange is exchange]
            if clients:
                texts = burst.messages(FIRST_ID + numbers, time, now)
                messages = dict(zip(self.symbols, texts, strict=True))
                for client in clients:
                    self._write(client, messages)

    def _write(self, client: Connection, messages: dict[str, bytes]) -> None:
        wanted = [
            messages[each.topic.symbol]
            for each in client.subscriptions.values()
            if each is not None and each.topic.kind is Kind.TRADES
        ]
        # Not through aiohttp, which would put each message into a frame: these are complete frames already.
        client.transport.write(b"".join(wanted))
        if client.transport.get_write_buffer_size() > self._most_buffered:
            self.dropped += 1
            _log.warning("dropped a client of %s that does not keep up", client.dialect.exchange)
            self._streams.abort(client)


async def _nothing(symbol: str) -> None:
    """Prepare nothing: trades are made when they are sent."""
