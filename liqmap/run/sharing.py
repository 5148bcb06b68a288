"""Share one job among all callers who request the same map."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from liqmap.errors import EngineBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from liqmap.model import MapRequest, Progress
    from liqmap.run.result import MapResult


class Listener(NamedTuple):
    """A caller who waits for a map: receives its progress, and a partial map if it takes long."""

    progress: Callable[[Progress], None]
    partial: Callable[[MapResult], None]


@dataclass(slots=True)
class _Job:
    task: asyncio.Task[MapResult]
    listeners: list[Listener] = field(default_factory=list)
    partial: MapResult | None = None


class SharedJobs:
    """The requests under way, `most` at once: equal ones are drawn once, by `draw`."""

    def __init__(self, draw: Callable[[MapRequest], Coroutine[Any, Any, MapResult]], *, most: int) -> None:
        self._draw = draw
        self._most = most
        self._jobs: dict[MapRequest, _Job] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, request: MapRequest) -> bool:
        return request in self._jobs

    async def result(self, request: MapRequest, listener: Listener) -> MapResult:
        """Return the map that is drawn for all who request it. Raises EngineBusy, and what `draw` raises."""
        job = self._jobs.get(request)
        if job is None:
            self._refuse_if_full()
            job = self._start(request)
        job.listeners.append(listener)
        # A caller who comes later sees what the others see.
        if job.partial is not None:
            listener.partial(job.partial)
        # Shielded: a caller who is cancelled must not cancel the job of the others.
        try:
            return await asyncio.shield(job.task)
        finally:
            job.listeners.remove(listener)
            if not job.listeners:  # nobody waits any more
                self._forget(request, job)
                job.task.cancel()

    def report(self, request: MapRequest, progress: Progress) -> None:
        """Report how far a request has come to all who wait for it."""
        job = self._jobs.get(request)
        for listener in tuple(job.listeners) if job else ():
            listener.progress(progress)

    def offer(self, request: MapRequest, partial: MapResult) -> None:
        """Give a partial map to all who wait, and to those who will."""
        job = self._jobs.get(request)
        if job is None:
            return
        job.partial = partial
        for listener in tuple(job.listeners):
            listener.partial(partial)

    async def cancel(self) -> None:
        """Cancel all jobs and wait until they have ended."""
        tasks = [job.task for job in self._jobs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _refuse_if_full(self) -> None:
        waiting = len(self._jobs)
        if waiting >= self._most:
            raise EngineBusy(f"{waiting} maps are being drawn already; please try again in a few seconds.")

    def _start(self, request: MapRequest) -> _Job:
        job = self._jobs[request] = _Job(asyncio.create_task(self._draw(request)))

        def done(task: asyncio.Task[MapResult]) -> None:
            self._forget(request, job)
            # Waiting callers get the error. If none is left, asyncio would log one that is not retrieved.
            if not task.cancelled():
                task.exception()

        job.task.add_done_callback(done)
        return job

    def _forget(self, request: MapRequest, job: _Job) -> None:
        if self._jobs.get(request) is job:
            del self._jobs[request]
