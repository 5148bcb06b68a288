"""Draw maps on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import CancelledError
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from uuid import uuid4

from liqmap.errors import ClusterAway, JobFailed, SettingsError, SharedStoreAway, StoreError
from liqmap.run.job import self_contained
from liqmap.run.joint import map_jobs, with_jobs
from liqmap.store.bounded import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from distributed import Future

    from liqmap.run.dask_link import DaskLink
    from liqmap.run.joint import Job
    from liqmap.run.result import MapResult
    from liqmap.settings import Settings
    from liqmap.store.segments import Part
    from liqmap.store.shared import SharedStore

log = logging.getLogger(__name__)

CANCEL_GRACE: Final = 5.0
"""Seconds that a job may go on after its last caller has left, before its worker is restarted."""

BACK_WITHIN: Final = 5.0
"""Seconds to wait for a lost scheduler and its workers; if they come back, its jobs are submitted again."""

_TRIES: Final = 3
_LOOK_SECONDS = 0.5  # a scheduler that is gone is noticed only by looking
_UNREACHABLE = "The cluster that draws cannot be reached; try again in a minute."
_NO_WORKERS = "The cluster that draws has no workers; try again in a few minutes."
_NOTHING_SHARED = (
    "The workers of the cluster do not find the trades to draw; set storage.shared_url, or let all machines"
    " share the folder storage.path."
)

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class _Displaced(Exception):
    """A job that has not begun must be submitted again, because it may wait at a worker that is unfit."""


class _SchedulerLost(_Displaced):
    """The scheduler that `client` was connected to is gone, and with it the job."""

    def __init__(self, client: object) -> None:
        super().__init__("the scheduler is gone")
        self.client = client


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """The state of the cluster: workers that draw, jobs, and retries and unfit workers since the start."""

    connected: bool
    workers: int
    jobs: int
    retries: int
    retired: int


class DaskPool:
    """Draws maps in a Dask cluster. Use it as `async with DaskPool(settings, shared=shared) as cluster`.

    Each worker has a store of its own, at the path of its own settings. It copies what it lacks from the
    `shared` store, into which everything that a job reads is put before the job is sent.
    """

    def __init__(self, settings: Settings, *, shared: SharedStore | None) -> None:
        self._settings = settings
        self._shared = shared
        self._open: DaskLink | None = None
        self._displaced = asyncio.Event()
        self._endings: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()
        self._jobs = 0
        self._retries = 0

    async def __aenter__(self) -> Self:
        try:
            from liqmap.run.dask_link import DaskLink  # noqa: PLC0415 - needs an optional library
        except ImportError:
            raise SettingsError(
                "Setting engine.executor: dask needs its library; install it with pip install 'liqmap[dask]'."
            ) from None
        link = DaskLink(self._settings.engine, on_unfit=self._displace)
        self._open = await self._stack.enter_async_context(link)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._endings:
            task.cancel()
        await asyncio.gather(*self._endings, return_exceptions=True)
        await self._stack.aclose()

    @property
    def status(self) -> ClusterStatus:
        """The state of the cluster now."""
        link = self._link
        return ClusterStatus(link.client is not None, link.workers, self._jobs, self._retries, link.retired)

    @property
    def unfit(self) -> Mapping[str, str]:
        """Workers that draw nothing for now, and why."""
        return self._link.unfit

    async def has_workers(self) -> None:
        """Return once a worker draws."""
        await self._link.until(lambda: self._link.workers > 0)

    async def draw(self, job: Job) -> MapResult:
        """Run `job` in the cluster. Raises as `run_job`, JobFailed, and ClusterAway."""
        from liqmap.run.dask_worker import NotShared, RemoteJob, draw_remote  # noqa: PLC0415

        self._reached()
        # The brackets that this machine has fetched are not on the workers' disks: they travel with the job.
        job = await asyncio.to_thread(_portable, job)
        parts = [part for each in map_jobs(job) for part in each.parts]
        # Twice: the shared store may have lost segments that are still noted as published there.
        for _ in range(2):
            keys = await self._published(parts)
            places = tuple(keys.get(part.segment.path, "") for part in parts)
            try:
                return await self.run(draw_remote, RemoteJob(job, places, self._settings.storage.shared_url))
            except NotShared as error:
                self._retries += 1
                if self._shared is None:
                    raise ClusterAway(_NOTHING_SHARED) from error
                self._shared.distrust(error.keys)
            except SharedStoreAway as error:
                raise ClusterAway(str(error)) from error
        raise ClusterAway("The shared store does not keep what is put there; check it, or try again later.")

    async def run(self, function: Callable[[Argument], Result], argument: Argument, /) -> Result:
        """Run any job in the cluster. Raises what it raises, JobFailed, and ClusterAway."""
        from liqmap.run.dask_worker import WorkerUnfit  # noqa: PLC0415

        self._jobs += 1
        try:
            tries = 0
            while tries < _TRIES:
                try:
                    result: Result = await self._run_once(function, argument)
                except (_Displaced, WorkerUnfit) as error:
                    log.info("a job is given to the cluster again: %s", error)
                    # A displaced job has not run at all, so it costs no try.
                    tries += isinstance(error, (_SchedulerLost, WorkerUnfit))
                    self._retries += isinstance(error, (_SchedulerLost, WorkerUnfit))
                    if isinstance(error, _SchedulerLost):
                        await self._back(error.client)
                else:
                    return result
        finally:
            self._jobs -= 1
        raise ClusterAway("The workers of the cluster fail one after the other; try again in a few minutes.")

    @property
    def _link(self) -> DaskLink:
        if self._open is None:
            raise RuntimeError("A DaskPool runs jobs only inside `async with`.")
        return self._open

    async def _published(self, parts: Sequence[Part]) -> Mapping[Path, str]:
        shared = self._shared
        if shared is None:
            return {}
        segments = [part.segment for part in parts]
        try:
            return await asyncio.wrap_future(in_thread(lambda: shared.publish(segments)))
        except StoreError as error:
            raise ClusterAway(str(error)) from error

    def _reached(self) -> Any:  # noqa: ANN401 - a distributed.Client, which an optional library has
        """Return the connection to a scheduler that has workers. Raises ClusterAway."""
        client = self._link.client
        if client is None:
            raise ClusterAway(_UNREACHABLE)
        if not self._link.workers:
            raise ClusterAway(_NO_WORKERS)
        return client

    async def _run_once(self, function: Callable[[Any], Any], argument: object) -> Any:  # noqa: ANN401
        from liqmap.run.dask_worker import JOB  # noqa: PLC0415

        client, limit = self._reached(), self._settings.engine.job_timeout
        name = f"{JOB}{uuid4().hex}"
        future = self._link.submit(client, function, argument, name=name)
        result = asyncio.ensure_future(_outcome(future, client))
        # Retrieved here, because asyncio logs errors of tasks whose callers have left.
        result.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await self._begun(client, result, name)
            await asyncio.wait({result}, timeout=limit)
            if not result.done():
                log.warning("a job ran for more than %.0f s in the cluster and was stopped", limit)
                raise JobFailed(
                    f"Drawing took longer than {limit:.0f} s and was stopped; try a shorter window."
                )
            return await result
        finally:
            self._end(future, result, name)

    async def _back(self, lost: object) -> None:
        """Wait a little for another connection than the `lost` one, with workers."""
        link = self._link
        with suppress(TimeoutError):
            async with asyncio.timeout(BACK_WITHIN):
                await link.until(lambda: link.client is not lost and link.workers > 0)

    async def _begun(self, client: object, result: asyncio.Future[Any], name: str) -> None:
        """Return once the job runs, or is over. Raises _Displaced and ClusterAway."""
        link, started = self._link, self._link.started(name)
        loop = asyncio.get_running_loop()
        had_workers = loop.time()
        displaced = asyncio.ensure_future(self._displaced.wait())
        try:
            while not (result.done() or started.done()):
                await asyncio.wait(
                    {result, started, displaced}, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
                )
                if result.done() or started.done():
                    return
                if link.client is not client:
                    raise _SchedulerLost(client)
                if displaced.done():
                    raise _Displaced("a worker has become unfit")
                # The job itself may have killed the workers. Then it is given up, and other workers start.
                had_workers = loop.time() if link.workers else had_workers
                if loop.time() - had_workers > BACK_WITHIN:
                    raise ClusterAway(_NO_WORKERS)
        finally:
            displaced.cancel()

    def _displace(self) -> None:
        """Submit again the jobs that have not begun, as they may wait at the worker that has become unfit."""
        self._displaced.set()
        self._displaced = asyncio.Event()

    def _end(self, future: Future[Any], result: asyncio.Future[Any], name: str) -> None:
        started = self._link.started(name)
        if result.done():
            self._link.forget(name)
            return
        worker = started.result() if started.done() else None
        ending = asyncio.create_task(self._stopped(future, result, worker))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        ending.add_done_callback(lambda _: self._link.forget(name))

    async def _stopped(self, future: Future[Any], result: asyncio.Future[Any], worker: str | None) -> None:
        """Free the worker of a job whose callers have all left."""
        if worker is not None:
            await asyncio.wait({result}, timeout=CANCEL_GRACE)
        done = result.done()
        result.cancel()
        await asyncio.gather(result, return_exceptions=True)
        if not done:
            cancel: Any = future.cancel
            await cancel(force=True)
            if worker is not None:
                await self._link.stop(worker)


def _portable(job: Job) -> Job:
    """Return `job` together with everything that it would read from this machine's tables."""
    return with_jobs(job, [self_contained(each) for each in map_jobs(job)])


async def _outcome(future: Future[Any], client: object) -> Any:  # noqa: ANN401 - whatever the job returns
    """Return a job's result. Raises what it raises, JobFailed, and _SchedulerLost."""
    from distributed import KilledWorker  # noqa: PLC0415

    try:
        return await future.result()
    except CancelledError as error:
        raise _SchedulerLost(client) from error
    except KilledWorker as error:
        raise JobFailed(
            "Drawing failed twice in a row; please try again later or with a shorter window."
        ) from error
