"""Record the symbols of one exchange.

Its connections are kept alive, but their silence is never taken for proof that nobody trades.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from liqmap.collect.recent import SETTLED_AFTER
from liqmap.errors import DataError, RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.messages import Liquidation, PartlyUnreadable, SymbolTiers
from liqmap.live.background import Background
from liqmap.live.buffer import TradeBuffer
from liqmap.live.complaints import Complaints
from liqmap.live.connection import Stream
from liqmap.live.connections import Connections
from liqmap.live.newest import NewestTrades
from liqmap.live.outbox import Outbox
from liqmap.live.registry import Recording
from liqmap.live.symbol import SymbolRecorder
from liqmap.live.wanted import WantedSymbols
from liqmap.model.window import at_ms
from liqmap.net.attempts import TransientError, attempts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from types import TracebackType

    from filelock import FileLock

    from liqmap.collect.supply import Supply
    from liqmap.exchanges.messages import Events
    from liqmap.live.registry import Recordings
    from liqmap.live.repair import Repair
    from liqmap.live.writer import SegmentWriter
    from liqmap.model import Exchange

log = logging.getLogger(__name__)

_WATCH_SECONDS = 10.0
_MINUTE = timedelta(minutes=1)
_LEARNED_EVERY_MS = 100  # learning from every trade would cost more than parsing it
_LEAST_APART = timedelta(seconds=1)  # Bybit accepts 500 connections in five minutes


class ExchangeRecorder:
    """Records symbols of one exchange. Use it as `async with`; `want` may be called before and within."""

    def __init__(
        self,
        exchange: Exchange,
        supply: Supply,
        *,
        writer: SegmentWriter,
        repair: Repair,
        recordings: Recordings,
        on_forgotten: Callable[[], None],
    ) -> None:
        settings, clock, client = supply.settings, supply.clock, supply.clients[exchange]
        self._exchange = exchange
        self._settings = settings
        self.writer = writer
        self.repair = repair
        self._recordings = recordings
        self._clock = clock
        self._its_clock = client.clock
        self._on_forgotten = on_forgotten
        self._live = EXCHANGES[exchange].live
        self._label = EXCHANGES[exchange].label
        urls = settings.exchanges.of(exchange)

        def stream() -> Stream:
            return Stream(
                supply.session,
                self._live,
                urls.stream_url,
                clock=clock,
                on_live=self._go_live,
                on_refused=self._refuse,
                on_events=self.take,
                on_unreadable=self._note_unreadable,
            )

        self._connections = Connections(stream, most_symbols=self._live.most_symbols)
        self._newest = NewestTrades(exchange, client=client, base_url=urls.api_url, clock=clock)
        self._complaints = Complaints(log, clock)
        self._wanted = WantedSymbols(clock, keep_days=settings.recorder.keep_days)
        self._recorders: dict[str, SymbolRecorder] = {}
        self._outbox = Outbox(
            exchange,
            writer=writer,
            recordings=recordings,
            client=client,
            wanted=self._wanted,
            clock=clock,
            on_written=self._note_written,
            recorder_of=self._recorders.get,
        )
        self._background = Background(clock, on_failed=self._note_failed)
        self._shown_ms = 0
        self._some = asyncio.Event()

    async def __aenter__(self) -> Self:
        # Looking symbols up may take long, so the caller does not wait for it.
        for work in (self._admit_wanted, self._connect, self._outbox.run, self._watch, self._maintain):
            self._background.start(work)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for symbol in list(self._recorders):
            self._let_go(symbol, asked=self._wanted.drop(symbol))
        self._wanted.clear()
        await self._background.close()
        await self._outbox.close()
        self.writer.close()
        await self.repair.close()

    def want(self, symbol: str, *, asked: datetime | None) -> None:
        """Record `symbol` from now on: always (None), or for `recorder.keep_days` after `asked`."""
        if self._wanted.add(symbol, requested=asked) and self._background.is_running:
            self._background.start(self._admit_wanted)

    def take(self, events: Events) -> None:
        """Take in events of the stream, in the order received."""
        now = self._its_clock.now()
        for event in events:
            if isinstance(event, SymbolTiers):
                self._outbox.add_tiers(event)
                continue
            recorder = self._recorders.get(event.symbol)
            if recorder is None:
                continue
            if recorder.take(event, now):
                if isinstance(event, Liquidation):
                    self._outbox.add_liquidation(event)
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
        self._outbox.add(self._recorders[symbol])

    @property
    def recorders(self) -> Mapping[str, SymbolRecorder]:
        """The recorders of the symbols that are recorded now, by symbol; read-only."""
        return MappingProxyType(self._recorders)

    @property
    def wants_nothing(self) -> bool:
        """Whether the exchange has lately refused every symbol that is wanted."""
        return self._wanted.all_refused

    def is_wanted(self, symbol: str) -> bool:
        """Return whether `symbol` is recorded here, or is about to be."""
        return symbol in self._recorders or (symbol in self._waiting() and self._has_room())

    def _note_failed(self, error: BaseException) -> None:
        log.error("a recorder of %s has stopped for a minute", self._exchange, exc_info=error)
        self._cut()  # until it begins again, the status must not say that all is well

    def _waiting(self) -> list[str]:
        return [each for each in self._wanted.to_admit() if each not in self._recorders]

    def _has_room(self) -> bool:
        its = self._settings.recorder
        return len(self._recorders) < its.most_symbols + its.most_traded

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
            self._recorders[symbol] = self._symbol_recorder(symbol, lock)
            admitted.append(symbol)
        if admitted:
            self._some.set()
            await self._connections.subscribe(tuple(admitted))
            await asyncio.gather(*(self._look_up(symbol) for symbol in admitted))

    def _symbol_recorder(self, symbol: str, lock: FileLock) -> SymbolRecorder:
        now, its = self._clock.now(), self._settings.recorder
        buffer = TradeBuffer(numbered=self._live.numbered, most_trades=its.most_open_trades)
        asked = self._wanted.last_request(symbol)
        recording = Recording(self._exchange, symbol, updated=now, since=now, asked=asked)
        silence = timedelta(seconds=its.silence)
        return SymbolRecorder(recording, buffer=buffer, lock=lock, silence=silence)

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
            await self._newest.fetch(symbol)
        except RequestError as error:
            log.warning("%s %s is not recorded: %s", self._exchange, symbol, error)
            self._forget(symbol)
            return
        except DataError as error:  # its stream may exist all the same
            log.info("%s %s could not be looked up: %s", self._exchange, symbol, error)
        log.info("recording %s %s", self._exchange, symbol)

    async def _connect(self) -> None:
        while True:
            await self._some.wait()
            begun = self._clock.now()
            async for attempt in attempts(self._settings.network, times=None, sleep=self._clock.sleep):
                with attempt:
                    await self._read_streams()
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
        # It may have been a liquidation. Trades that are missing show by their ids, and these do not.
        named = error.symbols if isinstance(error, PartlyUnreadable) else frozenset()
        self.writer.note_unread(named or tuple(self._recorders), self._its_clock.now())

    def _cut(self) -> None:
        """Note that the connection is gone."""
        for symbol, recorder in self._recorders.items():
            recorder.cut()
            self.store_soon(symbol)

    def _note_written(self, recorder: SymbolRecorder) -> None:
        """Release a symbol that is recorded no longer, once its last news are stored."""
        symbol = recorder.symbol
        if self._recorders.get(symbol) is not recorder:
            recorder.release()
            if symbol in self._wanted:  # it was requested again meanwhile
                self._background.start(self._admit_wanted)

    async def _read_streams(self) -> None:
        try:
            await self._connections.run(lambda: tuple(self._recorders))
        except TransientError as error:
            self._complaints.note(f"{self._label}'s streams", error)
            raise
        finally:
            self._cut()

    async def _watch(self) -> None:
        """Every ten seconds, look for streams that are dead, far behind or not acknowledged."""
        described = self._clock.now()
        while True:
            await self._clock.sleep(_WATCH_SECONDS)
            self._complaints.flush()
            await self._look(self._its_clock.now())
            if abs(self._clock.now() - described) >= _MINUTE:
                described = self._clock.now()
                for symbol in self._recorders:
                    self.store_soon(symbol)

    async def _look(self, now: datetime) -> None:
        """Subscribe again where nothing was acknowledged, and drop the connections if a stream is dead."""
        await self._connections.subscribe(
            tuple(each.symbol for each in self._recorders.values() if each.note_waiting(now))
        )
        for recorder in list(self._recorders.values()):
            if recorder.recording.connected and await self._newest.show_dead(recorder, now):
                await self._connections.drop()
                return  # all symbols begin anew
            # An answer can prove that a quiet time is complete, which closes a chunk.
            if recorder.has_news and recorder.symbol in self._recorders:
                self.store_soon(recorder.symbol)

    async def _maintain(self) -> None:
        """Every ten minutes, maintain the store and let go of symbols that nobody requests any more."""
        while True:
            now = self._clock.now()
            # At whole ten minutes, so that the hour before is complete.
            begun = now.replace(minute=now.minute // 10 * 10, second=5, microsecond=0)
            await self._clock.sleep((begun + timedelta(minutes=10) - now).total_seconds())
            for symbol in self._wanted.expired():
                # Its stream is ignored until the next connection, which does not subscribe to it.
                self._let_go(symbol, asked=self._wanted.drop(symbol))
            settled_until = self._its_clock.now().replace(microsecond=0) - SETTLED_AFTER
            await self.repair.maintain(
                {each.symbol: each.open_from or settled_until for each in self._recorders.values()}
            )
            await self.repair.evict()
            await self._outbox.retry()  # there may be room again
            self._wanted.retry_refused()
            self._background.start(self._admit_wanted)

    def _forget(self, symbol: str) -> None:
        """Let go of a symbol that does not exist; one in the settings is tried again later."""
        if symbol in self._recorders:
            self._recorders[symbol].note_unknown()
        asked = self._wanted.last_request(symbol)
        self._wanted.refuse(symbol)
        self._let_go(symbol, asked=asked)
        self._on_forgotten()

    def _let_go(self, symbol: str, *, asked: datetime | None) -> None:
        if symbol in self._recorders:
            self._recorders[symbol].let_go(asked=asked)
            self.store_soon(symbol)
            del self._recorders[symbol]
