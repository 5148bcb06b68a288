"""A server that sends its answers one byte at a time, and by a clock that tests move on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from liqmap.simulator import SimulatedClock

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


@dataclass
class Dripping:
    """Sends `at_once`, then one byte every two seconds of `clock` for as long as somebody listens."""

    clock: SimulatedClock
    at_once: bytes = HEAD
    connections: int = 0
    open: int = 0
    sent: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        writer.write(self.at_once)
        dripping = asyncio.create_task(self._drip(writer))
        self._tasks.add(dripping)
        with suppress(ConnectionError):
            while await reader.read(1000):
                pass
        dripping.cancel()
        self._tasks.discard(dripping)
        self.open -= 1
        writer.close()

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await self.clock.sleep(2)
            writer.write(b"x")
            self.sent += 1


@asynccontextmanager
async def dripping(clock: SimulatedClock, *, at_once: bytes = HEAD) -> AsyncIterator[tuple[Dripping, str]]:
    """Yield the server and its address."""
    drip = Dripping(clock, at_once)
    server = await asyncio.start_server(drip.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield drip, f"http://127.0.0.1:{port}"
    finally:
        server.close()
