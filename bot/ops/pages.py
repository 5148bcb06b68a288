"""Serve the state of the process for monitoring: GET /healthz and /metrics on this machine."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NotRequired, TypedDict, Unpack

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from liqmap import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bot.settings import HealthSettings


class State(TypedDict):
    """The state of the process. Functions and not values: each request is answered by that of its moment."""

    connected: Callable[[], bool]
    drawing: Callable[[], bool]
    metrics: Callable[[], bytes]
    trouble: NotRequired[Callable[[], str]]


@asynccontextmanager
async def served(settings: HealthSettings, **state: Unpack[State]) -> AsyncIterator[None]:
    """Serve the pages of `bot.ops.health.health_server`. Raises SettingsError if the port is taken."""
    pages = _pages(**state)
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
    trouble: Callable[[], str] = lambda: "",
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
