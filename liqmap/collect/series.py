"""Series: open interest and mark prices of a window, from the exchanges' files and by REST into the store."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from liqmap.clock import is_recent
from liqmap.collect.waited import WaitedFor
from liqmap.errors import LiqmapError, NotPublished
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange, Gap, GapKind, Market
from liqmap.model.series import MOST_OUTLIERS, Series, SeriesKind
from liqmap.model.window import TimeWindow, at_ms, missing, overlaps
from liqmap.net.download import download, incoming_file
from liqmap.store.series import Piece, SeriesStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from liqmap.clock import Clock
    from liqmap.collect.clients import Clients
    from liqmap.exchanges.protocol import SeriesFiles, SeriesPages
    from liqmap.net.session import Session
    from liqmap.settings import Settings

log = logging.getLogger(__name__)

RETRIED_AFTER: Final = timedelta(minutes=5)
"""How long a failed day is not requested again."""

_LATE: Final = timedelta(minutes=15)
"""So long after its time a row may still appear in an exchange's answers."""

_LARGEST_FILE = 50_000_000  # bytes unpacked: a hundred times a day's rows
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class SeriesHoldings:
    """What there is of a window of one series: its rows, and the gaps with their reasons."""

    window: TimeWindow
    series: Series
    missing: tuple[Gap, ...] = ()


class _Day(NamedTuple):
    market: Market
    kind: SeriesKind
    day: date

    @property
    def window(self) -> TimeWindow:
        return TimeWindow.of_day(self.day)


