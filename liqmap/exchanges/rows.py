"""Rows: what a day's file holds -> the trades of that day, checked as every exchange's must be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.errors import DataError
from liqmap.exchanges.fields import FIRST_ID, LAST_ID, LEAST_PRICE, LEAST_SIZE, MOST
from liqmap.exchanges.fills import first_fills, parts, summed
from liqmap.exchanges.protocol import DayTrades, NumberedTrades
from liqmap.model import LEAST_HOLE_MS, Hole, Trades
from liqmap.model.window import DAY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.model.window import TimeWindow

NO_ID: Final = 0
"""In place of the id of a row that has none. Such rows are never counted as repeated."""

# Holes are stored with the segment, so only the longest are kept should a file skip ids everywhere.
_MOST_HOLES = 200
_NOWHERE = np.empty(0, np.int64)
_OVERLAP = timedelta(hours=1)  # of the files of two days that follow each other


@dataclass(slots=True, eq=False)
class Rows:
    """The columns of a file's rows, as `Trades` has them, and `ids` where an exchange numbers its trades.

    Whoever hands them on gives them up: columns are replaced one by one, because two of each of a large day's
    would take more memory than a worker has.
    """

    time: NDArray[np.int64]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    is_buy: NDArray[np.bool_]
    ids: NDArray[np.int64] | None = None
    inverse: bool = False

    def __len__(self) -> int:
        return len(self.time)

    def pick(self, places: NDArray[np.bool_] | NDArray[np.uint32] | slice) -> None:
        """Keep the rows at `places`, in that order."""
        self.time = self.time[places]
        self.price = self.price[places]
        self.size = self.size[places]
        self.is_buy = self.is_buy[places]
        self.ids = None if self.ids is None else self.ids[places]

    def real(self) -> NDArray[np.bool_]:
        """Return which rows are trades: those of size 0 are none."""
        # Binance published 200,000 of them in May 2023 (binance-public-data, issues #263 and #342).
        real: NDArray[np.bool_] = self.size >= LEAST_SIZE
        return real

    def trades(self) -> Trades:
        """Return the rows as trades, uncopied."""
        return Trades(self.time, self.price, self.size, self.is_buy, self.inverse)


def check_rows(name: str, rows: Rows) -> None:
    """Raise DataError naming the file as `name`, if a size or the price of a trade cannot be right."""
    check_range(name, "size", rows.size, least=0)
    real = rows.real()
    check_range(name, "price", rows.price if real.all() else rows.price[real], least=LEAST_PRICE)


def trades_of_day(
    name: str, day: TimeWindow, rows: Rows, *, duplicates: int = 0, are_fills: bool = False
) -> DayTrades:
    """Return the trades of a `day` among the `rows` of a file that is named to a user as `name`.

    Rows of one millisecond were made in the order of their ids or, without ids, as they stand. If the rows
    `are_fills`, those of one order at one price become one trade. Rows up to an hour outside the day are left
    to the neighbouring day, if others lie inside it. `duplicates` rows that repeat others were left out
    before. `rows` are used up. Raises DataError naming the file and what cannot be right.
    """
    count = len(rows)
    _order_by_id(rows)
    duplicates += count - len(rows)
    real, inside = rows.real(), (rows.time >= day.start_ms) & (rows.time < day.end_ms)
    _check_day(name, day, rows.time if real.all() else rows.time[real])
    first, last, lost = _numbers(name, rows.ids, inside)
    holes = () if rows.ids is None or not lost else holes_in(*_chosen(inside, rows.ids, rows.time))
    beside = real & ~inside
    outside = None
    if rows.ids is not None and not inside.all():
        outside = NumberedTrades(_at(rows.trades(), beside), rows.ids[beside], are_fills)
    zero_sizes = int(np.count_nonzero(inside & ~real))
    # Last, because the counts above need the rows that it drops.
    keep = inside & real
    if not keep.all():
        rows.pick(keep)
    del real, inside, beside, keep
    _order_by_time(rows)
    if are_fills and rows.ids is not None:
        _merge(rows, rows.ids)
    return DayTrades(
        rows.trades(),
        first_id=first,
        last_id=last,
        lost_ids=lost,
        duplicates=duplicates,
        zero_sizes=zero_sizes,
        holes=holes,
        outside=outside,
    )


def completed(day: DayTrades, beside: NumberedTrades, *, own: TimeWindow) -> DayTrades:
    """Return a day, which is `own`, with those trades of it that only the file of a day beside holds.

    Those are the ones before its first id or after its last. An order whose fills lie in both files becomes
    one trade, as in one file.
    """
    if day.first_id is None or day.last_id is None or not len(day.trades):
        return day
    inside = (beside.trades.time >= own.start_ms) & (beside.trades.time < own.end_ms)
    new = np.flatnonzero(inside & ((beside.ids < day.first_id) | (beside.ids > day.last_id)))
    if not len(new):
        return day
    ids, added, trades = beside.ids[new], _at(beside.trades, new), day.trades
    first, last = min(day.first_id, int(ids[0])), max(day.last_id, int(ids[-1]))
    # What was known of the day itself stays; looked at are the stretches before its first and after its last.
    known = holes_in(
        np.append(ids, (day.first_id, day.last_id)), np.append(added.time, (trades.time[0], trades.time[-1]))
    )
    beyond = [hole for hole in known if not trades.time[0] <= hole.start_ms < trades.time[-1]]
    return replace(
        day,
        trades=_inserted(trades, added, ids, own=(day.first_id, day.last_id), are_fills=beside.are_fills),
        first_id=first,
        last_id=last,
        lost_ids=day.lost_ids + (day.first_id - first) + (last - day.last_id) - len(new),
        holes=tuple(sorted([*day.holes, *beyond])),
    )


def each_once(ids: NDArray[np.uint64] | NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows are the first of their id, or have none."""
    order = np.argsort(ids, kind="stable").astype(np.uint32)
    ordered = ids[order]
    repeats = np.zeros(len(ids), np.bool_)
    repeats[order[1:][(ordered[1:] == ordered[:-1]) & (ordered[1:] != NO_ID)]] = True
    return ~repeats


