"""Read a segment's bars: of seconds or minutes, as prices, counts and volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from liqmap.compute.values import PricePath
from liqmap.model import Side
from liqmap.store.reading import column_of, read_table, reading
from liqmap.store.segments import BAR_COLUMNS, BATCH_SECONDS, VOLUME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.model.window import TimeWindow
    from liqmap.store.segments import Segment
    from liqmap.store.tables import Table

_PATH_COLUMNS = ("second", "low", "high", "close")


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Bars of a window: time int64 [ms, start of the second or minute], prices, trade counts by side.

    `volume` is the size of all trades of each minute, None for seconds and where the segment keeps none.
    """

    time: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    close: NDArray[np.float64]
    buy_count: NDArray[np.uint32]
    sell_count: NDArray[np.uint32]
    volume: NDArray[np.float64] | None = None

    @property
    def buys(self) -> int:
        """Buys of the window."""
        return int(self.buy_count.sum(dtype=np.int64))

    @property
    def sells(self) -> int:
        """Sells of the window."""
        return int(self.sell_count.sum(dtype=np.int64))


def read_bars(segment: Segment, window: TimeWindow, *, bin_seconds: int = 1) -> Bars:
    """Return the bars of `segment` inside `window`, of seconds or, where bins need no finer ones, of minutes.

    Bins are of `bin_seconds`, aligned to UTC. Raises DamagedSegment or UnreadableStore.
    """
    start_ms = segment.origin.window.start_ms
    bounds = [(moment - start_ms) // 1000 for moment in (window.start_ms, window.end_ms)]
    in_minutes = all(number % 60 == 0 for number in (bin_seconds, start_ms // 1000, *bounds))
    with reading(segment, "minutes" if in_minutes else "bars") as table:
        span = _batch_seconds(table)
        batches = list(table.batches(*((bounds[0] // span, -(-bounds[1] // span)) if span else (0, None))))
        names = ["second", *BAR_COLUMNS]
        if in_minutes and VOLUME in table.schema.names:
            names.append(VOLUME)
        second, *columns = (column_of(batches, table.schema.field(name)) for name in names)
    first, last = np.searchsorted(second, bounds)
    time = start_ms + second[first:last].astype(np.int64) * 1000
    return Bars(time, *(column[first:last] for column in columns))


def read_volume(
    segment: Segment, window: TimeWindow, *, bars: Bars
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the minutes of `window` that traded [ms, start] and the size of all their trades in it.

    `bars` are those of the window, which may have the volumes. Of segments without volumes all trades are
    read, and where the window takes only a part of a minute. Raises DamagedSegment or UnreadableStore.
    """
    if bars.volume is not None:
        return bars.time, bars.volume
    start_ms = segment.origin.window.start_ms
    cuts = [start_ms, window.start_ms]
    if window.end_ms < segment.origin.window.end_ms:
        cuts.append(window.end_ms)
    with reading(segment, "minutes") as table:
        known = VOLUME in table.schema.names and not any(each % 60_000 for each in cuts)
        if known:
            batches = list(table.batches(0, None))
            second, volume = (column_of(batches, table.schema.field(name)) for name in ("second", VOLUME))
            time = start_ms + second.astype(np.int64) * 1000
    if not known:
        sides = [read_table(segment, side.value) for side in Side]
        moment = start_ms + np.concatenate([each["time"] for each in sides]).astype(np.int64)
        size = np.concatenate([each["size"] for each in sides])
        its = (moment >= window.start_ms) & (moment < window.end_ms)
        minute, place = np.unique(moment[its] // 60_000, return_inverse=True)
        total = np.bincount(place, weights=size[its], minlength=len(minute))
        return minute * 60_000, total.astype(np.float64, copy=False)  # of no trades, it has whole numbers
    inside = slice(*np.searchsorted(time, (window.start_ms, window.end_ms)).tolist())
    return time[inside], volume[inside]


def read_path_around(
    segment: Segment, window: TimeWindow, times: NDArray[np.int64], *, minutes: PricePath | None = None
) -> PricePath:
    """Return the price path of a window: of seconds near the `times` [ms], of minutes where none is near.

    Where the two cannot be told apart, or some is near most of the time, all is of seconds. `minutes` is the
    window's path in minutes, where it has been read before. Raises DamagedSegment or UnreadableStore.
    """
    seconds, span_ms = read_seconds_near(segment, window, times)
    if not span_ms:
        return seconds
    if minutes is None:
        minutes = path_of(read_bars(segment, window, bin_seconds=60))
    start_ms = segment.origin.window.start_ms
    near = np.unique((times - start_ms) // span_ms)
    far = np.isin((minutes.time - start_ms) // span_ms, near, invert=True)
    time = np.append(minutes.time[far], seconds.time)
    order = np.argsort(time, kind="stable")
    low, high, close = (
        np.append(getattr(minutes, name)[far], getattr(seconds, name))[order]
        for name in ("low", "high", "close")
    )
    return PricePath(time[order], low, high, close)


def read_seconds_near(
    segment: Segment, window: TimeWindow, times: NDArray[np.int64]
) -> tuple[PricePath, int]:
    """Return a window's seconds near the `times` [ms], and how long [ms] the stretches are that were read.

    A stretch is read where one of the times lies in it. The length is 0 where all seconds were read: because
    minutes cannot be put beside them, or because some time lies in most stretches. Raises DamagedSegment or
    UnreadableStore.
    """
    start_ms, end_ms = segment.origin.window.start_ms, segment.origin.window.end_ms
    with reading(segment, "bars") as table:
        span_ms = 1000 * _batch_seconds(table)
        # Seconds and minutes can be put side by side only where batches and window begin with a minute.
        if not span_ms or any(each % 60_000 for each in (span_ms, start_ms, window.start_ms, window.end_ms)):
            return path_of(read_bars(segment, window)), 0
        near = np.unique((times - start_ms) // span_ms)
        # Reading most batches one by one costs more than reading all of them at once.
        if 2 * len(near) * span_ms > end_ms - start_ms:
            return path_of(read_bars(segment, window)), 0
        batches = [batch for number in near.tolist() for batch in table.batches(number, number + 1)]
        second, *prices = (column_of(batches, table.schema.field(name)) for name in _PATH_COLUMNS)
    time = start_ms + second.astype(np.int64) * 1000
    inside = slice(*np.searchsorted(time, (window.start_ms, window.end_ms)))
    return PricePath(time[inside], *(each[inside] for each in prices)), span_ms


def path_of(bars: Bars) -> PricePath:
    """Return bars' prices as a price path."""
    return PricePath(bars.time, bars.low, bars.high, bars.close)


def _batch_seconds(table: Table) -> int:
    return int((table.schema.metadata or {}).get(BATCH_SECONDS, 0))
