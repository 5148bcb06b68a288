"""Run jobs in an executor that is kept warm, limits their time, and is replaced when a worker dies."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from liqmap.errors import JobFailed, NoMainGuard
from liqmap.workers.process import prepare_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor, Future
    from multiprocessing.process import BaseProcess
    from types import TracebackType

log = logging.getLogger(__name__)

_UNGUARDED = 86  # exit code of a worker that would have started workers itself by importing the script

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Run(Protocol):
    """The signature of `WorkerPool.run`."""

    async def __call__(self, function: Callable[[Argument], Result], argument: Argument, /) -> Result:
        """Run `function(argument)` elsewhere and return its result. Raises what it raises, and JobFailed."""
        ...


class WorkerPool:
    """Runs jobs in worker processes, at most as many at once as there are workers.

    A job that is still running after `timeout` seconds fails with JobFailed, and its worker is killed. A
    job that is cancelled while it runs keeps its slot until its worker is free or that time is over. A job
    whose worker died is tried once more in new workers, one such job at a time. If an `executor` is given,
    the pool uses it, never replaces it and leaves it to its owner to close. Workers start with the pool, so
    that they are warm when needed: one, then the others. If it is not `warm`, they start with the first
    jobs.
    """

    def __init__(
        self, *, workers: int, timeout: float, executor: Executor | None = None, warm: bool = True
    ) -> None:
        self._workers = workers
        self._warm = warm
        self._timeout = timeout
        self._foreign = executor
        self._slots = asyncio.Semaphore(workers)
        self._second_tries = asyncio.Lock()
        self._jobs: set[asyncio.Task[Any]] = set()
        self._closing = False
        self._executor = executor
        self._processes: tuple[BaseProcess, ...] = ()
        self._starting: asyncio.Task[None] | None = None
        self._unguarded = False

    async def __aenter__(self) -> Self:
        # A spawned process imports the script. If that reaches this line, the script has no main guard. The
        # exit code lets the parent say so once; a message from here would appear once for each worker.
        if self._foreign is None and getattr(multiprocessing.current_process(), "_inheriting", False):
            raise SystemExit(_UNGUARDED)
        if self._warm and self._executor is None:
            self._executor = self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing = True
        ending = [*self._jobs, *([self._starting] if self._starting else [])]
        for each in ending:
            each.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        if self._foreign is None and self._executor is not None:
            _kill(self._executor)

    async def run(self, function: Callable[[Argument], Result], argument: Argument, /) -> Result:
        """Run `function(argument)`, both picklable, in a worker and return its result.

        Raises what it raises, JobFailed, and NoMainGuard.
        """
        await self._slots.acquire()
        if self._closing:  # a job that ran until now has left its slot
            self._slots.release()
            raise asyncio.CancelledError
        job = asyncio.create_task(self._run(function, argument))
        self._jobs.add(job)
        job.add_done_callback(self._ended)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            job.cancel()  # it keeps its slot until its worker is free
            raise

    def _ended(self, job: asyncio.Task[Any]) -> None:
        self._jobs.discard(job)
        self._slots.release()
        if not job.cancelled():
            job.exception()  # the caller has received it; asyncio need not log it

    async def _run(self, function: Callable[[Argument], Result], argument: Argument) -> Result:
        # The job may not be the cause: a worker that dies breaks its executor for every job in it. Second
        # tries take turns, so that a job which always kills its worker does not break the same ones again.
        for turn in (nullcontext(), self._second_tries):
            async with turn:
                executor = await self._ready()
                try:
                    return await self._run_once(executor, function, argument)
                except BrokenExecutor:
                    self._replace(executor)
                    if self._unguarded:
                        break
                    log.warning("a worker died while running %s", function.__name__)
        if self._unguarded:
            raise NoMainGuard
        raise JobFailed("Drawing failed twice in a row; please try again later or with a shorter window.")

    async def _ready(self) -> Executor:
        """Return the executor when all its workers have been started, of which the first is ready by then."""
        # A job would start a worker itself where none is free, and be lost if another one dies meanwhile.
        while self._starting is not None and not self._starting.done():
            await asyncio.wait([self._starting])
        self._executor = self._executor or self._start()
        return self._executor

    async def _run_once(
        self, executor: Executor, function: Callable[[Argument], Result], argument: Argument
    ) -> Result:
        try:
            future = executor.submit(function, argument)
        except OSError as error:
            raise _not_started(error) from error
        self._processes = _processes(executor) or self._processes
        running = asyncio.wrap_future(future)
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit:
                try:
                    return await asyncio.shield(running)
                except asyncio.CancelledError:
                    task = asyncio.current_task()
                    if future.cancelled() and not (task and task.cancelling()):
                        # Nobody has cancelled this job: another one has replaced the executor.
                        raise BrokenExecutor from None
                    # A job that has begun cannot be stopped. Waiting for it keeps the slot taken, so that no
                    # more jobs are submitted than there are free workers. On time-out and on closing, the
                    # worker is killed instead.
                    if not (future.cancel() or limit.expired() or self._closing):
                        await asyncio.wait([running])
                    raise
        except TimeoutError:
            raise JobFailed(
                f"Drawing took longer than {self._timeout:.0f} s and was stopped; try a shorter window."
            ) from None
        finally:
            running.cancel()
            if limit.expired():
                log.warning("%s ran for more than %.0f s and was stopped", function.__name__, self._timeout)
                self._replace(executor)

    def _replace(self, executor: Executor) -> None:
        # Several jobs may have run in the broken executor; the first to notice replaces it.
        if self._foreign is None and self._executor is executor:
            if self._starting is not None:
                self._starting.cancel()
            _kill(executor)
            self._unguarded = any(process.exitcode == _UNGUARDED for process in self._processes)
            if not (self._unguarded or self._closing):
                self._executor = None  # where none can be started now, the next job tries it again
                self._executor = self._start()

    def _start(self) -> Executor:
        # Spawned, not forked: this process has threads, and matplotlib does not survive a fork while they
        # run.
        try:
            executor = ProcessPoolExecutor(
                self._workers, mp_context=multiprocessing.get_context("spawn"), initializer=prepare_process
            )
            # A worker starts when a job is submitted for which none is free. The first starts alone: on two
            # cores it is ready sooner, and this process, which starts too, need not share its core.
            first = executor.submit(int) if self._warm else None
        except OSError as error:
            raise _not_started(error) from error
        if first is not None:
            self._starting = asyncio.create_task(self._start_others(executor, first))
        self._processes = _processes(executor)
        return executor

    async def _start_others(self, executor: Executor, first: Future[int]) -> None:
        """Start the other workers when the first one is ready."""
        # If it dies, or hangs, so does the next job, which replaces the executor. One that cannot be started
        # now is started for a job.
        with suppress(BrokenExecutor, TimeoutError, OSError):
            async with asyncio.timeout(self._timeout):
                await asyncio.wrap_future(first)
            # Not one job for each: the first worker may have done it before the next one is submitted.
            while len(_processes(executor)) < self._workers:
                executor.submit(int)


def _not_started(error: OSError) -> JobFailed:
    return JobFailed(
        f"No worker process can be started ({error.strerror or error}); free memory or raise the limits of"
        " processes and open files, and try again."
    )


def _kill(executor: Executor) -> None:
    # Shutting down alone would wait for running jobs. Public as kill_workers() from Python 3.14 on.
    for process in _processes(executor):
        process.kill()
    executor.shutdown(wait=True, cancel_futures=True)


def _processes(executor: Executor) -> tuple[BaseProcess, ...]:
    return tuple((getattr(executor, "_processes", None) or {}).values())
