"""Draw maps on the workers of a Dask cluster, through its concurrent.futures executor."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self, TypeVar

from liqmap.errors import SettingsError
from liqmap.run.job import MapJob, run_map_job
from liqmap.store.local import SegmentStore
from liqmap.store.shared import SharedStore
from liqmap.workers.pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from distributed import Client

    from liqmap.run.result import MapResult
    from liqmap.settings import Settings

_CONNECT_TIMEOUT = 10

Argument = TypeVar("Argument")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RemoteMapJob:
    """A map job for another machine, whose own store is at the same `root`, of at most `max_size` bytes."""

    job: MapJob
    root: Path
    max_size: int
    shared_url: str


class DaskPool:
    """Draws maps in a Dask cluster. Use it as `async with DaskPool(settings, shared=shared) as cluster`.

    A worker reads segments from the same path as this machine. Either that folder is shared, or the worker
    copies them from the `shared` store, into which everything that a job reads is copied before the job is
    sent.
    """

    def __init__(self, settings: Settings, *, shared: SharedStore | None) -> None:
        self._settings = settings
        self._shared = shared
        self._pool: WorkerPool | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        engine = self._settings.engine
        async with AsyncExitStack() as stack:
            client = await asyncio.to_thread(_connect, engine.dask_address)
            stack.push_async_callback(asyncio.to_thread, client.close)
            # Dask queues jobs for its workers, whose number varies, so this pool limits nothing.
            pool = WorkerPool(
                workers=engine.queue_size, timeout=engine.job_timeout, executor=ClusterExecutor(client)
            )
            self._pool = await stack.enter_async_context(pool)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def draw(self, job: MapJob) -> MapResult:
        """Run `job` in the cluster. Raises as `run_map_job`, and JobFailed."""
        if self._shared is not None:
            await asyncio.to_thread(self._publish, job, self._shared)
        storage = self._settings.storage
        remote = RemoteMapJob(job, storage.path, storage.max_size, storage.shared_url)
        return await self.run(run_remote_map_job, remote)

    async def run(self, function: Callable[[Argument], Result], argument: Argument, /) -> Result:
        """Run any job in the cluster. Raises what it raises, and JobFailed."""
        if self._pool is None:
            raise RuntimeError("A DaskPool runs jobs only inside `async with`.")
        return await self._pool.run(function, argument)

    def _publish(self, job: MapJob, shared: SharedStore) -> None:
        for part in job.parts:
            shared.publish(part.segment)


class ClusterExecutor(Executor):
    """Dask's own executor, except that lost jobs fail with BrokenExecutor, as in other executors.

    Before that, Dask itself gives the jobs of a lost worker to other workers, a few times.
    """

    def __init__(self, client: Client) -> None:
        # Dask must not merge equal jobs: the engine has already done that where it should be.
        self._executor: Executor = client.get_executor(pure=False)  # type: ignore[no-untyped-call] # ships none

    def submit(
        self,
        function: Callable[..., Any],
        /,
        *arguments: Any,  # noqa: ANN401 - it hands on what it is given
        **options: Any,  # noqa: ANN401
    ) -> Future[Any]:
        """Send a job to the cluster."""
        outer: Future[Any] = Future()
        inner = self._executor.submit(function, *arguments, **options)
        inner.add_done_callback(lambda done: _pass_on(done, outer))
        # Cancelling waits for the scheduler, which would block the caller's event loop.
        outer.add_done_callback(
            lambda done: (
                threading.Thread(target=inner.cancel, daemon=True).start() if done.cancelled() else None
            )
        )
        return outer


def run_remote_map_job(remote: RemoteMapJob) -> MapResult:
    """Copy the segments that this machine lacks and run the job. Raises as `run_map_job`."""
    if remote.shared_url:
        store = SegmentStore(remote.root, max_size=remote.max_size)
        store.open(now=datetime.now(UTC))
        shared, brought_in = _shared_store(remote.shared_url), False
        for part in remote.job.parts:
            origin = part.segment.origin
            if store.get(origin.exchange, origin.symbol, origin.window) is None:
                brought_in |= shared.bring_in(part.segment.path, incoming=store.incoming) is not None
        if brought_in:
            store.evict(now=datetime.now(UTC))
    return run_map_job(remote.job)


@lru_cache(maxsize=1)
def _shared_store(url: str) -> SharedStore:
    return SharedStore(url)


def _pass_on(inner: Future[Any], outer: Future[Any]) -> None:
    from distributed import KilledWorker  # noqa: PLC0415 - only needed with a cluster

    if not outer.set_running_or_notify_cancel():
        return
    error = None if inner.cancelled() else inner.exception()
    if inner.cancelled() or isinstance(error, KilledWorker):
        broken = BrokenExecutor("the cluster has given up on a job")
        broken.__cause__ = error
        outer.set_exception(broken)
    elif error is not None:
        outer.set_exception(error)
    else:
        outer.set_result(inner.result())


def _connect(address: str) -> Client:
    try:
        from distributed import Client  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            "Setting engine.executor: dask needs its library; install it with pip install 'liqmap[dask]'."
        ) from None
    try:
        return Client(  # type: ignore[no-untyped-call] # ships none
            address, timeout=_CONNECT_TIMEOUT, set_as_default=False
        )
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"Setting engine.dask_address: there is no Dask scheduler at {address}."
        ) from error
