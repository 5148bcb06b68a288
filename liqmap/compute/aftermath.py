"""Compute how far the price moved against each position after its entry, from second bars."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from liqmap.compute.values import NEVER, WORST, Aftermath
from liqmap.model import Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.compute.values import PricePath, SideTrades

# There are three ways, and the number of entries decides which is the fastest:
_FEW = 8  # up to here, scan the rest of the path for each entry
_SOME = 3000  # up to here, find each entry by bisection; beyond, build a table of every second


def aftermath(path: PricePath, trades: SideTrades, *, bin_seconds: int, later: float) -> Aftermath:
    """Return what the price did after the entries of `trades`, all of which lie within `path`.

    `path` needs second bars in the minutes of the entries. Elsewhere minute bars are enough if bins are
    whole minutes. `later` is the worst price after the path's end, infinite if nothing follows.
    """
    worst, never = WORST[trades.side], NEVER[trades.side]
    adverse = path.low if trades.side is Side.BUY else path.high
    if len(trades) <= _FEW:
        return _look_through(path.time, adverse, trades.time, bin_seconds, (worst, never, later))
    # Only the rest of an entry's own block (its minute, or less where bins are shorter) needs seconds. For
    # the rest of its bin and of the whole path, the extremes of the following blocks are enough.
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


_Extremes = tuple["NDArray[np.float64]", "NDArray[np.float64]"]  # (rest of each entry's block, each block)


def _search(
    time: NDArray[np.int64],
    adverse: NDArray[np.float64],
    entry: NDArray[np.int64],
    blocks: range,
    worst: np.ufunc,
) -> _Extremes:
    """Return the worst price in the rest of each entry's block, and in each block of seconds.

    `adverse` has one more element than `time`: the neutral value, which stands for no trade.
    """
    edges = np.searchsorted(time, 1000 * np.array([*blocks, blocks.stop]))
    # A bar does not say what in it came before the entry and what after, so the entry's own is left out.
    first = np.searchsorted(time, entry, side="right")
    end = edges[(entry // 1000 - blocks.start) // blocks.step + 1]
    # reduceat also reduces the stretch between two spans, whose result [::2] drops. In order of time these
    # stretches are short and disjoint, so every bar is read about once.
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
    """Return what `_search` returns, from a table of every second, which is faster for many entries."""
    seconds = np.full(len(blocks) * blocks.step, adverse[-1])
    seconds[time // 1000 - blocks.start] = adverse[:-1]
    # One column a block, so that each numpy operation handles one second of all blocks at once.
    by_block = np.ascontiguousarray(seconds.reshape(-1, blocks.step).T)
    rest = np.full_like(by_block, adverse[-1])
    for row in range(blocks.step - 2, -1, -1):
        worst(rest[row + 1], by_block[row + 1], out=rest[row])
    block, offset = np.divmod(entry // 1000 - blocks.start, blocks.step)
    return rest[offset, block], worst(rest[0], by_block[0])
