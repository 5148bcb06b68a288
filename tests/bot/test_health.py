from __future__ import annotations

import socket

import aiohttp
import pytest

from bot.health import health_server
from liqmap import SettingsError


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def fetch(port: int) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/healthz") as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize(
    ("connected", "answer"),
    [(True, (200, "connected to Discord\n")), (False, (503, "not connected to Discord\n"))],
)
async def test_health_is_whether_the_bot_is_connected(port: int, connected: bool, answer: tuple[int, str]):
    async with health_server(port, connected=lambda: connected):
        assert await fetch(port) == answer
    with pytest.raises(aiohttp.ClientConnectionError):
        await fetch(port)


async def test_no_port_means_no_server():
    async with health_server(0, connected=lambda: True):
        pass


async def test_taken_port_is_one_sentence(port: int):
    async with health_server(port, connected=lambda: True):
        with pytest.raises(SettingsError, match=f"health.port: port {port} cannot be had"):
            async with health_server(port, connected=lambda: True):
                pass
