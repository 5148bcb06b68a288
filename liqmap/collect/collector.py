"""The collector: makes sure that a window's trades are in the store, and reports what is missing and why."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.collect.borders import has_trades, outer_holes, silent_sides
from liqmap.collect.coverage import coverage_of
from liqmap.collect.days import Day, absence
from liqmap.errors import DataError, LiqmapError, NotCovered, NotPublished, RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.model import Coverage, Exchange, Gap, GapKind, Progress
from liqmap.store.damaged import damaged_windows
from liqmap.store.segments import segment_windows
from liqmap.text import gap_text
from liqmap.window import DAY, TimeWindow, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from liqmap.clock import Clock
    from liqmap.collect.days import DayFiles
    from liqmap.collect.recent import RecentTrades
    from liqmap.store.local import SegmentStore
    from liqmap.store.segments import Part

PUBLISHED_WITHIN: Final = timedelta(days=3)
"""A missing day younger than this is not published yet; an older one is not going to be."""

_OPEN_MINUTES = timedelta(minutes=3)
_OPEN_MINUTE_WAIT = timedelta(seconds=4)
_OPEN_MINUTE_STEP = 0.1


@dataclass(frozen=True, slots=True)
class Holdings:
    """What the store has of a window: its parts, oldest first, and the coverage."""

    parts: tuple[Part, ...]
    coverage: Coverage


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A window of a symbol that is being collected, and what went wrong with which part of it."""

    exchange: Exchange
    symbol: str
    window: TimeWindow
    problems: list[tuple[TimeWindow, LiqmapError]] = field(default_factory=list)

    @property
    def market(self) -> str:
        return EXCHANGES[self.exchange].contract(self.symbol).label


