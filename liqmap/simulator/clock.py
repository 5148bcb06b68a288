"""Clocks for tests: one that moves only when a test advances it, and one that follows another process's."""

from __future__ import annotations

import asyncio
import heapq
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from liqmap.clock import Clock

MILLISECOND: Final = timedelta(milliseconds=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Turns of the event loop after each wake, because a woken task may wake others, and those more.
_SETTLING_TURNS = 50
_SHORTEST_SLEEP = timedelta(microseconds=1)


def epoch_ms(moment: datetime) -> int:
    """Return the whole milliseconds between 1970 and `moment`, exactly."""
    return (moment - _EPOCH) // MILLISECOND


def from_epoch_ms(milliseconds: int) -> datetime:
    """Return the moment `milliseconds` after 1970, aware, in UTC."""
    return _EPOCH + milliseconds * MILLISECOND


@dataclass(order=True, slots=True)
class _Sleeper:
    due: datetime
    number: int
    woken: asyncio.Future[None] = field(compare=False)


class SimulatedClock:
    """A clock that shows `start`, aware and in UTC, until `advance` moves it forward."""

    def __init__(self, start: datetime) -> None:
        if start.utcoffset() != timedelta():
            raise ValueError(f"a clock starts at a moment in UTC, not at {start!r}")
        self._now = start
        self._slept = 0
        self._sleepers: list[_Sleeper] = []

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return self._now

    @property
    def alarms(self) -> tuple[datetime, ...]:
        """The times at which the current sleepers will be woken, in no particular order."""
        return tuple(each.due for each in self._sleepers if not each.woken.done())

    async def sleep(self, seconds: float, /) -> None:
        """Return once this clock has been moved forward by `seconds`; at once if that is 0 or less."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        # Times are in whole microseconds: a shorter sleep would be due at once, and a loop of them never end.
        due = self._now + max(timedelta(seconds=seconds), _SHORTEST_SLEEP)
        self._slept += 1
        sleeper = _Sleeper(due, self._slept, asyncio.get_running_loop().create_future())
        heapq.heappush(self._sleepers, sleeper)
        await sleeper.woken

    async def advance(self, seconds: float) -> None:
        """Move forward by `seconds`, waking every sleeper at its due time, in order.

        After each wake the event loop gets many turns, so that the sleeper can act, sleep and be woken again
        before the end. Work in threads and on sockets may still go on afterwards.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back, as by {seconds} seconds")
        end = self._now + timedelta(seconds=seconds)
        await _settle()
        while self._sleepers and self._sleepers[0].due <= end:
            sleeper = heapq.heappop(self._sleepers)
            if sleeper.woken.done():  # cancelled
                continue
            self._now = sleeper.due
            sleeper.woken.set_result(None)
            await _settle()
        self._now = end
        await _settle()


@asynccontextmanager
async def remote_clock(url: str) -> AsyncIterator[Clock]:
    """Yield a clock that follows the server's at `url` (`MarketServer.clock_url`).

    With each tick of the server, this process's sleepers are woken in order; then the server gets an answer.
    """
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        clock = SimulatedClock(_moment_in(await socket.receive_str()))
        following = asyncio.create_task(_follow(socket, clock))
        try:
            yield clock
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _follow(socket: aiohttp.ClientWebSocketResponse, clock: SimulatedClock) -> None:
    async for message in socket:
        await clock.advance((_moment_in(message.data) - clock.now()).total_seconds())
        await socket.send_json({"done": epoch_ms(clock.now())})


def _moment_in(text: str) -> datetime:
    return from_epoch_ms(json.loads(text)["now"])


async def _settle() -> None:
    for _ in range(_SETTLING_TURNS):
        await asyncio.sleep(0)
