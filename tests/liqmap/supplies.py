"""What fills a store, over a simulated market: day files, and the last hours by REST."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from liqmap.clock import Clock
from liqmap.collect.clients import Clients, rest_clients
from liqmap.collect.contracts import Contracts
from liqmap.collect.days import DayFiles
from liqmap.collect.recent import RecentTrades, recent_trades
from liqmap.model import Exchange
from liqmap.net.session import Session, open_session
from liqmap.settings import NetworkSettings, RecorderSettings, Settings, StorageSettings
from liqmap.simulator import MarketServer
from liqmap.store.local import SegmentStore
from liqmap.workers.pool import WorkerPool


class Supplies(NamedTuple):
    """A store below `settings.storage.path`, and what fetches into it."""

    settings: Settings
    store: SegmentStore
    session: Session
    days: DayFiles
    recent: dict[Exchange, RecentTrades]
    clients: Clients
    contracts: Contracts


@asynccontextmanager
async def supplies(
    folder: Path,
    server: MarketServer,
    clock: Clock,
    *,
    retry_wait: float = 0,
    recorder: RecorderSettings | None = None,
) -> AsyncIterator[Supplies]:
    settings = server.redirect(
        Settings(
            storage=StorageSettings(path=folder),
            network=NetworkSettings(attempts=2, retry_wait=retry_wait, retry_wait_max=retry_wait),
            recorder=recorder or RecorderSettings(),
        )
    )
    store = SegmentStore(settings.storage.path, max_size=settings.storage.max_size)
    store.open(now=clock.now())
    with ThreadPoolExecutor(2) as executor:
        async with (
            WorkerPool(workers=2, timeout=60, executor=executor) as pool,
            open_session(settings.network) as session,
        ):
            clients = rest_clients(settings, session=session, clock=clock)
            contracts = Contracts(settings, clients=clients, clock=clock)
            days = DayFiles(
                settings, store=store, session=session, run=pool.run, clock=clock, contracts=contracts
            )
            recent = recent_trades(settings, store=store, clients=clients, contracts=contracts)
            yield Supplies(settings, store, session, days, recent, clients, contracts)
            await days.close()
