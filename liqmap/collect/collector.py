"""Make sure that a window's trades are in the store, and report what is missing and why."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from liqmap.collect.borders import has_trades, outer_holes, silent_sides
from liqmap.collect.coverage import coverage_of
from liqmap.collect.day import Day, absence, file_days
from liqmap.collect.gaps import PUBLISHED_WITHIN, GapReasons
from liqmap.collect.holdings import Holdings, held_in
from liqmap.collect.progress import FetchProgress
from liqmap.errors import DataError, LiqmapError, NotCovered, NotPublished, RequestError, StoreError
from liqmap.exchanges import EXCHANGES
from liqmap.model import Coverage, Exchange, Gap, Market, Progress
from liqmap.model.window import DAY, TimeWindow, missing, overlaps
from liqmap.store.bounded import in_thread
from liqmap.store.segments import segment_windows, symbol_folder
from liqmap.text import gap_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.clock import Clock
    from liqmap.collect.days import DayFiles
    from liqmap.collect.recent import RecentTrades
    from liqmap.store.local import SegmentStore
    from liqmap.store.segments import Part
    from liqmap.store.shared import SharedStore

log = logging.getLogger(__name__)

_SECOND = timedelta(seconds=1)
_OPEN_MINUTE_WAIT = timedelta(seconds=4)  # longer than storing a minute takes, and hardly noticed
_OPEN_MINUTE_STEP = 0.1  # seconds between two looks


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A symbol's window that is being collected, and which problems arose where in it."""

    exchange: Exchange
    symbol: str
    window: TimeWindow
    problems: list[tuple[TimeWindow, LiqmapError]] = field(default_factory=list)

    @property
    def market(self) -> str:
        return EXCHANGES[self.exchange].contract(self.symbol).label


