"""Compute: the prices that sweep levels, minute by minute, where that is the mark price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np

from liqmap.compute.values import Aftermath, PricePath
from liqmap.model import Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.series import Series
    from liqmap.window import TimeWindow

MINUTE_MS: Final = 60_000


class _Direction(NamedTuple):
    """How one side's prices get worse: its worst price of several, and the one that is never reached."""

    worst: np.ufunc
    never: float


_DIRECTIONS: Final = {Side.BUY: _Direction(np.minimum, np.inf), Side.SELL: _Direction(np.maximum, -np.inf)}


@dataclass(frozen=True, slots=True, eq=False)
class SweepPath:
    """The lowest and the highest price by which levels are swept, of every minute of a window.

    `start_ms` is where the first minute starts; minutes without a price are infinite. Bins of the price path
    are whole minutes, or minutes whole bins. `share` is the part of the minutes whose prices are marks; the
    others are traded prices.
    """

    start_ms: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bin_seconds: int
    share: float

    @classmethod
    def of(cls, window: TimeWindow, traded: PricePath, mark: Series | None, *, bin_seconds: int) -> Self:
        """Return the path of a window by mark prices, and by `traded` minutes where none are known."""
        step = max(bin_seconds * 1000, MINUTE_MS)
        start, end = window.start_ms // step * step, -(-window.end_ms // step) * step
        minutes = (end - start) // MINUTE_MS
        low, high = np.full(minutes, np.inf), np.full(minutes, -np.inf)
        known = [(traded.time, traded.low, traded.high)]
        if mark is not None:
            known.append((mark.time, mark.values[0], mark.values[1]))
        for time, lowest, highest in known:
            inside = slice(*np.searchsorted(time, (start, end)).tolist())
            place = (time[inside] - start) // MINUTE_MS
            low[place], high[place] = lowest[inside], highest[inside]
        wanted = -(-window.end_ms // MINUTE_MS) - window.start_ms // MINUTE_MS
        bounds = (window.start_ms // MINUTE_MS * MINUTE_MS, window.end_ms)
        marked = 0 if mark is None else int(np.diff(np.searchsorted(mark.time, bounds))[0])
        return cls(start, low, high, bin_seconds, marked / wanted)

    def after(self, side: Side, times: NDArray[np.int64], own_minute: NDArray[np.float64]) -> Aftermath:
        """Return what sweeps positions that were opened at `times` [ms].

        `own_minute` are the extremes of the traded prices after each entry in its own minute: candles of a
        minute cannot tell what of it came before the entry.
        """
        direction = _DIRECTIONS[side]
        minute = (times - self.start_ms) // MINUTE_MS
        following = self._following(side)
        soon = direction.worst(own_minute, self._rest_of_bin(side)[minute])
        return Aftermath(direction.worst(own_minute, following[minute]), soon)

    def binned(self) -> PricePath:
        """Return the path in bins; of bins shorter than a minute, each minute's first has its prices."""
        width = max(self.bin_seconds // 60, 1)
        low, high = self.low.reshape(-1, width).min(axis=1), self.high.reshape(-1, width).max(axis=1)
        time = self.start_ms + np.arange(len(low)) * width * MINUTE_MS
        return PricePath(time, low, high, low)

    def _following(self, side: Side) -> NDArray[np.float64]:
        """Return the extreme of all minutes after each."""
        direction, adverse = _DIRECTIONS[side], self._adverse(side)
        found: NDArray[np.float64] = np.r_[direction.worst.accumulate(adverse[:0:-1])[::-1], direction.never]
        return found

    def _rest_of_bin(self, side: Side) -> NDArray[np.float64]:
        """Return the extreme of the minutes after each in its bin."""
        direction = _DIRECTIONS[side]
        by_bin = self._adverse(side).reshape(-1, max(self.bin_seconds // 60, 1))
        rest = np.full_like(by_bin, direction.never)
        direction.worst.accumulate(by_bin[:, :0:-1], axis=1, out=rest[:, -2::-1])
        return rest.ravel()

    def _adverse(self, side: Side) -> NDArray[np.float64]:
        return self.low if side is Side.BUY else self.high
