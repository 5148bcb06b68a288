"""Rows of series: what a file or a page of an exchange holds -> values that can be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from liqmap.errors import DataError
from liqmap.exchanges.archives import opened_zip
from liqmap.exchanges.fields import FIRST_MS, LAST_MS, MOST
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date
    from pathlib import Path

MOST_ROWS: Final = 100_000
"""Of one file or page: no series has so many steps a day."""

_CHUNK = 1 << 16

Row = tuple[int, tuple[float, ...]]
"""The start of a row's step [ms since 1970], and its values in the order of the kind's columns."""


def series_of(kind: SeriesKind, rows: Iterable[Row]) -> Series:
    """Return the series of rows in any order, each step once.

    Raises ValueError for a time or a value that cannot be right.
    """
    known = list(rows)
    if len(known) > MOST_ROWS:
        raise ValueError("there are too many rows")
    if any(not FIRST_MS <= time <= LAST_MS for time, _ in known):
        raise ValueError("a time is not in milliseconds since 1970")
    if any(not 0 <= value <= MOST for _, values in known for value in values):
        raise ValueError("a value is out of range")
    return Series.of(kind, [time for time, _ in known], [values for _, values in known])


def interest_of(rows: Iterable[Row]) -> Series:
    """Return the open interest of rows in any order, without those of 0.

    A market that trades has some: exchanges send 0 where they know none. Raises as `series_of`.
    """
    return series_of(SeriesKind.OPEN_INTEREST, rows).above_zero()


def marks_of(candles: Iterable[Sequence[Any]], *, time_of: Callable[[Any], int]) -> Series:
    """Return the mark prices of candles of a minute, in any order.

    A candle begins with its time, which `time_of` reads, and its opening, highest, lowest and last price.
    Raises ValueError for one that contradicts itself.
    """
    rows = [_mark_row(time_of(candle[0]), *candle[1:5]) for candle in candles]
    return series_of(SeriesKind.MARK_PRICE, rows)


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


def _mark_row(time: int, opening: str, high: str, low: str, close: str) -> Row:
    first, highest, lowest, last = map(float, (opening, high, low, close))
    if not 0 < lowest <= min(first, last) <= max(first, last) <= highest:
        raise ValueError("a candle's prices contradict each other")
    return time, (lowest, highest, last)