class Collector:
    """Fills the store on demand: whole days from the exchanges' files, the last hours by REST.

    `is_recorded` returns whether a symbol's stream is being recorded into the same store. What is recorded on
    another machine comes from the `shared` store. A fill by REST begins no further hour after `longest_fill`.
    """

    def __init__(
        self,
        *,
        store: SegmentStore,
        days: DayFiles,
        recent: Mapping[Exchange, RecentTrades],
        clock: Clock,
        longest_fill: timedelta,
        is_recorded: Callable[[Exchange, str], bool] = lambda _exchange, _symbol: False,
        shared: SharedStore | None = None,
    ) -> None:
        self._store = store
        self._shared = shared
        self._days = days
        self._clock = clock
        self._longest_fill = longest_fill
        self._is_recorded = is_recorded
        self._reasons = GapReasons(
            store.root, recent=recent, clock=clock, is_recorded=is_recorded, shares=shared is not None
        )

    async def collect(
        self,
        exchange: Exchange,
        symbol: str,
        *,
        window: TimeWindow,
        progress: Callable[[Progress], None],
    ) -> Holdings:
        """Return what the store has of `window`, after fetching what it lacked; at least one part.

        What is not available is a gap in the coverage. If nothing is available, raises NotCovered or the
        problem that arose: RequestError, DataError.
        """
        wanted = _Wanted(exchange, symbol, window)
        # A window that ends now lacks only the minute that its recorder is about to store.
        await self._await_open_minute(wanted)
        parts = self._parts(wanted)
        if lacking := missing(window, (part.window for part in parts)):
            await self._fetch(wanted, lacking, FetchProgress(wanted.exchange, wanted.symbol, progress))
            parts = self._parts(wanted)
            # Only now: looking the parts up marks them as in use, so they are not the ones evicted.
            await asyncio.to_thread(self._store.evict, now=self._clock.now())
        self._days.verify_later(part.segment for part in parts)
        # Perhaps nobody traded, perhaps trades are missing. The ids on both sides tell which.
        if parts and not has_trades(window, parts):
            await self._fetch_beside(wanted, parts)
        holdings = self._holdings(wanted, parts)
        if self._never_filled(wanted, holdings.coverage):
            whole_end = await self._newest_whole(wanted)
            holdings = replace(holdings, coverage=replace(holdings.coverage, whole_end=whole_end))
        if not holdings.parts:
            raise self._nothing_had(wanted, holdings.coverage)
        return holdings

    def held(self, exchange: Exchange, symbol: str, *, window: TimeWindow) -> Holdings:
        """Return what the store has of `window` now, which may be nothing. The gaps are being fetched."""
        return held_in(self._store, Market(exchange, symbol), window)

    def heal(self, path: Path) -> None:
        """Set the segment at `path` aside if it is damaged, so that it is fetched again.

        Raises UnreadableStore.
        """
        self._store.heal(path)

    async def _await_open_minute(self, wanted: _Wanted) -> None:
        """Wait a few seconds until the symbol's recorder has stored the minute that has just ended."""
        given_up = self._clock.now() + _OPEN_MINUTE_WAIT
        while self._clock.now() < given_up and self._is_recorded(wanted.exchange, wanted.symbol):
            held = segment_windows(self._store.root, wanted.exchange, wanted.symbol)
            newest = max((window.end for window in held), default=wanted.window.start)
            if not timedelta(0) < wanted.window.end - newest <= timedelta(minutes=1):
                return
            await self._clock.sleep(_OPEN_MINUTE_STEP)

    async def _fetch(self, wanted: _Wanted, lacking: Sequence[TimeWindow], gauge: FetchProgress) -> None:
        now = self._clock.now().replace(microsecond=0)
        today = file_days(wanted.exchange, TimeWindow(now, now + _SECOND))[0].window
        # At the same time: whether the days before are published does not matter for the newest hours.
        await asyncio.gather(
            self._fetch_days(wanted, lacking, gauge),
            self._fetch_hours(wanted, overlaps(today, lacking), gauge),
        )
        # Only after that is it known which of the days before are not published and need REST too.
        unpublished = [part for part in self._missing(wanted) if part.start < today.start]
        await self._fetch_hours(wanted, unpublished, gauge)

    async def _fetch_days(self, wanted: _Wanted, lacking: Sequence[TimeWindow], gauge: FetchProgress) -> None:
        days = Day.touched(wanted.exchange, wanted.symbol, lacking)
        over = [day for day in days if day.window.end <= self._clock.now()]
        outcomes = await asyncio.gather(
            *(self._days.obtain(day, gauge.of_day(day, len(over))) for day in over)
        )
        wanted.problems.extend(
            (day.window, outcome)
            for day, outcome in zip(over, outcomes, strict=True)
            if isinstance(outcome, DataError)
        )

    async def _fetch_hours(
        self, wanted: _Wanted, lacking: Sequence[TimeWindow], gauge: FetchProgress
    ) -> None:
        """Fetch hours that have no day yet: what another machine has recorded, and the rest by REST."""
        recorded = [each for each in lacking if each.end > self._clock.now() - PUBLISHED_WITHIN]
        if self._shared is not None and recorded:
            market = symbol_folder(self._store.root, wanted.exchange, wanted.symbol)
            fetch = partial(self._shared.bring_in_recorded, market, recorded, incoming=self._store.incoming)
            try:
                await asyncio.wrap_future(in_thread(fetch))
            except StoreError as error:  # REST may have them all the same
                log.warning("%s", error)
            still = self._missing(wanted)
            lacking = [part for span in lacking for part in overlaps(span, still)]
        await self._fetch_recent(wanted, lacking, gauge)

    async def _fetch_recent(
        self, wanted: _Wanted, lacking: Sequence[TimeWindow], gauge: FetchProgress
    ) -> None:
        recent = self._recent_of(wanted)
        if recent is None or not lacking:
            return
        try:
            await recent.know_time()
            if windows := _within_reach(lacking, recent):
                await recent.fill(
                    wanted.symbol,
                    windows,
                    report=gauge.of_hours(windows),
                    until=self._clock.now() + self._longest_fill,
                )
        except (RequestError, DataError) as error:
            # Not fatal: a symbol that is no longer listed still has its published days.
            wanted.problems.extend((window, error) for window in _within_reach(lacking, recent))

    async def _fetch_beside(self, wanted: _Wanted, parts: tuple[Part, ...]) -> None:
        """Fetch the days beside a window in which nobody traded: their ids show whether that is so."""
        sides = [
            Day.touched(wanted.exchange, wanted.symbol, [side])[0]
            for side in silent_sides(wanted.window, parts)
        ]
        over = [day for day in sides if day.window.end <= self._clock.now()]
        await asyncio.gather(*(self._days.obtain(day, lambda _: None) for day in over))

    def _recent_of(self, wanted: _Wanted) -> RecentTrades | None:
        return self._reasons.recent_of(Market(wanted.exchange, wanted.symbol))

    def _gap(self, wanted: _Wanted, part: TimeWindow) -> Gap:
        market = Market(wanted.exchange, wanted.symbol)
        return self._reasons.gap(market, wanted.window, part, problems=wanted.problems)

    def _missing(self, wanted: _Wanted) -> list[TimeWindow]:
        return self._store.missing(wanted.exchange, wanted.symbol, wanted.window)

    def _parts(self, wanted: _Wanted) -> tuple[Part, ...]:
        return self._store.parts(wanted.exchange, wanted.symbol, wanted.window)

    def _holdings(self, wanted: _Wanted, parts: tuple[Part, ...]) -> Holdings:
        return Holdings(
            parts,
            coverage_of(
                wanted.window,
                parts,
                market=wanted.market,
                explain=lambda part: self._gap(wanted, part),
                outer=outer_holes(self._store, wanted.window, parts),
            ),
        )

    def _never_filled(self, wanted: _Wanted, coverage: Coverage) -> bool:
        """Return whether the newest hours are missing, and only the published day will fill them."""
        newest = coverage.missing[-1].window.end if coverage.missing else None
        recent = newest is not None and newest > self._clock.now() - PUBLISHED_WITHIN
        return recent and self._recent_of(wanted) is None

    async def _newest_whole(self, wanted: _Wanted) -> datetime | None:
        """Return the end of the newest window of this length that published days cover, else None."""
        newest = EXCHANGES[wanted.exchange].files.span(wanted.window.end.date()).start
        for end in (newest - DAY * back for back in range(PUBLISHED_WITHIN.days + 1)):
            window = TimeWindow.ending(end, wanted.window.length)
            if end < wanted.window.end and await self._could_be_whole(wanted, window):
                return end
        return None

    async def _could_be_whole(self, wanted: _Wanted, window: TimeWindow) -> bool:
        """Return whether the store has all of `window`, or the exchange publishes what it lacks."""
        lacking = self._store.missing(wanted.exchange, wanted.symbol, window)
        # The days of the wanted window have just been tried, so only the few before it need a request.
        if any(part.overlap(failed) for part in lacking for failed, _ in wanted.problems):
            return False
        for day in Day.touched(wanted.exchange, wanted.symbol, lacking):
            if not await self._days.is_published(day):
                return False
        return True

    def _nothing_had(self, wanted: _Wanted, coverage: Coverage) -> LiqmapError:
        broken = [error for _, error in wanted.problems if not isinstance(error, NotPublished)]
        # A failure that may pass says more than "not published".
        if broken:
            return broken[0]
        first = Day.touched(wanted.exchange, wanted.symbol, [wanted.window])[0]
        if wanted.window.end <= self._clock.now() - PUBLISHED_WITHIN:
            return absence(first)
        if coverage.whole_end is not None:
            return NotCovered(
                f"The {wanted.symbol} trades of this window are not available:"
                f" {gap_text(coverage.missing[0])}. The newest complete window of this length ends"
                f" {coverage.whole_end:%Y-%m-%d %H:%M} UTC; ask for that end.",
                whole_end=coverage.whole_end,
            )
        return NotPublished(f"{absence(first)} Check the symbol, or ask for an earlier end.")


def _within_reach(windows: Sequence[TimeWindow], recent: RecentTrades) -> list[TimeWindow]:
    oldest = recent.reaches_back_to
    return [TimeWindow(max(each.start, oldest), each.end) for each in windows if each.end > oldest]
