"""A channel: what is recorded of one exchange, over one connection that is kept alive and not believed."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from liqmap.collect.recent import SETTLED_AFTER
from liqmap.errors import DataError, LiqmapError, RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.messages import Liquidation, SymbolTiers
from liqmap.live.buffer import TradeBuffer
from liqmap.live.complaints import Complaints
from liqmap.live.connection import Stream
from liqmap.live.registry import Recording
from liqmap.live.symbol import SymbolRecorder, is_believed
from liqmap.net.attempts import TransientError, attempts
from liqmap.net.rest import RejectedRequest
from liqmap.window import at_ms

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import datetime
    from types import TracebackType

    from filelock import FileLock

    from liqmap.clock import Clock
    from liqmap.exchanges.messages import Events, Newest
    from liqmap.live.registry import Recordings
    from liqmap.live.writer import Keeper
    from liqmap.model import Exchange
    from liqmap.net.rest import RestClient
    from liqmap.net.session import Session
    from liqmap.settings import Settings

log = logging.getLogger(__name__)

_WATCH_SECONDS = 10.0
_NEWEST_WEIGHT = 20
_AT_ONCE = timedelta(0)
_MINUTE = timedelta(minutes=1)
_LEARNED_EVERY_MS = 100
_LEAST_APART = timedelta(seconds=1)  # Bybit takes 500 connections in five minutes


class ExchangeRecorder:
    """Records symbols of one exchange. Use it as `async with`; symbols may be wanted before and meanwhile."""

    def __init__(
        self,
        exchange: Exchange,
        settings: Settings,
        *,
        session: Session,
        client: RestClient,
        keeper: Keeper,
        recordings: Recordings,
        clock: Clock,
        on_forgotten: Callable[[], None],
    ) -> None:
        self._exchange = exchange
        self._settings = settings
        self._client = client
        self._keeper = keeper
        self._recordings = recordings
        self._clock = clock
        self._its_clock = client.clock
        self._on_forgotten = on_forgotten
        self._live = EXCHANGES[exchange].live
        self._urls = settings.exchanges.of(exchange)
        self._stream = Stream(
            session,
            self._live,
            self._urls.stream_url,
            clock=clock,
            on_live=self._go_live,
            on_refused=self._refuse,
            on_events=self._take,
            on_unreadable=self._note_unreadable,
        )
        self._complaints = Complaints(log, clock)
        self._wanted: dict[str, datetime | None] = {}
        self._refused: set[str] = set()
        self._tracks: dict[str, SymbolRecorder] = {}
        self._liquidations: list[Liquidation] = []
        self._tiers: list[SymbolTiers] = []
        self._shown_ms = 0
        self._some = asyncio.Event()
        self._news = asyncio.Event()
        self._changed: set[SymbolRecorder] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._writing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        # Looking symbols up may take long: whoever starts does not wait for it.
        for work in (self._admit_wanted, self._connect, self._store, self._watch, self._maintain):
            self._start(work)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for symbol in list(self._tracks):
            self._let_go(symbol)
        self._wanted.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store_news()
        await self._keeper.close()

    def want(self, symbol: str, *, asked: datetime | None) -> None:
        """Record `symbol` from now on: always, or as long as it was `asked` for lately."""
        if symbol not in self._wanted:
            self._wanted[symbol] = asked
            if self._tasks:
                self._start(self._admit_wanted)
        elif self._wanted[symbol] is not None:
            self._wanted[symbol] = asked

    @property
    def wants_nothing(self) -> bool:
        """Whether no symbol is wanted that the exchange has not refused lately."""
        return not self._wanted.keys() - self._refused

    def is_wanted(self, symbol: str) -> bool:
        """Tell whether `symbol` is recorded here, or about to be."""
        return symbol in self._tracks or (symbol in self._waiting() and self._has_room())

    def _start(self, work: Callable[[], Coroutine[None, None, None]], *, after: timedelta = _AT_ONCE) -> None:
        """Begin something that goes on by itself and, where it breaks, begins anew after a minute."""

        async def begin() -> None:
            if after:
                await self._clock.sleep(after.total_seconds())
            await work()

        def begin_again(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                broken = task.exception()
                log.error("a recorder of %s has stopped for a minute", self._exchange, exc_info=broken)
                self._cut()  # what is told of it must not be that all is well
                self._start(work, after=_MINUTE)

        task = asyncio.create_task(begin())
        task.add_done_callback(begin_again)
        self._tasks = [each for each in self._tasks if not each.done()] + [task]

    def _waiting(self) -> list[str]:
        return [each for each in self._wanted if each not in self._tracks and each not in self._refused]

    def _has_room(self) -> bool:
        return len(self._tracks) < self._settings.recorder.most_symbols

    async def _admit_wanted(self) -> None:
        """Begin with the symbols that nobody records yet, as far as there is room."""
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
            self._tracks[symbol] = SymbolRecorder(
                symbol, buffer, lock, recording, silence, self._live.numbered
            )
            admitted.append(symbol)
        if admitted:
            self._some.set()
            await self._stream.subscribe(tuple(admitted))
            await asyncio.gather(*(self._look_up(symbol) for symbol in admitted))

    def _claim(self, symbol: str) -> FileLock | None:
        """Return the lock of a symbol; None if another process has it, or if it cannot be had yet."""
        try:
            return self._recordings.claim(self._exchange, symbol)
        except DataError as error:  # of this symbol alone: a lock file of another user's
            log.warning("%s %s is not recorded yet: %s", self._exchange, symbol, error)
            return None

    async def _look_up(self, symbol: str) -> None:
        """Ask the exchange, because a stream of an unknown symbol is acknowledged like any other."""
        try:
            await self._newest(symbol)
        except RequestError as error:
            log.warning("%s %s is not recorded: %s", self._exchange, symbol, error)
            self._forget(symbol)
            return
        except DataError as error:  # its streams may be there all the same
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
        # By now the exchange's clock is known, if only from this answer.
        return self._live.newest(answer, asked=self._its_clock.at(sent))

    async def _connect(self) -> None:
        while True:
            await self._some.wait()
            begun = self._clock.now()
            async for attempt in attempts(self._settings.network, times=None, sleep=self._clock.sleep):
                with attempt:
                    try:
                        await self._stream.run(lambda: tuple(self._tracks))
                    except TransientError as error:
                        self._complaints.note(f"{self._exchange.title()}'s streams", error)
                        raise
                    finally:
                        self._cut()
            log.info("%s's streams have ended; connecting again", self._exchange.title())
            # One that brings little and ends must not be followed by the next at once, for ever.
            # The clock may have been set back meanwhile.
            await self._clock.sleep(
                min(begun + _LEAST_APART - self._clock.now(), _LEAST_APART).total_seconds()
            )

    def _go_live(self, symbols: tuple[str, ...]) -> None:
        now = self._its_clock.now()
        for track in [self._tracks[symbol] for symbol in symbols if symbol in self._tracks]:
            track.go_live(now)
            self._tell(track)

    def _refuse(self, symbol: str) -> None:
        log.warning("%s refuses the stream of %s, which is not recorded", self._exchange.title(), symbol)
        self._forget(symbol)

    def _note_unreadable(self, error: DataError) -> None:
        self._complaints.note(f"{self._exchange.title()}'s messages", f"{error} ({error.__cause__})")

    def _take(self, events: Events) -> None:
        now = self._its_clock.now()
        for event in events:
            if isinstance(event, SymbolTiers):
                self._tiers.append(event)
                self._news.set()
                continue
            track = self._tracks.get(event.symbol)
            if track is None:
                continue
            believed = is_believed(event.time, now)
            if not believed:
                subject = f"{self._exchange} {event.symbol} has events of another time than this machine's"
                self._complaints.note(subject, f"{event.time} ms")
                track.buffer.cut()  # nobody knows what that should have been
            elif isinstance(event, Liquidation):
                self._liquidations.append(event)
            else:
                track.take(event, now)
            if believed and event.time >= self._shown_ms + _LEARNED_EVERY_MS:
                self._shown_ms = event.time
                self._its_clock.learn_at_least(at_ms(event.time))
            if track.buffer.chunks or track.buffer.late:
                self._tell(track)

    def _tell(self, track: SymbolRecorder) -> None:
        self._changed.add(track)
        self._news.set()

    def _cut(self) -> None:
        """Note that the connection is gone."""
        for track in self._tracks.values():
            track.cut()
            self._tell(track)

    async def _store(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._store_news()

    async def _store_news(self) -> None:
        # A thread that writes cannot be cancelled: whoever is leaves the writing to go on.
        await asyncio.shield(self._write_news())

    async def _write_news(self) -> None:
        """Write what there is to write, after what is being written."""
        async with self._writing:
            liquidations, self._liquidations = self._liquidations, []
            await self._keeper.keep_liquidations(liquidations)
            tiers, self._tiers = self._tiers, []
            await self._keeper.keep_tiers(tiers)
            while self._changed:
                await self._write_news_of(self._changed.pop())

    async def _write_news_of(self, track: SymbolRecorder) -> None:
        chunks, track.buffer.chunks = track.buffer.chunks, []
        late, track.buffer.late = track.buffer.late, []
        stored = await self._keeper.keep(track.symbol, chunks, late, simulated=self._client.simulated)
        if chunks and stored:
            track.note_stored(chunks)
        asked = self._wanted.get(track.symbol, track.recording.asked)
        off = self._its_clock.machine_off
        track.recording = replace(
            track.recording,
            updated=self._clock.now(),
            asked=asked,
            clock_off=None if off is None else off.total_seconds(),
        )
        with suppress(LiqmapError):  # a full disk is told by what matters more
            await asyncio.to_thread(self._describe, track)
        if self._tracks.get(track.symbol) is not track and track not in self._changed:
            track.lock.release()
            if track.symbol in self._wanted:  # again, meanwhile
                self._start(self._admit_wanted)

    def _describe(self, track: SymbolRecorder) -> None:
        if track.exists:
            self._recordings.write(track.recording)
        else:
            self._recordings.forget(self._exchange, track.symbol)

    async def _watch(self) -> None:
        """Look after the tracks: those that are far behind, and those that say nothing."""
        described = self._clock.now()
        while True:
            await self._clock.sleep(_WATCH_SECONDS)
            now = self._its_clock.now()
            self._complaints.flush()
            await self._stream.subscribe(
                tuple(each.symbol for each in self._tracks.values() if each.waits_in_vain(now))
            )
            for track in list(self._tracks.values()):
                if track.recording.connected and await self._is_dead(track, now):
                    await self._stream.drop()
                    break  # the next connection is another one
            if abs(self._clock.now() - described) >= _MINUTE:
                described = self._clock.now()
                for track in self._tracks.values():
                    self._tell(track)

    async def _is_dead(self, track: SymbolRecorder, now: datetime) -> bool:
        """Tell whether a track's stream is too far behind, or silent though the symbol is traded."""
        if track.is_news(now):
            if track.is_behind():
                log.warning("%s %s is too far behind", self._exchange, track.symbol)
            return track.is_behind()
        if not track.is_suspect(now):
            return False
        try:
            silenced = track.is_silenced(await self._newest(track.symbol), now)
        except LiqmapError as error:
            log.info("%s %s is silent, and could not be looked up: %s", self._exchange, track.symbol, error)
            return False
        if silenced:
            log.warning("%s %s is silent though it is traded", self._exchange, track.symbol)
        elif track.buffer.chunks:
            self._tell(track)
        return silenced

    async def _maintain(self) -> None:
        """Every ten minutes: tidy the store, repair, fetch published days, and let go of the forgotten."""
        while True:
            now = self._clock.now()
            # On whole ten minutes, so that the hour before is there as a whole.
            begun = now.replace(minute=now.minute // 10 * 10, second=5, microsecond=0)
            await self._clock.sleep((begun + timedelta(minutes=10) - now).total_seconds())
            for symbol in [symbol for symbol in self._wanted if self._is_forgotten(symbol)]:
                # Its stream goes on unheard until the next connection, which does not ask for it.
                self._let_go(symbol)
            for symbol, track in list(self._tracks.items()):
                settled_until = self._its_clock.now().replace(microsecond=0) - SETTLED_AFTER
                until = track.open_from or settled_until
                await self._keeper.maintain(symbol, until=until)
            await self._keeper.evict()
            self._refused.clear()
            self._start(self._admit_wanted)

    def _is_forgotten(self, symbol: str) -> bool:
        asked, keep = self._wanted[symbol], timedelta(days=self._settings.recorder.keep_days)
        return asked is not None and self._clock.now() - asked >= keep

    def _forget(self, symbol: str) -> None:
        """Let go of a symbol that there is not, without a trace; one of the settings is tried again later."""
        if symbol in self._tracks:
            self._tracks[symbol].exists = False
        is_configured = symbol in self._wanted and self._wanted[symbol] is None
        self._let_go(symbol)
        if is_configured:
            self._wanted[symbol] = None
            self._refused.add(symbol)
        self._on_forgotten()

    def _let_go(self, symbol: str) -> None:
        asked = self._wanted.pop(symbol, None)
        track = self._tracks.pop(symbol, None)
        if track is not None:
            track.cut()
            track.recording = replace(track.recording, asked=asked)
            self._tell(track)
