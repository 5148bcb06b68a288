"""Liquidations that exchanges reported: kept beside the trades, one sealed table a symbol and day.

A table is written anew whenever something is added, so that its seal covers all of it. Tables of before there
were seals have neither the seal nor the comment, and some lack the last column. They are written in today's
form when something is added::

    # xxh3: 0123456789abcdef
    # liquidations
    time_ms,position,price,size,stream,bankruptcy
    1791072000005,long,78541.7,0.014,sampled,78227.5
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from liqmap.errors import DataError
from liqmap.exchanges.messages import Liquidation
from liqmap.files import locked, make_synced, replace_file, unreadable
from liqmap.files.seals import BrokenSeal, sealed_table, unsealed_table
from liqmap.model import Side
from liqmap.model.window import at_ms
from liqmap.store.damaged import files_aside, set_file_aside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from liqmap.model import Exchange

log = logging.getLogger(__name__)

COLUMNS: Final = ("time_ms", "position", "price", "size", "stream", "bankruptcy")
"""`position` is the side that was liquidated; `stream` is complete, or sampled where some are left out.
`bankruptcy` is empty where the exchange does not tell it beside the fill."""

_HEADER = ",".join(COLUMNS) + "\n"
_HEADER_BEFORE = ",".join(COLUMNS[:-1]) + "\n"
_COMMENT = "# liquidations\n"


def append_liquidations(
    root: Path, exchange: Exchange, liquidations: Iterable[Liquidation], *, complete: bool
) -> None:
    """Add liquidations to the tables below the store's `root`, each written whole or not at all.

    A damaged table is set aside, and a new one begins. Other processes that add some wait. Raises OSError if
    a table cannot be written, or after too long a wait.
    """
    for path, rows in _rows_by_table(root, exchange, liquidations, complete=complete).items():
        with _locked(path):
            _write(path, _kept(root, path) + "".join(rows))


def merge_liquidations(
    root: Path, exchange: Exchange, liquidations: Iterable[Liquidation], *, complete: bool
) -> None:
    """Add liquidations as `append_liquidations` does, except those that are in their table already.

    Raises OSError alike.
    """
    for path, rows in _rows_by_table(root, exchange, liquidations, complete=complete).items():
        with _locked(path):
            _merge(root, path, rows)


def restore_liquidations(
    root: Path,
    exchange: Exchange,
    symbol: str,
    day: date,
    liquidations: Iterable[Liquidation],
    *,
    complete: bool,
) -> None:
    """Merge liquidations into a day's table that is damaged or was, all of whose rows are among them.

    What was set aside of it is removed. Raises OSError as `merge_liquidations`, UnreadableStore.
    """
    path = liquidations_path(root, exchange, symbol, day)
    rows = _rows_by_table(root, exchange, liquidations, complete=complete).get(path, ())
    with _locked(path):
        _merge(root, path, rows)
        _remove_aside(root, path)


def write_liquidations(
    root: Path,
    exchange: Exchange,
    symbol: str,
    day: date,
    liquidations: Iterable[Liquidation],
    *,
    complete: bool,
) -> None:
    """Write a whole day's liquidations, in place of what is there and of what was set aside of it.

    Raises OSError as `append_liquidations`, UnreadableStore.
    """
    path = liquidations_path(root, exchange, symbol, day)
    with _locked(path):
        _write(path, "".join(_row(each, complete=complete) for each in liquidations))
        _remove_aside(root, path)


def is_damaged(root: Path, exchange: Exchange, symbol: str, day: date) -> bool:
    """Return whether a day's table is damaged, or was and has been set aside. Raises UnreadableStore."""
    try:
        read_liquidations(root, exchange, symbol, day)
    except DataError:
        return True
    return False


def read_liquidations(root: Path, exchange: Exchange, symbol: str, day: date) -> list[Liquidation]:
    """Return a day's liquidations in the order in which they came, none if there are none.

    Raises DataError if the day's table is damaged, or was and has been set aside; UnreadableStore.
    """
    path = liquidations_path(root, exchange, symbol, day)
    try:
        rows = _rows(path.read_bytes())
    except FileNotFoundError:
        rows = ""
    except BrokenSeal as error:
        raise _damaged(symbol, day) from error
    except OSError as error:
        raise unreadable(error) from error
    # The table that began after one was set aside lacks its liquidations.
    if files_aside(root, path):
        raise _damaged(symbol, day)
    return [found for row in rows.split("\n") if (found := _liquidation(symbol, row)) is not None]


