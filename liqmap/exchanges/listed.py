"""Read the rows of an exchange's lists, each checked on its own: a bad row must not hide the others."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from liqmap.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

_VOLUME: Final = re.compile(r"\d{1,20}(?:\.\d{1,20})?", re.ASCII)
_SYMBOL: Final = re.compile(r"[^\W_]{1,30}(?:[_-]\w{1,10})?")


def traded_volumes(rows: Iterable[object], *, key: str) -> dict[str, float]:
    """Return each row's volume, a decimal text under `key`, leaving out rows without a valid one."""
    found = {}
    for row in rows:
        match row:
            case {"symbol": str(symbol), **rest} if _SYMBOL.fullmatch(symbol):
                volume = rest.get(key)
                if isinstance(volume, str) and _VOLUME.fullmatch(volume):
                    found[symbol] = float(volume)
    return found


def listed_symbols(rows: Iterable[object], *, status: str, exchange: str) -> frozenset[str]:
    """Return the symbols of the rows with `status`, leaving out rows whose symbol is invalid.

    A row has the keys `symbol` and `status`. Raises DataError if that leaves no row at all.
    """
    readable, left_out = [], []
    for row in rows:
        match row:
            case {"symbol": str(symbol), "status": str(its_status)} if _SYMBOL.fullmatch(symbol):
                readable.append((symbol, its_status))
            case _:
                left_out.append(row)
    if left_out:
        log.warning("%s lists %d invalid symbols, such as %.60r", exchange, len(left_out), left_out[0])
        if not readable:
            raise DataError(f"{exchange}'s list of symbols cannot be read; try again later.")
    return frozenset(symbol for symbol, its_status in readable if its_status == status)
