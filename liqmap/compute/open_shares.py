"""Compute: what each interval of 15 minutes opened and closed of a market's open interest.

Each contract has a long and a short holder, so both sides get the whole change of the one-sided open interest
Q. Per interval k, with the volume V of all trades, both sides are taken to be alike:

    opened  O = max(dQ, 0) + turnover × (V - |dQ|) / 2        open share      a = O / V
    closed  C = max(-dQ, 0) + turnover × (V - |dQ|) / 2       close fraction  c = C / Q before

`turnover` is the part of the offsetting volume that changes standing positions: 0, the default, is the
least that fits the data. A trade of interval k stands with a × (1 - c) of each later interval. Closes of an
interval are taken from what stood before it, alike from all positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from liqmap.model.series import Series
    from liqmap.model.window import TimeWindow

GRID_MS: Final = 900_000
"""The intervals: finer ones would find more turnover in the same data, and coarser ones less."""

MOST_GAP_MS: Final = 3_600_000
"""Open interest is interpolated across gaps up to this length; before a longer one it is not known."""

LATE_STEPS: Final = 3
"""Exchanges publish open interest late: a value up to so many steps old counts as that of a window's end."""

_SLACK = 1e-9  # of sums of floats
_LEAST_LOG = -600.0  # of a product that a float, and its inverse, can still hold
_MOST_REPEATED = 3  # equal values in a row that count as one, at most: after more it really stood still


