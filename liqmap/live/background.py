"""Run work in the background, and run it again a minute after it has failed."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from liqmap.clock import Clock

_AT_ONCE = timedelta(0)
_AGAIN_AFTER = timedelta(minutes=1)  # long enough that an error that stays does not fill the log


class Background:
    """Tasks of one owner. `on_failed` is called with the error of a task, before it begins again."""

    def __init__(self, clock: Clock, *, on_failed: Callable[[BaseException], None]) -> None:
        self._clock = clock
        self._on_failed = on_failed
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_running(self) -> bool:
        """Whether anything was started."""
        return bool(self._tasks)

    def start(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Run `work` now; if it fails, run it again after a minute."""
        self._start(work, after=_AT_ONCE)

    async def close(self) -> None:
        """Cancel all tasks and wait for their end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Callable[[], Coroutine[None, None, None]], *, after: timedelta) -> None:
        async def begin() -> None:
            if after:
                await self._clock.sleep(after.total_seconds())
            await work()

        def begin_again(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                self._on_failed(error)
                self._start(work, after=_AGAIN_AFTER)

        task = asyncio.create_task(begin())
        task.add_done_callback(begin_again)
        self._tasks = [each for each in self._tasks if not each.done()] + [task]
