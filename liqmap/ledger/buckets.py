"""The price buckets around a map's last price, and the cells of equal distance that they are compared in.

Arrays over buckets have 96 elements: 48 on the side of the longs, below the price, nearest first, and 48 on
the side of the shorts. A bucket spans 0.1 % of the price; together they reach from 0.2 % to 5 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model import Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

STEP: Final = 0.001
"""How much of the price a bucket spans."""

# Whole numbers divided, because steps of 0.001 that are added up drift from the decimal edges.
_EDGES: Final = np.arange(2, 51) / 1000
A_SIDE: Final = len(_EDGES) - 1
COUNT: Final = 2 * A_SIDE
"""Number of buckets of both sides."""

NEAR_EDGES: Final = np.tile(_EDGES[:-1], 2)
"""Distance of each bucket's nearer edge, as a share of the price."""

_MIDDLES: Final = np.tile(_EDGES[:-1] + STEP / 2, 2)
IS_SHORT: Final = np.arange(COUNT) >= A_SIDE

# Cells widen with the distance: far from the price little is liquidated, and the density changes slowly.
CELL_EDGES: Final = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0)
"""Where a side's cells of equal distance begin [sigmas]; the last has no end."""

CELLS: Final = 2 * len(CELL_EDGES)
"""Number of cells of both sides."""

LEAST_WINDOWS: Final = 30
"""The number of earlier windows that a baseline needs."""

# This share of the baseline is spread evenly: a bucket of density 0 would make a gain infinite.
_UNIFORM: Final = 0.01
_MARKED_SHARE: Final = 0.1  # of the buckets, as docs/accuracy.md defines marked zones


def bucket_of(price: NDArray[np.float64], side: Side, *, last_price: float) -> NDArray[np.int64]:
    """Return the bucket of each price on the side where positions of `side` are liquidated, −1 outside."""
    away = price / last_price - 1
    place = np.searchsorted(_EDGES, -away if side is Side.BUY else away, side="right") - 1
    inside = (place >= 0) & (place < A_SIDE)
    return np.where(inside, place + (A_SIDE if side is Side.SELL else 0), -1)


