from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, suppress

import aiohttp
import pytest

from bot.ops.health import DrawingHealth, health_server
from bot.settings import HealthSettings
from liqmap import DataError, EngineBusy, JobFailed, RequestError, SettingsError
from tests.bot.conftest import REQUEST, FakeDraw


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def server(port: int, *, connected: bool = True, drawing: bool = True) -> AbstractAsyncContextManager[None]:
    return health_server(
        HealthSettings(port=port),
        connected=lambda: connected,
        drawing=lambda: drawing,
        metrics=lambda: b"liqmap_queue 0.0\n",
    )


async def fetch(port: int, path: str = "healthz") -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/{path}") as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("connected", "drawing", "answer"),
    [
        (True, True, (200, "connected to Discord\n")),
        (False, True, (503, "not connected to Discord\n")),
        (
            *(True, False),
            (503, "connected to Discord, but drawing is broken: scheduled posts wait; see the log\n"),
        ),
    ],
)
async def test_health_is_whether_the_bot_is_connected_and_draws(
    port: int, connected: bool, drawing: bool, answer: tuple[int, str]
):
    async with server(port, connected=connected, drawing=drawing):
        assert await fetch(port) == answer
    with pytest.raises(aiohttp.ClientConnectionError):
        await fetch(port)


async def test_no_port_means_no_server():
    async with server(0):
        pass


async def test_taken_port_is_one_sentence(port: int):
    async with server(port):
        with pytest.raises(SettingsError, match=f"health.port: port {port} is not available"):
            async with server(port):
                pass


async def test_metrics_are_served_as_prometheus_reads_them(port: int):
    async with server(port):
        assert await fetch(port, "metrics") == (200, "liqmap_queue 0.0\n")


async def outcomes(draw: FakeDraw, errors: Iterable[Exception | None]) -> list[bool]:
    """Return whether drawing works after each of these outcomes."""
    health, found = DrawingHealth(), []
    watched = health.watched(draw)
    for error in errors:
        draw.error = error
        with suppress(Exception):
            await watched(REQUEST)
        found.append(health.works)
    return found


@pytest.mark.parametrize("fault", [JobFailed("Too long."), ValueError(), MemoryError()])
async def test_drawing_is_broken_after_three_faults_in_a_row(draw: FakeDraw, fault: Exception):
    assert await outcomes(draw, [fault, fault, None, fault, fault, fault, None]) == [
        *(True, True, True, True, True, False, True)
    ]


@pytest.mark.parametrize("refusal", [RequestError("No."), DataError("No."), EngineBusy("No.")])
async def test_refused_requests_do_not_count_as_drawing_faults(draw: FakeDraw, refusal: Exception):
    assert await outcomes(draw, [ValueError(), ValueError(), refusal, refusal, ValueError(), refusal]) == [
        *(True, True, True, True, False, False)
    ]