class SeriesCollector:
    """Fills the series store on demand, each day once however many wait for it."""

    def __init__(self, settings: Settings, *, session: Session, clients: Clients, clock: Clock) -> None:
        self.store: Final = SeriesStore(settings.storage.path)
        """What has been fetched."""
        self._settings = settings
        self._session = session
        self._clients = clients
        self._clock = clock
        self._incoming = settings.storage.path / "incoming"
        # For each exchange separately, so that a slow one does not keep the others waiting.
        self._slots = {each: asyncio.Semaphore(settings.download.concurrency) for each in Exchange}
        self._fetches: WaitedFor[_Day, None, None] = WaitedFor()
        self._going_on: set[asyncio.Task[Any]] = set()
        self._problems: dict[_Day, tuple[datetime, LiqmapError]] = {}
        self._unreachable = {each: asyncio.Event() for each in Exchange}

    async def close(self) -> None:
        """Stop what is being fetched; the next run fetches it again."""
        tasks = list(self._going_on)
        for task in tasks:
            task.cancel()
        await asyncio.gather(self._fetches.close(), *tasks, return_exceptions=True)

    def let_go_on(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Wait for the tasks of a map that was answered without them: the next map has what they fetch."""
        for task in tasks:
            self._going_on.add(task)
            task.add_done_callback(self._note_ended)

    def _note_ended(self, task: asyncio.Task[Any]) -> None:
        self._going_on.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.info("a map was answered without its series, and they could not be fetched: %s", error)

    async def collect(
        self, market: Market, kind: SeriesKind, window: TimeWindow, *, patiently: bool = False
    ) -> SeriesHoldings:
        """Return the rows of `window`, fetching what the store lacks; what is not available is a gap.

        What is fetched `patiently` lets requests go first that somebody waits for. Whoever gives up waiting
        takes nothing from the others; what nobody waits for any more is no longer fetched. Raises
        UnreadableStore.
        """
        if kind in EXCHANGES[market.exchange].series:
            settled = self._settled(market, kind, window)
            lacking = self.store.lacking(market, kind, settled) if settled else ()
            days = dict.fromkeys(day for part in lacking for day in part.days)
            due = [_Day(market, kind, day) for day in days]
            tried = [each for each in due if self._may_try(each)]
            await asyncio.gather(*(self._fetch(each, patiently=patiently) for each in tried))
        return await asyncio.to_thread(self.held, market, kind, window)

    async def unreachable(self, exchange: Exchange) -> None:
        """Wait until an attempt to connect to an exchange has failed, so that another one is needed."""
        await self._unreachable[exchange].wait()

    def held(self, market: Market, kind: SeriesKind, window: TimeWindow) -> SeriesHoldings:
        """Return what the store has of `window` now. Raises UnreadableStore."""
        # A few more values on both sides, so that the window's first and last can be judged too.
        beside = 2 * MOST_OUTLIERS * kind.step
        held = self.store.read(market, kind, TimeWindow(window.start - beside, window.end + beside))
        series = held.series
        if kind is SeriesKind.OPEN_INTEREST:
            # Earlier versions stored values of 0, which stand for none.
            series = series.above_zero()
        gaps = [self._gap(market, kind, part) for part in missing(window, held.covered)]
        # Where a piece has no row, the exchange has none.
        rowless = [part for each in missing(window, series.spans) for part in overlaps(each, held.covered)]
        gaps += [Gap(part, GapKind.NOT_PUBLISHED) for part in rowless]
        if kind is SeriesKind.OPEN_INTEREST:
            # Not where pages are parsed, since an outlier may be the first or the last value of its page.
            series = series.without_outliers()
        return SeriesHoldings(
            window, series.within(window), tuple(sorted(gaps, key=lambda gap: gap.window.start))
        )

    def _gap(self, market: Market, kind: SeriesKind, part: TimeWindow) -> Gap:
        problem = self._problems.get(_Day(market, kind, part.start.date()))
        if problem is not None and not isinstance(problem[1], NotPublished):
            return Gap(part, GapKind.FAILED, problem=problem[1].problem)
        if part.end > self._clock.now() - _LATE:
            return Gap(part, GapKind.NOT_FETCHED_YET, market.exchange)
        return Gap(part, GapKind.NOT_PUBLISHED if problem else GapKind.BEING_FETCHED)

    def _may_try(self, day: _Day) -> bool:
        failed = self._problems.get(day)
        since = failed and failed[0]
        return not is_recent(since, now=self._clock.now(), within=RETRIED_AFTER)

    async def _fetch(self, day: _Day, *, patiently: bool) -> None:
        if not any(each.market.exchange is day.market.exchange for each in self._fetches):
            self._unreachable[day.market.exchange].clear()
        await self._fetches.result(day, lambda: self._obtain(day), patiently=patiently)

    async def _obtain(self, day: _Day) -> None:
        """Bring a day's rows into the store, as many as there are by now; note what goes wrong."""
        row = EXCHANGES[day.market.exchange].series[day.kind]
        self._problems.pop(day, None)
        try:
            # What is patient takes no slot: it waits for others, who would wait for its slot.
            is_patient = self._fetches.is_patient(day)
            async with nullcontext() if is_patient else self._slots[day.market.exchange]:
                is_over = day.window.end <= self._now(day.market)
                if row.files is not None and is_over and await self._from_file(day, row.files):
                    return
                if row.pages is None or not row.pages_of(day.market.symbol):
                    raise _absent(day)
                await self._from_pages(day, row.pages)
        except LiqmapError as error:
            self._problems[day] = self._clock.now(), error
            log.info("no %s of %s on %s: %s", day.kind, day.market.symbol, day.day, error)

    async def _from_file(self, day: _Day, files: SeriesFiles) -> bool:
        """Store a published day, and return whether there is one. Raises DataError."""
        symbol, section = day.market.symbol, self._settings.exchanges.of(day.market.exchange)
        source = files.day_file(section.archive_url, symbol, day.day)
        with incoming_file(self._incoming) as path:
            try:
                downloaded = await download(
                    self._session,
                    source.url,
                    path,
                    settings=self._settings.download,
                    checksum_url=source.checksum_url,
                    on_unreachable=self._unreachable[day.market.exchange].set,
                )
            except NotPublished:
                return False
            series = await asyncio.to_thread(
                files.read_day, path, symbol, day.day, max_unpacked_size=_LARGEST_FILE
            )
        await self._keep(Piece(day.market, day.window, series, source.url, simulated=downloaded.simulated))
        return True

    async def _from_pages(self, day: _Day, pages: SeriesPages) -> None:
        """Store what REST has of a day by now. Raises DataError, NotPublished where it has nothing."""
        settled = self._settled(day.market, day.kind, day.window)
        reach = _EARLIEST if pages.reach is None else self._floored(day.market, day.kind) - pages.reach
        reached = settled.overlap(TimeWindow(reach, settled.end)) if settled and reach < settled.end else None
        if settled is None or reached is None:
            raise _absent(day)
        lacking = self.store.lacking(day.market, day.kind, reached)
        found = [part for window in lacking for part in await self._pages(day, pages, window)]
        is_nothing = lacking and not found and lacking[-1].end < self._now(day.market) - _LATE
        if is_nothing or reached.start > settled.start:  # the day's beginning is forgotten
            raise _absent(day)

    async def _pages(self, day: _Day, pages: SeriesPages, window: TimeWindow) -> list[Series]:
        """Store what REST has of a part of a day, and return its rows, if any. Raises DataError."""
        parts = _parts(window, day.kind.step * pages.page_rows)
        found = {part: await self._page(day, pages, part) for part in parts}
        if not any(map(len, found.values())):
            return []
        settled = self._floored(day.market, day.kind) - _LATE
        for part, series in found.items():
            # A page may lack rows by mistake, and once it is stored, nobody asks for them again.
            due = part.overlap(TimeWindow(_EARLIEST, settled))
            if due is not None and len(series.within(due)) < due.length // day.kind.step:
                found[part] = Series.joined(day.kind, [series, await self._page(day, pages, part)])
        series = Series.joined(day.kind, found.values())
        end = window.end
        if end > settled:  # the newest rows may still be to come
            end = min(end, at_ms(series.end_ms))
        base_url = self._settings.exchanges.of(day.market.exchange).api_url
        whole, source = TimeWindow(window.start, end), pages.page_url(base_url, day.market.symbol, window)
        simulated = self._clients[day.market.exchange].simulated
        await self._keep(Piece(day.market, whole, series, source, simulated=simulated))
        return [series]

    async def _page(self, day: _Day, pages: SeriesPages, part: TimeWindow) -> Series:
        base_url = self._settings.exchanges.of(day.market.exchange).api_url
        answer = await self._clients[day.market.exchange].get(
            pages.page_url(base_url, day.market.symbol, part),
            weight=pages.weight(part.length // day.kind.step),
            is_patient=partial(self._fetches.is_patient, day),
            on_unreachable=self._unreachable[day.market.exchange].set,
        )
        return pages.read_page(answer, day.market.symbol).within(part)

    async def _keep(self, piece: Piece) -> None:
        await asyncio.to_thread(self.store.write, piece)

    def _settled(self, market: Market, kind: SeriesKind, window: TimeWindow) -> TimeWindow | None:
        """Return the part of `window` whose steps are over by the exchange's clock."""
        return window.overlap(TimeWindow(_EARLIEST, self._floored(market, kind)))

    def _floored(self, market: Market, kind: SeriesKind) -> datetime:
        now = self._now(market)
        return now - (now - _EARLIEST) % kind.step

    def _now(self, market: Market) -> datetime:
        return self._clients[market.exchange].clock.now()


def _absent(day: _Day) -> NotPublished:
    label, what = EXCHANGES[day.market.exchange].label, day.kind.replace("_", " ")
    return NotPublished(f"{label} has published no {what} of {day.market.symbol} on {day.day}.")


def _parts(window: TimeWindow, length: timedelta) -> Sequence[TimeWindow]:
    """Return `window` cut into parts of at most `length`, oldest first."""
    parts, at = [], window.start
    while at < window.end:
        parts.append(TimeWindow(at, min(at + length, window.end)))
        at += length
    return parts
