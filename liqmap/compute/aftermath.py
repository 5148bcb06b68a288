"""Compute: what the price did after each entry, from second bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from liqmap.compute.values import Aftermath
from liqmap.model import Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.compute.values import PricePath, SideTrades

_FEW = 8  # entries, up to which all that follows is looked through for each
_SOME = 3000  # entries, up to which each is searched for on its own


def aftermath(path: PricePath, trades: SideTrades, *, bin_seconds: int, later: float) -> Aftermath:
    """Return what the price did after the entries of `trades`, all within `path`.

    `path` has second bars in the minutes of the entries, and besides them may have minute bars if bins are
    whole minutes. `later` is the extreme of the time after the path's end, infinite if there is none.
    """
    is_long = trades.side is Side.BUY
    worst, adverse, never = (np.minimum, path.low, np.inf) if is_long else (np.maximum, path.high, -np.inf)
    if len(trades) <= _FEW:
        return _look_through(path.time, adverse, trades.time, bin_seconds, (worst, never, later))
    # What follows an entry in its minute (less where bins are shorter), in its bin, and in the whole path:
    # of the latter two, the minutes' extremes are enough.
    step = math.gcd(bin_seconds, 60)
    first_bin, last_bin = (int(path.time[end]) // (1000 * bin_seconds) for end in (0, -1))
    seconds = range(first_bin * bin_seconds, (last_bin + 1) * bin_seconds, step)
    look_up = _search if len(trades) <= _SOME else _tabulate
    soonest, blocks = look_up(path.time, np.append(adverse, never), trades.time, seconds, worst)
    by_bin = blocks.reshape(-1, bin_seconds // step)
    rest_of_bin = np.full_like(by_bin, never)
    worst.accumulate(by_bin[:, :0:-1], axis=1, out=rest_of_bin[:, -2::-1])
    rest_of_path = np.r_[worst.accumulate(blocks[:0:-1])[::-1], never]
    block = (trades.time // 1000 - seconds.start) // step
    soon = worst(soonest, rest_of_bin.ravel()[block])
    return Aftermath(worst(worst(soon, rest_of_path[block]), later), soon)


def _look_through(
    time: NDArray[np.int64],
    adverse: NDArray[np.float64],
    entry: NDArray[np.int64],
    bin_seconds: int,
    bounds: tuple[np.ufunc, float, float],
) -> Aftermath:
    (worst, never, later), width = bounds, 1000 * bin_seconds
    first = np.searchsorted(time, entry, side="right")
    end = np.searchsorted(time, (entry // width + 1) * width)
    soon = [worst.reduce(adverse[start:stop], initial=never) for start, stop in zip(first, end, strict=True)]
    extreme = [worst.reduce(adverse[start:], initial=later) for start in first]
    return Aftermath(np.array(extreme, np.float64), np.array(soon, np.float64))


_Extremes = tuple["NDArray[np.float64]", "NDArray[np.float64]"]


def _search(
    time: NDArray[np.int64],
    adverse: NDArray[np.float64],
    entry: NDArray[np.int64],
    blocks: range,
    worst: np.ufunc,
) -> _Extremes:
    """Return the extreme of the seconds after each entry's in its block, and of each block of seconds.

    `adverse` has one element more than `time`, for what does not happen.
    """
    edges = np.searchsorted(time, 1000 * np.array([*blocks, blocks.stop]))
    # A trade's own second says nothing about before and after it, so what counts starts with the next.
    first = np.searchsorted(time, entry, side="right")
    end = edges[(entry // 1000 - blocks.start) // blocks.step + 1]
    # In the order of time, what lies between one entry's rest and the next one's entry is looked at once.
    order = np.argsort(first)
    first, end = first[order], end[order]
    rest = np.empty(len(entry))
    spans = np.stack([first, end], axis=1).ravel()
    rest[order] = np.where(first < end, worst.reduceat(adverse, spans)[::2], adverse[-1])
    whole = np.where(edges[:-1] < edges[1:], worst.reduceat(adverse, edges[:-1]), adverse[-1])
    return rest, whole


def _tabulate(
    time: NDArray[np.int64],
    adverse: NDArray[np.float64],
    entry: NDArray[np.int64],
    blocks: range,
    worst: np.ufunc,
) -> _Extremes:
    """Return the same as `_search` from a table of all seconds, which is sooner made for many entries."""
    seconds = np.full(len(blocks) * blocks.step, adverse[-1])
    seconds[time // 1000 - blocks.start] = adverse[:-1]
    # Blocks side by side: so, an operation goes over all of them at once.
    by_block = np.ascontiguousarray(seconds.reshape(-1, blocks.step).T)
    rest = np.full_like(by_block, adverse[-1])
    for row in range(blocks.step - 2, -1, -1):
        worst(rest[row + 1], by_block[row + 1], out=rest[row])
    block, offset = np.divmod(entry // 1000 - blocks.start, blocks.step)
    return rest[offset, block], worst(rest[0], by_block[0])
