"""Dated leverage brackets: the tables that ship with the package, and newer ones that were fetched since.

A table is a text file named EXCHANGE-DATE.txt: a comment with its source, then a symbol a line with its
tiers. Those in the store's folder `brackets` are written by `liqmap.collect.brackets`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from liqmap.compute.margin import Brackets
from liqmap.errors import DataError
from liqmap.seals import unsealed_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from liqmap.model import Exchange

SHIPPED: Final = Path(__file__).parent
"""The folder of the tables that ship with the package."""

_CACHED_TABLES = 16


@dataclass(frozen=True, slots=True, eq=False)
class DatedBrackets:
    """One symbol's brackets, the date that they were published for, and where they come from.

    `is_earliest` says that they were looked up for an earlier day, of which no table is known.
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
    """Return the brackets of `symbol` in the newest table not after `on` that has it.

    Where there is none, in the oldest table that has it; None where no table has it. Looks into `folders`
    and among the tables that ship. Raises DataError if a table cannot be read.
    """
    tables = tables_of(exchange, folders)
    until = [table for table in tables if table.date <= on]
    for table in (*reversed(until), *tables[len(until) :]):
        found = _dated(table, symbol, on=on)
        if found is not None:
            return found
    return None


def tables_of(exchange: Exchange, folders: tuple[Path, ...] = ()) -> list[Table]:
    """Return the tables of `exchange`, oldest first; of one date, the shipped one first."""
    tables = [
        Table(date.fromisoformat(path.stem.removeprefix(f"{exchange}-")), path)
        for folder in (SHIPPED, *folders)
        for path in folder.glob(f"{exchange}-????-??-??.txt")
    ]
    return sorted(tables, key=lambda table: table.date)


def bracketed_symbols(exchange: Exchange, folders: tuple[Path, ...] = ()) -> frozenset[str]:
    """Return the symbols that any table of `exchange` names. Raises DataError if a table cannot be read."""
    return frozenset(symbol for table in tables_of(exchange, folders) for symbol in read_table(table.path)[1])


def read_table(path: Path) -> tuple[str, Mapping[str, str]]:
    """Return a table's source, and the tiers of each symbol as they are written.

    Raises DataError if it cannot be read.
    """
    try:
        return _read_table(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise _unreadable(path) from error


def table_name(exchange: Exchange, day: date) -> str:
    """Return the name of the file of a table."""
    return f"{exchange}-{day}.txt"


@lru_cache(_CACHED_TABLES)
def _read_table(path: Path, changed: int) -> tuple[str, Mapping[str, str]]:
    del changed  # another version of a file is another table
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
