"""The keeper: what the streams brought -> segments, and the holes in what is recorded -> filled."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from liqmap.collect.days import Day
from liqmap.errors import LiqmapError
from liqmap.store.compact import tidy
from liqmap.store.liquidations import append_liquidations
from liqmap.store.segments import VIA_STREAM, Origin, segment_path, segment_windows
from liqmap.store.writer import write_segment
from liqmap.window import DAY, TimeWindow, at_ms, missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from liqmap.clock import Clock
    from liqmap.collect.brackets import BracketTables
    from liqmap.collect.days import DayFiles
    from liqmap.collect.recent import RecentTrades
    from liqmap.exchanges.messages import Liquidation, SymbolTiers
    from liqmap.live.buffer import Chunk
    from liqmap.model import Exchange
    from liqmap.store.local import SegmentStore

log = logging.getLogger(__name__)

_LIVE_FOR = timedelta(days=3)
"""Recorded days are looked for among the published ones for this long."""


class Keeper:
    """Keeps one exchange's recorded trades in the store: written, repaired, tidied, replaced by whole days.

    What goes wrong is logged and tried again the next time: what is in the store stays whole.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        source: str,
        complete_liquidations: bool,
        store: SegmentStore,
        days: DayFiles,
        recent: RecentTrades | None,
        brackets: BracketTables,
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._source = source
        self._complete_liquidations = complete_liquidations
        self._store = store
        self._days = days
        self._recent = recent
        self._brackets = brackets
        self._clock = clock
        self._stored_until: dict[str, datetime] = {}
        self._holes_from: dict[str, datetime] = {}
        self._holes_until: dict[str, datetime] = {}
        self._repairs: dict[str, asyncio.Task[None]] = {}
        self._tidying = asyncio.Lock()

    async def close(self) -> None:
        """Stop repairing; the next run goes on."""
        tasks = list(self._repairs.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def keep(
        self, symbol: str, chunks: Sequence[Chunk], late: Sequence[int], *, simulated: bool
    ) -> bool:
        """Store chunks, return whether that worked, and order repairs of what they lack or came late."""
        stored = True
        try:
            for chunk in chunks:
                await asyncio.to_thread(self._write, symbol, chunk, simulated)
        except (LiqmapError, OSError) as error:
            log.warning("%s %s could not be stored: %s", self._exchange, symbol, error)
            stored = False
        if late:  # told of once, whether or not there is room for more
            await self._drop_late(symbol, late)
        for chunk in chunks:
            if chunk.window.start != self._stored_until.get(symbol):
                self._repair(symbol, until=chunk.window.start)
            self._stored_until[symbol] = chunk.window.end
        if late and symbol in self._stored_until:
            self._repair(symbol, until=self._stored_until[symbol])
        return stored

    async def keep_liquidations(self, liquidations: Sequence[Liquidation]) -> None:
        """Store what the exchange told of liquidations."""
        if not liquidations:
            return
        try:
            await asyncio.to_thread(
                append_liquidations,
                self._store.root,
                self._exchange,
                liquidations,
                complete=self._complete_liquidations,
            )
        except OSError as error:
            log.warning("%s's liquidations could not be stored: %s", self._exchange.title(), error.strerror)

    async def keep_tiers(self, tiers: Sequence[SymbolTiers]) -> None:
        """Store the leverage brackets that the exchange told of."""
        if tiers:
            await self._brackets.keep(self._exchange, tiers)

    async def maintain(self, symbol: str, *, until: datetime) -> None:
        """Tidy a symbol's segments, repair what is missing `until` then, and fetch days published since."""
        try:
            await asyncio.shield(self._tidy(symbol))  # a thread goes on however its task ends
            for day in self._recorded_days(symbol):
                await self._days.obtain(day, lambda _: None)
        except (LiqmapError, OSError) as error:
            log.warning("%s %s could not be tidied: %s", self._exchange, symbol, error)
        self._repair(symbol, until=until)

    async def evict(self) -> None:
        """Keep the store below its size."""
        try:
            await asyncio.to_thread(self._store.evict, now=self._clock.now())
        except OSError as error:
            log.warning("the store could not be kept below its size: %s", error.strerror)

    def _write(self, symbol: str, chunk: Chunk, simulated: bool) -> None:
        origin = Origin(
            exchange=self._exchange,
            symbol=symbol,
            window=chunk.window,
            source=self._source,
            sha256="",
            simulated=simulated,
            first_id=chunk.first_id,
            last_id=chunk.last_id,
            lost_ids=chunk.lost,
            zero_sizes=chunk.zero_sizes,
            via=(VIA_STREAM,),
        )
        path = segment_path(self._store.root, self._exchange, symbol, chunk.window)
        write_segment(path, origin, chunk.trades, incoming=self._store.incoming)

    async def _tidy(self, symbol: str) -> None:
        async with self._tidying:
            await asyncio.to_thread(tidy, self._store, self._exchange, symbol, now=self._clock.now())

    async def _drop_late(self, symbol: str, late: Sequence[int]) -> None:
        try:
            async with self._tidying:  # which may be merging just what is to be dropped
                for moment in late:
                    self._drop_around(symbol, at_ms(moment))
        except OSError as error:
            log.warning("%s %s lacks trades that came late: %s", self._exchange, symbol, error)

    def _drop_around(self, symbol: str, moment: datetime) -> None:
        """Remove the recorded segments of a moment of which not all was known: REST has it whole."""
        for window in self._recorded(symbol):
            if window.start <= moment < window.end:
                self._store.remove(segment_path(self._store.root, self._exchange, symbol, window))
                self._holes_from[symbol] = min(window.start, self._holes_from.get(symbol, window.start))

    def _repair(self, symbol: str, *, until: datetime) -> None:
        """Begin to fill the holes in what has been recorded, as far back as the exchange gives it."""
        if self._recent is None:
            return
        self._holes_until[symbol] = until
        if symbol not in self._repairs or self._repairs[symbol].done():
            self._repairs[symbol] = asyncio.create_task(self._fill_holes(self._recent, symbol))

    async def _fill_holes(self, recent: RecentTrades, symbol: str) -> None:
        # While one hole is being filled, the next may come to light.
        while symbol in self._holes_until:
            await self._fill(recent, symbol, self._holes_until.pop(symbol))

    async def _fill(self, recent: RecentTrades, symbol: str, until: datetime) -> None:
        recorded = [window for window in self._recorded(symbol) if window.end > recent.reaches_back_to]
        # What was dropped may be the earliest, of which the rest of what is recorded tells nothing.
        starts = [each.start for each in recorded] + [self._holes_from.get(symbol, until)]
        start = max(min(starts), recent.reaches_back_to)
        if start >= until:
            return
        self._holes_from.pop(symbol, None)
        holes = missing(TimeWindow(start, until), segment_windows(self._store.root, self._exchange, symbol))
        try:
            await recent.fill(symbol, holes, report=lambda _share, _left: None)
        except (LiqmapError, OSError) as error:
            log.warning("%s %s could not be repaired yet: %s", self._exchange, symbol, error)
            self._holes_from[symbol] = min(start, self._holes_from.get(symbol, start))

    def _recorded(self, symbol: str) -> list[TimeWindow]:
        windows = segment_windows(self._store.root, self._exchange, symbol)
        return [window for window in windows if window.length < DAY]

    def _recorded_days(self, symbol: str) -> list[Day]:
        now = self._clock.now()
        days = {day for window in self._recorded(symbol) for day in window.days}
        found = (Day(self._exchange, symbol, day) for day in sorted(days))
        return [day for day in found if now - _LIVE_FOR <= day.window.end <= now]
