"""Lay trades out as the tables of a segment: bars, and the trades of each side, largest first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from liqmap.model import Side, notional_of
from liqmap.model.exact import rounded
from liqmap.store.segments import VOLUME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.model import Trades
    from liqmap.model.window import TimeWindow

_MAX_DECIMALS = 12
_PASSED_AT_ONCE = 1 << 17  # rows: they fit into the CPU's cache
Columns = dict[str, "NDArray[Any]"]

_NUMPY_TO_ARROW = {
    np.dtype(np.uint8): pa.uint8(),
    np.dtype(np.uint16): pa.uint16(),
    np.dtype(np.uint32): pa.uint32(),
    np.dtype(np.int64): pa.int64(),
    np.dtype(np.float64): pa.float64(),
}


def bars_of(trades: Trades, window: TimeWindow) -> Columns:
    """Return the bars of seconds that traded, each `second` counted from the start of `window`."""
    second = ((trades.time - window.start_ms) // 1000).astype(np.uint32)
    first = np.flatnonzero(np.r_[True, second[1:] != second[:-1]]) if len(second) else np.empty(0, np.int64)
    last = np.r_[first[1:], len(second)] - 1 if len(second) else first

    def of_each(how: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        return how.reduceat(values, first, dtype=values.dtype) if len(first) else values

    return {
        "second": second[first],
        "low": of_each(np.minimum, trades.price),
        "high": of_each(np.maximum, trades.price),
        "close": trades.price[last],
        "buy_count": of_each(np.add, trades.is_buy.astype(np.uint32)),
        "sell_count": of_each(np.add, (~trades.is_buy).astype(np.uint32)),
        # A sum of decimals is one, up to a float's noise.
        VOLUME: rounded(of_each(np.add, trades.size)),
    }


def minutes_of(bars: Columns) -> Columns:
    """Return the bars of minutes that those of seconds make up."""
    minute = bars["second"] // 60 * 60
    first = np.flatnonzero(np.diff(minute, prepend=np.uint32(2**32 - 1)))
    if not len(first):
        return bars
    how = {"low": np.minimum, "high": np.maximum}
    merged = {
        name: how.get(name, np.add).reduceat(values, first, dtype=values.dtype)
        for name, values in bars.items()
    }
    last = np.append(first[1:], len(minute)) - 1
    volume = {VOLUME: rounded(merged[VOLUME])} if VOLUME in merged else {}
    return merged | {"second": minute[first], "close": bars["close"][last]} | volume


def bars_table(bars: Columns) -> pa.RecordBatch:
    """Return the table of bars, prices and volumes as whole numbers where they are exact."""
    return record_batch(
        **{
            name: _scaled(values) if values.dtype == np.float64 else (values, None)
            for name, values in bars.items()
        }
    )


def side_table(trades: Trades, side: Side, window: TimeWindow, bars: Columns) -> pa.RecordBatch:
    """Return the table of one side's trades, largest notional first."""
    places = np.flatnonzero(trades.is_buy if side is Side.BUY else ~trades.is_buy).astype(np.uint32)
    columns: Columns = {"time": trades.time, "price": trades.price, "size": trades.size}
    turn = _turns(_taken(trades.time, places, less=window.start_ms))
    return _ordered_side(side, columns, turn, places, bars, inverse=trades.inverse, start_ms=window.start_ms)


def ordered_side(side: Side, columns: Columns, bars: Columns, *, inverse: bool) -> pa.RecordBatch:
    """Return the table of a side, whose trades `columns` has in the order of time, largest notional first."""
    places = np.arange(len(columns["time"]), dtype=np.uint32)
    # Segments of earlier versions have no turns.
    turn = columns.get("turn", np.zeros(len(places), np.uint8))
    turn = turn.astype(np.min_scalar_type(turn.max(initial=0)))
    return _ordered_side(side, columns, turn, places, bars, inverse=inverse, start_ms=0)


def _ordered_side(
    side: Side,
    columns: Columns,
    turn: NDArray[Any],
    places: NDArray[np.uint32],
    bars: Columns,
    *,
    inverse: bool,
    start_ms: int,
) -> pa.RecordBatch:
    """Return the table of the trades that `columns` has at `places`. One column is copied at a time."""
    order = _largest_first(columns["price"], columns["size"], places, inverse=inverse)
    turn, places = turn[order], places[order]
    del order
    time = _taken(columns["time"], places, less=start_ms)
    return record_batch(
        time=(time, None),
        price=_scaled(columns["price"][places]),
        size=_scaled(columns["size"][places]),
        extreme=_scaled(_extreme_after(side, time, bars)),
        turn=(turn, None),
    )


