"""Accept the websocket clients of the exchanges' streams, and keep their subscriptions."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import WSCloseCode, WSMsgType, web

from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.connections import GONE, Connection, Subscription

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiohttp.web_response import StreamResponse

    from liqmap.clock import Clock
    from liqmap.model import Exchange
    from liqmap.simulator.dialects import Dialect


class Streams:
    """The websocket clients of all exchanges. `Feed` sends them events.

    `prepare` is awaited with each symbol before its first subscription is acknowledged. Every upgrade is
    answered with `headers`, and counted in `accepted`; once the client has subscribed, in `subscribed` too.
    """

    def __init__(
        self, clock: Clock, prepare: Callable[[str], Awaitable[object]], *, headers: Mapping[str, str]
    ) -> None:
        self.accepted: Counter[Exchange] = Counter()
        self.subscribed: Counter[Exchange] = Counter()
        self.connections: list[Connection] = []
        self._clock = clock
        self._prepare = prepare
        self._headers = headers
        self._refusals: Counter[Exchange] = Counter()
        self._refusal_status = 503
        self._news = asyncio.Condition()
        self._occupied = asyncio.Event()

    async def serve(self, request: web.Request, dialect: Dialect, *, mute: bool = False) -> StreamResponse:
        """Serve one client until it leaves. A `mute` connection acknowledges everything and sends nothing."""
        if self._refusals[dialect.exchange]:
            self._refusals[dialect.exchange] -= 1
            return web.Response(status=self._refusal_status)
        # With autoping, aiohttp would hide the pongs, which show how far a client has read.
        socket = web.WebSocketResponse(autoping=False, compress=False)
        socket.headers.update(self._headers)
        await socket.prepare(request)
        if request.transport is None:
            return socket
        connection = Connection(dialect, socket, request.transport, mute=mute)
        self.connections.append(connection)
        self._occupied.set()
        self.accepted[dialect.exchange] += 1
        try:
            with suppress(*GONE):
                await self._subscribe(connection, request.query.get("streams", "").split("/"))
                await self._converse(connection)
        finally:
            self._drop(connection)
        return socket

    async def occupied(self) -> None:
        """Return once there is a client."""
        await self._occupied.wait()

    async def connected(self, exchange: Exchange, number: int) -> None:
        """Return once `number` connections have been accepted since the start and have subscribed."""
        async with self._news:
            await self._news.wait_for(lambda: self.subscribed[exchange] >= number)

    async def announce(self, name: str, message: str) -> None:
        """Send `message` to every client that has subscribed to the stream `name`, which has no symbol."""
        for connection in list(self.connections):
            if name in connection.subscriptions and not connection.is_silent(name):
                with suppress(*GONE):
                    async with connection.sending:
                        await connection.socket.send_str(message)

    async def say(self, exchange: Exchange, message: str) -> None:
        """Send `message` to every client of an exchange."""
        for connection in self._of(exchange):
            with suppress(*GONE):
                async with connection.sending:
                    await connection.socket.send_str(message)

    async def barrier(self) -> None:
        """Return when every client has processed all that it was sent so far, or is gone."""
        await asyncio.gather(*(connection.processed() for connection in self.connections))

    def cut(self, exchange: Exchange | None = None) -> int:
        """Reset the connections of `exchange`, or all, and return how many there were."""
        cut = self._of(exchange)
        for connection in cut:
            self.abort(connection)
        return len(cut)

    def abort(self, connection: Connection) -> None:
        """Reset a connection without a closing handshake, as when a network breaks."""
        connection.transport.abort()
        self._drop(connection)

    def silence(self, exchange: Exchange, *symbols: str) -> None:
        """Send no more of `symbols`, or of anything, to the clients that are connected now."""
        for connection in self._of(exchange):
            connection.silence(symbols)

    def refuse(self, exchange: Exchange, *, times: int = 1, status: int = 503) -> None:
        """Answer the next `times` clients with `status`."""
        self._refusal_status = status
        self._refusals[exchange] += times

    def _of(self, exchange: Exchange | None) -> list[Connection]:
        return [each for each in self.connections if exchange in {None, each.dialect.exchange}]

    def _drop(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
        if not self.connections:
            self._occupied.clear()
        connection.release()

    async def _converse(self, connection: Connection) -> None:
        async for message in connection.socket:
            if message.type is WSMsgType.PONG:
                connection.answer_ping(bytes(message.data))
            elif message.type is WSMsgType.PING:
                await connection.socket.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                await self._obey(connection, message.data)

    async def _obey(self, connection: Connection, text: str) -> None:
        reply = connection.dialect.reply(text, connection.subscriptions)
        if reply.too_many is not None and not connection.admits(epoch_ms(self._clock.now())):
            await connection.socket.send_str(reply.too_many)
            return
        for name in reply.unsubscribe:
            connection.subscriptions.pop(name, None)
        # The answer is sent once the subscription is in effect: nothing may be missing after it.
        await self._subscribe(connection, reply.subscribe, acknowledgements=(reply.text, *reply.more))
        if reply.closes:
            await connection.socket.close(code=WSCloseCode.POLICY_VIOLATION)

    async def _subscribe(
        self, connection: Connection, names: Iterable[str], *, acknowledgements: Iterable[str] = ()
    ) -> None:
        topics = {name: connection.dialect.topic(name) for name in names if name}
        await asyncio.gather(*(self._prepare(topic.symbol) for topic in topics.values() if topic is not None))
        now = epoch_ms(self._clock.now())
        for name, topic in topics.items():
            # A name that is subscribed to already goes on from where it is.
            connection.subscriptions.setdefault(name, None if topic is None else Subscription(topic, now))
        for text in acknowledgements:
            await connection.socket.send_str(text)
        if topics and not connection.subscribed:
            connection.subscribed = True
            async with self._news:
                self.subscribed[connection.dialect.exchange] += 1
                self._news.notify_all()
