"""End transfers that last too long or are too slow ever to finish."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from liqmap.net.attempts import TransientError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

Sleep = Callable[[float], Awaitable[object]]


@asynccontextmanager
async def ended_by(watch: Coroutine[Any, Any, Exception]) -> AsyncIterator[None]:
    """Run the block; if `watch` returns an error first, end the block with it."""
    loop = asyncio.get_running_loop()
    limit = asyncio.timeout(None)
    watching = asyncio.create_task(watch)
    under_way = True

    def end(watched: asyncio.Task[Exception]) -> None:
        if under_way and not watched.cancelled():
            limit.reschedule(loop.time())

    # A timeout rather than a cancellation from here: only it tells apart who has ended the block.
    watching.add_done_callback(end)
    try:
        async with limit:
            try:
                yield
            finally:
                under_way = False
                watching.cancel()
    except TimeoutError:
        if not limit.expired():  # the block's own
            raise
        raise watching.result() from None


async def done_or_late(*work: asyncio.Future[Any], within: float, sleep: Sleep) -> None:
    """Return once one of `work` is done, or after `within` seconds. What is not done goes on."""
    patience = asyncio.ensure_future(sleep(within))
    try:
        await asyncio.wait({*work, patience}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        patience.cancel()


async def overdue(error: Exception, *, after: float, sleep: Sleep = asyncio.sleep) -> Exception:
    """Return `error` after `after` seconds."""
    await sleep(after)
    return error


class Pace:
    """Counts the bytes of a transfer, to notice one that only drips."""

    def __init__(self, *, least: float, period: float, sleep: Sleep = asyncio.sleep) -> None:
        self._least = least * period
        self._period = period
        self._sleep = sleep
        self._received = 0

    def count(self, size: int) -> None:
        """Note that `size` more bytes have arrived."""
        self._received += size

    async def too_slow(self, host: str) -> TransientError:
        """Return an error once fewer bytes than `least` a second have arrived within a `period` [s]."""
        while True:
            before = self._received
            await self._sleep(self._period)
            if self._received - before < self._least:
                return TransientError(f"{host} sends too slowly; try again in a few minutes.")
