"""A web server on this machine, and the simulated exchanges' addresses on it."""

from __future__ import annotations

import asyncio
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from socket import socket

    from aiohttp.web_response import StreamResponse

    from liqmap.clock import Clock

_NAMES: Final = ("binance", "bybit", "okx")


class Host:
    """Serves an application on 127.0.0.1, on `port`, or on any free one if that is 0.

    With a `listener`, it serves on that socket instead, which it closes. The Date of every answer, faulty
    ones included, is by `clock`.
    """

    def __init__(self, clock: Clock, port: int, *, listener: socket | None = None) -> None:
        self._clock = clock
        self.port = port
        """The requested port; once this is serving, the one in use, which the system chose for 0."""
        self._listener = listener
        self._runner: web.AppRunner | None = None

    async def start(self, app: web.Application) -> None:
        """Serve `app` until `stop`."""
        app.on_response_prepare.append(self._date)
        self._runner = runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        if self._listener is None:
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
        else:
            await web.SockSite(runner, self._listener).start()
        self.port = runner.addresses[0][1]

    async def serve(self, accepted: socket) -> None:
        """Serve a connection that was accepted before the start."""
        if self._runner is not None and self._runner.server is not None:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(self._runner.server, accepted)

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _date(self, _: web.Request, response: StreamResponse) -> None:
        response.headers["Date"] = format_datetime(self._clock.now(), usegmt=True)

    def url(self, path: str, *, scheme: str = "http") -> str:
        """Return the address of `path`."""
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    @property
    def settings(self) -> dict[str, str]:
        """The settings that point to this server, by their keys."""
        files = {f"exchanges.{name}.archive_url": self.url(f"/{name}") for name in _NAMES}
        live = {
            f"exchanges.{name}.{key}_url": self.url(f"/{name}", scheme=scheme)
            for name in _NAMES
            for key, scheme in (("api", "http"), ("stream", "ws"))
        }
        return files | live
