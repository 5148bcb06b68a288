"""The answers of OKX's REST API: what one holds, and what its codes mean.

Source: OKX's documentation of its API v5. Success is code "0"; HTTP 200 alone means nothing.
"""

from __future__ import annotations

from typing import Any, Final

from liqmap.errors import DataError
from liqmap.exchanges.fields import code_text

UNKNOWN: Final = frozenset({"51000", "51001"})
"""Codes of a wrong parameter, as the family of no symbol is, and of an instrument that is not there."""

_TOO_MANY = "50011"
# Busy, maintenance, a fault of the system, out of time: with a status of their own, or with 200.
_PASSING = frozenset({_TOO_MANY, "50001", "50004", "50013", "50026"})
_WAIT = 2.0  # seconds, in which limits are counted


def busy(answer: object) -> float | None:
    """Return how long to wait [s] where an answer says to ask again, None where it is an answer.

    ::

        {"code":"50011","data":[],"msg":"Too Many Requests"}
    """
    match answer:
        case {"code": str(code)} if code in _PASSING:
            return _WAIT
    return None


def rows_of(answer: object, *, what: str) -> list[Any]:
    """Return the rows of an answer about `what`, whatever each of them is.

    Raises DataError if OKX refuses, or if it is no such answer.

    ::

        {"code":"0","msg":"","data":[{"instId":"BTC-USDT-SWAP"}]}
    """
    match answer:
        case {"code": "0", "data": list(rows)}:
            return rows
        case {"code": str(code)} if code != "0":
            raise DataError(f"OKX refuses to answer about {what} ({_code(code)}); try again later.")
    raise DataError(f"OKX's answer about {what} cannot be read; try again later.")


def is_unknown(answer: object) -> bool:
    """Return whether an answer says that there is no such symbol.

    ::

        {"code":"51001","data":[],"msg":"Instrument ID, Instrument ID code, or Spread ID doesn't exist."}
    """
    match answer:
        case {"code": str(code)}:
            return code in UNKNOWN
    return False


def _code(code: str) -> str:
    return code_text(int(code)) if code.isascii() and code.isdigit() and len(code) < 20 else "an unknown code"
