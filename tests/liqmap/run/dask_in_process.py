"""A Dask scheduler and workers in the test's own event loop, and what they need to draw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import distributed

from liqmap.run import dask_worker
from liqmap.run.dask import DaskPool
from liqmap.settings import EngineSettings, Settings, StorageSettings

_dask: Any = distributed


@asynccontextmanager
async def scheduler(port: int = 0) -> AsyncIterator[Any]:
    """Run a scheduler on this machine."""
    async with _dask.Scheduler(
        host="127.0.0.1", port=port, dashboard_address=":0", allowed_failures=3
    ) as scheduler:
        yield scheduler


@asynccontextmanager
async def worker(address: str) -> AsyncIterator[Any]:
    """Run a worker whose jobs run in a thread of this process."""
    async with _dask.Worker(address, nthreads=1, host="127.0.0.1", dashboard_address=":0") as worker:
        yield worker


def settings_of(address: str, folder: Path, **engine: Any) -> Settings:
    return Settings(
        storage=StorageSettings(path=folder),
        engine=EngineSettings(workers=1, executor="dask", dask_address=address, **engine),
    )


async def until_it_draws(pool: DaskPool, *, workers: int = 1) -> None:
    """Return once so many workers have passed their trial."""
    await until_seen(pool, lambda: pool.status.workers == workers)


async def until_seen(pool: DaskPool, seen: Callable[[], bool]) -> None:
    """Return once something is true of the pool, which looks at its scheduler meanwhile."""
    async with asyncio.timeout(30):
        while not seen():
            await asyncio.sleep(0.01)  # the others need the processor more
            with suppress(OSError):  # the scheduler is going
                await pool._link.look()


def forget_settings() -> None:
    """Let the workers of this process read their settings again."""
    dask_worker.worker_settings.cache_clear()
    dask_worker._shared_store.cache_clear()