class Volume(NamedTuple):
    """The sizes of all trades by minute: time int64 [ms, start of the minute], size float64."""

    time: NDArray[np.int64]
    size: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class OpenShares:
    """What each interval of a window opened and closed of the open interest.

    `edges` int64 [ms] bound the intervals, one more than there are. `interest` float64 is the open interest
    at them, nan where it is not known. `opened` is each interval's open share, `closing` its close fraction,
    0 where open interest is not known. It is known from `known_from_ms` to `known_until_ms`. Of `judged`
    intervals, `unfit` had changes larger than their volume, which were cut to it. `logs` and `emptied` are
    running sums over the intervals, as `kept` needs them: of the logarithms of what each left, and of those
    that left nothing. `factors` are what all intervals up to each have left together, None where a float
    cannot hold that; what is kept is then a quotient of two. The last factor is there once more: what no
    interval has reached is swept when the window ends.
    """

    edges: NDArray[np.int64]
    interest: NDArray[np.float64]
    opened: NDArray[np.float64]
    closing: NDArray[np.float64]
    known_from_ms: int
    known_until_ms: int
    judged: int
    unfit: int
    logs: NDArray[np.float64] = field(init=False)
    emptied: NDArray[np.int64] = field(init=False)
    factors: NDArray[np.float64] | None = field(init=False)

    def __post_init__(self) -> None:
        everything = self.closing >= 1
        logs = np.log1p(-np.where(everything, 0.0, self.closing))
        object.__setattr__(self, "logs", np.r_[0.0, np.cumsum(logs)])
        object.__setattr__(self, "emptied", np.r_[0, np.cumsum(everything)])
        long_enough = not everything.any() and self.logs[-1] > _LEAST_LOG
        object.__setattr__(
            self, "factors", np.exp(np.append(self.logs[1:], self.logs[-1])) if long_enough else None
        )

    def interval_of(self, times: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the interval of each time [ms]; the first or the last one's beyond the window."""
        return _interval_of(times, self.edges)

    def kept(self, first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what is left at the end of interval `last` of what stood at the end of `first`."""
        if self.factors is not None:
            quotient: NDArray[np.float64] = self.factors.take(last) / self.factors.take(first)
            return quotient
        # Products over a stretch are differences of running sums of logarithms; factors 0 are counted apart.
        left: NDArray[np.float64] = np.exp(self.logs[last + 1] - self.logs[first + 1])
        if self.emptied[-1]:
            left[self.emptied[last + 1] != self.emptied[first + 1]] = 0.0
        return left

    @property
    def last(self) -> int:
        """The number of the last interval."""
        return len(self.opened) - 1


def open_shares(
    window: TimeWindow,
    interest: Series,
    volume: Volume,
    *,
    covered: Iterable[TimeWindow],
    turnover: float,
) -> OpenShares:
    """Return what each interval of `window` opened and closed.

    `covered` are the parts of the window whose trades are all in `volume`. Of intervals that are not inside
    them, the volume is taken to be that of their covered part all along. Only the others are judged, and of
    these only those that begin and end with steps of `interest`.
    """
    edges = np.unique(
        np.r_[window.start_ms, np.arange(-(-window.start_ms // GRID_MS) * GRID_MS, window.end_ms, GRID_MS)]
    )
    edges = np.append(edges, window.end_ms)
    known, known_from, known_until = _known_interest(interest, edges, volume)
    traded = np.bincount(_interval_of(volume.time, edges), weights=volume.size, minlength=len(edges) - 1)
    change = np.nan_to_num(np.diff(known))
    unknown = np.isnan(np.diff(known)) | (edges[:-1] >= known_until)
    share = _covered_share(edges, covered)
    # At other edges it is interpolated: what a part of a step changed by is not known.
    at_steps = edges % interest.kind.step_ms == 0
    whole = (share == 1) & ~unknown & at_steps[:-1] & at_steps[1:]
    unfit = whole & (np.abs(change) > traded * (1 + _SLACK))
    traded = np.divide(traded, share, out=np.zeros(len(share)), where=share > 0)
    # Where trades are unknown, any volume may have been traded, and open interest changed all the same.
    most = np.where(share == 1, traded, np.maximum(traded, np.abs(change)))
    change = np.clip(change, -most, most)
    offset = turnover * (most - np.abs(change)) / 2
    opens, closes = np.maximum(change, 0) + offset, np.maximum(-change, 0) + offset
    before = np.nan_to_num(known[:-1])
    opened = np.divide(opens, traded, out=np.zeros_like(opens), where=traded > 0)
    closing = np.divide(closes, before, out=np.zeros_like(closes), where=before > 0)
    return OpenShares(
        edges,
        known,
        np.where(unknown, 0.0, np.clip(opened, 0, 1)),
        np.where(unknown, 0.0, np.clip(closing, 0, 1)),
        known_from,
        known_until,
        int(np.count_nonzero(whole)),
        int(np.count_nonzero(unfit)),
    )


def _interval_of(times: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    # All edges but the window's ends are multiples of the grid, which spares a search.
    interval = times // GRID_MS
    interval -= int(edges[0]) // GRID_MS
    return np.clip(interval, 0, len(edges) - 2, out=interval)


def _known_interest(
    interest: Series, edges: NDArray[np.int64], volume: Volume
) -> tuple[NDArray[np.float64], int, int]:
    """Return open interest at the edges, nan where it is not known, and from and until when it is known."""
    fresh = _fresh(interest, volume)
    at, value = interest.time[fresh] + interest.kind.step_ms, interest.values[0][fresh]
    gaps = np.flatnonzero(np.diff(at) > MOST_GAP_MS)
    first = int(gaps[-1]) + 1 if len(gaps) else 0
    at, value = at[first:], value[first:]
    # A value stands for the steps around it: the exchange's clock and its answers are not exact to minutes.
    slack = 2 * interest.kind.step_ms
    known_from = int(edges[0]) if at[0] - slack <= edges[0] else int(at[0])
    until = int(at[-1]) + MOST_GAP_MS
    known: NDArray[np.float64] = np.interp(edges, at, value)
    known[(edges < known_from) | (edges > until)] = np.nan
    late = LATE_STEPS * interest.kind.step_ms
    known_until = int(edges[-1]) if at[-1] + late >= edges[-1] else int(at[-1])
    return known, known_from, known_until


def _fresh(interest: Series, volume: Volume) -> NDArray[np.bool_]:
    """Return which values are known, and not those of the step before once more although there were trades.

    Exchanges repeat a value where they have no new one, which would hide a change.
    """
    time, value, step = interest.time, interest.values[0], interest.kind.step_ms
    repeats = np.r_[False, (np.diff(value) == 0) & (np.diff(time) == step)]
    (places,) = np.nonzero(repeats)
    traded = np.searchsorted(volume.time, time[places] + step) > np.searchsorted(volume.time, time[places])
    repeats[places] = traded
    run = np.cumsum(~repeats)
    # The last value is kept, because nothing follows from which it could be interpolated.
    stays = (np.bincount(run)[run] > _MOST_REPEATED) | (run == run[-1])
    fresh: NDArray[np.bool_] = stays | ~repeats
    return fresh


def _covered_share(edges: NDArray[np.int64], covered: Iterable[TimeWindow]) -> NDArray[np.float64]:
    """Return which share of each interval the disjoint windows `covered` cover."""
    inside = np.zeros(len(edges) - 1, np.int64)
    for each in covered:
        inside += np.maximum(np.minimum(edges[1:], each.end_ms) - np.maximum(edges[:-1], each.start_ms), 0)
    return inside / np.diff(edges)
