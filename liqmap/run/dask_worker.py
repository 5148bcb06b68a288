"""The code that runs on the workers of a Dask cluster: the trial that lets them draw, and the jobs."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from distributed import Worker, WorkerPlugin, get_worker

from liqmap.errors import DamagedSegment, LiqmapError, SharedStoreAway, StoreError
from liqmap.model import DEFAULT_EXCHANGE, Coverage, MapRequest, Market, TopN, Trades
from liqmap.model.window import TimeWindow
from liqmap.run.job import MapJob, run_map_job
from liqmap.run.joint import Job, map_jobs, run_job, with_jobs
from liqmap.settings import Settings, load_settings
from liqmap.store.local import SegmentStore
from liqmap.store.segments import FORMAT_VERSION, Origin, Part, segment_path
from liqmap.store.shared import SharedStore
from liqmap.store.writer import write_segment
from liqmap.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from liqmap.run.result import MapResult
    from liqmap.store.segments import Segment

log = logging.getLogger(__name__)

REPORTS: Final = "liqmap workers"
"""Where in the scheduler's metadata workers report: {address: [when, why it is unfit or ""]}."""

RETRIAL_SECONDS: Final = 60.0
"""How long a worker that is unfit waits before its next trial."""

ABANDONED_GRACE: Final = 5.0
"""Seconds that a job may go on after its bot is gone, before its process is ended."""

JOB: Final = "liqmap-"
"""The beginning of the names of jobs."""

_LEAST_FREE: Final = 100_000_000  # bytes on the disk; a day of one market takes up to 30 MB
_RUNNING = frozenset({"executing", "long-running"})
# Another version of these may give other numbers or pictures.
_LIBRARIES = ("numpy", "matplotlib", "pyarrow", "pillow")
# What the disk, the memory or the installation of one worker causes; another worker may succeed.
_OWN_FAULTS = (StoreError, OSError, MemoryError, ImportError)


class WorkerUnfit(Exception):
    """A worker failed a job for a reason of its own, so another worker may succeed."""


class NotShared(Exception):
    """Segments that a job reads are neither on the worker's disk nor under `keys` in the shared store."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        super().__init__(keys)  # an exception crosses processes by its arguments
        self.keys = keys


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job for another machine, with the key in the shared store of each part's segment."""

    job: Job
    keys: tuple[str, ...]
    shared_url: str


@dataclass(frozen=True, slots=True)
class RemoteCall:
    """A call on a worker of the same `build`; its start is reported under `topic` as {"started": name}."""

    function: Callable[[Any], Any]
    argument: Any
    build: str
    topic: str
    name: str


@lru_cache(maxsize=1)
def build_id() -> str:
    """Return an id that differs between versions that may draw differently, by their code and libraries."""
    root = Path(__file__).parents[1]
    code = hashlib.sha256(f"{FORMAT_VERSION}".encode())
    for path in sorted(root.rglob("*.py")):
        code.update(path.relative_to(root).as_posix().encode())
        code.update(path.read_bytes())
    for library in _LIBRARIES:
        code.update(f"{library}={version(library)}".encode())
    return f"{__version__}-{code.hexdigest()[:12]}"


def resource_of(build: str) -> str:
    """Return the Dask resource that workers of a build offer once they have proved themselves."""
    return f"liqmap {build}"


