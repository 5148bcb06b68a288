"""Record one symbol: keep its open trades, and judge whether its stream can be trusted."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.exchanges.messages import StreamTrade
from liqmap.model.window import at_ms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from filelock import FileLock

    from liqmap.exchanges.messages import Liquidation, Newest
    from liqmap.live.buffer import Chunk, TradeBuffer
    from liqmap.live.registry import Recording

log = logging.getLogger(__name__)

MOST_LAG: Final = timedelta(seconds=90)
"""A stream that is further behind is dropped: what it still holds comes too late, so that span is repaired or
becomes a gap."""

_LONGEST_PATIENCE = timedelta(minutes=10)
_IN_FLIGHT_MS = 2000  # a trade younger than this may not have come by every way yet
# How far an event's time may lie before and after the exchange's clock. A time in the future closes
# everything before it, so the limit there is no wider than clocks go wrong.
_BELIEVED_AGO_MS, _BELIEVED_AHEAD_MS = 86_400_000, 600_000
# How much further ahead than the event before one may be at once. If all are for some time, then this
# machine's clock was set.
_SUDDENLY_AHEAD_MS, _PROVEN_AFTER = 5000, timedelta(seconds=2)


class SymbolRecorder:
    """Holds one symbol's open trades and describes how its recording goes.

    Nobody else writes its fields. `silence` is how long the stream may be quiet before the exchange is
    queried. The recorder holds `lock`, the symbol's claim in the store, until `release`.
    """

    def __init__(
        self, recording: Recording, *, buffer: TradeBuffer, lock: FileLock, silence: timedelta
    ) -> None:
        self._recording = recording
        self._buffer = buffer
        self._lock = lock
        self._silence = silence
        self._exists = True
        self._patience = timedelta()
        self._live_ms = 0
        self._heard_ms = 0
        self._heard_at: datetime | None = None
        self._quiet_since: datetime | None = None
        self._waiting_since: datetime | None = None
        self._unheard_ms = 0
        self._least_lag: timedelta | None = None
        self._ahead_ms = 0.0
        self._sudden_since: datetime | None = None

    @property
    def symbol(self) -> str:
        """The symbol, as the exchange spells it."""
        return self._recording.symbol

    @property
    def recording(self) -> Recording:
        """How the recording goes, as last described."""
        return self._recording

    @property
    def exists(self) -> bool:
        """Whether the exchange has the symbol, as far as is known."""
        return self._exists

    @property
    def has_news(self) -> bool:
        """Whether anything waits to be stored or repaired."""
        return bool(self._buffer.chunks or self._buffer.late)

    @property
    def newest_ms(self) -> int:
        """Time of the newest trade received [ms since 1970], 0 if there is none."""
        return self._buffer.newest_ms

    @property
    def open_from(self) -> datetime | None:
        """Start of what is known of the symbol but not stored yet, None if there is nothing."""
        if self._buffer.chunks:
            return self._buffer.chunks[0].window.start
        begun = self._buffer.covered_from
        return None if begun is None else at_ms(begun)

    @property
    def lag(self) -> timedelta | None:
        """Age of the newest trade when it was received, None before the first.

        It stays small while a symbol is quiet: no time is counted in which nothing was sent.
        """
        if self._heard_at is None or not self.newest_ms:
            return None
        # The estimate of the exchange's clock may lie slightly before the trade.
        return max(timedelta(0), self._heard_at - at_ms(self.newest_ms))

    def go_live(self, now: datetime) -> None:
        """Note that the exchange has acknowledged the stream."""
        self._live_ms = int(now.timestamp() * 1000)
        self._hear(now)
        self._least_lag = None
        self._recording = replace(self._recording, connected=True)

    def take(self, event: StreamTrade | Liquidation, now: datetime) -> bool:
        """Take in an event received at `now`; return False if its time cannot be trusted.

        Such an event leaves a gap, because its real time is unknown. Liquidations are only checked.
        """
        if not self._believe(event.time, now):
            self._buffer.cut()
            return False
        if isinstance(event, StreamTrade):
            self._buffer.add(event)
            self._heard_at = now
        return True

    def take_news(self) -> tuple[list[Chunk], list[int]]:
        """Hand over the closed chunks, and the times of trades that came after theirs was closed."""
        return self._buffer.take_closed()

    def cut(self) -> None:
        """Note that the stream has ended."""
        self._buffer.cut()
        if self._recording.connected:
            self._recording = replace(self._recording, connected=False, cuts=self._recording.cuts + 1)

    def note_stored(self, chunks: Sequence[Chunk]) -> None:
        """Note that chunks, the newest last, have been stored."""
        newest = at_ms(self.newest_ms) if self.newest_ms else None
        lag = None if self.lag is None else self.lag.total_seconds()
        self._recording = replace(self._recording, until=chunks[-1].window.end, last_trade=newest, lag=lag)

    def describe(self, now: datetime, *, asked: datetime | None, clock_off: timedelta | None) -> Recording:
        """Bring the description up to date and return it."""
        off = None if clock_off is None else clock_off.total_seconds()
        self._recording = replace(self._recording, updated=now, asked=asked, clock_off=off)
        return self._recording

    def let_go(self, *, asked: datetime | None) -> None:
        """Note that the symbol is recorded no longer; `asked` is when somebody last requested it."""
        self.cut()
        self._recording = replace(self._recording, asked=asked)

    def note_unknown(self) -> None:
        """Note that the exchange has no such symbol."""
        self._exists = False

    def release(self) -> None:
        """Let other processes record the symbol."""
        self._lock.release()

    def note_heard(self, now: datetime) -> bool:
        """Note what has been received by now; return whether anything was since the last call."""
        if self.newest_ms == self._heard_ms:
            return False
        self._hear(now)
        if self.lag is not None:
            self._least_lag = self.lag if self._least_lag is None else min(self._least_lag, self.lag)
        return True

    def is_behind(self) -> bool:
        """Return whether the stream has fallen too far behind to be of use."""
        if self.lag is None or self._least_lag is None:
            return False
        # The exchange's clock may be unknown, which makes each lag wrong by the same amount.
        return self.lag - self._least_lag > MOST_LAG

    def is_suspect(self, now: datetime) -> bool:
        """Return whether the stream has been silent for so long that the exchange should be queried."""
        return self._quiet_since is not None and now - self._quiet_since >= self._patience

    def note_waiting(self, now: datetime) -> bool:
        """Note whether the subscription is still unanswered; return whether to subscribe again.

        That is so once for each `silence` without an answer.
        """
        if self._recording.connected or self._waiting_since is None:
            self._waiting_since = None if self._recording.connected else now
            return False
        if now - self._waiting_since < self._silence:
            return False
        self._waiting_since = now
        return True

    def note_newest(self, newest: Newest, now: datetime) -> bool:
        """Compare a silent stream with the exchange's newest trade; return whether the stream is dead.

        An acknowledged stream may stay silent. If nobody has traded, the quiet time is known to be complete.
        A trade made just now may still be on its way: it counts as missing only at the next call.
        """
        settled = newest.asked - _IN_FLIGHT_MS
        heard = max(self.newest_ms, self._live_ms)
        if newest.trade is not None and newest.trade > heard:
            unheard, self._unheard_ms = self._unheard_ms, newest.trade
            return unheard > heard or newest.trade < settled
        self._quiet_since = now
        if self._buffer.numbered:  # a query costs API weight, and the next trade's id proves as much
            self._patience = min(2 * self._patience, _LONGEST_PATIENCE)
        elif newest.trade is None or newest.trade <= self.newest_ms:
            # Only a received trade proves it: the exchange's clock may have been unknown at the start.
            self._buffer.close(settled // 1000 * 1000)
        return False

    def _hear(self, now: datetime) -> None:
        self._heard_ms, self._quiet_since, self._patience = self.newest_ms, now, self._silence
        self._unheard_ms = 0

    def _believe(self, time: int, now: datetime) -> bool:
        """Return whether an event's time [ms since 1970] is plausible, and note how far it is ahead.

        It is if it lies in the last day and not in the future.
        """
        ahead = time - now.timestamp() * 1000
        if not -_BELIEVED_AGO_MS <= ahead <= _BELIEVED_AHEAD_MS:
            return False
        if ahead > max(self._ahead_ms, 0) + _SUDDENLY_AHEAD_MS:
            self._sudden_since = self._sudden_since or now
            if abs(now - self._sudden_since) < _PROVEN_AFTER:
                return False
        self._ahead_ms, self._sudden_since = ahead, None
        return True
