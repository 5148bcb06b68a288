"""Tells whoever watches the process whether the bot is connected: GET /healthz on this machine."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from liqmap import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@asynccontextmanager
async def health_server(port: int, *, connected: Callable[[], bool]) -> AsyncIterator[None]:
    """Answer /healthz on 127.0.0.1:`port` with 200 while `connected`, else with 503; no port, no server.

    Raises SettingsError if the port cannot be had.
    """
    if not port:
        yield
        return

    async def healthz(_: web.Request) -> web.Response:
        if connected():
            return web.Response(text="connected to Discord\n")
        return web.Response(status=503, text="not connected to Discord\n")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await _listen(runner, port)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int) -> None:
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except OSError as error:
        raise SettingsError(f"Setting health.port: port {port} cannot be had; choose another.") from error
