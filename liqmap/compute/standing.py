"""Compute: what open interest leaves of positions, and when they are swept.

A trade stands with the open share of its interval, times what each later interval has left (see
`open_shares`). Where a level was swept, the weight of that moment counts, and the rest of what was opened had
been closed before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from liqmap.compute.open_shares import GRID_MS
from liqmap.compute.reached import first_reached, lowest_spans, next_lower, reached_from
from liqmap.compute.sweep import MINUTE_MS
from liqmap.model import LevelFilter, Side

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from liqmap.compute.open_shares import OpenShares
    from liqmap.compute.sweep import SweepPath
    from liqmap.compute.values import LiquidationLevels, PricePath


class _Sweeps(NamedTuple):
    """When one side's levels are swept; prices of shorts are mirrored, so that lower ones sweep more.

    `rest` are the lowest prices of the minutes after each, from `start_ms` on, in its interval; `lowest`
    are the `lowest_spans` of the intervals, and `lower` is their `next_lower`.
    """

    start_ms: int
    rest: NDArray[np.float64]
    lowest: list[NDArray[np.float64]]
    lower: NDArray[np.int64]

    def rest_after(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return `rest` of the minutes of `times` [ms]."""
        return self.rest[(times - self.start_ms) // MINUTE_MS]

    def reached(self, level: NDArray[np.float64], first: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the interval from `first` on in which each level is reached, or the number of all intervals.

        No interval between an entry and its `first` reaches its level. Levels of shorts are mirrored.
        """
        return reached_from(self.lowest[0], self.lower, level, first)


class SweptSearch(NamedTuple):
    """What the search for the intervals in which many levels are reached begins with.

    `first` has, in a row for each leverage, the intervals in which the first level of each interval's entries
    is reached.
    """

    sweeps: _Sweeps
    first: NDArray[np.int64]

    def reached(self, row: int, level: NDArray[np.float64], interval: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the interval after its own `interval` in which each level is reached, as `_Sweeps.reached`.

        The levels are those of the leverage in place `row`.
        """
        return self.sweeps.reached(level, self.first[row].take(interval))


class EntryShares(NamedTuple):
    """What open interest says of entries, whatever their leverages: arrays, one element an entry.

    `interval` is each entry's own, `opened` its open share, `left` what is left of that at the window's end,
    and `rest` the worst price after it in its interval: by trades in its own minute, by minutes after that.
    """

    interval: NDArray[np.int64]
    opened: NDArray[np.float64]
    left: NDArray[np.float64]
    rest: NDArray[np.float64]

    def chosen(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> EntryShares:
        """Return the shares of the entries at `rows`."""
        return EntryShares(self.interval[rows], self.opened[rows], self.left[rows], self.rest[rows])


@dataclass(frozen=True, slots=True, eq=False)
class Positions:
    """What open interest leaves of positions, and when they are swept.

    `left` is what is left at the window's end of what each interval opened, `traded` the price path by the
    minute.
    """

    shares: OpenShares
    sweeps: Mapping[Side, _Sweeps]
    left: NDArray[np.float64]
    traded: PricePath

    @classmethod
    def of(cls, shares: OpenShares, path: SweepPath, traded: PricePath) -> Self:
        """Return what `shares` leave of positions that are swept by `path` and opened at `traded` prices."""
        every = np.arange(shares.last + 1)
        left = shares.kept(every, np.full_like(every, shares.last))
        return cls(shares, {side: _sweeps(path, shares, side) for side in Side}, left, traded)

    def opens(self, times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the intervals of `times` [ms] opened anything."""
        return (self.shares.opened > 0)[self.shares.interval_of(times)]

    def rest(self, side: Side, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the worst prices of the minutes after those of `times` [ms], in their intervals."""
        rest = self.sweeps[side].rest_after(times)
        return rest if side is Side.BUY else -rest

    def entries(
        self, side: Side, times: NDArray[np.int64], own_minute: NDArray[np.float64] | None
    ) -> EntryShares:
        """Return what open interest says of entries at `times` [ms].

        `own_minute` are the extremes of the traded prices after each in its own minute, None if they reach no
        level.
        """
        interval, rest = self.shares.interval_of(times), self.sweeps[side].rest_after(times)
        if own_minute is not None:
            rest = np.minimum(rest, own_minute if side is Side.BUY else -own_minute)
        return EntryShares(interval, self.shares.opened[interval], self.left[interval], rest)

    def search(self, side: Side, levels: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> SweptSearch:
        """Return a faster search for the intervals in which levels are reached.

        `levels` returns those of entries at some prices, a row for each leverage.
        """
        interval = self.shares.interval_of(self.traded.time)
        begin = np.flatnonzero(np.diff(interval, prepend=-1))
        worst, prices = (np.maximum, self.traded.high) if side is Side.BUY else (np.minimum, self.traded.low)
        interval, nearest = interval[begin], worst.reduceat(prices, begin)
        # Where nothing was opened, there are no levels.
        opens = self.shares.opened[interval] > 0
        interval, found = interval[opens], levels(nearest[opens])
        sweeps, sign = self.sweeps[side], 1 if side is Side.BUY else -1
        first = np.zeros((len(found), self.shares.last + 1), np.int64)
        for row, each in enumerate(found):
            first[row, interval] = first_reached(sweeps.lowest, sign * each, interval + 1)
        return SweptSearch(sweeps, first)

    def weighed(
        self, levels: LiquidationLevels, entries: EntryShares, shown: LevelFilter
    ) -> LiquidationLevels:
        """Return `levels` with the notional that was open when the window ended or the level was swept."""
        opened = levels.notional * entries.opened
        left = opened * entries.left
        if shown is LevelFilter.STANDING:
            (gone,) = np.nonzero(~levels.standing)
            interval, level = entries.interval.take(gone), levels.price.take(gone)
            until = self.swept_in(levels.side, level, interval=interval, rest=entries.rest.take(gone))
            left[gone] = opened.take(gone) * self.shares.kept(interval, until)
        return replace(levels, notional=left, selected=levels.notional, opened=opened)

    def swept_in(
        self,
        side: Side,
        level: NDArray[np.float64],
        *,
        interval: NDArray[np.int64],
        rest: NDArray[np.float64],
    ) -> NDArray[np.int64]:
        """Return the interval in which each of some swept levels was reached."""
        level = level if side is Side.BUY else -level
        sweeps = self.sweeps[side]
        # Of each interval's levels, the nearest one is reached first.
        nearest = np.full(self.shares.last + 1, -np.inf)
        np.maximum.at(nearest, interval, level)
        (its,) = np.nonzero(nearest > -np.inf)
        first = np.zeros(len(nearest), np.int64)
        first[its] = first_reached(sweeps.lowest, nearest[its], its + 1)
        later = sweeps.reached(level, first.take(interval))
        # What nothing has reached lies beyond the last price, which sweeps it when the window ends.
        return np.where(rest <= level, interval, np.minimum(later, self.shares.last))


def _sweeps(path: SweepPath, shares: OpenShares, side: Side) -> _Sweeps:
    # The minutes of whole intervals; those of the path that lie beyond the window have no price.
    start_ms = int(shares.edges[0]) // GRID_MS * GRID_MS
    adverse = np.full((shares.last + 1, GRID_MS // MINUTE_MS), np.inf)
    skipped, found = (path.start_ms - start_ms) // MINUTE_MS, path.low if side is Side.BUY else -path.high
    first, end = max(skipped, 0), min(skipped + len(found), adverse.size)
    adverse.ravel()[first:end] = found[first - skipped : end - skipped]
    rest = np.full_like(adverse, np.inf)
    # Minute by minute of all intervals at once, which is faster than interval by interval.
    for minute in reversed(range(adverse.shape[1] - 1)):
        np.minimum(rest[:, minute + 1], adverse[:, minute + 1], out=rest[:, minute])
    lowest = lowest_spans(np.minimum(rest[:, 0], adverse[:, 0]))
    return _Sweeps(start_ms, rest.ravel(), lowest, next_lower(lowest))
