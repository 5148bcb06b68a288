"""What scheduled posts show: maps and scans; equal requests that are due together are drawn once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from cachetools import TTLCache
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from liqmap import DataError, EngineBusy, MapRequest, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta

    from bot.request.drawing import Draw, Scan
    from bot.request.posted import Asked, Drawn
    from liqmap import SteadyClock

_DRAW_ATTEMPTS = 3
# The pictures of one map take up to some MB, so only so many are kept.
_MOST_SHARED = 32


def drawing(draw: Draw, scan: Scan) -> Callable[[Asked], Coroutine[Any, Any, Drawn]]:
    """Return a function that draws a post's map or scan."""

    async def drawn(request: Asked) -> Drawn:
        if isinstance(request, MapRequest):
            return await draw(request)
        try:
            return await scan(request)
        except RequestError as error:
            # A stored scan is a valid one: it fails where nothing is recorded now, which does not last.
            raise DataError(str(error)) from error

    return drawn


class SharedDraws:
    """Draws equal requests once, including those that come within `keep` of each other."""

    def __init__(
        self,
        draw: Callable[[Asked], Coroutine[Any, Any, Drawn]],
        *,
        clock: SteadyClock,
        keep: timedelta,
    ) -> None:
        self._draw = draw
        self._clock = clock
        self._tasks: TTLCache[Asked, asyncio.Task[Drawn]] = TTLCache(
            _MOST_SHARED, ttl=keep.total_seconds(), timer=clock.steady
        )

    async def __call__(self, request: Asked) -> Drawn:
        """Draw `request`, or return what was drawn for an equal one."""
        task = self._tasks.get(request)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = self._tasks[request] = asyncio.create_task(self._patient_draw(request))
        # Shielded: a job that is cancelled must not cancel the draw that others wait for.
        return await asyncio.shield(task)

    async def _patient_draw(self, request: Asked) -> Drawn:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((EngineBusy, DataError)),
            stop=stop_after_attempt(_DRAW_ATTEMPTS),
            wait=wait_exponential(multiplier=5),
            sleep=self._clock.sleep,
            reraise=True,
        ):
            with attempt:
                return await self._draw(request)
        raise AssertionError  # pragma: no cover - the last attempt returns or raises
