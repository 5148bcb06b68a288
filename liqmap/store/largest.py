"""Read a segment's trades, largest first, as far as a map needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from liqmap.compute.values import SideTrades
from liqmap.model import Side, notional_of
from liqmap.model.exact import DIGITS
from liqmap.store.reading import decimals_of, reading, unscaled

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from liqmap.compute.selection import Cut
    from liqmap.model.window import TimeWindow
    from liqmap.store.segments import Segment

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
    parts, wanted = [_no_rows(turns=turns)], cut.count
    with reading(segment, side.value) as table:
        decimals = [decimals_of(table.schema.field(name)) for name in _TRADE_COLUMNS]
        for batch in table.batches(0, None) if wanted != 0 else ():
            head = batch.slice(0, wanted) if whole and wanted is not None else batch
            opened = _opened(head, decimals, inverse=segment.origin.inverse, turns=turns)
            rows, ended = _cut_batch(opened, bounds, cut)
            parts.append(rows)
            if wanted is not None:
                wanted = max(0, wanted - len(rows[0]))
            if ended or wanted == 0:
                break
    time, price, notional, extreme, *turn = (
        np.concatenate(columns)[: cut.count] for columns in zip(*parts, strict=True)
    )
    extreme[extreme == 0] = np.inf if side is Side.BUY else -np.inf
    return Largest(SideTrades(side, time + start_ms, price, notional, *turn), extreme)


Rows = tuple["NDArray[Any]", ...]
"""Time, price, notional and extreme of trades, and their turns where those are asked for."""


def _no_rows(*, turns: bool) -> Rows:
    rows = np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0)
    return (*rows, np.empty(0, np.int64)) if turns else rows


def _opened(batch: pa.RecordBatch, decimals: list[int | None], *, inverse: bool, turns: bool) -> Rows:
    stored = [np.from_dlpack(batch.column(name)) for name in _TRADE_COLUMNS]
    price, extreme = unscaled(stored[0], decimals[0]), unscaled(stored[2], decimals[2])
    time = np.from_dlpack(batch.column("time")).astype(np.int64)
    rows = time, price, _notional(stored, price, decimals, inverse=inverse), extreme
    if not turns:
        return rows
    known = "turn" in batch.schema.names
    turn = np.from_dlpack(batch.column("turn")).astype(np.int64) if known else np.zeros_like(time)
    return (*rows, turn)


def _notional(
    stored: Sequence[NDArray[Any]],
    price: NDArray[np.float64],
    decimals: Sequence[int | None],
    *,
    inverse: bool,
) -> NDArray[np.float64]:
    """Return what `notional_of` returns of a batch, faster where prices and sizes are whole numbers."""
    if not inverse and decimals[0] is not None and decimals[1] is not None:
        places = decimals[0] + decimals[1]
        product: NDArray[np.float64] = stored[0] * stored[1].astype(np.float64)
        # Of twelve digits at most, it is exact, and the division rounds once: that is the float sought.
        if places <= _EXACT_POWERS and product.max(initial=0.0) < 10.0**DIGITS:
            product /= 10.0**places
            return product
    return notional_of(price, unscaled(stored[1], decimals[1]), inverse=inverse)


def _cut_batch(batch: Rows, bounds: tuple[int, int] | None, cut: Cut) -> tuple[Rows, bool]:
    time, _, notional, *_ = batch
    # Largest first, so the cut is a place; a batch that it leaves whole is not copied.
    end = len(notional) - int(np.searchsorted(notional[::-1], cut.minimum))
    kept: slice | NDArray[np.bool_] = slice(end)
    if bounds is not None:
        kept = (time >= bounds[0]) & (time < bounds[1])
        kept[end:] = False
    return tuple(column[kept] for column in batch), end < len(notional)
