"""Cut one symbol's stream of trades into chunks that are known to be complete."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.exchanges.rows import NO_ID, each_once
from liqmap.model import Trades
from liqmap.model.window import HOUR, TimeWindow, at_ms, split_at

if TYPE_CHECKING:
    from liqmap.exchanges.messages import StreamTrade

SLACK_MS: Final = 500
"""How much later a trade must be to close what lies before it: fills of 100 ms are merged, then sent."""

_SECOND_MS = 1000
_MINUTE_MS = 60_000
# Later than any time, so that comparing with it needs no case of its own.
_NEVER = 1 << 62
_MOST_CHUNKS = 4  # of the largest size may wait for the owner


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """All trades of a window in time order, with the lowest and highest id where trades have ids.

    `lost` counts the trades that came too late, `zero_sizes` those of size 0. Neither are in `trades`.
    """

    window: TimeWindow
    trades: Trades
    first_id: int | None
    last_id: int | None
    lost: int = 0
    zero_sizes: int = 0


class TradeBuffer:
    """Cuts one symbol's trades into chunks of at most a minute, or an hour where it is quiet.

    A chunk is complete: no trade of its window is missing. Only a stream's first trade proves that it has
    begun, so the second in which that trade lies is left out. All times are the exchange's. Where ids are
    contiguous (`numbered`), a skipped id starts the buffer anew, and the next trade closes a quiet time.
    Elsewhere the owner may also close it, once it is known to be complete (`close`). Chunks never overlap.

    A trade that comes again counts once: a numbered one by its id, a named one within its chunk.

    Memory is bounded: with `most_trades` in the open chunk, the chunk is closed at a second.
    """

    def __init__(self, *, numbered: bool, most_trades: int) -> None:
        self.numbered = numbered
        self._most_trades = most_trades
        self._start = self._from = _NEVER
        self._close_at = _NEVER
        self._closed_until = 0
        self._last_id: int | None = None
        self._lost = 0
        # Arrays of numbers: a quarter of the memory of lists, which counts when a market crashes.
        self._times, self._ids, self._fills = array("q"), array("q"), array("q")
        self._prices, self._sizes = array("d"), array("d")
        self._buys = array("b")
        self.newest_ms = 0
        """Time of the newest trade received [ms since 1970], 0 if there is none."""
        self.chunks: list[Chunk] = []
        """Closed chunks, oldest first, until `take_closed`."""
        self.late: list[int] = []
        """Times [ms] of numbered trades that came after their chunk was closed, until `take_closed`."""

    @property
    def covered_from(self) -> int | None:
        """Start of the open chunk [ms since 1970], None if the stream has not begun."""
        return None if self._from == _NEVER else self._from

    def take_closed(self) -> tuple[list[Chunk], list[int]]:
        """Hand over `chunks` and `late`, which begin anew."""
        closed, self.chunks = self.chunks, []
        late, self.late = self.late, []
        return closed, late

    def add(self, trade: StreamTrade) -> None:
        """Take in the next trade of the stream, unless it has come before."""
        if self.numbered and not self._admit(trade):
            return
        time = trade.time
        if self._from == _NEVER:
            # A missing trade may be slightly later in time than this one, if this one has overtaken it.
            self._begin(((time + SLACK_MS) // _SECOND_MS + 1) * _SECOND_MS)
        self.newest_ms = max(self.newest_ms, time)
        if time < self._from:
            if trade.size:
                self._note_late(time)
            return
        self._times.append(time)
        self._prices.append(trade.price)
        self._sizes.append(trade.size)
        self._buys.append(trade.is_buy)
        self._ids.append((trade.id or 0) if self.numbered else _fingerprint(trade.name))
        self._fills.append(trade.fills)
        if time >= self._close_at:
            self.close((time - SLACK_MS) // _MINUTE_MS * _MINUTE_MS)
        elif len(self._times) >= self._most_trades:
            self.close((time - SLACK_MS) // _SECOND_MS * _SECOND_MS)

    def close(self, until: int) -> None:
        """Close everything before a whole second [ms since 1970], of which no trade can come any more."""
        if until <= self._from or self._from == _NEVER:
            return
        time = np.array(self._times, np.int64)
        order = np.argsort(time, kind="stable")
        order = order[time[order] < until]
        rest = np.flatnonzero(time >= until)
        price, size = np.array(self._prices), np.array(self._sizes)
        is_buy, ids = np.array(self._buys, np.bool_), np.array(self._ids, np.int64)
        fills = np.array(self._fills, np.int64)
        if not self.numbered:
            order = order[each_once(ids[order])]
        for window in split_at(TimeWindow(at_ms(self._from), at_ms(until)), HOUR):
            rows = order[(time[order] >= window.start_ms) & (time[order] < window.end_ms)]
            is_numbered = self.numbered and len(rows) > 0
            # Nobody made a trade of size 0; its id shows that nothing is missing.
            real = rows[size[rows] > 0]
            self.chunks.append(
                Chunk(
                    window,
                    Trades(time[real], price[real], size[real], is_buy[real]),
                    # A trade has the id of the last of its fills.
                    int((ids[rows] - fills[rows]).min()) + 1 if is_numbered else None,
                    int(ids[rows].max()) if is_numbered else None,
                    self._lost,
                    len(rows) - len(real),
                )
            )
            self._lost = 0
        self._shed()
        self._clear()
        for column, values in (
            (self._times, time),
            (self._prices, price),
            (self._sizes, size),
            (self._buys, is_buy.astype(np.int8)),
            (self._ids, ids),
            (self._fills, fills),
        ):
            column.frombytes(values[rest].tobytes())
        self._from = self._closed_until = until
        self._close_at = (until // _MINUTE_MS + 1) * _MINUTE_MS + SLACK_MS

    def cut(self) -> None:
        """End the stream: what lies `SLACK_MS` before its last trade is complete, the rest is dropped."""
        self.close((self.newest_ms - SLACK_MS) // _SECOND_MS * _SECOND_MS)
        self._start = self._from = self._close_at = _NEVER
        self._last_id = None
        self._clear()

    def _admit(self, trade: StreamTrade) -> bool:
        """Return whether a numbered trade is new; if ids before it are missing, begin anew."""
        if trade.id is None:
            return False
        if self._last_id is not None and trade.id <= self._last_id:
            return False
        if self._last_id is not None and trade.id - trade.fills > self._last_id:
            self.cut()
        self._last_id = trade.id
        return True

    def _begin(self, start: int) -> None:
        self._clear()
        # What lies before was closed before the stream broke, and chunks never overlap.
        start = max(start, self._closed_until)
        self._start = self._from = start
        self._close_at = (start // _MINUTE_MS + 1) * _MINUTE_MS + SLACK_MS

    def _shed(self) -> None:
        """Drop the oldest chunks if nobody takes them; the store reports them as a gap."""
        while (
            len(self.chunks) > 1
            and sum(len(each.trades) for each in self.chunks) > _MOST_CHUNKS * self._most_trades
        ):
            del self.chunks[0]

    def _note_late(self, time: int) -> None:
        if self._closed_until <= time < self._start:
            return  # in a gap, or before the stream was complete: that span is missing anyway
        if self.numbered:
            self.late.append(time)
        else:
            self._lost += 1

    def _clear(self) -> None:
        for column in (self._times, self._prices, self._sizes, self._buys, self._ids, self._fills):
            del column[:]


def _fingerprint(name: str) -> int:
    """Return a number in place of a name, which takes a tenth of its memory."""
    return hash(name) if name else NO_ID
