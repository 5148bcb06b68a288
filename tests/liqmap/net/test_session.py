from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from aiohttp import web

from liqmap.errors import DataError
from liqmap.net.attempts import TransientError
from liqmap.net.session import Session, open_session
from liqmap.settings import NetworkSettings
from liqmap.simulator import SimulatedClock
from tests.liqmap.market_time import driven
from tests.liqmap.net.dripping import dripping
from tests.served import served

NETWORK = NetworkSettings()
START = datetime(2023, 8, 3, tzinfo=UTC)


async def got(session: Session, url: str, *, method: str = "GET") -> str:
    async with session.request(method, url) as response:
        return await response.text()


def by(address: str) -> NetworkSettings:
    return NetworkSettings.model_validate({"proxy": address})


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
                await got(session, url, method=method)
    assert secret.requests == 0


async def test_redirected_stream_is_refused():
    async with leading_to("{secret}/") as (secret, url), open_session(NETWORK) as session:
        with pytest.raises(TransientError, match="redirects a stream, which is not followed"):
            await session.stream(url.replace("http:", "ws:"))
    assert secret.requests == 0


@pytest.mark.parametrize("location", ["/there", "there", "?", "#", ""])
async def test_redirect_on_the_same_host_is_followed_up_to_a_limit(location: str):
    async with leading_to(location) as (_, url), open_session(NETWORK) as session:
        if "there" in location:
            assert await got(session, url) == "arrived by GET"
        else:
            with pytest.raises(DataError, match="redirects in a circle"):
                await got(session, url)


async def test_cookies_are_not_kept():
    sent = []

    async def serve(request: web.Request) -> web.Response:
        sent.append(dict(request.cookies))
        response = web.Response()
        response.set_cookie("name", "value")
        return response

    app = web.Application()
    app.router.add_get("/", serve)
    async with served(app) as url, open_session(NETWORK) as session:
        for _ in range(2):
            await got(session, f"{url}/")
    assert sent == [{}, {}]


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


@asynccontextmanager
async def proxy(answer: bytes) -> AsyncIterator[tuple[list[str], str]]:
    """Yield the heads of the requests that a proxy gets, each of which it answers alike, and its address."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield heads, f"http://me:hush@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


LOGIN = "Proxy-Authorization: Basic bWU6aHVzaA=="
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[17]"


async def test_plain_request_goes_by_the_proxy():
    async with proxy(OK) as (heads, address), open_session(by(address)) as session:
        assert await got(session, "http://exchange.test/time") == "[17]"
    assert heads[0].startswith("GET http://exchange.test/time HTTP/1.1\r\nHost: exchange.test\r\n")
    assert LOGIN in heads[0]


@pytest.mark.parametrize("url", ["https://exchange.test/time", "wss://exchange.test/stream"])
async def test_encrypted_connection_goes_through_the_proxy_named_by_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
):
    async with proxy(b"HTTP/1.1 407 Login\r\n\r\n") as (heads, address), open_session(NETWORK) as session:
        monkeypatch.setenv("HTTPS_PROXY", address)
        with pytest.raises(TransientError) as caught:
            await (session.stream(url) if url.startswith("wss") else got(session, url))
    refusal = "The proxy refuses the way to exchange.test (HTTP 407); check network.proxy or HTTPS_PROXY."
    assert str(caught.value) == refusal
    assert heads[0].startswith("CONNECT exchange.test:443 HTTP/1.1\r\n")
    assert LOGIN in heads[0]


async def test_unreachable_proxy_is_reported_without_its_password():
    async with open_session(by("http://me:hush@127.0.0.1:9")) as session:
        with pytest.raises(TransientError, match=r"^The proxy cannot be reached; check network") as caught:
            await got(session, "https://exchange.test/")
    assert "hush" not in str(caught.value) + repr(caught.value.__cause__)


async def test_redirect_by_a_proxy_to_another_host_is_refused():
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    async with proxy(answer) as (heads, address), open_session(by(address)) as session:
        with pytest.raises(DataError, match="redirects to another host"):
            await got(session, "http://exchange.test/")
    assert len(heads) == 1
