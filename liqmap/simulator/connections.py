"""One client's connection to a stream: its subscriptions, what it has received, and how it falls silent."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiohttp import web

    from liqmap.simulator.dialects import Dialect, Topic

_HOUR_MS = 3_600_000

GONE = (ConnectionError, aiohttp.ClientConnectionError)
"""What aiohttp raises when it sends to a client that has disconnected."""


@dataclass(slots=True)
class Subscription:
    """A topic, and the time [ms] up to which all of it has been sent."""

    topic: Topic
    sent_ms: int


class Connection:
    """A client on `socket`. `subscriptions` are by name; a name for which nothing is sent has None.

    Hold the lock `sending` while sending what is due, so that nothing is sent twice.
    """

    def __init__(
        self, dialect: Dialect, socket: web.WebSocketResponse, transport: asyncio.Transport, *, mute: bool
    ) -> None:
        self.dialect = dialect
        self.socket = socket
        self.transport = transport
        self.subscriptions: dict[str, Subscription | None] = {}
        self.subscribed = False
        self.sending = asyncio.Lock()
        self._requests: deque[int] = deque()
        self._mute = mute
        self._silenced: set[str] = set()
        self._numbers = count()
        self._pings: dict[bytes, asyncio.Future[None]] = {}

    def admits(self, now_ms: int) -> bool:
        """Count a request to subscribe, and return whether the exchange's limit of an hour admits it."""
        while self._requests and self._requests[0] <= now_ms - _HOUR_MS:
            self._requests.popleft()
        # What is refused counts as well.
        self._requests.append(now_ms)
        most = self.dialect.requests_an_hour
        return most is None or len(self._requests) <= most

    def silence(self, symbols: Collection[str]) -> None:
        """Send no more of `symbols`, or nothing at all if there are none."""
        self._mute = self._mute or not symbols
        self._silenced.update(symbols)

    def is_silent(self, symbol: str) -> bool:
        """Return whether nothing about `symbol` is sent any more."""
        return self._mute or symbol in self._silenced

    async def processed(self) -> None:
        """Return when the client has answered a ping, or is gone.

        A client that has answered has read everything that was sent before the ping.
        """
        # Numbered, because the answer to an earlier ping says nothing of what was sent since.
        payload = b"%d" % next(self._numbers)
        answered = self._pings[payload] = asyncio.get_running_loop().create_future()
        with suppress(*GONE):
            await self.socket.ping(payload)
            await answered

    def answer_ping(self, payload: bytes) -> None:
        """Take the client's answer to a ping."""
        answered = self._pings.pop(payload, None)
        if answered is not None and not answered.done():
            answered.set_result(None)

    def release(self) -> None:
        """Wake the callers that wait for this client, which is gone."""
        for payload in list(self._pings):
            self.answer_ping(payload)