class Collector:
    """Fills the store on demand: whole days from the exchanges' files, the last hours by REST.

    `is_recorded` tells whether a symbol's stream is being recorded into the same store.
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
    ) -> None:
        self._store = store
        self._days = days
        self._recent = recent
        self._clock = clock
        self._longest_fill = longest_fill
        self._is_recorded = is_recorded

    async def collect(
        self,
        exchange: Exchange,
        symbol: str,
        *,
        window: TimeWindow,
        progress: Callable[[Progress], None],
    ) -> Holdings:
        """Return the trades of `window`, never none, fetching what the store lacks.

        What cannot be had is a gap in the coverage. If nothing can be had, raises NotCovered, or what
        went wrong: RequestError, DataError.
        """
        wanted = _Wanted(exchange, symbol, window)
        await self._await_open_minute(wanted)
        parts = self._parts(wanted)
        if lacking := missing(window, (part.window for part in parts)):
            await self._fetch(wanted, lacking, _Gauge(wanted, progress))
            parts = self._parts(wanted)
            # After the look at what there is, which marks it as in use.
            await asyncio.to_thread(self._store.evict, now=self._clock.now())
        self._days.verify_later(part.segment for part in parts)
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
        """Return what the store has of `window` now, which may be nothing; the rest is on its way."""
        parts = self._store.parts(exchange, symbol, window)
        market = EXCHANGES[exchange].contract(symbol).label

        def being_fetched(part: TimeWindow) -> Gap:
            return Gap(part, GapKind.BEING_FETCHED)

        return Holdings(
            parts,
            coverage_of(
                window,
                parts,
                market=market,
                explain=being_fetched,
                outer=outer_holes(self._store, window, parts),
            ),
        )

    async def _await_open_minute(self, wanted: _Wanted) -> None:
        """Give the symbol's recorder the moment that it takes to store the minute that has just ended."""
        given_up = self._clock.now() + _OPEN_MINUTE_WAIT
        while self._clock.now() < given_up and self._is_recorded(wanted.exchange, wanted.symbol):
            held = segment_windows(self._store.root, wanted.exchange, wanted.symbol)
            newest = max((window.end for window in held), default=wanted.window.start)
            if not timedelta(0) < wanted.window.end - newest <= timedelta(minutes=1):
                return
            await self._clock.sleep(_OPEN_MINUTE_STEP)

    async def _fetch(self, wanted: _Wanted, lacking: Sequence[TimeWindow], gauge: _Gauge) -> None:
        today = TimeWindow.of_day(self._clock.now().date())
        # The newest hours need not wait until the exchange has been asked for the days before.
        await asyncio.gather(
            self._fetch_days(wanted, lacking, gauge),
            self._fetch_recent(wanted, _inside(lacking, today), gauge),
        )
        unpublished = [part for part in self._missing(wanted) if part.start < today.start]
        await self._fetch_recent(wanted, unpublished, gauge)

    async def _fetch_days(self, wanted: _Wanted, lacking: Sequence[TimeWindow], gauge: _Gauge) -> None:
        touched = dict.fromkeys(day for part in lacking for day in part.days)
        days = [Day(wanted.exchange, wanted.symbol, day) for day in touched]
        over = [day for day in days if day.window.end <= self._clock.now()]
        outcomes = await asyncio.gather(
            *(self._days.obtain(day, gauge.of_day(day, len(over))) for day in over)
        )
        wanted.problems.extend(
            (day.window, outcome)
            for day, outcome in zip(over, outcomes, strict=True)
            if isinstance(outcome, DataError)
        )

    async def _fetch_recent(self, wanted: _Wanted, lacking: Sequence[TimeWindow], gauge: _Gauge) -> None:
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
        except (
            RequestError,
            DataError,
        ) as error:  # a symbol that is listed no more has its past all the same
            wanted.problems.extend((window, error) for window in _within_reach(lacking, recent))

    async def _fetch_beside(self, wanted: _Wanted, parts: tuple[Part, ...]) -> None:
        """Fetch the days beside a window in which nobody traded: their ids show whether that is so."""
        sides = [
            Day(wanted.exchange, wanted.symbol, side.days[0]) for side in silent_sides(wanted.window, parts)
        ]
        over = [day for day in sides if day.window.end <= self._clock.now()]
        await asyncio.gather(*(self._days.obtain(day, lambda _: None) for day in over))

    def _recent_of(self, wanted: _Wanted) -> RecentTrades | None:
        """Return what fetches the symbol's last hours, if the exchange gives them."""
        is_recordable = EXCHANGES[wanted.exchange].live.records(wanted.symbol)
        return self._recent.get(wanted.exchange) if is_recordable else None

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

    def _gap(self, wanted: _Wanted, part: TimeWindow) -> Gap:
        for window, error in wanted.problems:
            if window.overlap(part) and not isinstance(error, NotPublished):
                return Gap(part, GapKind.FAILED, problem=error.problem)
        recent = self._recent_of(wanted)
        if recent is not None and part.end > recent.reaches_back_to:
            too_new = recent.machine_is_ahead and part.start >= recent.settled_until - _OPEN_MINUTES
            return Gap(part, GapKind.NOT_REACHED_YET if too_new else GapKind.NOT_FETCHED_YET, wanted.exchange)
        if any(map(part.overlap, damaged_windows(self._store.root, wanted.exchange, wanted.symbol))):
            return Gap(part, GapKind.DAMAGED)
        if part.end <= self._clock.now() - PUBLISHED_WITHIN:
            return Gap(part, GapKind.NOT_PUBLISHED)
        if recent is not None or not EXCHANGES[wanted.exchange].live.records(wanted.symbol):
            return Gap(part, GapKind.NOT_PUBLISHED_YET)
        return self._not_recorded(wanted, part)

    def _not_recorded(self, wanted: _Wanted, part: TimeWindow) -> Gap:
        exchange = wanted.exchange
        held = segment_windows(self._store.root, wanted.exchange, wanted.symbol)
        recorded = [
            window.start for window in held if window.length < DAY and window.end > wanted.window.start
        ]
        if any(start < part.start for start in recorded):
            now = self._clock.now()
            if part.start > now - _OPEN_MINUTES and self._is_recorded(exchange, wanted.symbol):
                return Gap(part, GapKind.NOT_STORED_YET, exchange)
            return Gap(part, GapKind.RECORDING_INTERRUPTED, exchange)
        if recorded:
            return Gap(part, GapKind.RECORDING_STARTED_LATER, exchange, since=min(recorded))
        if self._is_recorded(exchange, wanted.symbol):
            return Gap(part, GapKind.RECORDING_STARTS_NOW, exchange)
        return Gap(part, GapKind.NOT_RECORDED, exchange)

    def _never_filled(self, wanted: _Wanted, coverage: Coverage) -> bool:
        """Tell whether the newest hours are missing and nothing but the published day will bring them."""
        newest = coverage.missing[-1].window.end if coverage.missing else None
        recent = newest is not None and newest > self._clock.now() - PUBLISHED_WITHIN
        return recent and self._recent_of(wanted) is None

    async def _newest_whole(self, wanted: _Wanted) -> datetime | None:
        """Return the end of the newest window of this length that published days cover, if there is one."""
        newest = TimeWindow.of_day(wanted.window.end.date()).start
        for end in (newest - DAY * back for back in range(PUBLISHED_WITHIN.days + 1)):
            window = TimeWindow.ending(end, wanted.window.length)
            if end < wanted.window.end and await self._could_be_whole(wanted, window):
                return end
        return None

    async def _could_be_whole(self, wanted: _Wanted, window: TimeWindow) -> bool:
        """Tell whether the store has all of `window`, or the exchange publishes what it lacks."""
        lacking = self._store.missing(wanted.exchange, wanted.symbol, window)
        # The days of the wanted window have just been fetched, so only the few before it are asked for.
        if any(part.overlap(failed) for part in lacking for failed, _ in wanted.problems):
            return False
        for day in dict.fromkeys(day for part in lacking for day in part.days):
            if not await self._days.is_published(Day(wanted.exchange, wanted.symbol, day)):
                return False
        return True

    def _nothing_had(self, wanted: _Wanted, coverage: Coverage) -> LiqmapError:
        broken = [error for _, error in wanted.problems if not isinstance(error, NotPublished)]
        if broken:
            return broken[0]
        first = Day(wanted.exchange, wanted.symbol, wanted.window.days[0])
        if wanted.window.end <= self._clock.now() - PUBLISHED_WITHIN:
            return absence(first)
        if coverage.whole_end is not None:
            return NotCovered(
                f"The {wanted.symbol} trades of this window are not to be had:"
                f" {gap_text(coverage.missing[0])}. The newest whole window of this length ends"
                f" {coverage.whole_end:%Y-%m-%d %H:%M} UTC; ask for that end.",
                whole_end=coverage.whole_end,
            )
        return NotPublished(f"{absence(first)} Check the symbol, or ask for an earlier end.")


