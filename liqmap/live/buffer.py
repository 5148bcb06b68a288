"""The buffer: one symbol's stream in memory -> chunks that are known to be complete."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model import Trades
from liqmap.window import HOUR, TimeWindow, at_ms, split_at

if TYPE_CHECKING:
    from liqmap.exchanges.messages import StreamTrade

SLACK_MS: Final = 500
"""A trade so much later closes what lies before it: fills of 100 ms are put together, then sent."""

_SECOND_MS = 1000
_MINUTE_MS = 60_000
_NEVER = 1 << 62
_MOST_PIECES = 4  # of the largest size, that may wait to be taken


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """All trades of a window, in the order of time, with the lowest and highest id where there are any.

    `lost` counts trades that came too late, `zero_sizes` those of size 0, which are left out.
    """

    window: TimeWindow
    trades: Trades
    first_id: int | None
    last_id: int | None
    lost: int = 0
    zero_sizes: int = 0


class TradeBuffer:
    """Takes in one symbol's trades and cuts them into chunks of at most a minute or, where quiet, an hour.

    A chunk is complete: nothing of its window is missing. That a stream is there is proven by its first
    trade, so the second of that is left out, and no clock but the exchange's counts. Where ids are
    contiguous (`numbered`) a skipped one is a new start, and a quiet time is closed by the next trade;
    elsewhere also by whoever has made sure of it (`close`). Pieces never overlap.

    What is held is bounded: beyond `most_trades` a chunk is closed at a second.
    """

    def __init__(self, *, numbered: bool, most_trades: int) -> None:
        self._numbered = numbered
        self._most_trades = most_trades
        self._start = self._from = _NEVER
        self._close_at = _NEVER
        self._closed_until = 0
        self._last_id: int | None = None
        self._lost = 0
        self._named: set[str] = set()
        self._named_before: set[str] = set()
        self._named_second = 0
        self._clear()
        self.newest_ms = 0
        """Time of the newest trade that came in [ms since 1970], 0 if none has."""
        self.chunks: list[Chunk] = []
        """Closed chunks, oldest first, for the owner to take."""
        self.late: list[int] = []
        """Times [ms] of numbered trades that came after their chunk was closed, for the owner to take."""

    @property
    def covered_from(self) -> int | None:
        """Start of what is open [ms since 1970], None if the stream has told nothing yet."""
        return None if self._from == _NEVER else self._from

    def add(self, trade: StreamTrade) -> None:
        """Take in the next trade of the stream; one that came before is dropped."""
        if not (self._follows(trade) if self._numbered else self._is_new(trade)):
            return
        time = trade.time
        if self._from == _NEVER:
            # A missing trade may be a little later in time than this one, which has overtaken it.
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
        self._ids.append(trade.id or 0)
        if time >= self._close_at:
            self.close((time - SLACK_MS) // _MINUTE_MS * _MINUTE_MS)
        elif len(self._times) >= self._most_trades:
            self.close((time - SLACK_MS) // _SECOND_MS * _SECOND_MS)

    def close(self, until: int) -> None:
        """Close what lies before a whole second [ms since 1970]: nothing of it can come any more."""
        if until <= self._from or self._from == _NEVER:
            return
        time = np.array(self._times, np.int64)
        order = np.argsort(time, kind="stable")
        order = order[time[order] < until]
        rest = np.flatnonzero(time >= until)
        price, size = np.array(self._prices), np.array(self._sizes)
        is_buy, ids = np.array(self._buys, np.bool_), np.array(self._ids, np.int64)
        for window in split_at(TimeWindow(at_ms(self._from), at_ms(until)), HOUR):
            rows = order[(time[order] >= window.start_ms) & (time[order] < window.end_ms)]
            numbers = ids[rows] if self._numbered and len(rows) else None
            real = rows[size[rows] > 0]
            self.chunks.append(
                Chunk(
                    window,
                    Trades(time[real], price[real], size[real], is_buy[real]),
                    None if numbers is None else int(numbers.min()),
                    None if numbers is None else int(numbers.max()),
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
        ):
            column.frombytes(values[rest].tobytes())
        self._from = self._closed_until = until
        self._close_at = (until // _MINUTE_MS + 1) * _MINUTE_MS + SLACK_MS

    def cut(self) -> None:
        """Note that the stream has ended: what lies a little before its last trade is whole, the rest not."""
        self.close((self.newest_ms - SLACK_MS) // _SECOND_MS * _SECOND_MS)
        self._start = self._from = self._close_at = _NEVER
        self._last_id = None
        self._clear()

    def _follows(self, trade: StreamTrade) -> bool:
        """Tell whether a numbered trade is new; where ids before it are missing, begin again."""
        if trade.id is None:
            return False
        if self._last_id is not None and trade.id <= self._last_id:
            return False
        if self._last_id is not None and trade.id > self._last_id + 1:
            self.cut()
        self._last_id = trade.id
        return True

    def _is_new(self, trade: StreamTrade) -> bool:
        """Tell whether a named trade has not come within the last second or two."""
        second = trade.time // _SECOND_MS
        if second > self._named_second:
            self._named_before, self._named, self._named_second = self._named, set(), second
        if trade.name in self._named or trade.name in self._named_before:
            return False
        if trade.name:
            self._named.add(trade.name)
        return True

    def _begin(self, start: int) -> None:
        self._clear()
        start = max(start, self._closed_until)
        self._start = self._from = start
        self._close_at = (start // _MINUTE_MS + 1) * _MINUTE_MS + SLACK_MS

    def _shed(self) -> None:
        """Give up the oldest chunks if nobody takes them: the store will lack them, and say so."""
        while (
            len(self.chunks) > 1
            and sum(len(each.trades) for each in self.chunks) > _MOST_PIECES * self._most_trades
        ):
            del self.chunks[0]

    def _note_late(self, time: int) -> None:
        if self._closed_until <= time < self._start:
            return  # of a gap, or of before this buffer was complete
        if self._numbered:
            self.late.append(time)
        else:
            self._lost += 1

    def _clear(self) -> None:
        # Arrays of numbers: a quarter of the memory of lists, which counts when a market crashes.
        self._times, self._ids = array("q"), array("q")
        self._prices, self._sizes = array("d"), array("d")
        self._buys = array("b")
