"""Repair and maintain what was recorded: fill holes, compact minutes into hours, fetch published days."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from liqmap.collect.day import Day
from liqmap.errors import LiqmapError
from liqmap.model.window import DAY, TimeWindow, at_ms, missing
from liqmap.store.compact import compact
from liqmap.store.segments import segment_path, segment_windows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from liqmap.clock import Clock
    from liqmap.collect.days import DayFiles
    from liqmap.collect.recent import RecentTrades
    from liqmap.model import Exchange
    from liqmap.store.local import SegmentStore

log = logging.getLogger(__name__)

_LIVE_FOR = timedelta(days=3)
"""Recorded days are looked for among the published ones for this long."""


class Repair:
    """Keeps one exchange's recorded segments whole: repaired, compacted, replaced by published days.

    A failure is logged, not raised, and tried again the next time: what is in the store stays whole.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        store: SegmentStore,
        days: DayFiles,
        recent: RecentTrades | None,
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._store = store
        self._days = days
        self._recent = recent
        self._clock = clock
        self._holes_from: dict[str, datetime] = {}
        self._holes_until: dict[str, datetime] = {}
        self._late: defaultdict[str, list[datetime]] = defaultdict(list)  # of what could not be removed yet
        self._repairs: dict[str, asyncio.Task[None]] = {}
        self._compacting = asyncio.Lock()

    async def close(self) -> None:
        """Stop repairing; the next run resumes."""
        tasks = list(self._repairs.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def begin(self, symbol: str, *, until: datetime) -> None:
        """Begin to fill the holes before `until`, as far back as the exchange serves trades."""
        if self._recent is None:
            return
        self._holes_until[symbol] = until
        # One that is under way finds the later end by itself.
        if symbol not in self._repairs or self._repairs[symbol].done():
            self._repairs[symbol] = asyncio.create_task(self._fill_holes(self._recent, symbol))

    async def drop_around(self, symbol: str, late: Sequence[int]) -> None:
        """Remove the recorded segments around the times [ms] of late trades; the next repair fetches them.

        What cannot be removed is removed later, when the store is maintained.
        """
        self._late[symbol] += map(at_ms, late)
        try:
            async with self._compacting:  # a compaction under way may be merging these very segments
                while self._late[symbol]:
                    self._drop(symbol, self._late[symbol][-1])
                    self._late[symbol].pop()
        except (LiqmapError, OSError) as error:
            log.warning("%s %s lacks trades that came late: %s", self._exchange, symbol, error)

    async def maintain(self, until: Mapping[str, datetime]) -> None:
        """Compact the segments of symbols, fetch days published since, and fill the holes before `until`."""
        try:
            await asyncio.shield(self._compact(list(until)))  # its thread cannot be cancelled
        except (LiqmapError, OSError) as error:
            log.warning("%s could not be compacted: %s", self._exchange, error)
        for symbol in list(self._late):
            await self.drop_around(symbol, ())
        for symbol, end in until.items():
            try:
                for day in self._recorded_days(symbol):
                    await self._days.obtain(day, lambda _: None)
            except (LiqmapError, OSError) as error:
                log.warning("%s %s could not be maintained: %s", self._exchange, symbol, error)
            self.begin(symbol, until=end)

    async def evict(self) -> None:
        """Keep the store within its maximum size."""
        try:
            await asyncio.to_thread(self._store.evict, now=self._clock.now())
        except OSError as error:
            log.warning("the store could not be kept below its size: %s", error.strerror)

    async def _compact(self, symbols: Sequence[str]) -> None:
        async with self._compacting:
            await asyncio.to_thread(compact, self._store, self._exchange, symbols, now=self._clock.now())

    def _drop(self, symbol: str, moment: datetime) -> None:
        """Remove the recorded segments that hold `moment`; REST serves it whole."""
        # Also where none does: its minute may have been given up before it was stored.
        minute = moment.replace(second=0, microsecond=0)
        self._holes_from[symbol] = min(minute, self._holes_from.get(symbol, minute))
        for window in self._recorded(symbol):
            if window.start <= moment < window.end:
                self._store.remove(segment_path(self._store.root, self._exchange, symbol, window))
                self._holes_from[symbol] = min(window.start, self._holes_from.get(symbol, window.start))

    async def _fill_holes(self, recent: RecentTrades, symbol: str) -> None:
        # While one hole is being filled, another may be found.
        while symbol in self._holes_until:
            await self._fill(recent, symbol, self._holes_until.pop(symbol))

    async def _fill(self, recent: RecentTrades, symbol: str, until: datetime) -> None:
        recorded = [window for window in self._recorded(symbol) if window.end > recent.reaches_back_to]
        # If the earliest segment was dropped, the others do not show where recording began.
        starts = [each.start for each in recorded] + [self._holes_from.get(symbol, until)]
        start = max(min(starts), recent.reaches_back_to)
        if start >= until:
            return
        self._holes_from.pop(symbol, None)
        holes = missing(TimeWindow(start, until), segment_windows(self._store.root, self._exchange, symbol))
        try:
            await recent.repair(symbol, holes)
        except (LiqmapError, OSError) as error:
            log.warning("%s %s could not be repaired yet: %s", self._exchange, symbol, error)
            self._holes_from[symbol] = min(start, self._holes_from.get(symbol, start))

    def _recorded(self, symbol: str) -> list[TimeWindow]:
        windows = segment_windows(self._store.root, self._exchange, symbol)
        return [window for window in windows if window.length < DAY]

    def _recorded_days(self, symbol: str) -> list[Day]:
        now = self._clock.now()
        found = Day.touched(self._exchange, symbol, self._recorded(symbol))
        # An exchange that has not published a day by then will not do so any more.
        recent = (day for day in found if now - _LIVE_FOR <= day.window.end <= now)
        return sorted(recent, key=lambda day: day.day)
