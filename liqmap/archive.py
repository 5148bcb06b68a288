"""The archive: makes sure that the segments of a window are in the store, and says what is missing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from liqmap.download import download
from liqmap.errors import DataError, NotPublished
from liqmap.exchanges import EXCHANGES
from liqmap.model import Coverage, Exchange, Gap, Progress, TimeWindow
from liqmap.segments import Origin, Segment
from liqmap.worker import StoreJob, run_store_job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    import aiohttp

    from liqmap.pool import Run
    from liqmap.settings import Settings
    from liqmap.store import Store

log = logging.getLogger(__name__)

ABSENT_FOR: Final = timedelta(minutes=5)
"""How long an exchange's "no such file" is believed before it is asked again."""

PUBLISHED_WITHIN: Final = timedelta(days=3)
"""A missing day younger than this is not published yet; an older one is not going to be."""

_DOWNLOAD_SHARE = 0.8  # of a day's work; the rest is parsing and storing


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the store has of a window: its segments, oldest first (never none), and the coverage."""

    segments: tuple[Segment, ...]
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class _Day:
    exchange: Exchange
    symbol: str
    day: date

    @property
    def window(self) -> TimeWindow:
        return TimeWindow.of_day(self.day)


@dataclass(slots=True)
class _Fetch:
    task: asyncio.Task[Segment]
    listeners: set[Callable[[float], None]] = field(default_factory=set)


class Archive:
    """Fills the store on demand from the exchanges' published files.

    Each day is fetched once, however many requests wait for it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        session: aiohttp.ClientSession,
        run: Run,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._session = session
        self._run = run
        self._now = now
        self._store = store
        self._downloads = asyncio.Semaphore(settings.download.concurrency)
        self._fetches: dict[_Day, _Fetch] = {}
        self._absent_until: dict[_Day, datetime] = {}

    async def close(self) -> None:
        """Stop what is being fetched; the next run fetches it again."""
        tasks = [fetch.task for fetch in self._fetches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def collect(
        self,
        exchange: Exchange,
        symbol: str,
        *,
        window: TimeWindow,
        progress: Callable[[Progress], None],
    ) -> Holdings:
        """Return the segments of `window`, fetching the days that the store lacks.

        Days that cannot be had are gaps in the coverage. Raises DataError if none can be had.
        """
        days = [_Day(exchange, symbol, day) for day in window.days]
        gauge = _Gauge(days, progress)
        outcomes = await asyncio.gather(*(self._obtain(day, gauge.of(day)) for day in days))
        segments = tuple(outcome for outcome in outcomes if isinstance(outcome, Segment))
        if not segments:
            raise self._nothing_had(days, [each for each in outcomes if isinstance(each, DataError)])
        if gauge.fetched:
            await asyncio.to_thread(self._store.evict, now=self._now())
        return Holdings(segments, self._coverage(window, days, outcomes))

    async def _obtain(self, day: _Day, report: Callable[[float], None]) -> Segment | DataError:
        stored = self._store.get(day.exchange, day.symbol, day.window)
        if stored is not None:
            return stored
        if self._now() < self._absent_until.get(day, datetime.min.replace(tzinfo=UTC)):
            return NotPublished(_absence(day))
        fetch = self._fetches.get(day)
        if fetch is None:
            fetch = self._fetches[day] = _Fetch(asyncio.create_task(self._fetch(day)))
            fetch.task.add_done_callback(lambda task: self._fetched(day, task))
        fetch.listeners.add(report)
        try:
            # Others may wait for the same day: whoever gives up must not take it from them.
            return await asyncio.shield(fetch.task)
        except NotPublished:
            self._absent_until[day] = self._now() + ABSENT_FOR
            return NotPublished(_absence(day))
        except DataError as error:
            return error
        finally:
            fetch.listeners.discard(report)

    def _fetched(self, day: _Day, task: asyncio.Task[Segment]) -> None:
        del self._fetches[day]
        # Whoever waited has got the error; where all had given up, asyncio need not complain.
        if not task.cancelled():
            task.exception()

    async def _fetch(self, day: _Day) -> Segment:
        source = EXCHANGES[day.exchange].day_file(self._base_url(day.exchange), day.symbol, day.day)
        file = self._store.incoming / f"{uuid4().hex}.download"
        async with self._downloads:
            try:
                downloaded = await download(
                    self._session,
                    source.url,
                    file,
                    settings=self._settings.download,
                    checksum_url=source.checksum_url,
                    on_bytes=lambda done, total: self._report(day, done / total if total else 0.0),
                )
                self._report(day, 1.0)
                origin = Origin(
                    exchange=day.exchange,
                    symbol=day.symbol,
                    window=day.window,
                    source=source.url,
                    sha256=downloaded.sha256,
                    simulated=downloaded.simulated,
                )
                segment = await self._run(
                    run_store_job,
                    StoreJob(
                        file=file,
                        origin=origin,
                        root=self._store.root,
                        incoming=self._store.incoming,
                        max_unpacked_size=self._settings.download.max_unpacked_size,
                    ),
                )
            finally:
                file.unlink(missing_ok=True)
        log.info(
            "stored %s %s %s: %d trades", day.exchange, day.symbol, day.day, segment.buys + segment.sells
        )
        return segment

    def _report(self, day: _Day, downloaded: float) -> None:
        fetch = self._fetches.get(day)
        for listener in tuple(fetch.listeners) if fetch else ():
            listener(downloaded * _DOWNLOAD_SHARE)

    def _base_url(self, exchange: Exchange) -> str:
        match exchange:
            case Exchange.BINANCE:
                return self._settings.exchanges.binance.archive_url
            case Exchange.BYBIT:
                return self._settings.exchanges.bybit.archive_url

    def _coverage(
        self, window: TimeWindow, days: Sequence[_Day], outcomes: Sequence[Segment | DataError]
    ) -> Coverage:
        covered: list[TimeWindow] = []
        missing: list[Gap] = []
        for day, outcome in zip(days, outcomes, strict=True):
            part = TimeWindow(max(day.window.start, window.start), min(day.window.end, window.end))
            if isinstance(outcome, Segment):
                _extend(covered, part)
            else:
                missing.append(Gap(part, self._reason(day, outcome)))
        origins = [outcome.origin for outcome in outcomes if isinstance(outcome, Segment)]
        return Coverage(
            window=window,
            covered=tuple(covered),
            missing=tuple(missing),
            sources=(f"{EXCHANGES[days[0].exchange].contract(days[0].symbol).label} daily files",),
            lost_ids=sum(origin.lost_ids for origin in origins),
            simulated=any(origin.simulated for origin in origins),
        )

    def _reason(self, day: _Day, error: DataError) -> str:
        if not isinstance(error, NotPublished):
            return "could not be fetched"
        return "not published yet" if self._is_young(day) else "not published by the exchange"

    def _is_young(self, day: _Day) -> bool:
        return day.window.end > self._now() - PUBLISHED_WITHIN

    def _nothing_had(self, days: Sequence[_Day], errors: Sequence[DataError]) -> DataError:
        broken = [error for error in errors if not isinstance(error, NotPublished)]
        if broken:
            return broken[0]
        if not self._is_young(days[0]):
            return NotPublished(_absence(days[0]))
        return NotPublished(
            f"{_absence(days[0])} A day is published on the next morning (UTC):"
            f" ask for a window that ends by {days[0].day} 00:00, or check the symbol."
        )


class _Gauge:
    """Adds up the progress of a request's days."""

    def __init__(self, days: Sequence[_Day], progress: Callable[[Progress], None]) -> None:
        self._days = days
        self._progress = progress
        self.fetched: dict[_Day, float] = {}

    def of(self, day: _Day) -> Callable[[float], None]:
        def report(share: float) -> None:
            self.fetched[day] = share
            self._tell()

        return report

    def _tell(self) -> None:
        exchange, symbol, total = self._days[0].exchange, self._days[0].symbol, len(self._days)
        days = "1 day" if total == 1 else f"{len(self.fetched)} of {total} days"
        self._progress(
            Progress(
                f"Fetching {days} of {symbol} from {exchange.title()}",
                (sum(self.fetched.values())) / total,
            )
        )


def _absence(day: _Day) -> str:
    market = EXCHANGES[day.exchange].contract(day.symbol).label
    return f"{market} has published no {day.symbol} trades of {day.day}."


def _extend(windows: list[TimeWindow], part: TimeWindow) -> None:
    if windows and windows[-1].end == part.start:
        windows[-1] = TimeWindow(windows[-1].start, part.end)
    else:
        windows.append(part)