class DrawingTrial(WorkerPlugin):
    """Lets a worker of the same build draw, one job at a time, once it has drawn a small map.

    A worker that fails the trial, or a job for a cause of its own, offers nothing until a trial succeeds. A
    job whose bot has died is stopped by ending this process, which the worker's nanny starts again.
    """

    # Each bot and each reconnection registers it, and a worker runs it once.
    idempotent = True

    def __init__(self, build: str, *, retrial: float = RETRIAL_SECONDS) -> None:
        self.name = resource_of(build)
        self._build = build
        self._retrial = retrial
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: Any = None

    def setup(self, worker: Worker) -> None:
        """Begin the trial; the worker's start does not wait for it."""
        self._loop = asyncio.get_running_loop()
        self._worker = worker
        if build_id() == self._build:
            begin = self._prove(worker, after=0.0)
        else:
            begin = self._report(worker, f"it has liqmap {build_id()}, and the bot {self._build}")
        self._task = self._loop.create_task(begin)

    def teardown(self, worker: Worker) -> None:
        """End the trial."""
        del worker
        if self._task is not None:
            self._task.cancel()

    def transition(self, key: Any, start: str, finish: str, **_: object) -> None:  # noqa: ANN401 - Dask's
        """End a job that the scheduler has given up, if it goes on running. Dask calls this."""
        was_running = start in _RUNNING and finish == "released"
        if was_running and self._loop is not None and str(key).startswith(JOB):
            self._loop.call_later(ABANDONED_GRACE, self._end_abandoned, key)

    def _end_abandoned(self, key: Any) -> None:  # noqa: ANN401 - Dask's
        task = self._worker.state.tasks.get(key)
        if task is not None and task.state == "cancelled":
            log.warning("a job goes on though nobody wants it any more; its process ends")
            end_process()

    def withdraw_from_thread(self, worker: Worker, reason: str) -> None:
        """Withdraw, called by a job; return once no more jobs come."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self.withdraw(worker, reason), self._loop).result()

    async def withdraw(self, worker: Worker, reason: str) -> None:
        """Take no more jobs until the next trial."""
        await worker.set_resources(**{self.name: 0})
        await self._report(worker, reason)
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.get_running_loop().create_task(self._prove(worker, after=self._retrial))

    async def _prove(self, worker: Worker, *, after: float) -> None:
        while True:
            await asyncio.sleep(after)
            # Whatever it raises is a reason to report, and must not end this task, which tries again.
            (failure,) = await asyncio.gather(asyncio.to_thread(draw_small_map), return_exceptions=True)
            if failure is None:
                # One, because a process draws one map at a time.
                await worker.set_resources(**{self.name: 1})
                await self._report(worker, "")
                return
            await self._report(worker, reason_of(failure))
            after = self._retrial

    async def _report(self, worker: Worker, unfit: str) -> None:
        reports: Any = worker.scheduler
        await reports.set_metadata(keys=[REPORTS, worker.address], value=[time.time(), unfit])


def end_process() -> None:
    """End this process at once: a thread that computes cannot be stopped otherwise."""
    os._exit(1)


def draw_small_map() -> None:
    """Store an hour of invented trades on this worker's disk and draw them.

    Raises what keeps the worker from drawing.
    """
    store = _opened_store()
    free = shutil.disk_usage(store.root).free
    if free < _LEAST_FREE:
        raise StoreError(f"The worker's disk is full ({free / 1e6:.0f} MB free); check storage.path.")
    window = TimeWindow.ending(datetime(2023, 8, 1, 1, tzinfo=UTC), timedelta(hours=1))
    with tempfile.TemporaryDirectory(dir=store.incoming) as folder:
        segment = _invented(Path(folder), window)
        market = Market(DEFAULT_EXCHANGE, "BTCUSDT")
        run_map_job(
            MapJob(
                MapRequest((market,), window, TopN(10)), (Part(segment, window),), Coverage(window, (window,))
            )
        )


def _invented(root: Path, window: TimeWindow) -> Segment:
    moments = np.arange(window.start_ms, window.end_ms, 10_000)
    waves = np.sin(np.arange(len(moments)) / 20)
    trades = Trades(moments, 29_000 + np.round(100 * waves), 1 + np.round(waves * waves, 3), waves > 0)
    origin = Origin(DEFAULT_EXCHANGE, "BTCUSDT", window, "trial", "", simulated=True)
    path = segment_path(root, origin.exchange, origin.symbol, window)
    return write_segment(path, origin, trades, incoming=root / "incoming")


def reason_of(failure: BaseException) -> str:
    """Return why a worker is unfit, for the log."""
    if isinstance(failure, LiqmapError):
        return str(failure)
    reason = getattr(failure, "strerror", None) or str(failure)
    return f"{type(failure).__name__}: {reason}"


def run_call(call: RemoteCall) -> object:
    """Run a call on this worker. Raises what it raises, WorkerUnfit, and SharedStoreAway.

    A worker that is unfit withdraws before it raises, so that the job goes to another one.
    """
    try:
        return _run(call)
    except (LiqmapError, NotShared, WorkerUnfit) as error:
        # Dask pickles an error with its causes; with one that cannot be pickled, the error loses its class.
        error.__cause__ = error.__context__ = None
        raise


def _run(call: RemoteCall) -> object:
    worker = get_worker()
    # Before anything else: from this event on the job's time counts.
    worker.log_event(call.topic, {"started": call.name, "worker": worker.address})
    if call.build != build_id():
        raise WorkerUnfit(f"it has liqmap {build_id()}, and the job is for {call.build}")
    try:
        return call.function(call.argument)
    except _OWN_FAULTS as error:
        reason = reason_of(error)
        plugin = worker.plugins.get(resource_of(call.build))
        if isinstance(plugin, DrawingTrial):
            plugin.withdraw_from_thread(worker, reason)
        if isinstance(error, SharedStoreAway):
            raise
        raise WorkerUnfit(f"{worker.address}: {reason}") from None


def draw_remote(remote: RemoteJob) -> MapResult:
    """Copy the segments that this machine lacks, and draw. Raises as `run_job`, and NotShared.

    A segment that turns out to be damaged on this machine's disk is set aside and copied again.
    """
    store = _opened_store()
    healed: set[Path] = set()
    while True:
        try:
            parts = iter(_parts_here(remote, store))
            jobs = [
                replace(each, parts=tuple(islice(parts, len(each.parts)))) for each in map_jobs(remote.job)
            ]
            return run_job(with_jobs(remote.job, jobs))
        except DamagedSegment as error:
            if error.path in healed:
                raise
            healed.add(error.path)
            store.heal(error.path)


def _opened_store() -> SegmentStore:
    """Return this worker's own store. Raises StoreError."""
    storage = worker_settings().storage
    store = SegmentStore(storage.path, max_size=storage.max_size)
    store.open(now=datetime.now(UTC))
    return store


