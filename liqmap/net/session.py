"""Requests and streams to other people's servers. Most maps need none: all that they draw is in the store."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from liqmap.net.attempts import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    import aiohttp

    from liqmap.net.connections import Connections
    from liqmap.net.pace import Sleep
    from liqmap.settings import NetworkSettings


class Session:
    """Opens requests and streams. `sleep` times them, so tests can pass a simulated one."""

    def __init__(
        self, network: NetworkSettings, *, traces: Sequence[aiohttp.TraceConfig], sleep: Sleep
    ) -> None:
        self.network: Final = network
        self.sleep: Final = sleep
        self._traces = traces
        self._connections: Connections | None = None

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] = USER_AGENT
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Return the response to a request, whatever its status, as a block in which its body is read.

        Redirects are followed on the same host only. Raises DataError for any other redirect, and
        TransientError for network failures, also for those inside the block.
        """
        return self._open().request(method, url, headers=headers)

    async def stream(self, url: str) -> aiohttp.ClientWebSocketResponse:
        """Open a websocket. Raises TransientError if that fails."""
        return await self._open().stream(url)

    async def close(self) -> None:
        """Close all connections."""
        if self._connections is not None:
            await self._connections.close()

    def _open(self) -> Connections:
        if self._connections is None:
            from liqmap.net.connections import Connections  # noqa: PLC0415 - a tenth of a second, for aiohttp

            self._connections = Connections(self.network, traces=self._traces, sleep=self.sleep)
        return self._connections


@asynccontextmanager
async def open_session(
    network: NetworkSettings,
    *,
    traces: Sequence[aiohttp.TraceConfig] = (),
    sleep: Sleep = asyncio.sleep,
) -> AsyncIterator[Session]:
    """Yield a session and close it at the end; `traces` are called for every request."""
    session = Session(network, traces=traces, sleep=sleep)
    try:
        yield session
    finally:
        await session.close()
