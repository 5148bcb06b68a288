"""Rows of series: what a file or a page of an exchange holds -> values that can be believed."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.archives import opened_zip
from liqmap.exchanges.fields import FIRST_MS, LAST_MS, MOST
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date
    from pathlib import Path

MOST_ROWS: Final = 100_000
"""Of one file or page: no series has so many steps a day."""

MOST_ODD: Final = 0.1
"""If more than this share of a file's or page's rows cannot be right, and more than one, all are refused."""

log = logging.getLogger(__name__)

_CHUNK = 1 << 16

_Given = TypeVar("_Given")
Row = tuple[int, tuple[float, ...]]
"""The start of a row's step [ms since 1970], and its values in the order of the kind's columns."""


def series_of(kind: SeriesKind, rows: Sequence[_Given], read: Callable[[_Given], Row]) -> Series:
    """Return the series of rows in any order, as `read` reads them, each step once.

    A few rows that cannot be read, or have a time or a value that cannot be right, are left out: their steps
    are gaps. Raises ValueError if they are more than a few.
    """
    if len(rows) > MOST_ROWS:
        raise ValueError("there are too many rows")
    whole = _series(kind, rows, read)
    if whole is not None:
        return whole
    right = [each for row in rows if (each := _series(kind, [row], read)) is not None]
    odd = len(rows) - len(right)
    # Of the newest rows there are only a few, and a wrong one among them must not keep back the others.
    if not right or odd > max(1, MOST_ODD * len(rows)):
        raise ValueError("too many rows cannot be read")
    log.warning("%d of %d rows of %s cannot be read and are left out", odd, len(rows), kind)
    return Series.joined(kind, right)


def interest_of(rows: Sequence[_Given], read: Callable[[_Given], Row]) -> Series:
    """Return the open interest of rows in any order, without those of 0.

    A market that trades has some: exchanges send 0 where they know none. Raises as `series_of`.
    """
    return series_of(SeriesKind.OPEN_INTEREST, rows, read).above_zero()


def marks_of(candles: Sequence[Sequence[Any]], *, time_of: Callable[[Any], int]) -> Series:
    """Return the mark prices of candles of a minute, in any order.

    A candle begins with its time, which `time_of` reads, and its opening, highest, lowest and last price. One
    that contradicts itself cannot be right. Raises as `series_of`.
    """
    return series_of(SeriesKind.MARK_PRICE, candles, partial(_mark_row, time_of=time_of))


def _series(kind: SeriesKind, rows: Sequence[_Given], read: Callable[[_Given], Row]) -> Series | None:
    """Return the series of rows, None if one of them cannot be right."""
    try:
        with parser_door("a row cannot be read"):
            return _checked(kind, list(map(read, rows)))
    except DataError:
        return None


def _checked(kind: SeriesKind, known: Sequence[Row]) -> Series:
    if any(not FIRST_MS <= time <= LAST_MS for time, _ in known):
        raise ValueError("a time is not in milliseconds since 1970")
    if any(not 0 <= value <= MOST for _, values in known for value in values):
        raise ValueError("a value is out of range")
    return Series.of(kind, [time for time, _ in known], [values for _, values in known])


def rows_of_zip(path: Path, name: str, *, max_unpacked_size: int) -> list[list[str]]:
    """Return the rows of text of the only file in a zip, `name` with .csv instead of .zip.

    Raises DataError naming the file.
    """
    member = f"{name.removesuffix('.zip')}.csv"
    content = b""
    with opened_zip(path, name=name, member=member, max_unpacked_size=max_unpacked_size) as reader:
        while chunk := reader.read(_CHUNK):
            content += chunk
    # Numbers, times and names without a comma: quotes stand around nothing at most.
    lines = content.decode("utf-8-sig").splitlines()
    return [[field.strip('"') for field in line.split(",")] for line in lines if line]


def check_of_day(series: Series, day: date, name: str) -> Series:
    """Return the rows of a day; those beside it are its neighbours'. Raises DataError for none."""
    inside = series.within(TimeWindow.of_day(day))
    if not len(inside):
        raise DataError(f"{name} holds nothing of {day}; try again later.")
    return inside


def check_header(name: str, row: Sequence[str], expected: Sequence[str]) -> None:
    """Check that a file begins with the columns that are expected. Raises DataError naming it."""
    if tuple(row[: len(expected)]) != tuple(expected):
        raise DataError(f"{name} has other columns than expected; it may have been replaced, try again.")


def _mark_row(candle: Sequence[Any], *, time_of: Callable[[Any], int]) -> Row:
    first, highest, lowest, last = map(float, candle[1:5])
    if not 0 < lowest <= min(first, last) <= max(first, last) <= highest:
        raise ValueError("a candle's prices contradict each other")
    return time_of(candle[0]), (lowest, highest, last)
