"""Positions of the simulated market: opened by trades, closed at will or by force, within open interest.

In every step of five minutes and on each side, opened minus closed size is the change of the market's open
interest. A position is opened by a part of a trade, has one leverage, and is liquidated as soon as the mark
price reaches its level. The other closes are spread over all positions by their temper: some people close
early, and losers hold on. Positions from before the book began have no levels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from liqmap.simulator.series import STEP_MS, STEPS, mark_seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.model import Trades
    from liqmap.simulator.listings import MarketDay
    from liqmap.simulator.series import SeriesDay

LEVERAGES: Final = (10, 25, 50, 100)
MAINTENANCE: Final = 0.004

_TURNOVER = 0.3  # the share of a step's offsetting volume that opens and closes positions
_TEMPER = 0.8  # sigma of the logarithm of how readily people close
_LOSERS = 0.67  # how readily losers close, compared with winners
_GONE = 1e-12  # sizes below this are rounding errors of a closed position
_STEP_SECONDS = STEP_MS // 1000


class Forced(NamedTuple):
    """Positions that were liquidated: the second of the day after which each was, its size, and its side."""

    second: NDArray[np.int64]
    size: NDArray[np.float64]
    is_long: bool


@dataclass(slots=True)
class OpenPositions:
    """One side's open positions as arrays of one length, and what was open before the book began."""

    is_long: bool
    before: float
    inverse: bool = False
    size: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    entry: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    level: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    temper: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    @property
    def total(self) -> float:
        """What is open, with and without levels."""
        return self.before + float(self.size.sum())

    def liquidate(self, marks: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Close the positions whose levels the `marks` of some seconds reach.

        Return the place in `marks` at which each closed position's level was first reached, and its size.
        """
        # Shorts are mirrored, so that a level of either side is reached by a price that is not above it.
        sign = 1 if self.is_long else -1
        lowest = np.minimum.accumulate(sign * marks)
        (reached,) = np.nonzero((sign * self.level >= lowest[-1]) & (self.size > _GONE))
        size = self.size[reached]
        self.size[reached] = 0.0
        return np.searchsorted(-lowest, -sign * self.level[reached]), size

    def close(self, size: float, mark: float) -> None:
        """Close `size` in total: each position by its temper, and what was open before like the average."""
        loses = self.entry > mark if self.is_long else self.entry < mark
        temper = self.temper * np.where(loses, _LOSERS, 1.0)
        # No position closes more than it has; what is left over is spread again.
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
        if self.inverse:  # margin and losses are in coins, which are worth less the lower the price is
            level = entry * (1 - sign * MAINTENANCE) / (1 - sign / leverage)
        else:
            level = entry * (1 + sign / leverage) / (1 + sign * MAINTENANCE)
        temper = np.exp(_TEMPER * rng.standard_normal(len(size)))
        for name, more in (("size", size), ("entry", entry), ("level", level), ("temper", temper)):
            setattr(self, name, np.concatenate([getattr(self, name), more]))

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

    `steps` are the steps of the longs and of the shorts on the last day that was added, and `forced` its
    liquidations. With `most_openers`, at most that many of a step's trades open positions with a level on
    each side, mostly the largest ones: it would take long to liquidate those of all trades of a busy day.
    """

    def __init__(
        self, *, seed: int, interest: float, inverse: bool = False, most_openers: int | None = None
    ) -> None:
        self._seed = seed
        self._most_openers = most_openers
        self.longs = OpenPositions(is_long=True, before=interest, inverse=inverse)
        self.shorts = OpenPositions(is_long=False, before=interest, inverse=inverse)
        self.steps: tuple[list[Step], list[Step]] = ([], [])
        self.forced: list[Forced] = []

    def add(self, day: MarketDay, series: SeriesDay) -> None:
        """Let the positions live through a day."""
        # Seeded by the day, so that its positions are the same in books that began on other days.
        rng = np.random.default_rng([self._seed, 18, day.day.toordinal()])
        self.steps, self.forced = ([], []), []
        bounds = day.trades.time.searchsorted(series.start_ms + STEP_MS * np.arange(STEPS + 1))
        change, marks = np.diff(series.interest), mark_seconds(day)
        for step in range(STEPS):
            trades = day.part(int(bounds[step]), int(bounds[step + 1])).trades
            first = step * _STEP_SECONDS
            its_marks = marks[first : first + _STEP_SECONDS]
            more, mark = float(change[step]), float(its_marks[-1])
            for side, done in zip((self.longs, self.shorts), self.steps, strict=True):
                place, size = side.liquidate(its_marks)
                if len(size):
                    self.forced.append(Forced(first + place, size, side.is_long))
                liquidated = float(size.sum())
                done.append(self._live(side, trades, more, liquidated=liquidated, mark=mark, rng=rng))
        self.longs.forget_closed()
        self.shorts.forget_closed()

    def _live(
        self,
        side: OpenPositions,
        trades: Trades,
        change: float,
        *,
        liquidated: float,
        mark: float,
        rng: np.random.Generator,
    ) -> Step:
        """Let one side close and open what a step's trades and its change of open interest leave."""
        volume = float(trades.size.sum())
        turnover = _TURNOVER * max(0.0, volume - abs(change)) / 2
        closed = max(0.0, max(-change, 0.0) + turnover - liquidated)
        opened = change + closed + liquidated
        side.close(closed, mark)
        mine = trades.is_buy == side.is_long
        size, price = trades.size[mine], trades.price[mine]
        wanted = size * rng.exponential(size=len(size))
        if self._most_openers is not None and len(size) > self._most_openers:
            largest = np.sort(np.argpartition(-wanted, self._most_openers)[: self._most_openers])
            size, price, wanted = size[largest], price[largest], wanted[largest]
        parts = _parts(size, wanted, opened)
        side.open(parts, price, rng)
        side.before += opened - float(parts.sum())  # more than the trades of this side can have opened
        return Step(opened, closed, liquidated)


def _parts(size: NDArray[np.float64], wanted: NDArray[np.float64], opened: float) -> NDArray[np.float64]:
    """Return how much of each trade opens a position: `opened` in total, as far as the trades suffice."""
    parts = np.zeros(len(size))
    # A trade that is full leaves its share to the others, in the next round.
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
