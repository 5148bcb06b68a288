"""Compute: the prices that sweep levels, minute by minute, where that is the mark price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from liqmap.compute.values import NEVER, WORST, Aftermath, PricePath
from liqmap.model import Side

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from liqmap.model.series import Series
    from liqmap.model.window import TimeWindow

MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True, eq=False)
class SweepPath:
    """The lowest and the highest price by which levels are swept, of every minute of a window.

    `start_ms` is where the first minute starts; minutes without a price are infinite. Bins of the price path
    are whole minutes, or minutes whole bins. `share` is the part of the minutes whose prices are marks; the
    others are traded prices. `following` and `rest_of_bin` are each side's extremes of all minutes after
    each, and of those of them in its bin.
    """

    start_ms: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bin_seconds: int
    share: float
    following: Mapping[Side, NDArray[np.float64]]
    rest_of_bin: Mapping[Side, NDArray[np.float64]]

    @classmethod
    def of(
        cls, window: TimeWindow, traded: PricePath, mark: Series | None, *, bin_seconds: int, timed: bool
    ) -> Self:
        """Return the path of a window by mark prices, and by `traded` minutes where none are known.

        Without `timed`, it has no `rest_of_bin`, which takes a third of the time.
        """
        # From whole bins, so that minutes can be grouped into bins by their place alone.
        step = max(bin_seconds * 1000, MINUTE_MS)
        start, end = window.start_ms // step * step, -(-window.end_ms // step) * step
        minutes = (end - start) // MINUTE_MS
        low, high = np.full(minutes, np.inf), np.full(minutes, -np.inf)
        # Traded prices first: where a mark price is known, it takes their place.
        known = [(traded.time, traded.low, traded.high)]
        marked = 0
        if mark is not None:
            # Of a minute that the window cuts, a candle's extremes may be of after its end.
            bounds = (window.start_ms // MINUTE_MS * MINUTE_MS, window.end_ms // MINUTE_MS * MINUTE_MS)
            whole = slice(*np.searchsorted(mark.time, bounds).tolist())
            marked = whole.stop - whole.start
            known.append((mark.time[whole], mark.values[0][whole], mark.values[1][whole]))
        for time, lowest, highest in known:
            inside = slice(*np.searchsorted(time, (start, end)).tolist())
            place = (time[inside] - start) // MINUTE_MS
            low[place], high[place] = lowest[inside], highest[inside]
        # Of the window's own minutes, without those that only fill its first and last bin.
        wanted = -(-window.end_ms // MINUTE_MS) - window.start_ms // MINUTE_MS
        adverse = {Side.BUY: low, Side.SELL: high}
        return cls(
            start,
            low,
            high,
            bin_seconds,
            marked / wanted,
            {side: _following(side, each) for side, each in adverse.items()},
            {
                side: _rest_of_bin(side, each, bin_seconds=bin_seconds)
                for side, each in adverse.items()
                if timed
            },
        )

    def after(
        self, side: Side, times: NDArray[np.int64], own_minute: NDArray[np.float64] | None, *, timed: bool
    ) -> Aftermath:
        """Return what sweeps positions that were opened at `times` [ms]; what does soon only if `timed`.

        `own_minute` are the extremes of the traded prices after each entry in its own minute, None if they
        reach no level: candles of a minute cannot tell what of it came before the entry.
        """
        extreme = self.later(side, times, timed=False)
        soon = self.later(side, times, timed=True) if timed else None
        if own_minute is not None:
            worst = WORST[side]
            extreme, soon = worst(own_minute, extreme), None if soon is None else worst(own_minute, soon)
        return Aftermath(extreme, soon)

    def later(self, side: Side, times: NDArray[np.int64], *, timed: bool) -> NDArray[np.float64]:
        """Return the extremes of all minutes after those of `times` [ms]; if `timed`, in their bins only."""
        extremes = self.rest_of_bin if timed else self.following
        return extremes[side][(times - self.start_ms) // MINUTE_MS]

    def binned(self) -> PricePath:
        """Return the path in bins; of bins shorter than a minute, each minute's first has its prices."""
        width = max(self.bin_seconds // 60, 1)
        low, high = self.low.reshape(-1, width).min(axis=1), self.high.reshape(-1, width).max(axis=1)
        time = self.start_ms + np.arange(len(low)) * width * MINUTE_MS
        # Nobody asks it for closes; the last argument only has the right length.
        return PricePath(time, low, high, low)


def _following(side: Side, adverse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the extreme of all minutes after each."""
    found = np.full_like(adverse, NEVER[side])
    WORST[side].accumulate(adverse[:0:-1], out=found[-2::-1])
    return found


def _rest_of_bin(side: Side, adverse: NDArray[np.float64], *, bin_seconds: int) -> NDArray[np.float64]:
    """Return the extreme of the minutes after each in its bin."""
    by_bin = adverse.reshape(-1, max(bin_seconds // 60, 1))
    rest = np.full_like(by_bin, NEVER[side])
    WORST[side].accumulate(by_bin[:, :0:-1], axis=1, out=rest[:, -2::-1])
    return rest.ravel()
