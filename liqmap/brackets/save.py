"""Save the tiers that an exchange has published as a table of that day, as far as they have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from liqmap.brackets import read_table, table_name, tables_of
from liqmap.brackets.tiers import tiers_text
from liqmap.errors import DataError, RequestError
from liqmap.files import locked, write_file
from liqmap.files.seals import sealed_table
from liqmap.model import Exchange, Market

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date
    from pathlib import Path

    from liqmap.exchanges.messages import RiskTier

_COLUMNS = "# symbol, then its tiers: cap (of value or size), maintenance margin rate, maximum leverage"


class Saved(NamedTuple):
    """The symbols whose tiers were new or have changed, and those whose tiers were invalid."""

    changed: frozenset[str]
    left_out: frozenset[str]


def save_tiers(
    folder: Path,
    exchange: Exchange,
    published: Mapping[str, Iterable[RiskTier] | None],
    *,
    day: date,
    source: str,
) -> Saved:
    """Add the tiers of each symbol to the table of `day` if they differ from the newest known ones.

    Symbols whose tiers could not be read (None) or are invalid are left out; their older tiers stay valid.
    Raises DataError if a table cannot be read or written.
    """
    written: dict[str, str] = {}
    for symbol, tiers in published.items():
        try:
            written[Market(exchange, symbol).symbol] = tiers_text(tiers or ())
        except (ValueError, RequestError):  # an exchange may send anything, even as the name of a symbol
            continue
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Several processes may share a store, and each reads the table before it writes it.
        with locked(folder):
            changed = _changes(folder, exchange, written)
            if changed:
                _write(folder / table_name(exchange, day), f"{source}, {day}", changed)
    except (OSError, RequestError) as error:
        raise DataError(f"The brackets of {exchange} cannot be saved in {folder.name}: {error}") from error
    return Saved(frozenset(changed), frozenset(published.keys() - written.keys()))


def _changes(folder: Path, exchange: Exchange, written: Mapping[str, str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for table in tables_of(exchange, (folder,)):
        known |= read_table(table.path)[1]
    return {symbol: text for symbol, text in written.items() if _values(known.get(symbol)) != _values(text)}


def _values(text: str | None) -> list[float]:
    return [float(value) for value in (text or "").replace(",", " ").split()]


def _write(path: Path, source: str, changed: Mapping[str, str]) -> None:
    before = dict(read_table(path)[1]) if path.exists() else {}
    lines = [f"{symbol} {text}" for symbol, text in sorted((before | dict(changed)).items())]
    write_file(path, sealed_table("\n".join([f"# {source}", _COLUMNS, *lines]) + "\n"))
