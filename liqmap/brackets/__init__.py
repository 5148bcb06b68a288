"""Dated leverage brackets: the tables that ship with the package, and newer ones that were fetched since.

A table is a text file named EXCHANGE-DATE.txt: a comment with its source, then a symbol a line with its
tiers. `python -m liqmap.brackets` fetches Bybit's of today; Binance's are not public, so they ship.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from liqmap.compute.margin import Brackets
from liqmap.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from liqmap.model import Exchange

SHIPPED: Final = Path(__file__).parent
"""The folder of the tables that ship with the package."""


@dataclass(frozen=True, slots=True, eq=False)
class DatedBrackets:
    """One symbol's brackets, the date that they were published for, and where they come from."""

    brackets: Brackets
    date: date
    source: str


def find_brackets(
    exchange: Exchange, symbol: str, *, on: date, folders: tuple[Path, ...] = ()
) -> DatedBrackets | None:
    """Return the brackets of `symbol` in the newest table not after `on` that has it, or None.

    Looks into `folders` and among the tables that ship. Raises DataError if a table cannot be read.
    """
    tables = sorted(_tables(exchange, (SHIPPED, *folders)), reverse=True)
    for dated, path in tables:
        if dated > on:
            continue
        try:
            first, *lines = path.read_text(encoding="utf-8").splitlines()
            tiers = next((line.split()[1:] for line in lines if line.startswith(f"{symbol} ")), None)
            if tiers:
                return DatedBrackets(Brackets.of([_tier(text) for text in tiers]), dated, first.strip("# "))
        except (OSError, ValueError) as error:
            raise DataError(f"The bracket table {path.name} cannot be read; fetch it again.") from error
    return None


def table_name(exchange: Exchange, day: date) -> str:
    """Return the name of the file of a table."""
    return f"{exchange}-{day}.txt"


def _tables(exchange: Exchange, folders: tuple[Path, ...]) -> Iterator[tuple[date, Path]]:
    for folder in folders:
        for path in folder.glob(f"{exchange}-????-??-??.txt"):
            yield date.fromisoformat(path.stem.removeprefix(f"{exchange}-")), path


def _tier(text: str) -> tuple[float, float, float]:
    cap, rate, max_leverage = text.split(",")
    return float(cap), float(rate), float(max_leverage)