def verify_liquidations(path: Path) -> None:
    """Verify the table in `path`. Raises BrokenSeal or OSError."""
    _rows(path.read_bytes())


def liquidations_path(root: Path, exchange: Exchange, symbol: str, day: date) -> Path:
    """Return where the liquidations of a symbol's day are kept."""
    return root / "liquidations" / exchange / symbol / f"{day}.csv"


def _kept(root: Path, path: Path) -> str:
    """Return the rows of a table, none where there is none that is sound. Raises OSError."""
    try:
        rows = _rows(path.read_bytes())
    except FileNotFoundError:
        return ""
    except BrokenSeal as error:
        set_file_aside(root, path)
        log.warning("damaged and set aside: liquidations of %s, %s", path.parent.name, error)
        return ""
    # The last row of a table without a seal may be cut off.
    return rows if rows.endswith("\n") or not rows else f"{rows}\n"


def _merge(root: Path, path: Path, rows: Sequence[str]) -> None:
    there = _kept(root, path)
    # Two of one moment, price and size can both be real, if one report has both.
    new = Counter(rows) - Counter(there.splitlines(keepends=True))
    if new:
        _write(path, there + "".join(new.elements()))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    make_synced(path.parent)
    with locked(path.parent):
        yield


def _remove_aside(root: Path, path: Path) -> None:
    for each in files_aside(root, path):
        each.unlink(missing_ok=True)


def _rows(content: bytes) -> str:
    """Return a table's rows as text. Raises BrokenSeal."""
    if content.startswith(_HEADER_BEFORE.encode()):  # of before there were seals
        # Nothing vouches for these bytes, so a row that cannot be read is left out later.
        return _in_all_columns(content.decode(errors="replace"))
    text = unsealed_table(content).removeprefix(_COMMENT)
    if text.startswith(_HEADER_BEFORE):
        return _in_all_columns(text)
    if not text.startswith(_HEADER):
        raise BrokenSeal("other columns")
    return text.removeprefix(_HEADER)


def _rows_by_table(
    root: Path, exchange: Exchange, liquidations: Iterable[Liquidation], *, complete: bool
) -> Mapping[Path, Sequence[str]]:
    """Return the rows of liquidations by the table that each belongs in: that of its symbol and day."""
    tables: defaultdict[Path, list[str]] = defaultdict(list)
    for each in liquidations:
        path = liquidations_path(root, exchange, each.symbol, at_ms(each.time).date())
        tables[path].append(_row(each, complete=complete))
    return tables


def _in_all_columns(text: str) -> str:
    """Return the rows of a table that lacks the last column with an empty one."""
    rows = text.removeprefix(_HEADER_BEFORE)
    torn = rows and not rows.endswith("\n")
    return rows.replace("\n", ",\n") + ("," if torn else "")


def _write(path: Path, rows: str) -> None:
    replace_file(path, sealed_table(_COMMENT + _HEADER + rows), mode=0o600, sync=True)


def _row(each: Liquidation, *, complete: bool) -> str:
    position = "long" if each.position is Side.BUY else "short"
    stream = "complete" if complete else "sampled"
    bankruptcy = "" if each.bankruptcy is None else repr(each.bankruptcy)
    # `repr` writes as few digits as give back the same float.
    return f"{each.time},{position},{each.price!r},{each.size!r},{stream},{bankruptcy}\n"


def _liquidation(symbol: str, row: str) -> Liquidation | None:
    """Return a row's liquidation, None if a crash has cut it off."""
    match row.split(","):
        case [time, "long" | "short" as position, price, size, "complete" | "sampled", limit]:
            side = Side.BUY if position == "long" else Side.SELL
            with suppress(ValueError):
                bankruptcy = float(limit) if limit else None
                return Liquidation(symbol, int(time), side, float(price), float(size), bankruptcy)
    return None


def _damaged(symbol: str, day: date) -> DataError:
    return DataError(f"The recorded liquidations of {symbol} of {day} are damaged; they are left out.")
