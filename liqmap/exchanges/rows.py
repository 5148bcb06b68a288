"""Rows: what a day's file holds -> the trades of that day, checked as every exchange's must be."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from liqmap.errors import DataError
from liqmap.exchanges.fields import FIRST_ID, LAST_ID, LEAST_PRICE, LEAST_SIZE, MOST
from liqmap.exchanges.fills import merged_fills
from liqmap.exchanges.protocol import DayTrades, NumberedTrades
from liqmap.model import LEAST_HOLE_MS, Hole, Trades
from liqmap.window import DAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.window import TimeWindow

_MOST_HOLES = 200
_OVERLAP = timedelta(hours=1)  # of the files of two days that follow each other


def real_rows(name: str, rows: Trades) -> NDArray[np.bool_]:
    """Return which rows of a file are trades: those of size 0 are none.

    Binance published 200,000 of them in May 2023 (binance-public-data, issues #263 and #342). Raises
    DataError naming the file as `name`, and a size or a price that cannot be right.
    """
    check_range(name, "size", rows.size, least=0)
    real = rows.size >= LEAST_SIZE
    check_range(name, "price", rows.price if real.all() else rows.price[real], least=LEAST_PRICE)
    return real


def trades_of_day(
    name: str,
    day: TimeWindow,
    rows: Trades,
    *,
    real: NDArray[np.bool_],
    order: NDArray[np.int64] | None,
    ids: NDArray[np.int64] | None = None,
    are_fills: bool = False,
) -> DayTrades:
    """Return the trades of a `day` among the `rows` of a file that is named to a user as `name`.

    `real` says which of the rows are trades. `order` are the places of the rows, each once, in which those
    of one millisecond were made, None where the rows stand so; `ids` are those of all rows, where an exchange
    numbers its trades one by one. If the rows `are_fills`, those of one order at one price become one trade.
    Rows up to an hour outside the day are left to the neighbouring day, if others lie inside it. Raises
    DataError naming the file and what cannot be right.
    """
    if order is None and not are_fills and _is_plain(day, rows.time, real):
        return _plain_day(name, rows, ids)
    order = np.arange(len(rows)) if order is None else order
    _check_day(name, day, rows.time[real])
    inside = _inside_day(rows.time, day, order)
    keep = _in_time_order(rows.time, inside[real[inside]])
    first, last, lost = (None, None, 0) if ids is None else _numbers(name, ids, order, inside)
    holes = holes_in(ids[inside], rows.time[inside]) if ids is not None and lost else ()
    trades = _picked(rows, keep)
    return DayTrades(
        merged_fills(trades, ids[keep]) if are_fills and ids is not None else trades,
        first_id=first,
        last_id=last,
        lost_ids=lost,
        duplicates=len(rows) - len(order),
        zero_sizes=len(inside) - len(keep),
        holes=holes,
        outside=None
        if ids is None or len(inside) == len(order)
        else _outside(rows, ids, order[real[order]], day),
    )


def _is_plain(day: TimeWindow, time: NDArray[np.int64], real: NDArray[np.bool_]) -> bool:
    """Return whether all rows are trades of the day in the order of time, as in nearly every file.

    Nothing has to be picked then, which would take several times the memory of the rows.
    """
    if not len(time) or time[0] < day.start_ms or time[-1] >= day.end_ms or not real.all():
        return False
    return bool((time[1:] >= time[:-1]).all())


def _plain_day(name: str, rows: Trades, ids: NDArray[np.int64] | None) -> DayTrades:
    """Return the trades of a file that holds nothing else, with ids that only rise."""
    if ids is None:
        return DayTrades(rows)
    first, last = _checked_ids(name, int(ids[0]), int(ids[-1]))
    lost = last - first + 1 - len(ids)
    holes = holes_in(ids, rows.time) if lost else ()
    return DayTrades(rows, first_id=first, last_id=last, lost_ids=lost, holes=holes)


def completed(day: DayTrades, beside: NumberedTrades, *, own: TimeWindow) -> DayTrades:
    """Return a day, which is `own`, with those trades of it that only the file of a day beside holds.

    Those are the ones before its first id or after its last.
    """
    if day.first_id is None or day.last_id is None or not len(day.trades):
        return day
    inside = (beside.trades.time >= own.start_ms) & (beside.trades.time < own.end_ms)
    new = np.flatnonzero(inside & ((beside.ids < day.first_id) | (beside.ids > day.last_id)))
    if not len(new):
        return day
    ids, added, trades = beside.ids[new], _picked(beside.trades, new), day.trades
    first, last = min(day.first_id, int(ids[0])), max(day.last_id, int(ids[-1]))
    # What was known of the day itself stays; looked at are the stretches before its first and after its last.
    known = holes_in(
        np.append(ids, (day.first_id, day.last_id)), np.append(added.time, (trades.time[0], trades.time[-1]))
    )
    beyond = [hole for hole in known if not trades.time[0] <= hole.start_ms < trades.time[-1]]
    joined = _joined(added, trades)
    return replace(
        day,
        trades=_picked(joined, _in_time_order(joined.time, np.arange(len(joined)))),
        first_id=first,
        last_id=last,
        lost_ids=day.lost_ids + (day.first_id - first) + (last - day.last_id) - len(new),
        holes=tuple(sorted([*day.holes, *beyond])),
    )


def holes_in(ids: NDArray[np.int64], time: NDArray[np.int64]) -> tuple[Hole, ...]:
    """Return the longest stretches of at least ten seconds in which ids are skipped, oldest first."""
    order = np.argsort(ids, kind="stable")
    numbers, moments = ids[order], time[order]
    lost, length = np.diff(numbers) - 1, np.diff(moments)
    places = np.flatnonzero((lost > 0) & (length >= LEAST_HOLE_MS))
    longest = np.sort(places[np.argsort(-length[places], kind="stable")[:_MOST_HOLES]])
    return tuple(Hole(int(moments[at]), int(moments[at + 1]), int(lost[at])) for at in longest)


def check_range(
    name: str, column: str, values: NDArray[np.float64], *, least: float, most: float = MOST
) -> None:
    """Check that a column's values lie from `least` to `most`. Raises DataError naming the file and one."""
    right = (values >= least) & (values <= most)  # NaN is neither
    if not right.all():
        wrong = values[np.argmin(right)]
        raise DataError(f"{name} is not a file of trades: it holds a {column} of {wrong:g}.")


def no_trades() -> Trades:
    """Return the trades of a day without any."""
    return Trades(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, np.bool_))