def _parts_here(remote: RemoteJob, store: SegmentStore) -> tuple[Part, ...]:
    parts = [part for each in map_jobs(remote.job) for part in each.parts]
    places = {
        _path_here(part, store): key
        for part, key in zip(parts, remote.keys, strict=True)
        if _held(part, store) is None
    }
    if places:
        _bring_in(places, worker_settings().storage.shared_url or remote.shared_url, store)
    found = [(_held(part, store), part.window) for part in parts]
    if not all(segment for segment, _ in found):
        raise NotShared(remote.keys)
    return tuple(Part(segment, window) for segment, window in found if segment is not None)


def _bring_in(places: Mapping[Path, str], url: str, store: SegmentStore) -> None:
    """Copy segments from the shared store at `url` to their `places`. Raises NotShared and StoreError."""
    lost = list(places)
    if url and all(places.values()):
        for path in places:
            store.remove(path)  # a day that has been published anew since
        lost = _shared_store(url).bring_in(places, incoming=store.incoming)
        store.evict(now=datetime.now(UTC))
    if lost:
        raise NotShared(tuple(dict.fromkeys(places[path] for path in lost)))


def _held(part: Part, store: SegmentStore) -> Segment | None:
    """Return this machine's copy of a part's segment, None if it has none or a different one."""
    origin = part.segment.origin
    found = store.get(origin.exchange, origin.symbol, origin.window)
    return found if found is not None and found.checks == part.segment.checks else None


def _path_here(part: Part, store: SegmentStore) -> Path:
    origin = part.segment.origin
    return segment_path(store.root, origin.exchange, origin.symbol, origin.window)


@lru_cache(maxsize=1)
def worker_settings() -> Settings:
    """Return this worker's own settings: LIQMAP_CONFIG and LIQMAP__... of its environment."""
    return load_settings()


@lru_cache(maxsize=1)
def _shared_store(url: str) -> SharedStore:
    settings = worker_settings()
    return SharedStore(url, proxy_for=settings.network.proxy_for, silence=settings.storage.shared_timeout)
