"""Record the symbols of one exchange over one connection.

The connection is kept alive, but its silence is never taken for proof that nobody trades.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from liqmap.collect.recent import SETTLED_AFTER
from liqmap.errors import DataError, LiqmapError, RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.messages import Liquidation, SymbolTiers
from liqmap.live.buffer import TradeBuffer
from liqmap.live.complaints import Complaints
from liqmap.live.connection import Stream
from liqmap.live.registry import Recording
from liqmap.live.symbol import SymbolRecorder
from liqmap.net.attempts import TransientError, attempts
from liqmap.net.rest import RejectedRequest
from liqmap.window import at_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from datetime import datetime
    from types import TracebackType

    from filelock import FileLock

    from liqmap.clock import Clock
    from liqmap.exchanges.messages import Events, Newest
    from liqmap.live.registry import Recordings
    from liqmap.live.repair import Repair
    from liqmap.live.writer import SegmentWriter
    from liqmap.model import Exchange
    from liqmap.net.rest import RestClient
    from liqmap.net.session import Session
    from liqmap.settings import Settings

log = logging.getLogger(__name__)

_WATCH_SECONDS = 10.0
_NEWEST_WEIGHT = 20
_AT_ONCE = timedelta(0)
_MINUTE = timedelta(minutes=1)
_LEARNED_EVERY_MS = 100  # learning from every trade would cost more than parsing it
_LEAST_APART = timedelta(seconds=1)  # Bybit accepts 500 connections in five minutes


class ExchangeRecorder:
    """Records symbols of one exchange. Use it as `async with`; `want` may be called before and within."""

    def __init__(
        self,
        exchange: Exchange,
        settings: Settings,
        *,
        session: Session,
        client: RestClient,
        writer: SegmentWriter,
        repair: Repair,
        recordings: Recordings,
        clock: Clock,
        on_forgotten: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._settings = settings
        self._client = client
        self.writer = writer
        self.repair = repair
        self._recordings = recordings
        self._clock = clock
        self._its_clock = client.clock
        self._on_forgotten = on_forgotten
        self._live = EXCHANGES[exchange].live
        self._label = EXCHANGES[exchange].label
        self._urls = settings.exchanges.of(exchange)
        self._stream = Stream(
            session,
            self._live,
            self._urls.stream_url,
            clock=clock,
            on_live=self._go_live,
            on_refused=self._refuse,
            on_events=self.take,
            on_unreadable=self._note_unreadable,
        )
        self._complaints = Complaints(log, clock)
        self._wanted: dict[str, datetime | None] = {}
        self._refused: set[str] = set()
        self._recorders: dict[str, SymbolRecorder] = {}
        self._liquidations: list[Liquidation] = []
        self._tiers: list[SymbolTiers] = []
        self._shown_ms = 0
        self._some = asyncio.Event()
        self._news = asyncio.Event()
        self._changed: set[SymbolRecorder] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        # Looking symbols up may take long, so the caller does not wait for it.
        for work in (self._admit_wanted, self._connect, self._store, self._watch, self._maintain):
            self._start(work)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for symbol in list(self._recorders):
            self._let_go(symbol)
        self._wanted.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store_news()
        await self.repair.close()

    def want(self, symbol: str, *, asked: datetime | None) -> None:
        """Record `symbol` from now on: always (None), or for `recorder.keep_days` after `asked`."""
        if symbol not in self._wanted:
            self._wanted[symbol] = asked
            if self._tasks:
                self._start(self._admit_wanted)
        elif self._wanted[symbol] is not None:
            self._wanted[symbol] = asked

    def take(self, events: Events) -> None:
        """Take in events of the stream, in the order received."""
        now = self._its_clock.now()
        for event in events:
            if isinstance(event, SymbolTiers):
                self._tiers.append(event)
                self._news.set()
                continue
            recorder = self._recorders.get(event.symbol)
            if recorder is None:
                continue
            if recorder.take(event, now):
                if isinstance(event, Liquidation):
                    self._liquidations.append(event)
                if event.time >= self._shown_ms + _LEARNED_EVERY_MS:
                    self._shown_ms = event.time
                    self._its_clock.learn_at_least(at_ms(event.time))
            else:
                subject = f"{self._exchange} {event.symbol} has events of another time than this machine's"
                self._complaints.note(subject, f"{event.time} ms")
            if recorder.has_news:
                self.store_soon(event.symbol)

    def store_soon(self, symbol: str) -> None:
        """Have what is new of a recorded symbol stored, and its recording described, in the background."""
        self._changed.add(self._recorders[symbol])
        self._news.set()

    @property
    def recorders(self) -> Mapping[str, SymbolRecorder]:
        """The recorders of the symbols that are recorded now, by symbol; read-only."""
        return MappingProxyType(self._recorders)

    @property
    def wants_nothing(self) -> bool:
        """Whether the exchange has lately refused every symbol that is wanted."""
        return not self._wanted.keys() - self._refused

    def is_wanted(self, symbol: str) -> bool:
        """Return whether `symbol` is recorded here, or is about to be."""
        return symbol in self._recorders or (symbol in self._waiting() and self._has_room())

    def _start(self, work: Callable[[], Coroutine[None, None, None]], *, after: timedelta = _AT_ONCE) -> None:
        """Run `work` in the background; if it fails, run it again after a minute."""

        async def begin() -> None:
            if after:
                await self._clock.sleep(after.total_seconds())
            await work()

        def begin_again(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                broken = task.exception()
                log.error("a recorder of %s has stopped for a minute", self._exchange, exc_info=broken)
                self._cut()  # until then the status must not say that all is well
                self._start(work, after=_MINUTE)

        task = asyncio.create_task(begin())
        task.add_done_callback(begin_again)
        self._tasks = [each for each in self._tasks if not each.done()] + [task]

    def _waiting(self) -> list[str]:
        return [each for each in self._wanted if each not in self._recorders and each not in self._refused]

    def _has_room(self) -> bool:
        return len(self._recorders) < self._settings.recorder.most_symbols

    async def _admit_wanted(self) -> None:
        """Start recording the wanted symbols that no process records yet, as far as there is room."""
        admitted = []
        for symbol in self._waiting():
            if not self._has_room():
                log.warning("%s %s: recorder.most_symbols is reached", self._exchange, symbol)
                break
            lock = self._claim(symbol)
            if lock is None:
                continue
            now = self._clock.now()
            buffer = TradeBuffer(
                numbered=self._live.numbered, most_trades=self._settings.recorder.most_open_trades
            )
            recording = Recording(self._exchange, symbol, updated=now, since=now, asked=self._wanted[symbol])
            silence = timedelta(seconds=self._settings.recorder.silence)
            self._recorders[symbol] = SymbolRecorder(recording, buffer=buffer, lock=lock, silence=silence)
            admitted.append(symbol)
        if admitted:
            self._some.set()
            await self._stream.subscribe(tuple(admitted))
            await asyncio.gather(*(self._look_up(symbol) for symbol in admitted))

    def _claim(self, symbol: str) -> FileLock | None:
        """Return the lock of a symbol; None if another process holds it or it cannot be taken yet."""
        try:
            return self._recordings.claim(self._exchange, symbol)
        except DataError as error:  # of this symbol alone, such as a lock file of another user
            log.warning("%s %s is not recorded yet: %s", self._exchange, symbol, error)
            return None

    async def _look_up(self, symbol: str) -> None:
        """Ask the exchange for the symbol: some acknowledge the stream of one that does not exist."""
        try:
            await self._newest(symbol)
        except RequestError as error:
            log.warning("%s %s is not recorded: %s", self._exchange, symbol, error)
            self._forget(symbol)
            return
        except DataError as error:  # its stream may exist all the same
            log.info("%s %s could not be looked up: %s", self._exchange, symbol, error)
        log.info("recording %s %s", self._exchange, symbol)

    async def _newest(self, symbol: str) -> Newest:
        sent = self._clock.now()
        url = self._live.newest_url(self._urls.api_url, symbol)
        try:
            answer = await self._client.get(url, weight=_NEWEST_WEIGHT)
        except RejectedRequest as error:
            backfill = EXCHANGES[self._exchange].backfill
            raise (backfill.explained(error.answer, symbol) if backfill else error) from error
        # By now the exchange's clock is known, at the latest from this answer.
        return self._live.newest(answer, asked=self._its_clock.at(sent))

    async def _connect(self) -> None:
        while True:
            await self._some.wait()
            begun = self._clock.now()
            async for attempt in attempts(self._settings.network, times=None, sleep=self._clock.sleep):
                with attempt:
                    try:
                        await self._stream.run(lambda: tuple(self._recorders))
                    except TransientError as error:
                        self._complaints.note(f"{self._label}'s streams", error)
                        raise
                    finally:
                        self._cut()
            log.info("%s's streams have ended; connecting again", self._label)
            # Connections that end early must not follow each other without a pause. The pause has an upper
            # bound because the clock may have been set back meanwhile.
            await self._clock.sleep(
                min(begun + _LEAST_APART - self._clock.now(), _LEAST_APART).total_seconds()
            )

    def _go_live(self, symbols: tuple[str, ...]) -> None:
        now = self._its_clock.now()
        for symbol in symbols:
            if symbol in self._recorders:
                self._recorders[symbol].go_live(now)
                self.store_soon(symbol)

    def _refuse(self, symbol: str) -> None:
        log.warning("%s refuses the stream of %s, which is not recorded", self._label, symbol)
        self._forget(symbol)

    def _note_unreadable(self, error: DataError) -> None:
        self._complaints.note(f"{self._label}'s messages", f"{error} ({error.__cause__})")

    def _cut(self) -> None:
        """Note that the connection is gone."""
        for symbol, recorder in self._recorders.items():
            recorder.cut()
            self.store_soon(symbol)

    async def _store(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._store_news()

    async def _store_news(self) -> None:
        # A thread that writes cannot be cancelled, so the writing goes on when the caller is.
        await asyncio.shield(self._write_news())

    async def _write_news(self) -> None:
        """Write everything that is new, once what is being written now is done."""
        async with self._writing:
            liquidations, self._liquidations = self._liquidations, []
            await self.writer.write_liquidations(liquidations)
            tiers, self._tiers = self._tiers, []
            await self.writer.write_tiers(tiers)
            while self._changed:
                await self._write_news_of(self._changed.pop())

    async def _write_news_of(self, recorder: SymbolRecorder) -> None:
        symbol = recorder.symbol
        chunks, late = recorder.take_news()
        stored = await self.writer.write(symbol, chunks, late, simulated=self._client.simulated)
        if chunks and stored:
            recorder.note_stored(chunks)
        recording = recorder.describe(
            self._clock.now(),
            asked=self._wanted.get(symbol, recorder.recording.asked),
            clock_off=self._its_clock.machine_off,
        )
        with suppress(LiqmapError):  # the trades that cannot be stored report a full disk
            if recorder.exists:
                await asyncio.to_thread(self._recordings.write, recording)
            else:
                await asyncio.to_thread(self._recordings.forget, self._exchange, symbol)
        if self._recorders.get(symbol) is not recorder and recorder not in self._changed:
            recorder.release()
            if symbol in self._wanted:  # again, meanwhile
                self._start(self._admit_wanted)

    async def _watch(self) -> None:
        """Every ten seconds, look for streams that are dead, far behind or not acknowledged."""
        described = self._clock.now()
        while True:
            await self._clock.sleep(_WATCH_SECONDS)
            now = self._its_clock.now()
            self._complaints.flush()
            await self._stream.subscribe(
                tuple(each.symbol for each in self._recorders.values() if each.note_waiting(now))
            )
            for recorder in list(self._recorders.values()):
                if recorder.recording.connected and await self._finds_dead(recorder, now):
                    await self._stream.drop()
                    break  # all symbols share the connection
            if abs(self._clock.now() - described) >= _MINUTE:
                described = self._clock.now()
                for symbol in self._recorders:
                    self.store_soon(symbol)

    async def _finds_dead(self, recorder: SymbolRecorder, now: datetime) -> bool:
        """Look at a stream; return whether it is too far behind, or silent though the symbol is traded."""
        symbol = recorder.symbol
        if recorder.note_heard(now):
            if recorder.is_behind():
                log.warning("%s %s is too far behind", self._exchange, symbol)
            return recorder.is_behind()
        if not recorder.is_suspect(now):
            return False
        try:
            dead = recorder.note_newest(await self._newest(symbol), now)
        except LiqmapError as error:
            log.info("%s %s is silent and could not be looked up: %s", self._exchange, symbol, error)
            return False
        if dead:
            log.warning("%s %s is silent though it is traded", self._exchange, symbol)
        elif recorder.has_news and symbol in self._recorders:
            self.store_soon(symbol)
        return dead

    async def _maintain(self) -> None:
        """Every ten minutes, maintain the store and let go of symbols that nobody requests any more."""
        while True:
            now = self._clock.now()
            # At whole ten minutes, so that the hour before is complete.
            begun = now.replace(minute=now.minute // 10 * 10, second=5, microsecond=0)
            await self._clock.sleep((begun + timedelta(minutes=10) - now).total_seconds())
            for symbol in [symbol for symbol in self._wanted if self._is_forgotten(symbol)]:
                # Its stream is ignored until the next connection, which does not subscribe to it.
                self._let_go(symbol)
            for symbol, recorder in list(self._recorders.items()):
                settled_until = self._its_clock.now().replace(microsecond=0) - SETTLED_AFTER
                await self.repair.maintain(symbol, until=recorder.open_from or settled_until)
            await self.repair.evict()
            self._refused.clear()
            self._start(self._admit_wanted)

    def _is_forgotten(self, symbol: str) -> bool:
        asked, keep = self._wanted[symbol], timedelta(days=self._settings.recorder.keep_days)
        return asked is not None and self._clock.now() - asked >= keep

    def _forget(self, symbol: str) -> None:
        """Let go of a symbol that does not exist; one in the settings is tried again later."""
        if symbol in self._recorders:
            self._recorders[symbol].note_unknown()
        is_configured = symbol in self._wanted and self._wanted[symbol] is None
        self._let_go(symbol)
        if is_configured:
            self._wanted[symbol] = None
            self._refused.add(symbol)
        self._on_forgotten()

    def _let_go(self, symbol: str) -> None:
        asked = self._wanted.pop(symbol, None)
        if symbol in self._recorders:
            self._recorders[symbol].let_go(asked=asked)
            self.store_soon(symbol)
            del self._recorders[symbol]