def _check_day(name: str, window: TimeWindow, time: NDArray[np.int64]) -> None:
    slack = int(_OVERLAP.total_seconds() * 1000)
    if not len(time):
        return
    far = time.min() < window.start_ms - slack or time.max() >= window.end_ms + slack
    if far or not ((time >= window.start_ms) & (time < window.end_ms)).any():
        raise DataError(f"{name} holds trades of another day than {(window.end - DAY / 2).date()}.")


def _inside_day(time: NDArray[np.int64], window: TimeWindow, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of `rows` that lie inside the day; the others belong to its neighbours' files."""
    inside = (time >= window.start_ms) & (time < window.end_ms)
    return rows if inside.all() else rows[inside[rows]]


def _in_time_order(time: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `rows` ordered by time, rows of equal time as they stand."""
    ordered = time[rows]
    if (ordered[1:] >= ordered[:-1]).all():
        return rows
    return rows[np.argsort(ordered, kind="stable")]


def _numbers(
    name: str, ids: NDArray[np.int64], order: NDArray[np.int64], inside: NDArray[np.int64]
) -> tuple[int | None, int | None, int]:
    """Return the first and the last id of a day, and how many in between its file does not have."""
    if not len(inside):
        return None, None, 0
    first, last = _checked_ids(name, int(ids[inside].min()), int(ids[inside].max()))
    # Rows of size 0 and those just outside the day are no trades of it, but not lost either.
    found = int(np.count_nonzero((ids[order] >= first) & (ids[order] <= last)))
    return first, last, last - first + 1 - found


def _checked_ids(name: str, first: int, last: int) -> tuple[int, int]:
    if first < FIRST_ID or last > LAST_ID:
        raise DataError(f"{name} is not a file of trades: it holds the id {first if first < 0 else last}.")
    return first, last


def _picked(rows: Trades, places: NDArray[np.int64]) -> Trades:
    """Return the trades at `places`, uncopied where those are all of them in order, as in most files."""
    if len(places) == len(rows) and (places[1:] > places[:-1]).all():
        return rows
    return Trades(rows.time[places], rows.price[places], rows.size[places], rows.is_buy[places], rows.inverse)


def _outside(
    rows: Trades, ids: NDArray[np.int64], places: NDArray[np.int64], day: TimeWindow
) -> NumberedTrades:
    """Return the trades at `places` that lie outside the day."""
    time = rows.time[places]
    others = places[(time < day.start_ms) | (time >= day.end_ms)]
    return NumberedTrades(_picked(rows, others), ids[others])


def _joined(first: Trades, second: Trades) -> Trades:
    time, price, size, is_buy = (
        np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("time", "price", "size", "is_buy")
    )
    return Trades(time, price, size, is_buy, second.inverse)
