"""Open the parts of an engine, each on top of those opened before it, and close them in reverse order."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from liqmap.collect.brackets import BracketTables
from liqmap.collect.collector import Collector
from liqmap.collect.liquidations import LiquidationDays
from liqmap.collect.recent_liquidations import RecentLiquidations
from liqmap.collect.series import SeriesCollector
from liqmap.collect.supply import open_supply
from liqmap.live.background import Background
from liqmap.live.publish import RecordedHours
from liqmap.live.recorder import Recorder
from liqmap.live.series import keep_series
from liqmap.live.warm import WarmMarkets
from liqmap.run.accuracy import Accuracy
from liqmap.run.dask import DaskPool
from liqmap.run.gathering import Sources
from liqmap.store.shared import SharedStore
from liqmap.workers.pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from concurrent.futures import Executor
    from contextlib import AsyncExitStack

    import aiohttp

    from liqmap.clock import Clock
    from liqmap.collect.supply import Supply
    from liqmap.settings import Settings
    from liqmap.store.local import SegmentStore
    from liqmap.store.shared import Observe


log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an engine while it is open."""

    pool: WorkerPool
    store: SegmentStore
    cluster: DaskPool | None
    shared: SharedStore | None
    sources: Sources
    recorder: Recorder
    accuracy: Accuracy


@dataclass(frozen=True, slots=True)
class Manner:
    """How an engine works, as its owner has chosen; `Engine` says what each choice means."""

    clock: Clock
    executor: Executor | None
    record: bool
    resident: bool
    draws_here: bool
    traces: Sequence[aiohttp.TraceConfig]
    observe_shared: Observe


async def open_parts(settings: Settings, manner: Manner, stack: AsyncExitStack) -> Parts:
    """Open all parts and have `stack` close them."""
    # First, so that its processes start while the rest is opened.
    pool = await stack.enter_async_context(
        WorkerPool(
            workers=settings.engine.workers,
            timeout=settings.engine.job_timeout,
            executor=manner.executor,
            # One that draws here seldom needs a worker, and starting one takes longer than a map.
            warm=not manner.draws_here,
        )
    )
    shared = _shared_store(settings, manner.observe_shared)
    cluster = None
    if settings.engine.executor == "dask":
        cluster = await stack.enter_async_context(DaskPool(settings, shared=shared))
    supply = await stack.enter_async_context(
        open_supply(
            settings,
            run=pool.run,
            clock=manner.clock,
            shared=shared,
            traces=manner.traces,
            warns_of_clock=True,
        )
    )
    brackets = await stack.enter_async_context(
        BracketTables(
            settings,
            clients=supply.clients,
            contracts=supply.contracts,
            clock=supply.clock,
            daily=manner.resident,
        )
    )
    series = SeriesCollector(settings, session=supply.session, clients=supply.clients, clock=supply.clock)
    # It uses the session, so it closes before the session does.
    stack.push_async_callback(series.close)
    recent = RecentLiquidations(
        settings,
        store=supply.store,
        clients=supply.clients,
        contracts=supply.contracts,
        clock=supply.clock,
    )
    stack.push_async_callback(recent.close)
    liquidations = LiquidationDays(settings, store=supply.store, session=supply.session, recent=recent)
    # In any case: one that is not running still knows what other processes record.
    recorder = Recorder(supply, brackets=brackets)
    if manner.record:
        await _record(stack, supply, recorder, series, liquidations, shared)
    sources = Sources(_collector(supply, recorder, shared), brackets, series, liquidations, supply.clock)
    accuracy = Accuracy(
        settings,
        sources,
        run=pool.run,
        is_recorded=recorder.is_recorded,
        machine_off=lambda exchange: supply.clients[exchange].clock.machine_off,
    )
    if manner.record:
        # Now, so that wrong settings end the start, and are not just logged three times a day.
        accuracy.check_settings()
        await stack.enter_async_context(_in_background(accuracy.run, supply.clock))
    return Parts(pool, supply.store, cluster, shared, sources, recorder, accuracy)


async def _record(
    stack: AsyncExitStack,
    supply: Supply,
    recorder: Recorder,
    series: SeriesCollector,
    liquidations: LiquidationDays,
    shared: SharedStore | None,
) -> None:
    """Record until `stack` is closed: trades of the markets that are wanted, and what belongs to them."""
    await stack.enter_async_context(recorder)
    # After the recorder, because it asks the recorder to keep the most traded markets.
    await stack.enter_async_context(WarmMarkets(supply, want=recorder.keep))
    keeping = partial(keep_series, series, liquidations, root=supply.store.root, clock=supply.clock)
    await stack.enter_async_context(_in_background(keeping, supply.clock))
    if shared is not None:
        hours = RecordedHours(shared, supply.store, clock=supply.clock)
        publishing = partial(hours.keep_published, recorder)
        await stack.enter_async_context(_in_background(publishing, supply.clock))


def _collector(supply: Supply, recorder: Recorder, shared: SharedStore | None) -> Collector:
    return Collector(
        store=supply.store,
        days=supply.days,
        recent=supply.recent,
        clock=supply.clock,
        longest_fill=timedelta(seconds=supply.settings.recent.longest),
        is_recorded=recorder.is_recorded,
        shared=shared,
    )


def _shared_store(settings: Settings, observe: Observe) -> SharedStore | None:
    storage = settings.storage
    if not storage.shared_url:
        return None
    return SharedStore(
        storage.shared_url,
        proxy_for=settings.network.proxy_for,
        silence=storage.shared_timeout,
        observe=observe,
    )


@asynccontextmanager
async def _in_background(
    work: Callable[[], Coroutine[None, None, None]], clock: Clock
) -> AsyncIterator[None]:
    """Run `work` for as long as the engine is open, and again a minute after it has failed."""
    background = Background(clock, on_failed=_note)
    background.start(work)
    try:
        yield
    finally:
        await background.close()


def _note(error: BaseException) -> None:
    log.error("work in the background has stopped for a minute", exc_info=error)
