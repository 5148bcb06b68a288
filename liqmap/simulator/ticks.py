"""The server's side of a clock that other processes follow: send the time, and wait until they have acted."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.connections import GONE

if TYPE_CHECKING:
    from liqmap.clock import Clock


class Ticks:
    """Websocket clients that follow `clock`. They receive {"now":ms} and answer {"done":ms}."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._done: dict[web.WebSocketResponse, asyncio.Future[None]] = {}

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one client until it leaves; it first receives the current time."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        # It has nothing to do yet, so no tick waits for it.
        self._done[socket] = _finished()
        try:
            with suppress(*GONE):
                await socket.send_str(self._news())
                async for message in socket:
                    if message.type is WSMsgType.TEXT:
                        _finish(self._done[socket])
        finally:
            _finish(self._done.pop(socket))
        return socket

    async def tick(self) -> None:
        """Send every client the time, and return when each has done what was due by then, or is gone."""
        for socket in list(self._done):
            self._done[socket] = asyncio.get_running_loop().create_future()
            with suppress(*GONE):
                await socket.send_str(self._news())
        await asyncio.gather(*self._done.values())

    def _news(self) -> str:
        return json.dumps({"now": epoch_ms(self._clock.now())})


def _finished() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
