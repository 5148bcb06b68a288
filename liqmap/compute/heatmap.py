"""Compute the heatmap: which notional stood at each price, as it was known at each moment."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from liqmap.compute.grid import PriceGrid, with_room
from liqmap.compute.reached import first_reached, lowest_spans
from liqmap.compute.values import Heatmap
from liqmap.model import Side

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from liqmap.compute.joint_series import Prices
    from liqmap.compute.open_shares import OpenShares
    from liqmap.compute.values import LiquidationLevels, LiquidationMap, PricePath

MAX_ROWS: Final = 200
"""At most about this many price buckets: each takes about a pixel of a phone's display."""

MARGIN_SHARE: Final = 0.04
"""How far the buckets go on beyond what must be shown, as a share of it, at each end."""

_FINER = 4  # times as many buckets has each market of several, before it is aligned

# The last price with its time, and each label, take at most these shares of the picture's height.
_LAST_PRICE_SHARE: Final = 0.09
_LABEL_SHARE: Final = 0.06

LEFT_OUT: Final = 0.01
"""At most this share of what stands lies below the heatmap, and at most as much above it."""


class _OverTime(NamedTuple):
    """What stood in each bucket and column, and what stands below and above the grid."""

    value: NDArray[np.float64]
    below: float
    above: float


def build_heatmap(
    liquidation_map: LiquidationMap,
    stretches: Iterable[tuple[LiquidationLevels, ...]],
    *,
    bin_seconds: int,
    swept_by: PricePath | None = None,
    shares: OpenShares | None = None,
) -> Heatmap:
    """Return the heatmap of a computed map and its levels; the price path has bins of `bin_seconds`.

    The last column is what the map shows as standing. A swept level ends in the column in which price
    touched it, even if the map shows all levels. That is the price of `swept_by`, or else of the map's path.
    By open interest, `shares` says what of a level is left in each column.
    """
    columns = _columns(liquidation_map, bin_seconds)
    grid = _grid(liquidation_map)
    found = _over_time(
        stretches,
        grid,
        columns,
        path=swept_by or liquidation_map.path,
        last_price=liquidation_map.last_price,
        width=bin_seconds * 1000,
        shares=shares,
    )
    return Heatmap(grid.edges, _times(columns, bin_seconds), *found)


def build_joint_heatmap(
    liquidation_map: LiquidationMap,
    stretches: Sequence[Iterable[tuple[LiquidationLevels, ...]]],
    *,
    bin_seconds: int,
    swept_by: Sequence[PricePath | None],
    open_shares: Sequence[OpenShares | None],
    prices: Sequence[Prices],
) -> Heatmap:
    """Return the heatmap of a map of several markets, with the levels and prices of each share's market.

    In each column a market is aligned by the prices at its end: its levels times the reference's price,
    divided by its own. `prices` returns those of each market at some moments [ms].
    """
    columns, width = _columns(liquidation_map, bin_seconds), bin_seconds * 1000
    grid, ends = _grid(liquidation_map), _times(columns, bin_seconds)[1:]
    reference, shares = prices[0](ends), liquidation_map.shares

    def aligned(number: int) -> _OverTime:
        share = shares[number]

        def over_time(grid: PriceGrid) -> _OverTime:
            return _over_time(
                stretches[number],
                grid,
                columns,
                path=swept_by[number] or share.path,
                last_price=share.last_price,
                width=width,
                shares=open_shares[number],
            )

        if share is shares[0]:
            return over_time(grid)
        ratio = reference / prices[number](ends)
        ratio[-1] = share.ratio  # the last column is what the map shows
        low, high = float(grid.edges[0]) / ratio.max(), float(grid.edges[-1]) / ratio.min()
        fine = PriceGrid.over(low, high, buckets=_FINER * MAX_ROWS, least_span=0.0)
        return _aligned(over_time(fine), fine, grid, ratio)

    each = [aligned(number) for number in range(len(shares))]
    value = sum((one.value for one in each), start=np.zeros((len(grid), len(columns))))
    below, above = sum(one.below for one in each), sum(one.above for one in each)
    return Heatmap(grid.edges, _times(columns, bin_seconds), value, below, above)


