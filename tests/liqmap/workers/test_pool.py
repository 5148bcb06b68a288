from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import psutil
import pytest

from liqmap.errors import DataError, JobFailed
from liqmap.workers.pool import WorkerPool, _processes
from tests.liqmap.market_time import until


def die_once(mark: Path) -> int:
    """Kill this worker at the first call; return its process id at the next."""
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(mark: Path) -> None:
    mark.touch()
    threading.Event().wait()


def fail(text: str) -> None:
    raise DataError(text)


def pid(_: int) -> int:
    return os.getpid()


async def test_pool_runs_jobs_in_other_processes_and_passes_errors_on():
    async with WorkerPool(workers=1, timeout=60) as pool:
        assert await pool.run(pid, 0) != os.getpid()
        with pytest.raises(DataError, match="as it was said"):
            await pool.run(fail, "as it was said")


async def test_killed_worker_is_replaced_and_its_job_tried_once_more(tmp_path: Path):
    async with WorkerPool(workers=1, timeout=60) as pool:
        before = await pool.run(pid, 0)
        assert await pool.run(die_once, tmp_path / "mark") != before
        with pytest.raises(JobFailed, match="failed twice in a row"):
            await pool.run(die, 0)
        assert await pool.run(pid, 0) != os.getpid()


class Breaking(Executor):
    """Begins jobs, and breaks all that run when it is told to."""

    def __init__(self) -> None:
        self.begun: list[Future[Any]] = []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        del function, arguments, options
        future = Future[Any]()
        future.set_running_or_notify_cancel()
        self.begun.append(future)
        return future

    def break_all(self) -> None:
        for future in self.begun:
            if not future.done():
                future.set_exception(BrokenExecutor())


async def test_job_that_kills_its_worker_twice_does_not_take_another_with_it_twice():
    executor = Breaking()
    async with WorkerPool(workers=2, timeout=60, executor=executor) as pool:
        both = asyncio.gather(pool.run(pid, 0), pool.run(pid, 1), return_exceptions=True)
        await until(lambda: len(executor.begun) == 2)
        executor.break_all()
        await until(lambda: len(executor.begun) > 2)
        executor.break_all()
        await until(lambda: both.done() or len(executor.begun) == 4)
        executor.begun[-1].set_result(7)
        killing, other = await both
    assert isinstance(killing, JobFailed)
    assert other == 7


async def test_job_past_its_time_is_stopped_and_leaves_no_worker(tmp_path: Path):
    async with WorkerPool(workers=1, timeout=60) as pool:
        worker = await pool.run(pid, 0)
        pool._timeout = 0.2
        with pytest.raises(JobFailed, match="took longer than"):
            await pool.run(hang, tmp_path / "mark")
        assert not psutil.pid_exists(worker)
        pool._timeout = 60
        assert await pool.run(pid, 0) != os.getpid()


async def cancelled_while_running(pool: WorkerPool, mark: Path) -> None:
    job = asyncio.create_task(pool.run(hang, mark))
    await until(lambda: job.done() or mark.exists())
    job.cancel()
    await asyncio.wait([job])


async def test_job_that_is_cancelled_keeps_its_slot_until_its_worker_is_free():
    begun, go_on, order = threading.Event(), threading.Event(), list[str]()

    def first(_: int) -> None:
        begun.set()
        assert go_on.wait(10)
        order.append("first")

    with ThreadPoolExecutor(2) as executor:
        async with WorkerPool(workers=1, timeout=60, executor=executor) as pool:
            job = asyncio.create_task(pool.run(first, 0))
            await until(begun.is_set)
            job.cancel()
            await asyncio.wait([job])
            assert job.cancelled()
            assert pool._slots.locked()
            second = asyncio.create_task(pool.run(order.append, "second"))
            go_on.set()
            await second
            assert order == ["first", "second"]


async def test_job_that_waits_for_a_slot_when_it_is_cancelled_never_runs():
    begun, go_on, order = threading.Event(), threading.Event(), list[str]()

    def first(_: int) -> None:
        begun.set()
        assert go_on.wait(10)

    with ThreadPoolExecutor(2) as executor:
        async with WorkerPool(workers=1, timeout=60, executor=executor) as pool:
            running = asyncio.create_task(pool.run(first, 0))
            await until(begun.is_set)
            waiting = asyncio.create_task(pool.run(order.append, "no"))
            await asyncio.sleep(0)  # begin to wait
            waiting.cancel()
            await asyncio.wait([waiting])
            go_on.set()
            await running
            await pool.run(order.append, "yes")
    assert order == ["yes"]


async def test_cancelled_job_past_its_time_is_stopped_before_the_next_one_begins(tmp_path: Path):
    async with WorkerPool(workers=1, timeout=60) as pool:
        worker = await pool.run(pid, 0)
        pool._timeout = 1
        await cancelled_while_running(pool, tmp_path / "mark")
        pool._timeout = 50
        assert await pool.run(pid, 0) != worker
        assert not psutil.pid_exists(worker)


