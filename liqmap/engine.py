"""The engine: one object that owns the session, the archive and the workers, and draws requests."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import aiohttp
from cachetools import LRUCache

from liqmap.archive import Archive
from liqmap.errors import EngineBusy
from liqmap.model import MapRequest, MapResult, Progress
from liqmap.pool import WorkerPool
from liqmap.store import Store
from liqmap.worker import MapJob, run_map_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from types import TracebackType

    from liqmap.settings import Settings

log = logging.getLogger(__name__)


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(slots=True)
class _Job:
    task: asyncio.Task[MapResult]
    listeners: list[Callable[[Progress], None]] = field(default_factory=list)


class Engine:
    """Draws liquidation maps. Use it as `async with Engine(settings) as engine`.

    Jobs run in spawned worker processes, or in `executor` if one is given (then its owner closes it).
    """

    def __init__(
        self,
        settings: Settings,
        *,
        executor: Executor | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._settings = settings
        self._executor = executor
        self._now = now
        self._jobs: dict[MapRequest, _Job] = {}
        self._results: LRUCache[MapRequest, MapResult] = LRUCache(settings.engine.cached_results)
        self._stack = AsyncExitStack()
        self.answered_from_memory = 0

    async def __aenter__(self) -> Self:
        settings = self._settings
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(
                WorkerPool(
                    workers=settings.engine.workers,
                    timeout=settings.engine.job_timeout,
                    executor=self._executor,
                )
            )
            session = await stack.enter_async_context(aiohttp.ClientSession())
            self._pool = pool
            self._brackets = settings.storage.path / "brackets"
            store = Store(settings.storage.path, max_size=settings.storage.max_size)
            store.open(now=self._now())
            self._archive = Archive(settings, store=store, session=session, run=pool.run, now=self._now)
            stack.push_async_callback(self._archive.close)
            stack.push_async_callback(self._cancel_jobs)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def jobs_under_way(self) -> int:
        """Requests that are being drawn or wait for it."""
        return len(self._jobs)

    async def draw(
        self, request: MapRequest, *, progress: Callable[[Progress], None] | None = None
    ) -> MapResult:
        """Draw `request`, sharing the work with equal requests under way and drawn before.

        `progress` is called on the event loop as the job gets on. Raises RequestError, DataError,
        EngineBusy or JobFailed.
        """
        if request in self._results:
            self.answered_from_memory += 1
            return self._results[request]
        job = self._jobs.get(request)
        if job is None:
            self._refuse_if_full()
            job = self._start(request)
        listener = progress or _ignore
        job.listeners.append(listener)
        try:
            return await asyncio.shield(job.task)
        finally:
            job.listeners.remove(listener)
            if not job.listeners:  # nobody waits any more
                self._forget(request, job)
                job.task.cancel()

    def _refuse_if_full(self) -> None:
        waiting = len(self._jobs)
        if waiting >= self._settings.engine.queue_size:
            raise EngineBusy(f"{waiting} maps are being drawn already; please try again in a few seconds.")

    def _start(self, request: MapRequest) -> _Job:
        job = self._jobs[request] = _Job(asyncio.create_task(self._draw(request)))

        def done(task: asyncio.Task[MapResult]) -> None:
            self._forget(request, job)
            # Whoever waits gets the error; where all have given up, asyncio need not complain.
            if not task.cancelled():
                task.exception()

        job.task.add_done_callback(done)
        return job

    def _forget(self, request: MapRequest, job: _Job) -> None:
        if self._jobs.get(request) is job:
            del self._jobs[request]

    async def _draw(self, request: MapRequest) -> MapResult:
        started = time.perf_counter()
        holdings = await self._archive.collect(
            request.exchange,
            request.symbol,
            window=request.window,
            progress=lambda progress: self._tell(request, progress),
        )
        collected = time.perf_counter()
        self._tell(request, Progress("Drawing"))
        job = MapJob(request, holdings.segments, holdings.coverage, (self._brackets,))
        result = await self._pool.run(run_map_job, job)
        result = replace(
            result,
            timings_ms={
                "collect": (collected - started) * 1000,
                **result.timings_ms,
                "total": (time.perf_counter() - started) * 1000,
            },
        )
        # An incomplete window may be completed by the next day's file, so only whole ones are kept.
        if holdings.coverage.fraction == 1 and not request.levels_csv and self._results.maxsize:
            self._results[request] = result
        log.info("drew %s in %.0f ms", _described(request), result.timings_ms["total"])
        return result

    def _tell(self, request: MapRequest, progress: Progress) -> None:
        job = self._jobs.get(request)
        for listener in tuple(job.listeners) if job else ():
            listener(progress)

    async def _cancel_jobs(self) -> None:
        tasks = [job.task for job in self._jobs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ignore(_: Progress) -> None:
    """Listen to no progress."""


def _described(request: MapRequest) -> str:
    window = request.window
    return (
        f"{request.exchange} {request.symbol} {window.start:%Y-%m-%dT%H:%M:%S}/{window.end:%Y-%m-%dT%H:%M:%S}"
        f" {request.selection.mode} {request.selection.value}"
    )
