"""A web server on this machine, and the simulated exchanges' addresses on it."""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.web_response import StreamResponse

    from liqmap.clock import Clock

_NAMES: Final = ("binance", "bybit", "okx")


class Host:
    """Serves an application on 127.0.0.1, on `port`, or on any free one if that is 0.

    The Date of every answer, faulty ones included, is by `clock`.
    """

    def __init__(self, clock: Clock, port: int) -> None:
        self._clock = clock
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self, app: web.Application) -> None:
        """Serve `app` until `stop`."""
        app.on_response_prepare.append(self._date)
        self._runner = runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port).start()
        # The port that the system has chosen, if it was 0.
        self._port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _date(self, _: web.Request, response: StreamResponse) -> None:
        response.headers["Date"] = format_datetime(self._clock.now(), usegmt=True)

    def url(self, path: str, *, scheme: str = "http") -> str:
        """Return the address of `path`."""
        return f"{scheme}://127.0.0.1:{self._port}{path}"

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