async def test_pool_closes_though_a_cancelled_job_is_running(tmp_path: Path):
    async with WorkerPool(workers=1, timeout=1000) as pool:
        worker = await pool.run(pid, 0)
        await cancelled_while_running(pool, tmp_path / "mark")
    assert not pool._jobs
    assert not psutil.pid_exists(worker)


async def test_pool_leaves_no_process_behind():
    async with WorkerPool(workers=2, timeout=60) as pool:
        workers = {await pool.run(pid, 0) for _ in range(3)}
    assert not any(psutil.pid_exists(worker) for worker in workers)


async def test_first_worker_starts_alone_and_the_others_when_it_is_ready():
    async with WorkerPool(workers=3, timeout=60) as pool:
        assert len(pool._processes) == 1
        executor = pool._executor
        assert executor is not None
        await until(lambda: len(_processes(executor)) == 3)


async def test_pool_whose_first_worker_dies_as_it_starts_draws_with_others():
    async with WorkerPool(workers=2, timeout=60) as pool:
        (first,) = pool._processes
        first.kill()
        assert await pool.run(pid, 0) not in {os.getpid(), first.pid}


async def test_job_that_has_not_begun_when_another_replaces_the_workers_is_done_by_the_new_ones(
    tmp_path: Path,
):
    async with WorkerPool(workers=1, timeout=60) as pool:
        old = await pool.run(pid, 0)
        executor: Any = pool._executor
        # One in the worker, and two that fill its queue.
        executor.submit(hang, tmp_path / "mark")
        await until((tmp_path / "mark").exists)
        queued = [executor.submit(pid, 0) for _ in range(2)]
        await until(lambda: all(each.running() for each in queued))
        waiting = asyncio.create_task(pool.run(pid, 0))
        await until(lambda: pool._slots.locked() and len(executor._pending_work_items) == 4)
        pool._replace(executor)
        assert await waiting not in {old, os.getpid()}


async def test_job_that_waits_for_a_slot_when_the_pool_closes_is_cancelled(tmp_path: Path):
    async with WorkerPool(workers=1, timeout=60, warm=False) as pool:
        running = asyncio.create_task(pool.run(hang, tmp_path / "mark"))
        waiting = [asyncio.create_task(pool.run(pid, 0)) for _ in range(2)]
        await until((tmp_path / "mark").exists)
        executor = pool._executor
    await asyncio.wait([running, *waiting])
    assert all(each.cancelled() for each in (running, *waiting))
    assert pool._executor is executor


async def test_pool_that_closes_while_its_first_worker_starts_leaves_no_process():
    async with WorkerPool(workers=2, timeout=60) as pool:
        (first,) = pool._processes
        waiting = asyncio.create_task(pool.run(pid, 0))
        await until(lambda: bool(pool._jobs))
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert not psutil.pid_exists(first.pid or 0)
    assert pool._processes == (first,)


async def test_worker_that_cannot_be_started_is_said_in_a_sentence_and_started_later(
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(_: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    async with WorkerPool(workers=2, timeout=60) as pool:
        before = await pool.run(pid, 0)
        with monkeypatch.context() as full:
            full.setattr(SpawnProcess, "start", refuse)
            with pytest.raises(JobFailed, match=r"No worker process can be started \(Resource"):
                await pool.run(die, 0)
            with pytest.raises(JobFailed, match=r"No worker process can be started \(Resource"):
                await pool.run(pid, 0)
            with pytest.raises(JobFailed, match="No worker process can be started"):
                await WorkerPool(workers=1, timeout=60).__aenter__()
        assert await pool.run(pid, 0) not in {before, os.getpid()}


async def test_foreign_executor_is_used_and_never_replaced():
    release = threading.Event()
    with ThreadPoolExecutor(1) as executor:
        async with WorkerPool(workers=1, timeout=0.05, executor=executor) as pool:
            with pytest.raises(JobFailed, match="took longer than"):
                await pool.run(lambda _: release.wait(), 0)
            release.set()
            pool._timeout = 60
            assert await pool.run(pid, 0) == os.getpid()
        assert executor.submit(int).result() == 0


async def test_pool_runs_at_most_as_many_jobs_at_once_as_it_has_workers():
    running, most = 0, 0
    lock = threading.Lock()

    def job(_: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        barrier.wait(10)
        with lock:
            running -= 1

    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(8) as executor:
        async with WorkerPool(workers=2, timeout=60, executor=executor) as pool:
            await asyncio.gather(*(pool.run(job, 0) for _ in range(6)))
    assert most == 2


ORPHANED = """
import asyncio, os, signal
from liqmap.workers.pool import WorkerPool
from tests.liqmap.workers.test_pool import pid

async def main():
    async with WorkerPool(workers=1, timeout=60) as pool:
        print(await pool.run(pid, 0), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_workers_of_a_killed_process_end_with_it(tmp_path: Path):
    script = tmp_path / "orphaned.py"
    script.write_text(ORPHANED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    killed = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    worker = int(killed.stdout)
    if psutil.pid_exists(worker):
        psutil.Process(worker).wait(timeout=30)
    assert not psutil.pid_exists(worker)
