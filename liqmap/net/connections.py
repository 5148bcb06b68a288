"""Speak HTTP: requests and streams, through the proxy, without following them to other hosts."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from liqmap.errors import DataError
from liqmap.net.attempts import BARRED_STATUS, BARRED_WAIT, USER_AGENT, TransientError, barred, host_of
from liqmap.net.pace import ended_by, overdue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from liqmap.net.pace import Sleep
    from liqmap.settings import NetworkSettings

_REDIRECTS: Final = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)
_MOST_REDIRECTS = 5
_LARGEST_MESSAGE = 4 << 20  # bytes; a stream that sends more is cut instead of filling the memory
_CLOSING_SECONDS = 1.0  # a stream that is given up has nothing more to say


class Connections:
    """Opens requests and streams; `Session` says what each of them does."""

    def __init__(
        self, network: NetworkSettings, *, traces: Sequence[aiohttp.TraceConfig], sleep: Sleep
    ) -> None:
        self._http = aiohttp.ClientSession(
            trace_configs=list(traces),
            # Nothing here needs a login, so no server gets to store cookies.
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_refuse_redirected_stream,),
        )
        self._network = network
        self._sleep = sleep

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()

    @asynccontextmanager
    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Yield the response to a request."""
        host = host_of(url)
        stall = self._network.stall_timeout
        # No limit on the whole: a large file may take long, as long as it goes on.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=stall, sock_read=stall)
        with passing(host):
            target = URL(url)
            for _ in range(_MOST_REDIRECTS):
                response = await self._http.request(
                    method,
                    target,
                    headers=headers,
                    timeout=timeout,
                    # Followed here, because the library would follow them to any host.
                    allow_redirects=False,
                    proxy=self._network.proxy_for(str(target)),
                )
                async with response:
                    if response.status not in _REDIRECTS:
                        yield response
                        return
                    target = _followed(response)
        raise DataError(f"{host} redirects in a circle; try again later.")

    async def stream(self, url: str) -> aiohttp.ClientWebSocketResponse:
        """Open a websocket. Raises TransientError if that fails."""
        host = host_of(url)
        timeout = self._network.answer_timeout
        late = TransientError(f"{host} did not answer in time; it is tried again.")
        with passing(host):
            async with ended_by(overdue(late, after=timeout, sleep=self._sleep)):
                return await self._http.ws_connect(
                    url,
                    headers=USER_AGENT,
                    max_msg_size=_LARGEST_MESSAGE,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSING_SECONDS),
                    proxy=self._network.proxy_for(url),
                )


@contextmanager
def passing(host: str) -> Iterator[None]:
    """Turn the network failures of a request to `host` into `TransientError`."""
    try:
        yield
    except TimeoutError as error:
        raise TransientError(f"{host} did not answer in time; try again in a few minutes.") from error
    except aiohttp.ClientProxyConnectionError as error:
        raise TransientError(
            "The proxy cannot be reached; check network.proxy or HTTPS_PROXY.", is_unreachable=True
        ) from error
    except aiohttp.ClientHttpProxyError as error:
        raise TransientError(
            f"The proxy refuses the way to {host} (HTTP {error.status}); check network.proxy or HTTPS_PROXY."
        ) from error
    except aiohttp.WSServerHandshakeError as error:
        if error.status in BARRED_STATUS:
            raise TransientError(barred(host, error.status), retry_after=BARRED_WAIT) from error
        raise TransientError(f"{host} refuses a stream (HTTP {error.status}); it is tried again.") from error
    except aiohttp.ClientPayloadError as error:
        raise TransientError(f"{host} broke off a download; try again in a few minutes.") from error
    except aiohttp.ClientError as error:
        raise TransientError(
            f"{host} cannot be reached; check the network and try again.",
            is_unreachable=isinstance(error, aiohttp.ClientConnectorError),
        ) from error


def _followed(response: aiohttp.ClientResponse) -> URL:
    """Return where a redirect leads. Raises DataError for another host or a step down from https to http."""
    here = response.url
    try:
        there = here.join(URL(response.headers.get("Location", ""))).with_user(None)
        is_same = (there.host, _door(there)) in {(here.host, _door(here)), (here.host, _upgraded(here))}
    except ValueError:
        is_same = False
    if not is_same:
        raise DataError(f"{here.host} redirects to another host, which is not followed; check the network.")
    return there


def _door(url: URL) -> tuple[str, int | None]:
    return url.scheme, url.port


def _upgraded(url: URL) -> tuple[str, int | None]:
    """Return the https scheme and port of the same server if `url` uses plain http on port 80."""
    return ("https", 443) if _door(url) == ("http", 80) else _door(url)


async def _refuse_redirected_stream(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Refuse a redirect of a websocket handshake: the library would follow it to any host."""
    response = await handler(request)
    if response.status in _REDIRECTS and "Upgrade" in request.headers:
        response.close()
        raise TransientError(
            f"{request.url.host} redirects a stream, which is not followed; check the network."
        )
    return response
