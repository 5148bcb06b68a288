"""Draw requests: the engine owns the session, the collector and the workers."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from cachetools import LRUCache

from liqmap.clock import SystemClock
from liqmap.errors import ClusterAway, LiqmapError, UnreadableStore
from liqmap.live.status import SymbolStatus, largest_lag, recording_status
from liqmap.model import MapRequest, Progress
from liqmap.net.pace import done_or_late
from liqmap.run.gathering import Gathering
from liqmap.run.healing import healed
from liqmap.run.job import MapJob
from liqmap.run.joint import Job, JointJob, run_job
from liqmap.run.parts import Manner, open_parts
from liqmap.run.scanner import Scanner
from liqmap.run.sharing import Listener, SharedJobs
from liqmap.run.simulated import simulated_market
from liqmap.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from concurrent.futures import Executor
    from types import TracebackType

    import aiohttp

    from liqmap.clock import Clock
    from liqmap.compute.scan import ScanRequest, ScanResult
    from liqmap.run.accuracy import Accuracy
    from liqmap.run.dask import ClusterStatus
    from liqmap.run.gathering import Gathered
    from liqmap.run.parts import Parts
    from liqmap.run.result import MapResult
    from liqmap.settings import Settings
    from liqmap.store.shared import Observe

log = logging.getLogger(__name__)

_STORE_WAIT = 1.0  # seconds


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
        self._clock = clock or SystemClock()
        self._manner = Manner(
            clock=self._clock,
            executor=executor,
            record=record,
            resident=resident or record,
            draws_here=draws_here,
            traces=traces,
            observe_shared=observe_shared,
        )
        self._jobs = SharedJobs(self._draw, most=settings.engine.queue_size)
        self._results: LRUCache[MapRequest, MapResult] = LRUCache(settings.engine.cached_results)
        self._open: Parts | None = None
        self._stack = AsyncExitStack()
        self.answered_from_memory = 0
        self.drawn_instead = 0
        """Maps that this machine drew because the cluster could not."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._open = await open_parts(self._settings, self._manner, stack)
            # Pushed last, so done first: no job may outlive the parts that it uses.
            stack.push_async_callback(self._jobs.cancel)
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
        async with (
            simulated_market(settings or load_settings()) as invented,
            cls(invented, executor=executor, record=record) as engine,
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
        """Whether the shared store lately gave no answer, so that it is not asked now."""
        return self._parts.shared is not None and self._parts.shared.is_away

    @property
    def jobs_under_way(self) -> int:
        """Number of requests that are being drawn or are waiting."""
        return len(self._jobs)

    @property
    def accuracy(self) -> Accuracy:
        """The part that seals maps and compares them with what came."""
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
        # Before the cache is asked: a market whose maps are all cached has to stay recorded, too.
        for market in request.markets:
            self._parts.recorder.want(market.exchange, market.symbol, until=request.window.end)
        if request in self._results:
            self.answered_from_memory += 1
            return self._results[request]
        return await self._jobs.result(request, Listener(progress or _ignore, partial or _ignore))

    async def scan(self, request: ScanRequest) -> ScanResult:
        """Find the markets whose price is nearest to a large cluster, and draw them as one picture.

        Raises RequestError if there is nothing to scan, and JobFailed.
        """
        parts = self._parts
        return await Scanner(parts.store, parts.sources, run=parts.pool.run).scan(request)

    @property
    def _parts(self) -> Parts:
        if self._open is None:
            raise RuntimeError("An engine draws only inside `async with`.")
        return self._open

    async def _draw(self, request: MapRequest) -> MapResult:
        """Draw; set damaged segments aside and fetch them again, and try an unreadable store twice."""
        store = self._parts.store
        try:
            return await healed(store.heal, lambda: self._draw_once(request))
        except UnreadableStore:  # file descriptors or memory may be free again in a moment
            await self._clock.sleep(_STORE_WAIT)
        return await healed(store.heal, lambda: self._draw_once(request))

    async def _draw_once(self, request: MapRequest) -> MapResult:
        started = time.perf_counter()
        gathering = Gathering(
            request, self._parts.sources, progress=lambda progress: self._jobs.report(request, progress)
        )
        try:
            await self._offer_partial(request, gathering)
            gathered = await gathering.result()
        finally:
            gathering.cancel()
        collected = time.perf_counter()
        self._jobs.report(request, Progress("Drawing"))
        result = await self._drawn(request, gathered)
        result = replace(
            result,
            timings_ms={
                "collect": (collected - started) * 1000,
                **result.timings_ms,
                "total": (time.perf_counter() - started) * 1000,
            },
        )
        # Only maps of complete windows are kept: the next day file may complete an incomplete one.
        is_final = gathered.is_final and not result.summary.left_out
        if is_final and not (request.levels_csv or request.tables) and self._results.maxsize:
            self._results[request] = result
        log.info("drew %s in %.0f ms", _described(request), result.timings_ms["total"])
        return result

    async def _drawn(self, request: MapRequest, gathered: Gathered) -> MapResult:
        job = self._job(request, gathered)
        cluster = self._parts.cluster
        if cluster is not None:
            try:
                return await cluster.draw(job)
            except ClusterAway as error:
                if self._settings.engine.fallback == "none":
                    raise
                self.drawn_instead += 1
                log.warning("a map is drawn on this machine: %s", error)
        if self._manner.draws_here:
            return await asyncio.to_thread(run_job, job)
        return await self._parts.pool.run(run_job, job)

    def _job(self, request: MapRequest, gathered: Gathered) -> Job:
        folders = (self._parts.sources.brackets.folder,)
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
        return JointJob(request, jobs, gathered.left_out) if request.is_joint else jobs[0]

    async def _offer_partial(self, request: MapRequest, gathering: Gathering) -> None:
        """Wait for the trades; after `recent.patience`, give the listeners a map of those in the store."""
        patience = self._settings.recent.patience
        await done_or_late(gathering.collected, within=patience, sleep=self._clock.sleep)
        # A partial map takes a worker as a whole one does, so none is drawn if nobody waits any more.
        if gathering.collected.done() or request not in self._jobs:
            return
        held = await asyncio.to_thread(gathering.held)
        if not held.markets:
            return
        try:
            partial = await self._drawn(request, held)
        except LiqmapError as error:
            # So few trades show nothing, or the workers are busy. It does not matter: the whole map follows.
            log.debug("no partial map: %s", error)
            return
        self._jobs.offer(request, partial)


def _ignore(_: Progress | MapResult) -> None:
    """Ignore what is reported."""


def _described(request: MapRequest) -> str:
    exchanges, window = ",".join(each.exchange for each in request.markets), request.window
    return (
        f"{exchanges} {request.market.symbol} {window.start:%Y-%m-%dT%H:%M:%S}/{window.end:%Y-%m-%dT%H:%M:%S}"
        f" {request.selection.mode} {request.selection.value}"
    )
