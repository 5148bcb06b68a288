"""Hold what one exchange's streams have delivered until it is written into the store."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from liqmap.errors import LiqmapError
from liqmap.live.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from liqmap.clock import Clock
    from liqmap.exchanges.messages import Liquidation, SymbolTiers
    from liqmap.live.buffer import Chunk
    from liqmap.live.registry import Recordings
    from liqmap.live.symbol import SymbolRecorder
    from liqmap.live.wanted import WantedSymbols
    from liqmap.live.writer import SegmentWriter
    from liqmap.model import Exchange
    from liqmap.net.rest import RestClient


log = logging.getLogger(__name__)

_MOST_LIQUIDATIONS: Final = 100_000  # that wait for a full disk; the oldest are given up first
_MOST_TIERS: Final = 1000  # likewise


class Outbox:
    """Writes liquidations, bracket changes, and the news of symbols with the descriptions of recordings.

    What cannot be written, as on a full disk, is kept in memory and tried again with the next news.
    `on_written` is called with a recorder once it has no more news. `recorder_of` returns the recorder of a
    symbol, None where it is recorded no longer.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        writer: SegmentWriter,
        recordings: Recordings,
        client: RestClient,
        wanted: WantedSymbols,
        clock: Clock,
        on_written: Callable[[SymbolRecorder], None],
        recorder_of: Callable[[str], SymbolRecorder | None],
    ) -> None:
        self._exchange = exchange
        self._writer = writer
        self._recordings = recordings
        self._client = client
        self._wanted = wanted
        self._clock = clock
        self._on_written = on_written
        self._recorder_of = recorder_of
        self._liquidations: list[Liquidation] = []
        self._tiers: list[SymbolTiers] = []
        self._backlog = Backlog()
        self._changed: set[SymbolRecorder] = set()
        self._news = asyncio.Event()
        self._writing = asyncio.Lock()

    def add_liquidation(self, event: Liquidation) -> None:
        """Have a liquidation written, with the next news of any symbol."""
        self._liquidations.append(event)

    def add_tiers(self, event: SymbolTiers) -> None:
        """Have changed brackets written."""
        self._tiers.append(event)
        self._news.set()

    def add(self, recorder: SymbolRecorder) -> None:
        """Have the news of a symbol written, and its recording described."""
        self._changed.add(recorder)
        self._news.set()

    async def run(self) -> None:
        """Write news as it comes, until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write everything that is new."""
        # A thread that writes cannot be cancelled, so the writing goes on when the caller is.
        await asyncio.shield(self._write())

    async def retry(self) -> None:
        """Try once more to write what could not be written, also of symbols that are recorded no longer."""
        await asyncio.shield(self._write_backlog())

    async def close(self) -> None:
        """Write everything that is new, and what could not be written before; log what is lost."""
        await self.flush()
        await self.retry()
        for symbol in self._backlog.symbols:
            since = self._backlog.of(symbol)[0].window.start
            log.warning("%s %s could not be stored since %s: that is a gap", self._exchange, symbol, since)

    async def _write(self) -> None:
        # One after the other, so that a symbol's chunks are stored in order of time.
        async with self._writing:
            await self._write_liquidations()
            await self._write_tiers()
            while self._changed:
                await self._write_news_of(self._changed.pop())

    async def _write_backlog(self) -> None:
        async with self._writing:
            await self._write_liquidations()
            await self._write_tiers()
            for symbol in self._backlog.symbols:
                stored = await self._write_chunks(symbol, late=())
                recorder = self._recorder_of(symbol)
                if stored and recorder is not None:
                    recorder.note_stored(stored)
                    self.add(recorder)

    async def _write_liquidations(self) -> None:
        # They stay in the list until they are stored, and more may be added to its end meanwhile.
        count = len(self._liquidations)
        kept = await self._writer.write_liquidations(self._liquidations[:count])
        self._liquidations[:count] = kept[-_MOST_LIQUIDATIONS:]

    async def _write_tiers(self) -> None:
        count = len(self._tiers)
        if await self._writer.write_tiers(self._tiers[:count]):
            del self._tiers[:count]
        del self._tiers[:-_MOST_TIERS]

    async def _write_chunks(self, symbol: str, *, late: Sequence[int]) -> list[Chunk]:
        """Store what waits of a symbol; return what was stored."""
        waiting = self._backlog.of(symbol)
        stored = await self._writer.write(symbol, waiting, late, simulated=self._client.simulated)
        self._backlog.remove(stored)
        return stored

    async def _write_news_of(self, recorder: SymbolRecorder) -> None:
        symbol = recorder.symbol
        chunks, late = recorder.take_news()
        self._backlog.add(symbol, chunks)
        self._backlog.give_up(symbol, late)  # they would pass for whole; the repair fetches their time
        stored = await self._write_chunks(symbol, late=late)
        if stored:
            recorder.note_stored(stored)
        recording = recorder.describe(
            self._clock.now(),
            asked=self._wanted.last_request(symbol, default=recorder.recording.asked),
            clock_off=self._client.clock.machine_off,
        )
        with suppress(LiqmapError):  # the trades that cannot be stored report a full disk
            if recorder.exists:
                await asyncio.to_thread(self._recordings.write, recording)
            else:
                await asyncio.to_thread(self._recordings.forget, self._exchange, symbol)
        # While this was being written, the symbol may have delivered more.
        if recorder not in self._changed:
            self._on_written(recorder)