class _Gauge:
    """Adds up the progress of what is being fetched: days from files, and hours by REST."""

    def __init__(self, wanted: _Wanted, progress: Callable[[Progress], None]) -> None:
        self._wanted = wanted
        self._progress = progress
        self._shares: dict[object, float] = {}
        self._weights: dict[object, float] = {}
        self._told = 0.0
        self._left: float | None = None

    def of_day(self, day: Day, days: int) -> Callable[[float], None]:
        """Return what a day's download, one of `days`, is to report to."""
        self._weights[day] = 1.0

        def report(share: float) -> None:
            self._shares[day] = share
            begun = sum(isinstance(key, Day) for key in self._shares)
            self._tell("1 day" if days == 1 else f"{begun} of {days} days")

        return report

    def of_hours(self, windows: Sequence[TimeWindow]) -> Callable[[float, float], None]:
        """Return what the fetching of recent trades is to report to."""
        key, hours = tuple(windows), sum((each.length for each in windows), timedelta()) / timedelta(hours=1)
        self._weights[key] = max(hours, 0.1)

        def report(share: float, left: float) -> None:
            self._shares[key], self._left = share, left
            self._tell(f"the last {hours:.0f} h" if hours >= 1 else f"the last {hours * 60:.0f} min")

        return report

    def _tell(self, what: str) -> None:
        done = sum(self._weights[key] * share for key, share in self._shares.items())
        # What comes to light on the way makes the whole larger, which must not look like going back.
        self._told = max(self._told, done / sum(self._weights.values()))
        exchange, symbol = EXCHANGES[self._wanted.exchange].label, self._wanted.symbol
        text = f"Fetching {what} of {symbol} from {exchange}"
        self._progress(Progress(text, self._told, left=self._left))


def _within_reach(windows: Sequence[TimeWindow], recent: RecentTrades) -> list[TimeWindow]:
    oldest = recent.reaches_back_to
    return [TimeWindow(max(each.start, oldest), each.end) for each in windows if each.end > oldest]


def _inside(windows: Sequence[TimeWindow], bounds: TimeWindow) -> list[TimeWindow]:
    return [part for part in (window.overlap(bounds) for window in windows) if part is not None]
