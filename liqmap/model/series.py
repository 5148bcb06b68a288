"""Series: regular values of one market over time, such as its open interest and its mark price."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from liqmap.model.window import TimeWindow, at_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


class SeriesKind(StrEnum):
    """What a series has values of; the members' values are the names of folders in the store."""

    OPEN_INTEREST = "open_interest"
    MARK_PRICE = "mark_price"

    @property
    def step(self) -> timedelta:
        """The time that one row stands for."""
        return _STEPS[self]

    @property
    def step_ms(self) -> int:
        """The step in milliseconds."""
        return int(self.step.total_seconds()) * 1000

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's values."""
        return _COLUMNS[self]


_STEPS: Final = {
    # The finest step of open interest that all exchanges publish.
    SeriesKind.OPEN_INTEREST: timedelta(minutes=5),
    SeriesKind.MARK_PRICE: timedelta(minutes=1),
}
_COLUMNS: Final = {
    SeriesKind.OPEN_INTEREST: ("size",),
    SeriesKind.MARK_PRICE: ("low", "high", "close"),
}
_JUMP: Final = 0.3
"""By more than this part of it, open interest does not change in a step and change back a few steps later."""

MOST_OUTLIERS: Final = 3
"""So many wrong values of open interest follow each other at most: exchanges repeat wrong ones too."""


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Rows of one kind in the order of time, at most one for each step; steps without a row are gaps.

    `time` int64 [ms since 1970] is where each row's step starts, a multiple of the step. `values` float64
    has the shape (columns, rows). Open interest is one-sided, in the unit of the market's sizes (base
    currency or, of inverse contracts, US dollars), as known at the end of its step. Mark prices are the
    lowest, the highest and the last of their minute.
    """

    kind: SeriesKind
    time: NDArray[np.int64]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.kind.columns), len(self.time)):
            raise ValueError("a series has a value of each column for each of its times")

    @classmethod
    def of(cls, kind: SeriesKind, time: Sequence[int], values: Sequence[Sequence[float]]) -> Self:
        """Return the series of rows in any order; of several rows of one step, the first counts."""
        starts = np.array(time, np.int64) // kind.step_ms * kind.step_ms
        each, first = np.unique(starts, return_index=True)
        rows = np.array(values, np.float64).reshape(len(time), len(kind.columns))
        return cls(kind, each, np.ascontiguousarray(rows[first].T))

    @classmethod
    def joined(cls, kind: SeriesKind, parts: Iterable[Series]) -> Self:
        """Return the rows of all parts; of several rows of one step, that of the first part counts."""
        known = [part for part in parts if len(part)]
        if not known:
            return cls(kind, np.empty(0, np.int64), np.empty((len(kind.columns), 0)))
        time = np.concatenate([part.time for part in known])
        values = np.concatenate([part.values for part in known], axis=1)
        if (np.diff(time) > 0).all():  # days that follow each other, as nearly always
            return cls(kind, time, values)
        time, first = np.unique(time, return_index=True)
        return cls(kind, time, values[:, first])

    def __len__(self) -> int:
        return len(self.time)

    @property
    def end_ms(self) -> int:
        """Where the last step ends [ms since 1970]; the series has rows."""
        return int(self.time[-1]) + self.kind.step_ms

    def within(self, window: TimeWindow) -> Series:
        """Return the rows whose steps start inside `window`."""
        rows = slice(*np.searchsorted(self.time, (window.start_ms, window.end_ms)).tolist())
        return Series(self.kind, self.time[rows], self.values[:, rows])

    @property
    def spans(self) -> list[TimeWindow]:
        """The spans of time whose steps all have a row, oldest first."""
        if not len(self):
            return []
        step = self.kind.step_ms
        breaks = np.flatnonzero(np.diff(self.time) != step)
        starts, ends = self.time[np.r_[0, breaks + 1]], self.time[np.r_[breaks, -1]] + step
        return [
            TimeWindow(at_ms(start), at_ms(end))
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]

    def above_zero(self) -> Series:
        """Return the rows whose first value is not 0."""
        rows = self.values[0] > 0
        return self if rows.all() else Series(self.kind, self.time[rows], self.values[:, rows])

    def without_outliers(self) -> Series:
        """Return open interest without values that jump by more than 30 % and return within a few steps.

        Exchanges publish such (tardis-dev/tardis-node, issue #46). The first and the last values stay: only
        those can be judged that lie between as many others.
        """
        series = self
        # The shortest runs first, so that those do not lie between the others.
        for length in range(1, MOST_OUTLIERS + 1):
            series = series._without_runs(length)
        return series

    def _without_runs(self, length: int) -> Series:
        """Return the series without runs of `length` outliers."""
        value = self.values[0]
        if len(value) < 3 * length:
            return self
        runs = sliding_window_view(value, length)
        beside = np.concatenate([runs[: -2 * length], runs[2 * length :]], axis=1)
        low, high = beside.min(axis=1), beside.max(axis=1)
        inside = runs[length:-length].T
        jumps = (inside < (1 - _JUMP) * low) | (inside > (1 + _JUMP) * high)
        # A change that stays is a real one.
        returns = high - low <= _JUMP * low
        (first,) = np.nonzero(jumps.all(axis=0) & returns)
        keep = np.ones(len(value), np.bool_)
        keep[first + length + np.arange(length)[:, np.newaxis]] = False
        return Series(self.kind, self.time[keep], self.values[:, keep])
