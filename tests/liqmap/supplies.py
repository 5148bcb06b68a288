"""What fills a store, over a simulated market: day files, and the last hours by REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from liqmap.clock import Clock
from liqmap.collect.supply import Supply, open_supply
from liqmap.settings import NetworkSettings, RecorderSettings, Settings, StorageSettings
from liqmap.simulator import MarketServer
from liqmap.workers.pool import WorkerPool


@asynccontextmanager
async def supplies(
    folder: Path,
    server: MarketServer,
    clock: Clock,
    *,
    retry_wait: float = 0,
    recorder: RecorderSettings | None = None,
) -> AsyncIterator[Supply]:
    settings = server.redirect(
        Settings(
            storage=StorageSettings(path=folder),
            network=NetworkSettings(attempts=2, retry_wait=retry_wait, retry_wait_max=retry_wait),
            recorder=recorder or RecorderSettings(),
        )
    )
    with ThreadPoolExecutor(2) as executor:
        async with (
            WorkerPool(workers=2, timeout=60, executor=executor) as pool,
            open_supply(settings, run=pool.run, clock=clock) as supply,
        ):
            yield supply
