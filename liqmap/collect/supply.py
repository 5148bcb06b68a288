"""What fills the store of a process: day files, and the last hours by REST, over one session."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from liqmap.collect.clients import rest_clients
from liqmap.collect.contracts import Contracts
from liqmap.collect.days import DayFiles
from liqmap.collect.published import PublishedDays
from liqmap.collect.recent import recent_trades
from liqmap.net.session import open_session
from liqmap.store.local import SegmentStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import aiohttp

    from liqmap.clock import Clock
    from liqmap.collect.clients import Clients
    from liqmap.collect.recent import RecentTrades
    from liqmap.model import Exchange
    from liqmap.net.session import Session
    from liqmap.settings import Settings
    from liqmap.store.shared import SharedStore
    from liqmap.workers.pool import Run


@dataclass(frozen=True, slots=True)
class Supply:
    """A store, and what fetches trades into it."""

    settings: Settings
    clock: Clock
    store: SegmentStore
    session: Session
    clients: Clients
    contracts: Contracts
    days: DayFiles
    recent: Mapping[Exchange, RecentTrades]


@asynccontextmanager
async def open_supply(
    settings: Settings,
    *,
    run: Run,
    clock: Clock,
    shared: SharedStore | None = None,
    traces: Sequence[aiohttp.TraceConfig] = (),
    warns_of_clock: bool = False,
) -> AsyncIterator[Supply]:
    """Yield the supply of a process; `run` runs in a worker what reads files. `rest_clients` has the rest."""
    async with open_session(settings.network, traces=traces) as session:
        store = SegmentStore(settings.storage.path, max_size=settings.storage.max_size)
        store.open(now=clock.now())
        clients = rest_clients(settings, session=session, clock=clock, warns_of_clock=warns_of_clock)
        contracts = Contracts(settings, clients=clients, clock=clock)
        published = PublishedDays(
            settings, store=store, session=session, run=run, contracts=contracts, shared=shared
        )
        days = DayFiles(published, store=store, clock=clock, at_once=settings.download.concurrency)
        recent = recent_trades(settings, store=store, clients=clients, contracts=contracts)
        try:
            yield Supply(settings, clock, store, session, clients, contracts, days, recent)
        finally:
            # While the session is open, which downloads under way still use.
            await days.close()
