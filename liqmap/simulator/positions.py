"""Positions of the simulated market: opened by trades, closed at will or by force, within open interest.

In every step of five minutes and on each side, what is opened less what is closed is the change of the
market's open interest. A position is opened by a part of a trade, has one leverage, and is liquidated as soon
as the mark price reaches its level. What else is closed is spread over all positions by their temper: some
people close early, and losers hold on. What was open before the book began has no levels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.simulator.series import MINUTE_MS, STEP_MS, STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.simulator.listings import MarketDay
    from liqmap.simulator.series import SeriesDay

LEVERAGES: Final = (10, 25, 50, 100)
MAINTENANCE: Final = 0.004

_TURNOVER = 0.3  # of the offsetting volume of a step: what changes standing positions
_TEMPER = 0.8  # sigma of the logarithm of how readily people close
_LOSERS = 0.67  # as readily as winners
_GONE = 1e-12
_MINUTES = STEP_MS // MINUTE_MS


@dataclass(slots=True)
class OpenPositions:
    """One side's open positions as arrays of one length, and what was open before the book began."""

    is_long: bool
    before: float
    size: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    entry: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    level: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    temper: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @property
    def total(self) -> float:
        """What is open, with and without levels."""
        return self.before + float(self.size.sum())

    def liquidate(self, low: float, high: float) -> float:
        """Close the positions whose levels lie within the mark prices of a step, and return their size."""
        reached = self.level >= low if self.is_long else self.level <= high
        closed = float(self.size[reached].sum())
        self.size[reached] = 0.0
        return closed

    def close(self, size: float, mark: float) -> None:
        """Close so much in all, each position by its temper, and what was there before like the average."""
        loses = self.entry > mark if self.is_long else self.entry < mark
        temper = self.temper * np.where(loses, _LOSERS, 1.0)
        while size > _GONE and self.total > _GONE:
            weight = self.size * temper
            part = min(1.0, size / (self.before + float(weight.sum()) + _GONE))
            closed, before = np.minimum(self.size, weight * part), self.before * part
            self.size -= closed
            self.before -= before
            size -= float(closed.sum()) + before

    def open(self, size: NDArray[np.float64], entry: NDArray[np.float64], rng: np.random.Generator) -> None:
        """Add positions, each with a leverage and a temper of its own."""
        sign = -1 if self.is_long else 1
        leverage = rng.choice(LEVERAGES, len(size))
        level = entry * (1 + sign / leverage) / (1 + sign * MAINTENANCE)
        self.size, self.entry = np.r_[self.size, size], np.r_[self.entry, entry]
        self.level = np.r_[self.level, level]
        self.temper = np.r_[self.temper, np.exp(_TEMPER * rng.standard_normal(len(size)))]

    def forget_closed(self) -> None:
        """Drop what is closed."""
        kept = self.size > _GONE
        self.size, self.entry = self.size[kept], self.entry[kept]
        self.level, self.temper = self.level[kept], self.temper[kept]


@dataclass(frozen=True, slots=True)
class Step:
    """What one side did in five minutes: opened, closed at will, and liquidated."""

    opened: float
    closed: float
    liquidated: float


class PositionBook:
    """The positions of a market from one day on. Days are added in order.

    `steps` are the steps of the longs and of the shorts of the last day that was added.
    """

    def __init__(self, *, seed: int, interest: float) -> None:
        self._rng = np.random.default_rng([seed, 18])
        self.longs = OpenPositions(is_long=True, before=interest)
        self.shorts = OpenPositions(is_long=False, before=interest)
        self.steps: tuple[list[Step], list[Step]] = ([], [])

    def add(self, day: MarketDay, series: SeriesDay) -> None:
        """Let the positions live through a day."""
        self.steps = ([], [])
        bounds = day.trades.time.searchsorted(series.start_ms + STEP_MS * np.arange(STEPS + 1))
        change = np.diff(series.interest)
        for step in range(STEPS):
            rows = slice(int(bounds[step]), int(bounds[step + 1]))
            minutes = slice(step * _MINUTES, (step + 1) * _MINUTES)
            low, high = float(series.low[minutes].min()), float(series.high[minutes].max())
            mark = float(series.close[minutes][-1])
            for side, done in zip((self.longs, self.shorts), self.steps, strict=True):
                done.append(self._live(side, day, rows, float(change[step]), (low, high, mark)))
        self.longs.forget_closed()
        self.shorts.forget_closed()

    def _live(
        self,
        side: OpenPositions,
        day: MarketDay,
        rows: slice,
        change: float,
        marks: tuple[float, float, float],
    ) -> Step:
        low, high, mark = marks
        trades = day.trades
        liquidated = side.liquidate(low, high)
        volume = float(trades.size[rows].sum())
        turnover = _TURNOVER * max(0.0, volume - abs(change)) / 2
        closed = max(0.0, max(-change, 0.0) + turnover - liquidated)
        opened = change + closed + liquidated
        side.close(closed, mark)
        mine = trades.is_buy[rows] == side.is_long
        size, price = trades.size[rows][mine], trades.price[rows][mine]
        parts = self._parts(size, opened)
        side.open(parts, price, self._rng)
        side.before += opened - float(parts.sum())  # by people whose trades were too few
        return Step(opened, closed, liquidated)

    def _parts(self, size: NDArray[np.float64], opened: float) -> NDArray[np.float64]:
        """Return how much of each trade opens a position, so much in all, as far as the trades reach."""
        wanted = size * self._rng.exponential(size=len(size))
        parts = np.zeros(len(size))
        for _ in range(8):
            left, room = opened - parts.sum(), wanted * (parts < size)
            if left <= _GONE or not room.any():
                break
            parts = np.minimum(size, parts + room * left / room.sum())
        return parts


def standing_notional(side: OpenPositions, edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the notional at entry of a side's open positions by their levels, in buckets of `edges`."""
    notional: NDArray[np.float64] = np.histogram(side.level, edges, weights=side.size * side.entry)[0]
    return notional
