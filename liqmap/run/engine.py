"""Draw requests: the engine owns the session, the collector and the workers."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, Self

from cachetools import LRUCache

from liqmap.clock import SystemClock
from liqmap.collect.brackets import BracketTables
from liqmap.collect.clients import rest_clients
from liqmap.collect.collector import Collector
from liqmap.collect.contracts import Contracts
from liqmap.collect.days import DayFiles
from liqmap.collect.liquidations import LiquidationDays
from liqmap.collect.recent import recent_trades
from liqmap.collect.series import SeriesCollector
from liqmap.errors import ClusterAway, DamagedSegment, EngineBusy, LiqmapError, UnreadableStore
from liqmap.live.recorder import Recorder
from liqmap.live.series import keep_series
from liqmap.live.status import SymbolStatus, largest_lag, recording_status
from liqmap.live.warm import WarmMarkets
from liqmap.model import MapRequest, Progress
from liqmap.net.session import open_session
from liqmap.run.accuracy import Accuracy, Supplies
from liqmap.run.dask import ClusterStatus, DaskPool
from liqmap.run.gathering import Gathering
from liqmap.run.job import MapJob
from liqmap.run.joint import JointJob, run_job
from liqmap.run.scanner import Scanner
from liqmap.settings import load_settings
from liqmap.store.local import SegmentStore
from liqmap.store.shared import SharedStore
from liqmap.workers.pool import WorkerPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from concurrent.futures import Executor
    from pathlib import Path
    from types import TracebackType

    import aiohttp

    from liqmap.clock import Clock
    from liqmap.compute.scan import ScanRequest, ScanResult
    from liqmap.run.gathering import Gathered
    from liqmap.run.result import MapResult
    from liqmap.settings import Settings
    from liqmap.store.shared import Observe

log = logging.getLogger(__name__)

_STORE_TRIES = 2
_STORE_WAIT = 1.0  # seconds; file descriptors or memory may be free again by then


class Listener(NamedTuple):
    """A caller who waits for a map: receives its progress, and a partial map if it takes long."""

    progress: Callable[[Progress], None]
    partial: Callable[[MapResult], None]


@dataclass(slots=True)
class _Job:
    task: asyncio.Task[MapResult]
    listeners: list[Listener] = field(default_factory=list)
    partial: MapResult | None = None


@dataclass(frozen=True, slots=True)
class _Parts:
    """What an engine works with while it is open."""

    pool: WorkerPool
    store: SegmentStore
    cluster: DaskPool | None
    shared: SharedStore | None
    brackets: BracketTables
    recorder: Recorder
    collector: Collector
    series: SeriesCollector
    liquidations: LiquidationDays
    accuracy: Accuracy


class Engine:
    """Draws liquidation maps. Use it as `async with Engine(settings) as engine`.

    Jobs run in spawned worker processes, or in `executor` if one is given, which its owner closes. Maps run
    in a Dask cluster if the settings name one, and in the local processes while it is away. `traces` are
    called for every request to the exchanges, `observe_shared` for every operation on the shared store. With
    `record`, the engine also records the streams of the symbols in the settings and of those lately
    requested. A `resident` engine (every engine that records is one) refreshes all bracket tables at its
    start and daily; any other fetches the brackets of a symbol when first drawing it. One that `draws_here`
    draws in a thread of this process and starts workers only to read files: it answers one request sooner,
    and several no faster than one after the other.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        executor: Executor | None = None,
        clock: Clock | None = None,
        record: bool = False,
        resident: bool = False,
        draws_here: bool = False,
        traces: Sequence[aiohttp.TraceConfig] = (),
        observe_shared: Observe = lambda _seconds, _succeeded: None,
    ) -> None:
        self._settings = settings
        self._traces = list(traces)
        self._observe_shared = observe_shared
        self._executor = executor
        self._clock = clock or SystemClock()
        self._record = record
        self._resident = resident or record
        self._draws_here = draws_here
        self._jobs: dict[MapRequest, _Job] = {}
        self._results: LRUCache[MapRequest, MapResult] = LRUCache(settings.engine.cached_results)
        self._open: _Parts | None = None
        self._stack = AsyncExitStack()
        self.answered_from_memory = 0
        self.drawn_instead = 0
        """Maps that this machine drew because the cluster could not."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._open = await self._enter(stack)
            stack.push_async_callback(self._cancel_jobs)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @classmethod
    @asynccontextmanager
    async def simulated(
        cls, settings: Settings | None = None, *, executor: Executor | None = None, record: bool = False
    ) -> AsyncIterator[Self]:
        """Yield an engine over an invented market on this machine, to try everything without a network.

        Its trades are kept apart, in the folder `simulated` of the store.
        """
        from liqmap.simulator import GENEROUS, MarketServer, SimulatedMarket  # noqa: PLC0415 - takes half a second, rarely needed

        async with (
            MarketServer(SimulatedMarket(), weight_limit=GENEROUS) as server,
            cls(server.redirect(settings or load_settings()), executor=executor, record=record) as engine,
        ):
            yield engine

    @property
    def settings(self) -> Settings:
        """The settings that this engine works with."""
        return self._settings

    @property
    def cluster(self) -> ClusterStatus | None:
        """The state of the Dask cluster, None if the settings name none."""
        cluster = self._parts.cluster
        return None if cluster is None else cluster.status

    @property
    def shared_is_away(self) -> bool:
        """Whether the shared store did not answer when it was last asked."""
        return self._parts.shared is not None and self._parts.shared.is_away

    @property
    def jobs_under_way(self) -> int:
        """Number of requests that are being drawn or are waiting."""
        return len(self._jobs)

    @property
    def accuracy(self) -> Accuracy:
        """What seals maps and compares them with what came."""
        return self._parts.accuracy

    def status(self) -> list[SymbolStatus]:
        """Return the state of every recording in the store, of this process and others."""
        return recording_status(self._settings.storage.path, now=self._clock.now())

    async def refused(self) -> None:
        """Return once the exchanges have refused every symbol that should be recorded."""
        await self._parts.recorder.refused.wait()

    def lag(self) -> float:
        """Return the lag [s] of the slowest stream recorded now, 0 if there is none."""
        return largest_lag(self._settings.storage.path, now=self._clock.now())

    async def draw(
        self,
        request: MapRequest,
        *,
        progress: Callable[[Progress], None] | None = None,
        partial: Callable[[MapResult], None] | None = None,
    ) -> MapResult:
        """Draw `request`, sharing the work with equal requests under way and drawn before.

        `progress` is called on the event loop as the job proceeds. If fetching takes longer than the setting
        `recent.patience`, `partial` is called once with a map of the trades fetched by then. Raises
        RequestError, DataError, EngineBusy or JobFailed.
        """
        for market in request.markets:
            self._parts.recorder.want(market.exchange, market.symbol, until=request.window.end)
        if request in self._results:
            self.answered_from_memory += 1
            return self._results[request]
        job = self._jobs.get(request)
        if job is None:
            self._refuse_if_full()
            job = self._start(request)
        listener = Listener(progress or _ignore, partial or _ignore)
        job.listeners.append(listener)
        if job.partial is not None:
            listener.partial(job.partial)
        try:
            return await asyncio.shield(job.task)
        finally:
            job.listeners.remove(listener)
            if not job.listeners:  # nobody waits any more
                self._forget(request, job)
                job.task.cancel()

    async def scan(self, request: ScanRequest) -> ScanResult:
        """Find the markets whose price is nearest to a large cluster, and draw them as one picture.

        Raises RequestError if there is nothing to scan, and JobFailed.
        """
        parts = self._parts
        scanner = Scanner(
            parts.store,
            parts.collector,
            parts.series,
            run=parts.pool.run,
            bracket_folder=parts.brackets.folder,
            clock=self._clock,
        )
        return await scanner.scan(request)

    @property
    def _parts(self) -> _Parts:
        if self._open is None:
            raise RuntimeError("An engine draws only inside `async with`.")
        return self._open

    async def _enter(self, stack: AsyncExitStack) -> _Parts:
        settings, clock = self._settings, self._clock
        pool = await stack.enter_async_context(
            WorkerPool(
                workers=settings.engine.workers,
                timeout=settings.engine.job_timeout,
                executor=self._executor,
                warm=not self._draws_here,
            )
        )
        session = await stack.enter_async_context(open_session(settings.network, traces=self._traces))
        store = SegmentStore(settings.storage.path, max_size=settings.storage.max_size)
        store.open(now=clock.now())
        shared = self._shared()
        cluster = None
        if settings.engine.executor == "dask":
            cluster = await stack.enter_async_context(DaskPool(settings, shared=shared))
        clients = rest_clients(settings, session=session, clock=clock, warns_of_clock=True)
        contracts = Contracts(settings, clients=clients, clock=clock)
        days = DayFiles(
            settings,
            store=store,
            session=session,
            run=pool.run,
            clock=clock,
            contracts=contracts,
            shared=shared,
        )
        stack.push_async_callback(days.close)
        brackets = await stack.enter_async_context(
            BracketTables(settings, clients=clients, contracts=contracts, clock=clock, daily=self._resident)
        )
        recent = recent_trades(settings, store=store, clients=clients, contracts=contracts)
        series = SeriesCollector(settings, session=session, clients=clients, clock=clock)
        stack.push_async_callback(series.close)
        recorder = Recorder(
            settings,
            store=store,
            session=session,
            days=days,
            recent=recent,
            clients=clients,
            brackets=brackets,
            contracts=contracts,
            clock=clock,
        )
        if self._record:
            await stack.enter_async_context(recorder)
            warm = WarmMarkets(
                settings, want=recorder.keep, days=days, recent=recent, clients=clients, clock=clock
            )
            await stack.enter_async_context(warm)
            keeping = keep_series(series, root=settings.storage.path, clock=clock)
            stack.push_async_callback(_cancelled, asyncio.create_task(keeping))
        collector = Collector(
            store=store,
            days=days,
            recent=recent,
            clock=clock,
            longest_fill=timedelta(seconds=settings.recent.longest),
            is_recorded=recorder.is_recorded,
        )
        liquidations = LiquidationDays(settings, store=store, session=session)
        supplies = Supplies(collector, brackets, liquidations, pool.run, recorder.is_recorded)
        accuracy = Accuracy(settings, supplies, clock=clock)
        if self._record:
            accuracy.check_settings()
            sealing = asyncio.create_task(accuracy.run())
            stack.push_async_callback(_cancelled, sealing)
        return _Parts(
            pool, store, cluster, shared, brackets, recorder, collector, series, liquidations, accuracy
        )

    def _shared(self) -> SharedStore | None:
        storage = self._settings.storage
        if not storage.shared_url:
            return None
        proxy_for, silence = self._settings.network.proxy_for, storage.shared_timeout
        observe = self._observe_shared
        return SharedStore(storage.shared_url, proxy_for=proxy_for, silence=silence, observe=observe)

    def _refuse_if_full(self) -> None:
        waiting = len(self._jobs)
        if waiting >= self._settings.engine.queue_size:
            raise EngineBusy(f"{waiting} maps are being drawn already; please try again in a few seconds.")

    def _start(self, request: MapRequest) -> _Job:
        job = self._jobs[request] = _Job(asyncio.create_task(self._draw(request)))

        def done(task: asyncio.Task[MapResult]) -> None:
            self._forget(request, job)
            # Waiting callers get the error. If none is left, asyncio need not log that nobody retrieved it.
            if not task.cancelled():
                task.exception()

        job.task.add_done_callback(done)
        return job

    def _forget(self, request: MapRequest, job: _Job) -> None:
        if self._jobs.get(request) is job:
            del self._jobs[request]

    async def _draw(self, request: MapRequest) -> MapResult:
        """Draw; set damaged segments aside and fetch them again, and try an unreadable store twice."""
        healed: set[Path] = set()
        tries = 0
        while True:
            try:
                return await self._draw_once(request)
            except DamagedSegment as error:
                if error.path in healed:
                    raise
                healed.add(error.path)
                await asyncio.to_thread(self._parts.store.heal, error.path)
            except UnreadableStore:
                tries += 1
                if tries == _STORE_TRIES:
                    raise
                await self._clock.sleep(_STORE_WAIT)

    async def _draw_once(self, request: MapRequest) -> MapResult:
        started = time.perf_counter()
        gathering = Gathering(
            request,
            collector=self._parts.collector,
            brackets=self._parts.brackets,
            series=self._parts.series,
            liquidations=self._parts.liquidations,
            clock=self._clock,
            progress=lambda progress: self._tell(request, progress),
        )
        try:
            await self._offer_partial(request, gathering)
            gathered = await gathering.result()
        finally:
            gathering.cancel()
        collected = time.perf_counter()
        self._tell(request, Progress("Drawing"))
        result = await self._drawn(request, gathered)
        result = replace(
            result,
            timings_ms={
                "collect": (collected - started) * 1000,
                **result.timings_ms,
                "total": (time.perf_counter() - started) * 1000,
            },
        )
        # The next day file may complete an incomplete window, so only maps of complete ones are kept.
        is_final = gathered.is_final and not result.summary.left_out
        if is_final and not (request.levels_csv or request.tables) and self._results.maxsize:
            self._results[request] = result
        log.info("drew %s in %.0f ms", _described(request), result.timings_ms["total"])
        return result

    async def _drawn(self, request: MapRequest, gathered: Gathered) -> MapResult:
        folders = (self._parts.brackets.folder,)
        jobs = tuple(
            MapJob(
                each.request,
                each.holdings.parts,
                each.holdings.coverage,
                folders,
                each.series.mark,
                each.series.interest,
                self._settings.storage.path,
            )
            for each in gathered.markets
        )
        job = JointJob(request, jobs, gathered.left_out) if request.is_joint else jobs[0]
        cluster = self._parts.cluster
        if cluster is not None:
            try:
                return await cluster.draw(job)
            except ClusterAway as error:
                if self._settings.engine.fallback == "none":
                    raise
                self.drawn_instead += 1
                log.warning("a map is drawn on this machine: %s", error)
        if self._draws_here:
            return await asyncio.to_thread(run_job, job)
        return await self._parts.pool.run(run_job, job)

    async def _offer_partial(self, request: MapRequest, gathering: Gathering) -> None:
        """Wait for the trades; after `recent.patience`, give the listeners a map of what there is."""
        patience = asyncio.ensure_future(self._clock.sleep(self._settings.recent.patience))
        try:
            await asyncio.wait({gathering.collected, patience}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            patience.cancel()
        job = self._jobs.get(request)
        if gathering.collected.done() or job is None:
            return
        held = gathering.held()
        if not held.markets:
            return
        try:
            job.partial = await self._drawn(request, held)
        except (
            LiqmapError
        ) as error:  # nothing to show of so little, or the workers are busy: the whole counts
            log.debug("no partial map: %s", error)
            return
        for listener in tuple(job.listeners):
            listener.partial(job.partial)

    def _tell(self, request: MapRequest, progress: Progress) -> None:
        job = self._jobs.get(request)
        for listener in tuple(job.listeners) if job else ():
            listener.progress(progress)

    async def _cancel_jobs(self) -> None:
        tasks = [job.task for job in self._jobs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _ignore(_: Progress | MapResult) -> None:
    """Ignore what is reported."""


def _described(request: MapRequest) -> str:
    exchanges, window = ",".join(each.exchange for each in request.markets), request.window
    return (
        f"{exchanges} {request.market.symbol} {window.start:%Y-%m-%dT%H:%M:%S}/{window.end:%Y-%m-%dT%H:%M:%S}"
        f" {request.selection.mode} {request.selection.value}"
    )
