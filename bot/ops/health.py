"""Tells whoever watches the process how it is: GET /healthz and /metrics on this machine."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from liqmap import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bot.settings import HealthSettings


@asynccontextmanager
async def health_server(
    settings: HealthSettings, *, connected: Callable[[], bool], metrics: Callable[[], bytes]
) -> AsyncIterator[None]:
    """Answer /healthz with 200 while `connected`, else with 503, and /metrics; no port, no server.

    Raises SettingsError if the port cannot be had.
    """
    if not settings.port:
        yield
        return

    async def healthz(_: web.Request) -> web.Response:
        if connected():
            return web.Response(text="connected to Discord\n")
        return web.Response(status=503, text="not connected to Discord\n")

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", show_metrics)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await _listen(runner, settings)
        yield
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, settings: HealthSettings) -> None:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        raise SettingsError(
            f"Setting health.port: port {settings.port} cannot be had; choose another."
        ) from error