def summed(bucket: NDArray[np.int64], usd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of each bucket, without what lies outside of all buckets (−1)."""
    inside = bucket >= 0
    return np.bincount(bucket[inside], weights=usd[inside], minlength=COUNT).astype(np.float64)


def cells(sigma: float | NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each bucket's cell: its side and the distance of its middle in sigmas.

    For several sigmas, given as a column, return a row of cells for each.
    """
    cell = np.searchsorted(CELL_EDGES, _MIDDLES / sigma, side="right") - 1
    return cell + len(CELL_EDGES) * IS_SHORT


def baseline(preceding: Sequence[tuple[float, NDArray[np.float64]]], sigma: float) -> NDArray[np.float64]:
    """Return the density over buckets that knows only side and distance.

    `preceding` are the sigma and the liquidated USD per bucket of earlier windows, in each of which something
    was liquidated. A cell's density is the mean of the windows' shares of USD per sigma of distance, over the
    windows that have buckets in the cell. Returns the uniform density if there are no windows.
    """
    uniform = np.full(COUNT, 1 / COUNT)
    if not preceding:
        return uniform
    # Shares instead of dollars: one cascade must not outweigh all other windows.
    shares = [usd / usd.sum() for _, usd in preceding]
    share, width = _by_cell([each for each, _ in preceding], shares)
    # From buckets to sigmas: in a calm window a bucket spans more sigmas than in a volatile one.
    width = width * STEP / np.array([[each] for each, _ in preceding])
    rates = np.divide(share, width, out=np.zeros_like(share), where=width > 0)
    within_reach = (width > 0).sum(axis=0)
    rate = np.divide(rates.sum(axis=0), within_reach, out=np.zeros(CELLS), where=within_reach > 0)
    density = rate[cells(sigma)]
    if not density.any():
        return uniform
    mixed: NDArray[np.float64] = (1 - _UNIFORM) * density / density.sum() + _UNIFORM * uniform
    return mixed


def reach(preceding: Sequence[tuple[float, NDArray[np.bool_]]], sigma: float) -> NDArray[np.float64]:
    """Return how likely the price reaches each bucket, by side and distance alone.

    `preceding` are the sigma and the touched buckets of earlier windows, at least one. A cell's likelihood is
    the mean share of its buckets that were touched. Half a window that touched it and half a window that did
    not are added (Jeffreys' prior), so that nothing is impossible.
    """
    touches, width = _by_cell([each for each, _ in preceding], [each for _, each in preceding])
    came = np.divide(touches, width, out=np.zeros_like(touches), where=width > 0).sum(axis=0)
    seen = (width > 0).sum(axis=0)
    # Cells in which no window had a bucket get 1 here, and the likelihood of the next nearer cell below.
    rate = np.where(seen > 0, (came + 0.5) / (seen + 1), 1.0)
    # The price passes near cells on its way to far ones, so a far cell that seems likelier is chance.
    outwards: NDArray[np.float64] = np.minimum.accumulate(rate.reshape(2, -1), axis=1).ravel()[cells(sigma)]
    return outwards


def _by_cell(
    sigmas: Sequence[float], values: Sequence[NDArray[np.float64] | NDArray[np.bool_]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the sum of each window's values, and the number of its buckets, in each cell."""
    windows = len(sigmas)
    # Each window's cells are numbered after those of the window before, so one `bincount` serves them all.
    place = (cells(np.array(sigmas)[:, None]) + CELLS * np.arange(windows)[:, None]).ravel()
    sums = np.bincount(place, weights=np.stack(values).ravel(), minlength=CELLS * windows)
    width = np.bincount(place, minlength=CELLS * windows)
    return sums.astype(np.float64).reshape(windows, CELLS), width.reshape(windows, CELLS)


def top_buckets(density: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the buckets that a map marks: the densest tenth, densest first, of equal ones the nearer."""
    # Where less than a tenth holds anything, fewer are marked: nothing stands in the others.
    order = np.lexsort((NEAR_EDGES, -density))[: round(_MARKED_SHARE * len(density))]
    return order[density[order] > 0]


def shifted(density: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Return the map moved by `distance` of the price, upwards if positive, as a placebo.

    What leaves the buckets at one end enters at the other, so the sum stays the same.
    """
    # Longs are stored nearest first, so they are reversed to be in the order of price.
    upwards = np.concatenate([density[:A_SIDE][::-1], density[A_SIDE:]])
    moved = np.roll(upwards, round(distance / STEP))
    return np.concatenate([moved[:A_SIDE][::-1], moved[A_SIDE:]])


def touched(low: float, high: float, *, last_price: float) -> NDArray[np.bool_]:
    """Return which buckets' nearer edge the price has reached, if it went from `low` to `high`."""
    distance: NDArray[np.float64] = np.where(IS_SHORT, high / last_price - 1, 1 - low / last_price)
    reached: NDArray[np.bool_] = distance >= NEAR_EDGES
    return reached


def mask(buckets: Sequence[int]) -> NDArray[np.bool_]:
    """Return which of all buckets are among `buckets`."""
    return np.isin(np.arange(COUNT), buckets)


def edge_prices(last_price: float) -> NDArray[np.float64]:
    """Return the price of each bucket's nearer edge."""
    return last_price * (1 + np.where(IS_SHORT, NEAR_EDGES, -NEAR_EDGES))


def first_touches(last_price: float, *, known: Iterable[float]) -> tuple[list[int], list[float]]:
    """Return the buckets whose nearer edge is a new price, and all prices that are known afterwards.

    An edge within a bucket's width of one of the `known` prices is not new. That holds for unmarked buckets
    too: if only marked ones were left out, the remaining marked ones would lie farther away than the buckets
    with which they are compared.
    """
    before, edges = np.array(list(known)), edge_prices(last_price)
    fresh = (np.abs(edges[:, None] / before - 1) >= STEP).all(axis=1)
    return np.flatnonzero(fresh).tolist(), [*before.tolist(), *edges[fresh].tolist()]


def still_known(prices: Iterable[float], *, low: float, high: float) -> list[float]:
    """Return those of `prices` from which a move between `low` and `high` was never 1 % away.

    They stay known: a price that hovers around a level would otherwise touch it anew in each window.
    """
    return [each for each in prices if high < each * 1.01 and low > each * 0.99]
