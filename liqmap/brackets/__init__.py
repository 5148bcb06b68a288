"""Dated tables of leverage brackets: those that ship with the package, and newer ones in the store.

A table is a text file named EXCHANGE-DATE.txt. Its first line is a comment with the source; each other line
has a symbol and its tiers. `liqmap.collect.brackets` writes those in the store's folder `brackets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from liqmap.compute.margin import Brackets
from liqmap.errors import DataError
from liqmap.files import matching, version_of
from liqmap.files.seals import unsealed_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liqmap.model import Exchange

SHIPPED: Final = Path(__file__).parent
"""The folder of the tables that ship with the package."""

_CACHED_TABLES = 16  # a table has hundreds of symbols, and one map needs one of them


@dataclass(frozen=True, slots=True, eq=False)
class DatedBrackets:
    """One symbol's brackets, their date, and their source.

    `is_earliest` means that they are the oldest known, and were requested for an earlier day.
    """

    brackets: Brackets
    date: date
    source: str
    is_earliest: bool = False


class Table(NamedTuple):
    """A table: its date and its file."""

    date: date
    path: Path


def find_brackets(
    exchange: Exchange, symbol: str, *, on: date, folders: tuple[Path, ...] = ()
) -> DatedBrackets | None:
    """Return the brackets of `symbol` from the newest table that has it and is not after `on`.

    If there is none, they come from the oldest table that has the symbol; None if no table does. Looks into
    `folders` and the tables that ship. Raises DataError if a table cannot be read.
    """
    tables = tables_of(exchange, folders)
    until = [table for table in tables if table.date <= on]
    for table in (*reversed(until), *tables[len(until) :]):
        found = _dated(table, symbol, on=on)
        if found is not None:
            return found
    return None


def tables_of(exchange: Exchange, folders: tuple[Path, ...] = ()) -> list[Table]:
    """Return the tables of `exchange`, oldest first; of the same date, the shipped one first."""
    tables = [
        Table(date.fromisoformat(path.stem.removeprefix(f"{exchange}-")), path)
        for folder in (SHIPPED, *folders)
        for path in matching(folder, f"{exchange}-????-??-??.txt")
    ]
    # The sort is stable, so of the same date a fetched table is found before the shipped one.
    return sorted(tables, key=lambda table: table.date)


def bracketed_symbols(exchange: Exchange, folders: tuple[Path, ...] = ()) -> frozenset[str]:
    """Return the symbols that any table of `exchange` names. Raises DataError if a table cannot be read."""
    return frozenset(symbol for table in tables_of(exchange, folders) for symbol in read_table(table.path)[1])


def read_table(path: Path) -> tuple[str, Mapping[str, str]]:
    """Return a table's source, and the text of each symbol's tiers.

    Raises DataError if the table cannot be read.
    """
    try:
        return _read_table(path, version_of(path))
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error


def table_name(exchange: Exchange, day: date) -> str:
    """Return the name of the file of a table."""
    return f"{exchange}-{day}.txt"


@lru_cache(_CACHED_TABLES)
def _read_table(path: Path, version: tuple[int, int, int]) -> tuple[str, Mapping[str, str]]:
    del version  # part of the cache's key only: a file that was rewritten is read again
    first, *lines = unsealed_table(path.read_bytes()).splitlines()
    tiers = (line.partition(" ") for line in lines if not line.startswith("#"))
    return first.strip("# "), {symbol: rest for symbol, _, rest in tiers}


def _dated(table: Table, symbol: str, *, on: date) -> DatedBrackets | None:
    source, tiers = read_table(table.path)
    text = tiers.get(symbol)
    if text is None:
        return None
    try:
        brackets = Brackets.of([_tier(each) for each in text.split()])
    except ValueError as error:
        raise _unreadable(table.path) from error
    return DatedBrackets(brackets, table.date, source, is_earliest=table.date > on)


def _tier(text: str) -> tuple[float, float, float]:
    cap, rate, max_leverage = text.split(",")
    return float(cap), float(rate), float(max_leverage)


def _unreadable(path: Path) -> DataError:
    return DataError(f"The bracket table {path.name} cannot be read; fetch it again.")