def _taken(time: NDArray[Any], places: NDArray[np.uint32], *, less: int) -> NDArray[np.uint32]:
    """Return the times at `places`, counted from `less` on."""
    taken = np.empty(len(places), np.uint32)
    for part in _parts(len(places)):
        taken[part] = time[places[part]] - less
    return taken


def _turns(time: NDArray[np.uint32]) -> NDArray[Any]:
    """Return each trade's place among those of its millisecond; trades come as they were made."""
    place = np.arange(len(time), dtype=np.uint32)
    is_first = np.r_[True, time[1:] != time[:-1]][: len(time)]
    turn = place - np.maximum.accumulate(np.where(is_first, place, np.uint32(0)))
    return turn.astype(np.min_scalar_type(turn.max(initial=0)))


def _largest_first(
    price: NDArray[np.float64], size: NDArray[np.float64], places: NDArray[np.uint32], *, inverse: bool
) -> NDArray[np.uint32]:
    """Return the order of the trades at `places` by notional. Of equal ones the earlier stays in front."""
    below_zero = np.empty(len(places))
    for part in _parts(len(places)):
        its = places[part]
        np.negative(notional_of(price[its], size[its], inverse=inverse), out=below_zero[part])
    # Two sorts of whole numbers or of floats, for which processors have instructions, take a third of the
    # time of one sort that keeps equal ones in order.
    order = np.argsort(below_zero).astype(np.uint32)
    below_zero = below_zero[order]
    differs = np.zeros(len(order), np.bool_)
    np.not_equal(below_zero[1:], below_zero[:-1], out=differs[1:])
    del below_zero
    rank_and_place = np.cumsum(differs, dtype=np.uint64)
    rank_and_place <<= 32
    rank_and_place |= order
    rank_and_place.sort()
    return rank_and_place.astype(np.uint32)


def _extreme_after(side: Side, time: NDArray[np.uint32], bars: Columns) -> NDArray[np.float64]:
    """Return the lowest low (for buys) or highest high of the seconds after each time's, 0 if none."""
    worst, name = (np.minimum, "low") if side is Side.BUY else (np.maximum, "high")
    following = np.append(worst.accumulate(bars[name][:0:-1])[::-1], 0.0)
    # A search for each second is shorter than one for each trade.
    seconds = np.arange(time.max(initial=0) // 1000 + 1, dtype=np.uint32)
    after = following[np.searchsorted(bars["second"], seconds)]
    extreme = np.empty(len(time))
    for part in _parts(len(time)):
        extreme[part] = after[time[part] // 1000]
    return extreme


def record_batch(**columns: tuple[NDArray[Any], int | None]) -> pa.RecordBatch:
    """Return columns as an Arrow record batch, each of values and of the decimals of its whole numbers."""
    fields, arrays = [], []
    for name, (values, decimals) in columns.items():
        metadata = None if decimals is None else {"decimals": str(decimals)}
        fields.append(pa.field(name, _NUMPY_TO_ARROW[values.dtype], nullable=False, metadata=metadata))
        # pa.array() would import pandas, which costs every worker a third of a second.
        arrays.append(
            pa.Array.from_buffers(
                fields[-1].type, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))]
            )
        )
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _scaled(values: NDArray[np.float64]) -> tuple[NDArray[Any], int | None]:
    largest = values.max(initial=0.0)
    for scale in 10.0 ** np.arange(_MAX_DECIMALS + 1):
        if largest * scale >= 2**53:  # more digits than a float has
            break
        # A look at the head rules most scales out before the whole column is tried.
        parts = (values[part] for part in (slice(1000), *_parts(len(values))))
        if all(np.array_equal(np.rint(part * scale) / scale, part) for part in parts):
            scaled = np.empty(len(values), np.uint32 if largest * scale < 2**32 - 1 else np.int64)
            for part in _parts(len(values)):
                scaled[part] = np.rint(values[part] * scale)
            return scaled, round(math.log10(scale))
    return values, None


def _parts(count: int) -> list[slice]:
    """Return slices of so many rows: what is computed in passes needs memory for a part only."""
    return [slice(start, start + _PASSED_AT_ONCE) for start in range(0, count, _PASSED_AT_ONCE)]
