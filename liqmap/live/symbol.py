"""A track: one symbol that is being recorded, and what can be believed of its stream."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.window import at_ms

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from filelock import FileLock

    from liqmap.exchanges.messages import Newest, StreamTrade
    from liqmap.live.buffer import Chunk, TradeBuffer
    from liqmap.live.registry import Recording

log = logging.getLogger(__name__)

MOST_LAG: Final = timedelta(seconds=90)
"""A stream that is further behind is given up: what it still holds is of no use, and repaired or declared."""

_LONGEST_PATIENCE = timedelta(minutes=10)
_IN_FLIGHT_MS = 2000  # a trade younger than this may not have come by every way yet
# So far before and after the exchange's clock may an event be, as far as that clock is known. What lies
# ahead closes all before it, so it is believed no further than clocks go wrong.
_BELIEVED_AGO_MS, _BELIEVED_AHEAD_MS = 86_400_000, 600_000


@dataclass(slots=True, eq=False)
class SymbolRecorder:
    """One symbol's buffer and the description of how its recording goes; `silence` is how long it may last.

    It `exists` unless the exchange says that it has no such symbol.
    """

    symbol: str
    buffer: TradeBuffer
    lock: FileLock
    recording: Recording
    silence: timedelta
    numbered: bool
    exists: bool = field(default=True, init=False)
    _patience: timedelta = field(default=timedelta(), init=False)
    _live_ms: int = field(default=0, init=False)
    _heard_ms: int = field(default=0, init=False)
    _heard_at: datetime | None = field(default=None, init=False)
    _quiet_since: datetime | None = field(default=None, init=False)
    _waiting_since: datetime | None = field(default=None, init=False)
    _unheard_ms: int = field(default=0, init=False)
    _least_lag: timedelta | None = field(default=None, init=False)

    @property
    def open_from(self) -> datetime | None:
        """Time from which on what is known of the symbol is not in the store yet, None if nothing is."""
        if self.buffer.chunks:
            return self.buffer.chunks[0].window.start
        begun = self.buffer.covered_from
        return None if begun is None else at_ms(begun)

    @property
    def lag(self) -> timedelta | None:
        """How old the newest trade was when it came in, which of a quiet symbol is little, too."""
        if self._heard_at is None or not self.buffer.newest_ms:
            return None
        # The exchange's clock, by which this is, may be known to lie a little before the trade.
        return max(timedelta(0), self._heard_at - at_ms(self.buffer.newest_ms))

    def go_live(self, now: datetime) -> None:
        """Note that the exchange has acknowledged the stream."""
        self._live_ms = int(now.timestamp() * 1000)
        self._hear(now)
        self._least_lag = None
        self.recording = replace(self.recording, connected=True)

    def take(self, trade: StreamTrade, now: datetime) -> None:
        """Take in a trade that has come in now."""
        self.buffer.add(trade)
        self._heard_at = now

    def cut(self) -> None:
        """Note that the stream has ended."""
        self.buffer.cut()
        if self.recording.connected:
            self.recording = replace(self.recording, connected=False, cuts=self.recording.cuts + 1)

    def note_stored(self, chunks: Sequence[Chunk]) -> None:
        """Note that chunks, the newest last, are in the store."""
        newest = at_ms(self.buffer.newest_ms) if self.buffer.newest_ms else None
        lag = None if self.lag is None else self.lag.total_seconds()
        self.recording = replace(self.recording, until=chunks[-1].window.end, last_trade=newest, lag=lag)

    def is_news(self, now: datetime) -> bool:
        """Tell whether anything has come in since this was asked last."""
        if self.buffer.newest_ms == self._heard_ms:
            return False
        self._hear(now)
        return True

    def is_behind(self) -> bool:
        """Tell whether the stream has fallen too far behind to be of use."""
        if self.lag is None:
            return False
        # The clock may not be known yet, so what counts is how much later trades come than they have.
        self._least_lag = min(self._least_lag or self.lag, self.lag)
        return self.lag - self._least_lag > MOST_LAG

    def is_suspect(self, now: datetime) -> bool:
        """Tell whether it has been silent for so long that the exchange should be asked."""
        return self._quiet_since is not None and now - self._quiet_since >= self._patience

    def waits_in_vain(self, now: datetime) -> bool:
        """Tell whether the stream should be asked for again, because nobody has answered for a while."""
        if self.recording.connected or self._waiting_since is None:
            self._waiting_since = None if self.recording.connected else now
            return False
        if now - self._waiting_since < self.silence:
            return False
        self._waiting_since = now
        return True

    def is_silenced(self, newest: Newest, now: datetime) -> bool:
        """Tell from what the exchange has said of the symbol whether the silent stream is dead.

        An acknowledged stream may stay silent. If nobody has traded, the quiet time is known to be whole.
        A trade that was made just now may be on its way; it must have come until this is asked again.
        """
        settled = newest.asked - _IN_FLIGHT_MS
        heard = max(self.buffer.newest_ms, self._live_ms)
        if newest.trade is not None and newest.trade > heard:
            unheard, self._unheard_ms = self._unheard_ms, newest.trade
            return unheard > heard or newest.trade < settled
        self._quiet_since = now
        if self.numbered:  # asking costs of the budget, and the next trade's id tells as well
            self._patience = min(2 * self._patience, _LONGEST_PATIENCE)
        elif newest.trade is None or newest.trade <= self.buffer.newest_ms:
            # Only what has come in proves it: the exchange's clock may not have been known at going live.
            self.buffer.close(settled // 1000 * 1000)
        return False

    def _hear(self, now: datetime) -> None:
        self._heard_ms, self._quiet_since, self._patience = self.buffer.newest_ms, now, self.silence
        self._unheard_ms = 0


def is_believed(time: int, now: datetime) -> bool:
    """Tell whether an event may have that time [ms since 1970]: of the last day, and not of the future."""
    return -_BELIEVED_AGO_MS <= time - now.timestamp() * 1000 <= _BELIEVED_AHEAD_MS
