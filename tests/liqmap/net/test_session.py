from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web

from liqmap.errors import DataError
from liqmap.net.attempts import TransientError
from liqmap.net.session import open_session
from liqmap.settings import NetworkSettings
from liqmap.simulator import SimulatedClock
from tests.liqmap.market_time import driven
from tests.liqmap.net.dripping import dripping
from tests.served import served

NETWORK = NetworkSettings()
START = datetime(2023, 8, 3, tzinfo=UTC)


class Secret:
    """A server that must not be reached: a cloud's metadata, a router's page."""

    def __init__(self) -> None:
        self.requests = 0

    async def serve(self, _: web.Request) -> web.Response:
        self.requests += 1
        return web.Response(text="credentials")


@asynccontextmanager
async def leading_to(location: str, *, status: int = 302) -> AsyncIterator[tuple[Secret, str]]:
    """Yield a server whose every path leads to `location`, in which {secret} is another server."""
    secret = Secret()
    behind = web.Application()
    behind.router.add_route("*", "/{path:.*}", secret.serve)
    async with served(behind) as secret_url:

        async def lead(_: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": location.format(secret=secret_url)})

        async def arrived(request: web.Request) -> web.Response:
            return web.Response(text=f"arrived by {request.method}")

        app = web.Application()
        app.router.add_route("*", "/there", arrived)
        app.router.add_route("*", "/{path:.*}", lead)
        async with served(app) as url:
            yield secret, url


@pytest.mark.parametrize(
    ("location", "status"),
    [
        *(("{secret}/latest/meta-data", status) for status in (301, 302, 303, 307, 308)),
        ("//169.254.169.254/latest/meta-data", 302),
        ("http://localhost/there", 302),
        ("https://127.0.0.1/there", 302),
        ("ftp://127.0.0.1/there", 302),
        ("file:///etc/passwd", 302),
        ("http://[::1", 302),
        ("http://user@127.0.0.1:1/there", 302),
    ],
)
async def test_redirect_to_another_host_is_refused(location: str, status: int):
    async with leading_to(location, status=status) as (secret, url), open_session(NETWORK) as session:
        for method in ("GET", "HEAD"):
            with pytest.raises(DataError, match=r"^127\.0\.0\.1 redirects to another host, which is not"):
                async with session.request(method, url):
                    pass
    assert secret.requests == 0


async def test_stream_is_redirected_nowhere():
    async with leading_to("{secret}/") as (secret, url), open_session(NETWORK) as session:
        with pytest.raises(TransientError, match="cannot be reached"):
            await session.stream(url.replace("http:", "ws:"))
    assert secret.requests == 0


@pytest.mark.parametrize("location", ["/there", "there", "?", "#", ""])
async def test_redirect_on_the_same_host_is_followed_or_ends(location: str):
    async with leading_to(location) as (_, url), open_session(NETWORK) as session:
        if "there" in location:
            async with session.request("GET", url) as response:
                assert await response.text() == "arrived by GET"
        else:
            with pytest.raises(DataError, match="redirects in a circle"):
                async with session.request("GET", url):
                    pass


async def test_cookies_are_not_kept():
    got = []

    async def serve(request: web.Request) -> web.Response:
        got.append(dict(request.cookies))
        response = web.Response()
        response.set_cookie("name", "value")
        return response

    app = web.Application()
    app.router.add_get("/", serve)
    async with served(app) as url, open_session(NETWORK) as session:
        for _ in range(2):
            async with session.request("GET", f"{url}/"):
                pass
    assert got == [{}, {}]


async def test_stream_whose_handshake_drips_is_given_up():
    clock = SimulatedClock(START)
    async with (
        dripping(clock, at_once=b"HTTP/1.1 101 Switching") as (drip, url),
        open_session(NETWORK, sleep=clock.sleep) as session,
    ):
        with pytest.raises(TransientError, match="did not answer in time"):
            await driven(clock, session.stream(url.replace("http:", "ws:")))
        assert clock.now().timestamp() - START.timestamp() == NETWORK.answer_timeout
        assert drip.sent > 0
        await asyncio.sleep(0)