def _aligned(own: _OverTime, fine: PriceGrid, grid: PriceGrid, ratio: NDArray[np.float64]) -> _OverTime:
    """Return what stood in the buckets of `fine` in those of `grid`, each column times its ratio."""
    row, column = np.nonzero(own.value > 0)  # of truths it takes half as long
    notional = own.value[row, column]
    middle = (fine.edges[:-1] + fine.edges[1:]) / 2
    # A row before and one behind the grid's hold what lies beyond it.
    place = np.clip(grid.bucket_of(middle[row] * ratio[column]), -1, len(grid)) + 1
    shape = len(grid) + 2, len(ratio)
    sums = np.bincount(place * shape[1] + column, weights=notional, minlength=shape[0] * shape[1])
    value = sums.reshape(shape).astype(np.float64, copy=False)  # bincount returns integers for no weights
    below, above = own.below + float(value[0, -1]), own.above + float(value[-1, -1])
    return _OverTime(value[1:-1], below, above)


def _columns(liquidation_map: LiquidationMap, bin_seconds: int) -> range:
    """Return the bins of the window, by their numbers since 1970."""
    window, width = liquidation_map.request.window, bin_seconds * 1000
    return range(window.start_ms // width, -(-window.end_ms // width))


def _times(columns: range, bin_seconds: int) -> NDArray[np.int64]:
    return np.arange(columns.start, columns.stop + 1) * bin_seconds * 1000


def _over_time(
    stretches: Iterable[tuple[LiquidationLevels, ...]],
    grid: PriceGrid,
    columns: range,
    *,
    path: PricePath,
    last_price: float,
    width: int,
    shares: OpenShares | None,
) -> _OverTime:
    # Each level adds its notional where it begins and subtracts it where it ends. The running total over
    # the columns is then the value, without a loop over the columns of every level.
    change = np.zeros((len(grid), len(columns) + 1))
    times = np.arange(columns.start, columns.stop + 1) * width
    below = above = 0.0
    lowest = {side: lowest_spans(_column_prices(side, path, columns, width=width)) for side in Side}
    for levels in chain.from_iterable(stretches):
        born = levels.entry_time // width - columns.start
        gone = _gone(levels, born, lowest[levels.side], last_price=last_price)
        row = grid.bucket_of(levels.price)
        inside = (row >= 0) & (row < len(grid))
        # The grid holds all traded prices, but mark prices may have swept levels beyond its ends.
        stands = gone == len(columns)
        below += float(levels.notional[stands & (row < 0)].sum())
        above += float(levels.notional[stands & (row >= len(grid))].sum())
        place = row * change.shape[1]  # in the flat grid, to which adding takes a fifth of the time
        for column, sign in ((born, 1), (gone, -1)):
            notional = _notional_in(levels, column, times, shares)
            np.add.at(change.ravel(), (place + column)[inside], sign * notional[inside])
    value: NDArray[np.float64] = _running(change, times, shares)[:, :-1]
    # What was added and subtracted again leaves rounding errors relative to its size, not exact zeros.
    value[value < 1e-9 * value.max(initial=0.0)] = 0.0
    return _OverTime(value, below, above)


def _notional_in(
    levels: LiquidationLevels,
    column: NDArray[np.int64],
    times: NDArray[np.int64],
    shares: OpenShares | None,
) -> NDArray[np.float64]:
    """Return what each level counts in a column: all of it, or what is left of what it opened."""
    if shares is None or levels.opened is None:
        return levels.notional
    until = _interval_of_column(times, shares)[column]
    return levels.opened * shares.kept(shares.interval_of(levels.entry_time), until)


def _running(
    change: NDArray[np.float64], times: NDArray[np.int64], shares: OpenShares | None
) -> NDArray[np.float64]:
    """Return the running total of changes, of which each column keeps what open interest leaves."""
    if shares is None:
        return np.cumsum(change, axis=1)
    interval = _interval_of_column(times, shares)
    kept = shares.kept(interval[:-1], interval[1:])
    value = change.copy()
    for column, left in enumerate(kept.tolist(), 1):
        value[:, column] += value[:, column - 1] * left
    return value


def _interval_of_column(times: NDArray[np.int64], shares: OpenShares) -> NDArray[np.int64]:
    """Return the interval in which each column ends, and for the place after the last column the last."""
    return np.append(shares.interval_of(times[1:] - 1), shares.last)


def _grid(liquidation_map: LiquidationMap) -> PriceGrid:
    """Return the rows, which span the price path, every labelled cluster, and nearly all that stands."""
    (low, high), buckets = _must_show(liquidation_map), liquidation_map.buckets
    running = np.cumsum((buckets.long + buckets.short).sum(axis=0))
    if len(running) and running[-1]:
        first, last = np.searchsorted(running, running[-1] * np.array([LEFT_OUT, 1 - LEFT_OUT]))
        low, high = min(low, float(buckets.edges[first])), max(high, float(buckets.edges[last + 1]))
    # What is shown keeps off the ends, where sums are written.
    margin = MARGIN_SHARE * max(high - low, liquidation_map.last_price / 1000)
    last, (below, above) = liquidation_map.last_price, _room(liquidation_map)
    low, high = with_room(low - margin, high + margin, last_price=last, below=below, above=above)
    return PriceGrid.over(max(0.0, low), high, buckets=MAX_ROWS, least_span=0.0)


def _room(liquidation_map: LiquidationMap) -> tuple[float, float]:
    """Return the shares of the range below and above the last price that labels of named clusters need."""
    below, above = (
        _LAST_PRICE_SHARE
        + _LABEL_SHARE * sum(each.is_named for each in liquidation_map.labelled if each.side is side)
        for side in Side
    )
    return below, above


def _must_show(liquidation_map: LiquidationMap) -> tuple[float, float]:
    """Return the lowest and the highest price that the price path or a labelled cluster reaches."""
    path = liquidation_map.path
    low = min([float(path.low.min()), *(each.low for each in liquidation_map.labelled)])
    high = max([float(path.high.max()), *(each.high for each in liquidation_map.labelled)])
    return low, high


def _column_prices(side: Side, path: PricePath, columns: range, *, width: int) -> NDArray[np.float64]:
    """Return the price of each column that sweeps a side's levels, negative for shorts (see `_gone`)."""
    price = np.full(len(columns), np.inf)
    place = path.time // width - columns.start
    inside = (place >= 0) & (place < len(columns))
    price[place[inside]] = path.low[inside] if side is Side.BUY else -path.high[inside]
    return price


def _gone(
    levels: LiquidationLevels,
    born: NDArray[np.int64],
    lowest: Sequence[NDArray[np.float64]],
    *,
    last_price: float,
) -> NDArray[np.int64]:
    """Return the column in which price touched each level, or the number of columns if it never did."""
    # Shorts are mirrored, so that a level of either side is touched by a price that is not above it.
    sign, columns = 1 if levels.side is Side.BUY else -1, len(lowest[0]) - 1
    level = sign * levels.price
    gone = first_reached(lowest, level, born + 1)
    if levels.after.soon is None:
        raise ValueError("a heatmap needs the extremes soon after each entry")
    gone = np.where(sign * levels.after.soon <= level, born, gone)
    # No bar follows the entries of the last second; whether they stand depends on the last price alone.
    behind = (gone == columns) & (sign * last_price <= level)
    return np.where(behind, np.maximum(born, columns - 1), gone)
