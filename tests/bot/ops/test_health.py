from __future__ import annotations

import socket
from contextlib import AbstractAsyncContextManager

import aiohttp
import pytest

from bot.ops.health import health_server
from bot.settings import HealthSettings
from liqmap import SettingsError


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def server(port: int, *, connected: bool = True) -> AbstractAsyncContextManager[None]:
    return health_server(
        HealthSettings(port=port), connected=lambda: connected, metrics=lambda: b"liqmap_queue 0.0\n"
    )


async def fetch(port: int, path: str = "healthz") -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/{path}") as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("connected", "answer"),
    [(True, (200, "connected to Discord\n")), (False, (503, "not connected to Discord\n"))],
)
async def test_health_is_whether_the_bot_is_connected(port: int, connected: bool, answer: tuple[int, str]):
    async with server(port, connected=connected):
        assert await fetch(port) == answer
    with pytest.raises(aiohttp.ClientConnectionError):
        await fetch(port)


async def test_no_port_means_no_server():
    async with server(0):
        pass


async def test_taken_port_is_one_sentence(port: int):
    async with server(port):
        with pytest.raises(SettingsError, match=f"health.port: port {port} cannot be had"):
            async with server(port):
                pass


async def test_metrics_are_served_as_prometheus_reads_them(port: int):
    async with server(port):
        assert await fetch(port, "metrics") == (200, "liqmap_queue 0.0\n")
