"""Liquidations that the exchanges tell of: kept beside the trades, one table a symbol and day."""

from __future__ import annotations

import errno
import os
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from liqmap.exchanges.messages import Liquidation
from liqmap.model import Side
from liqmap.window import at_ms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date
    from io import FileIO
    from pathlib import Path

    from liqmap.model import Exchange

COLUMNS: Final = ("time_ms", "position", "price", "size", "stream")
"""`position` is the side that was liquidated; `stream` is complete, or sampled where some are left out."""


def append_liquidations(
    root: Path, exchange: Exchange, liquidations: Iterable[Liquidation], *, complete: bool
) -> None:
    """Add liquidations to the tables below the store's `root`, each table's in one write.

    Raises OSError if that is not possible.
    """
    rows: defaultdict[Path, list[str]] = defaultdict(list)
    for each in liquidations:
        position = "long" if each.position is Side.BUY else "short"
        stream = "complete" if complete else "sampled"
        path = _path(root, exchange, each.symbol, at_ms(each.time).date())
        rows[path].append(f"{each.time},{position},{each.price!r},{each.size!r},{stream}\n")
    for path, lines in rows.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered, so that what a full disk does not take is not lost without a word.
        with open(path, "a+b", buffering=0, opener=_private) as file:
            content = (_before_rows(file) + "".join(lines)).encode()
            if file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_liquidations(root: Path, exchange: Exchange, symbol: str, day: date) -> Iterator[Liquidation]:
    """Yield a day's liquidations in the order in which they came; a row cut off by a crash is left out."""
    path = _path(root, exchange, symbol, day)
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            match line.rstrip("\n").split(","):
                case [time, "long" | "short" as position, price, size, "complete" | "sampled"]:
                    side = Side.BUY if position == "long" else Side.SELL
                    with suppress(ValueError):
                        yield Liquidation(symbol, int(time), side, float(price), float(size))


def _before_rows(file: FileIO) -> str:
    """Return what must stand before further rows: the header, or the end of a row cut off by a crash."""
    if not file.seek(0, os.SEEK_END):
        return ",".join(COLUMNS) + "\n"
    file.seek(-1, os.SEEK_END)
    return "" if file.read(1) == b"\n" else "\n"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _path(root: Path, exchange: Exchange, symbol: str, day: date) -> Path:
    return root / "liquidations" / exchange / symbol / f"{day}.csv"
