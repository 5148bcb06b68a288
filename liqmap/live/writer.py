"""Write what the streams deliver into the store, and order repairs of what they lack."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from datetime import timedelta
from typing import TYPE_CHECKING

from liqmap.collect.contracts import counted_in_base
from liqmap.errors import LiqmapError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.fills import in_base, merged_fills
from liqmap.model.window import DAY, TimeWindow, at_ms, merged
from liqmap.store.bundling import Journal
from liqmap.store.feeds import note_feed
from liqmap.store.liquidations import append_liquidations, merge_liquidations
from liqmap.store.segments import VIA_STREAM, Origin, segment_path
from liqmap.store.writer import recorded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date, datetime

    from liqmap.clock import Clock
    from liqmap.collect.brackets import BracketTables
    from liqmap.collect.contracts import Contracts
    from liqmap.exchanges.messages import Liquidation, SymbolTiers
    from liqmap.live.buffer import Chunk
    from liqmap.live.repair import Repair
    from liqmap.model import Exchange
    from liqmap.store.local import SegmentStore

log = logging.getLogger(__name__)

_MOST_FAILURES = 2  # in a row of chunks: then it is the disk, not a single segment
_REMEMBERED = DAY  # how long a minute may wait for its disk and still find what it lacked
_REMEMBERED_MS = _REMEMBERED // timedelta(milliseconds=1)
_SECOND = timedelta(seconds=1)


class SegmentWriter:
    """Writes one exchange's chunks, liquidations and brackets into the store.

    A failure is logged, not raised: what is in the store stays whole, and what is not may be tried again.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        source: str,
        complete_liquidations: bool,
        store: SegmentStore,
        repair: Repair,
        brackets: BracketTables,
        contracts: Contracts,
        clock: Clock,
    ) -> None:
        self._exchange = exchange
        self._label = EXCHANGES[exchange].label
        self._source = source
        self._complete_liquidations = complete_liquidations
        self._reported_twice = EXCHANGES[exchange].liquidations.pages is not None
        backfill = EXCHANGES[exchange].backfill
        self._merges = backfill is not None and backfill.sends_fills
        self._store = store
        self._repair = repair
        self._brackets = brackets
        self._contracts = contracts
        self._clock = clock
        self._journal = Journal(store.root, exchange)
        self._stored_until: dict[str, datetime] = {}
        self._unstored: defaultdict[str, list[int]] = defaultdict(list)  # times of liquidations [ms]
        self._doubtful: set[tuple[str, date]] = set()  # tables of liquidations that could not be written
        self._unread: dict[str, list[TimeWindow]] = {}  # when liquidations came that could not be read

    async def write(
        self, symbol: str, chunks: Sequence[Chunk], late: Sequence[int], *, simulated: bool
    ) -> list[Chunk]:
        """Store chunks and return those that are stored now, in their order.

        Also order repairs: of the holes before the chunks, and of segments that lack the `late` trades [ms].
        """
        stored: list[Chunk] = []
        failures = 0
        for chunk in chunks:
            try:
                unit = await self._contracts.unit(self._exchange, symbol, on=chunk.window.start.date())
                await asyncio.to_thread(self._write, symbol, chunk, unit=unit, simulated=simulated)
            except (LiqmapError, OSError) as error:
                log.warning("%s %s could not be stored yet: %s", self._exchange, symbol, error)
                failures += 1
                if failures == _MOST_FAILURES:
                    break
            else:
                stored.append(chunk)
        if late:  # reported only once, so they count even if the chunks could not be stored
            await self._repair.drop_around(symbol, late)
        for chunk in chunks:
            if chunk.window.start != self._stored_until.get(symbol):
                self._repair.begin(symbol, until=chunk.window.start)
            self._stored_until[symbol] = chunk.window.end
        if late and symbol in self._stored_until:
            self._repair.begin(symbol, until=self._stored_until[symbol])
        return stored

    async def write_liquidations(self, liquidations: Sequence[Liquidation]) -> list[Liquidation]:
        """Store the liquidations that the exchange reported; return those that could not be stored."""
        kept: list[Liquidation] = []
        tables: defaultdict[tuple[str, date], list[Liquidation]] = defaultdict(list)
        for each in liquidations:
            tables[each.symbol, at_ms(each.time).date()].append(each)
        # Table by table, so that what is tried again is of the tables that failed.
        for (symbol, day), its in tables.items():
            # A table can be there although the disk failed to confirm it, and REST may have brought some.
            merges = self._reported_twice or (symbol, day) in self._doubtful
            try:
                in_base = [await counted_in_base(self._contracts, self._exchange, each) for each in its]
                await asyncio.to_thread(
                    merge_liquidations if merges else append_liquidations,
                    self._store.root,
                    self._exchange,
                    in_base,
                    complete=self._complete_liquidations,
                )
            except (LiqmapError, OSError) as error:
                reason = (error.strerror if isinstance(error, OSError) else None) or error
                log.warning("%s's liquidations could not be stored yet: %s", self._label, reason)
                kept += its
                self._doubtful.add((symbol, day))
            else:
                self._doubtful.discard((symbol, day))
            times = {each.time for each in its}
            self._unstored[symbol] = [time for time in self._unstored[symbol] if time not in times]
        for each in kept:
            self._unstored[each.symbol].append(each.time)
        return kept

    def note_unread(self, symbols: Iterable[str], now: datetime) -> None:
        """Note that a liquidation of one of `symbols` may have come just now that could not be read."""
        # Exchanges report liquidations about a second late.
        second = now.replace(microsecond=0)
        doubtful = TimeWindow(second - _SECOND, second + _SECOND)
        for symbol in symbols:
            noted = self._unread.get(symbol, [])
            if not noted or noted[-1].end != doubtful.end:
                # Joined, since every message of a day may be unreadable. A thread may read the old list.
                kept = [each for each in noted if each.end >= second - _REMEMBERED]
                self._unread[symbol] = merged([*kept, doubtful])

    def close(self) -> None:
        """Let go of the file that is written to."""
        self._journal.close()

    async def write_tiers(self, tiers: Sequence[SymbolTiers]) -> bool:
        """Store the leverage brackets that the exchange announced; return whether that worked."""
        return not tiers or await self._brackets.keep(self._exchange, tiers)

    def _write(self, symbol: str, chunk: Chunk, *, unit: float, simulated: bool) -> None:
        origin = self._origin(symbol, chunk, unit=unit, simulated=simulated)
        path = segment_path(self._store.root, self._exchange, symbol, chunk.window)
        # A stream may send one order and price in several messages, as OKX does for each source of its fills.
        # Pages and files put those together, and the largest trades must be the same by all three.
        trades = merged_fills(chunk.trades) if self._merges else chunk.trades
        record = recorded(path, origin, in_base(trades, unit))
        self._journal.append(record, now=self._clock.now())
        # Liquidations come over the same connection and are written before the chunks that they fall into.
        start, end = chunk.window.start_ms, chunk.window.end_ms
        is_unstored = any(start <= time < end for time in self._unstored[symbol])
        if not is_unstored and not any(map(chunk.window.overlap, self._unread.get(symbol, ()))):
            note_feed(self._store.root, self._exchange, symbol, chunk.window)
        # An older chunk may still be tried again.
        self._unstored[symbol] = [time for time in self._unstored[symbol] if time >= end - _REMEMBERED_MS]

    def _origin(self, symbol: str, chunk: Chunk, *, unit: float, simulated: bool) -> Origin:
        return Origin(
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
            contract_size=unit,
        )
