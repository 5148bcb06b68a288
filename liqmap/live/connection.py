"""Read one websocket of an exchange until it ends."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import TYPE_CHECKING

from liqmap.clock import is_recent
from liqmap.errors import DataError
from liqmap.exchanges.messages import Acknowledged, Leaving, PartlyUnreadable
from liqmap.model.window import HOUR
from liqmap.net.attempts import TransientError, host_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import aiohttp

    from liqmap.clock import Clock
    from liqmap.exchanges.messages import Events, LiveFormat
    from liqmap.net.session import Session

log = logging.getLogger(__name__)

_MOST_AT_ONCE = 100  # symbols in a message: Bybit accepts 21,000 characters
_HANDOVER_SECONDS = 10.0  # for which an old connection is read on beside a new one
_BETWEEN_SECONDS = 0.2  # Binance disconnects above ten messages a second, pongs included


class Stream:
    """A connection that hands over its events until the exchange or its owner ends it.

    It reads no faster than `on_events` returns, so nothing queues up in this process. An exchange disconnects
    a reader that is too slow.
    """

    def __init__(
        self,
        session: Session,
        live: LiveFormat,
        base_url: str,
        *,
        clock: Clock,
        on_live: Callable[[tuple[str, ...]], None],
        on_refused: Callable[[str], None],
        on_events: Callable[[Events], None],
        on_unreadable: Callable[[DataError], None],
    ) -> None:
        self._session = session
        self._live = live
        self._url = live.stream_url(base_url)
        self._clock = clock
        self._on_live = on_live
        self._on_refused = on_refused
        self._on_events = on_events
        self._on_unreadable = on_unreadable
        self._numbers = count(1)
        self._requested: dict[int, tuple[str, ...]] = {}
        self._doubtful: asyncio.Queue[str] = asyncio.Queue()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._some = False
        self._sent: deque[datetime] = deque()

    async def run(self, symbols: Callable[[], tuple[str, ...]]) -> None:
        """Connect, subscribe to `symbols`, and read until the connection ends.

        `symbols` is called once the connection is open. Raises TransientError if there is no connection, or
        if it delivered nothing.
        """
        host = host_of(self._url)
        self._some = False
        socket: aiohttp.ClientWebSocketResponse | None = await self._open()
        doubting = asyncio.create_task(self._subscribe_one_by_one())
        try:
            await self.subscribe(symbols())
            while socket is not None:
                socket = await self._read_to_end(socket, symbols)
            if not self._some:  # as an error, so that the next attempt waits
                raise TransientError(f"{host} accepts a connection but sends nothing; it is tried again.")
        finally:
            last, self._socket = self._socket, None
            self._requested.clear()
            self._doubtful = asyncio.Queue()
            doubting.cancel()
            if last is not None:
                await last.close()

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        self._socket = socket = await self._session.stream(self._url)
        self._sent.clear()  # an exchange counts by the connection
        return socket

    async def _read_to_end(
        self, socket: aiohttp.ClientWebSocketResponse, symbols: Callable[[], tuple[str, ...]]
    ) -> aiohttp.ClientWebSocketResponse | None:
        """Read a connection until it ends; return the one to read on, if the exchange announced the end.

        The next one is open and subscribed before this one is closed. What both send comes twice, and is
        known by its id.
        """
        from aiohttp import WSMsgType  # noqa: PLC0415 - loaded with the connection, and not before

        successor: aiohttp.ClientWebSocketResponse | None = None
        tasks = [asyncio.create_task(self._keep(socket))]
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and self._take(message.data) and successor is None:
                    successor = await self._succeeded(symbols)
                    tasks.append(asyncio.create_task(self._close_later(socket)))
        finally:
            for task in tasks:
                task.cancel()
            await socket.close()
        return successor

    async def _succeeded(
        self, symbols: Callable[[], tuple[str, ...]]
    ) -> aiohttp.ClientWebSocketResponse | None:
        """Open and subscribe the connection that follows; None if that fails, which the end will show."""
        try:
            socket = await self._open()
        except TransientError as error:
            log.info("%s is about to close a connection, and refuses another: %s", self._url, error)
            return None
        log.info("%s is about to close a connection; another one is open", self._url)
        await self.subscribe(symbols())
        return socket

    async def _close_later(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        await self._clock.sleep(_HANDOVER_SECONDS)
        await socket.close()

    async def subscribe(self, symbols: tuple[str, ...]) -> None:
        """Subscribe to more symbols if there is a connection; `on_live` or `on_refused` follows for each.

        What the exchange would not accept in this hour is not sent; call this again for what still waits.
        """
        for first in range(0, len(symbols), _MOST_AT_ONCE):
            await self._send(symbols[first : first + _MOST_AT_ONCE])

    async def _send(self, symbols: tuple[str, ...]) -> None:
        if self._socket is None or not self._may_send():
            return
        number = next(self._numbers)
        self._requested[number] = symbols
        with suppress(ConnectionError):  # the reader notices it as well
            await self._socket.send_str(self._live.subscribe(symbols, number=number))

    def _may_send(self) -> bool:
        """Return whether the exchange accepts one more subscription in this hour, and count it."""
        most, now = self._live.subscriptions_an_hour, self._clock.now()
        if most is None:
            return True
        # Those of before the clock was set back are forgotten, or they would count for longer than an hour.
        while self._sent and not is_recent(self._sent[0], now=now, within=HOUR):
            self._sent.popleft()
        if len(self._sent) >= most:
            log.warning("%s accepts no more subscriptions in this hour; the rest waits", self._url)
            return False
        self._sent.append(now)
        return True

    async def _subscribe_one_by_one(self) -> None:
        while True:
            await self._send((await self._doubtful.get(),))
            await self._clock.sleep(_BETWEEN_SECONDS)

    async def drop(self) -> None:
        """End the connection, because it is dead or too far behind."""
        if self._socket is not None:
            await self._socket.close()

    def _take(self, text: str) -> bool:
        """Take in a message and return whether it says that the connection will be closed."""
        try:
            found = self._live.read(text)
        except PartlyUnreadable as error:
            self._on_unreadable(error)
            found = error.readable
        except DataError as error:
            if not self._live.numbered:
                # No gap in the ids would show that its trades are missing, so a new stream must begin.
                raise TransientError(f"{error.problem} ({error.__cause__}); connecting again") from error
            self._on_unreadable(error)
            return False
        if isinstance(found, Leaving):
            return True
        if isinstance(found, Acknowledged):
            self._take_answer(found)
        elif found:
            self._on_events(found)
            self._some = True
        return False

    def _take_answer(self, answer: Acknowledged) -> None:
        one = answer.symbol
        symbols = self._requested.pop(answer.number, ()) if one is None else (one,)
        if answer.accepted:
            self._on_live(symbols)
        elif len(symbols) == 1:
            self._on_refused(symbols[0])
        else:  # one bad name is enough, so subscribe to each on its own
            log.info("%s refuses some of %d streams", self._url, len(symbols))
            for symbol in symbols:
                self._doubtful.put_nowait(symbol)

    async def _keep(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Say that this end is alive, where the exchange wants that, and end the connection in good time."""
        age, lifetime = timedelta(), self._live.lifetime
        step = self._live.heartbeat_seconds or (lifetime.total_seconds() if lifetime else None)
        while step is not None:
            await self._clock.sleep(step)
            age += timedelta(seconds=step)  # by what was slept, because the clock may have been set meanwhile
            if lifetime is not None and age >= lifetime:
                await socket.close()
                return
            if self._live.heartbeat is not None:
                with suppress(ConnectionError):  # the reader notices it as well
                    await socket.send_str(self._live.heartbeat)