def holes_in(ids: NDArray[np.int64], time: NDArray[np.int64]) -> tuple[Hole, ...]:
    """Return the longest stretches of at least ten seconds in which ids are skipped, oldest first."""
    if not _is_rising(ids):
        order = np.argsort(ids, kind="stable")
        ids, time = ids[order], time[order]
    found = np.concatenate([_hole_places(ids, time, part) for part in parts(len(ids))] or [_NOWHERE])
    length = time[found + 1] - time[found]
    longest = np.sort(found[np.argsort(-length, kind="stable")[:_MOST_HOLES]])
    return tuple(Hole(int(time[at]), int(time[at + 1]), int(ids[at + 1] - ids[at] - 1)) for at in longest)


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


def _is_rising(ids: NDArray[np.int64]) -> bool:
    return bool((ids[1:] > ids[:-1]).all())


def _order_by_id(rows: Rows) -> None:
    """Put numbered rows in the order of their ids, and keep only the first row of each id."""
    if rows.ids is None or _is_rising(rows.ids):
        return
    # In half of the memory that the places take as argsort returns them.
    rows.pick(np.argsort(rows.ids, kind="stable").astype(np.uint32))
    is_first = np.ones(len(rows), np.bool_)
    np.not_equal(rows.ids[1:], rows.ids[:-1], out=is_first[1:])
    if not is_first.all():
        rows.pick(is_first)


def _order_by_time(rows: Rows) -> None:
    """Put rows in the order of time, those of equal time as they stand."""
    if not (rows.time[1:] >= rows.time[:-1]).all():
        rows.pick(np.argsort(rows.time, kind="stable").astype(np.uint32))


def _merge(fills: Rows, ids: NDArray[np.int64]) -> None:
    """Put the fills of one order and price together, as `merged_fills` does."""
    first = first_fills(fills.trades(), ids)
    fills.ids = None
    if first is not None:
        size = summed(fills.size, first)
        fills.pick(first)
        fills.size = size


def _chosen(mask: NDArray[np.bool_], *columns: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Return the rows of columns that a mask chooses, uncopied where those are all."""
    return columns if mask.all() else tuple(column[mask] for column in columns)


def _hole_places(ids: NDArray[np.int64], time: NDArray[np.int64], part: slice) -> NDArray[np.int64]:
    """Return the places in `part` after which rising ids skip some, for long enough to be a hole."""
    its = slice(part.start, part.stop + 1)
    holes = (np.diff(ids[its]) > 1) & (np.diff(time[its]) >= LEAST_HOLE_MS)
    places: NDArray[np.int64] = np.flatnonzero(holes) + part.start
    return places


def _check_day(name: str, window: TimeWindow, time: NDArray[np.int64]) -> None:
    slack = int(_OVERLAP.total_seconds() * 1000)
    if not len(time):
        return
    far = time.min() < window.start_ms - slack or time.max() >= window.end_ms + slack
    if far or not ((time >= window.start_ms) & (time < window.end_ms)).any():
        raise DataError(f"{name} holds trades of another day than {(window.end - DAY / 2).date()}.")


def _numbers(
    name: str, ids: NDArray[np.int64] | None, inside: NDArray[np.bool_]
) -> tuple[int | None, int | None, int]:
    """Return the first and the last id of a day, and how many in between its file does not have."""
    if ids is None or not inside.any():
        return None, None, 0
    start, end = int(inside.argmax()), len(inside) - 1 - int(inside[::-1].argmax())
    first, last = int(ids[start]), int(ids[end])
    if first < FIRST_ID or last > LAST_ID:
        raise DataError(f"{name} is not a file of trades: it holds the id {first if first < 0 else last}.")
    # Rows of size 0 and those just outside the day are no trades of it, but not lost either.
    return first, last, last - first - (end - start)


def _at(of: Trades, places: NDArray[np.bool_] | NDArray[np.intp]) -> Trades:
    return Trades(of.time[places], of.price[places], of.size[places], of.is_buy[places], of.inverse)


def _inserted(
    trades: Trades, new: Trades, ids: NDArray[np.int64], *, own: tuple[int, int], are_fills: bool
) -> Trades:
    """Return the trades of a day, whose `own` ids are the first and the last, with `new` ones around them."""
    earlier, later = np.flatnonzero(ids < own[0]), np.flatnonzero(ids > own[1])
    rows = Rows(
        np.concatenate([new.time[earlier], trades.time, new.time[later]]),
        np.concatenate([new.price[earlier], trades.price, new.price[later]]),
        np.concatenate([new.size[earlier], trades.size, new.size[later]]),
        np.concatenate([new.is_buy[earlier], trades.is_buy, new.is_buy[later]]),
        inverse=trades.inverse,
    )
    if are_fills:
        # The day's fills are put together already, so none of its trades goes on another. But an order may
        # go on from an earlier fill to its first trade, and from its last trade to a later fill.
        spread = own[0] + 2 * np.arange(len(trades))
        rows.ids = np.concatenate([ids[earlier], spread, ids[later] - own[1] + spread[-1]])
    _order_by_time(rows)
    if rows.ids is not None:
        _merge(rows, rows.ids)
    return rows.trades()
