"""Serve the state of the process for monitoring: GET /healthz and /metrics on this machine."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Unpack

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from liqmap import JobFailed, LiqmapError, SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bot.request.drawing import Draw, Listeners
    from bot.settings import HealthSettings
    from liqmap import MapRequest, MapResult


_BROKEN_AFTER: Final = 3


class DrawingHealth:
    """Watches whether maps can be drawn: after three faults in a row they cannot.

    A refusal by the exchange, or an invalid request, is not a fault.
    """

    def __init__(self) -> None:
        self._faults = 0

    @property
    def works(self) -> bool:
        """Whether maps can be drawn, judged by the last ones."""
        return self._faults < _BROKEN_AFTER

    def watched(self, draw: Draw) -> Draw:
        """Return `draw` with its outcomes counted."""

        async def run(request: MapRequest, **listeners: Unpack[Listeners]) -> MapResult:
            try:
                result = await draw(request, **listeners)
            # Counted and raised again, whatever it is; a LiqmapError other than JobFailed is no fault.
            except Exception as error:
                if isinstance(error, JobFailed) or not isinstance(error, LiqmapError):
                    self._faults += 1
                raise
            self._faults = 0
            return result

        return run


@asynccontextmanager
async def health_server(
    settings: HealthSettings,
    *,
    connected: Callable[[], bool],
    drawing: Callable[[], bool],
    metrics: Callable[[], bytes],
    trouble: Callable[[], str] = lambda: "",
) -> AsyncIterator[None]:
    """Serve /metrics, and /healthz with 200 while `connected` and `drawing` are true, otherwise 503.

    `trouble` returns what else an operator should know although maps can be drawn. With port 0 there is no
    server. Raises SettingsError if the port is taken.
    """
    if not settings.port:
        yield
        return
    # Functions and not values: each request is answered by the state of its moment.
    pages = _pages(connected=connected, drawing=drawing, metrics=metrics, trouble=trouble)
    # A monitor that keeps its connection open must not delay the stop.
    runner = web.AppRunner(pages, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await _listen(runner, settings)
        yield
    finally:
        await runner.cleanup()


def _pages(
    *,
    connected: Callable[[], bool],
    drawing: Callable[[], bool],
    metrics: Callable[[], bytes],
    trouble: Callable[[], str],
) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        if not connected():
            return web.Response(status=503, text="not connected to Discord\n")
        if not drawing():
            text = "connected to Discord, but drawing is broken: scheduled posts wait; see the log\n"
            return web.Response(status=503, text=text)
        return web.Response(text="; ".join(filter(None, ["connected to Discord", trouble()])) + "\n")

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", show_metrics)
    return app


async def _listen(runner: web.AppRunner, settings: HealthSettings) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        raise SettingsError(
            f"Setting health.port: port {settings.port} is not available; choose another."
        ) from error
