"""Read a segment's trades, largest first, as far as a map needs them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from liqmap.compute.values import NEVER, SideTrades
from liqmap.model import Side, notional_of
from liqmap.model.exact import DIGITS
from liqmap.store.reading import decimals_of, reading, stored, unscaled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from liqmap.compute.selection import Cut
    from liqmap.model.window import TimeWindow
    from liqmap.store.segments import Segment
    from liqmap.store.tables import Table

_TRADE_COLUMNS = ("price", "size", "extreme")  # besides the time, and all perhaps scaled
_EXACT_POWERS = 22  # of ten are floats


class Largest(NamedTuple):
    """Trades read from a segment, and what the price did after each until the segment's end.

    `extreme` is the lowest price (after buys) or the highest (after sells) of all seconds after the
    entry's, infinite where there are none.
    """

    trades: SideTrades
    extreme: NDArray[np.float64]

    def first(self, count: int | None) -> Largest:
        """Return the `count` largest, or all."""
        return Largest(self.trades.chosen(slice(count)), self.extreme[:count])


def read_largest(
    segment: Segment, side: Side, *, window: TimeWindow, cut: Cut, turns: bool = False
) -> Largest:
    """Return the trades of `side` inside `window`, largest first, as far as `cut` reaches.

    With `turns`, they know their places within their milliseconds; segments of earlier versions did not
    keep those, and there the largest comes first. Reads batches from the front of the file and stops as
    soon as the cut is met. Raises DamagedSegment or UnreadableStore.
    """
    start_ms = segment.origin.window.start_ms
    whole = segment.origin.window.overlap(window) == segment.origin.window
    bounds = None if whole else (window.start_ms - start_ms, window.end_ms - start_ms)
    inverse = segment.origin.inverse
    with reading(segment, side.value) as table:
        batches = list(_front(table, bounds, cut, inverse=inverse))
        # The rows of a whole segment end where the count says, whatever they hold.
        most = cut.count if whole else None
        time = stored(batches, table.schema.field("time"))[:most]
        fields = [table.schema.field(name) for name in _TRADE_COLUMNS]
        columns, decimals = [stored(batches, each)[:most] for each in fields], [*map(decimals_of, fields)]
        price, extreme = unscaled(columns[0], decimals[0]), unscaled(columns[2], decimals[2])
        notional = _notional(columns, price, decimals, inverse=inverse)
        extreme[extreme == 0] = NEVER[side]
        # Largest first, so the cut is a place.
        end = len(notional) - int(np.searchsorted(notional[::-1], cut.minimum))
        rows: slice | NDArray[np.int64] = slice(end)
        if bounds is not None:
            rows = np.flatnonzero(_inside(time[:end], bounds))[: cut.count]
        turn = None
        if turns:
            known = "turn" in table.schema.names
            turn = stored(batches, table.schema.field("turn"))[:most] if known else np.zeros_like(time)
            turn = turn[rows].astype(np.int64)
        time = time[rows].astype(np.int64)
    time += start_ms
    return Largest(SideTrades(side, time, price[rows], notional[rows], turn), extreme[rows])


def _front(
    table: Table, bounds: tuple[int, int] | None, cut: Cut, *, inverse: bool
) -> Iterator[pa.RecordBatch]:
    """Yield the batches that hold what `cut` keeps of the trades inside `bounds`."""
    fields = [table.schema.field(name) for name in (("size",) if inverse else ("price", "size"))]
    # As stored, and a little less: so a product of floats, whatever its rounding, decides nothing.
    smallest = cut.minimum * 10.0 ** sum(decimals_of(each) or 0 for each in fields) * (1 - 1e-9)
    held = 0
    for batch in table.batches(0, None) if cut.count != 0 else ():
        yield batch
        if cut.count is not None:
            time = np.from_dlpack(batch.column("time"))
            held += len(time) if bounds is None else int(np.count_nonzero(_inside(time, bounds)))
            if held >= cut.count:
                return
        if smallest and len(batch):
            last = math.prod(batch.column(each.name)[-1].as_py() for each in fields)
            if last < smallest:
                return


def _inside(time: NDArray[Any], bounds: tuple[int, int]) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (time >= bounds[0]) & (time < bounds[1])
    return inside


def _notional(
    columns: Sequence[NDArray[Any]],
    price: NDArray[np.float64],
    decimals: Sequence[int | None],
    *,
    inverse: bool,
) -> NDArray[np.float64]:
    """Return what `notional_of` returns of trades, faster where prices and sizes are whole numbers."""
    if not inverse and decimals[0] is not None and decimals[1] is not None:
        places = decimals[0] + decimals[1]
        product: NDArray[np.float64] = columns[0] * columns[1].astype(np.float64)
        # Of twelve digits at most, it is exact, and the division rounds once: that is the float sought.
        if places <= _EXACT_POWERS and product.max(initial=0.0) < 10.0**DIGITS:
            product /= 10.0**places
            return product
    return notional_of(price, unscaled(columns[1], decimals[1]), inverse=inverse)
