"""Turn single values that an exchange sends into plausible numbers, times and names."""

from __future__ import annotations

import math
from typing import Final

FIRST_MS: Final = 10**12
"""September 2001, the first time with 13 digits. A smaller number is not a time in ms."""

LAST_MS: Final = 10**13 - 1
"""The last time with 13 digits, in 2286."""

LEAST_SIZE: Final = 1e-12
"""A smaller size counts as 0. Exchanges publish and send trades of size 0 and 1e-17, which nobody made."""

LEAST_PRICE: Final = 1e-12
"""A smaller number is not a price: the cheapest contracts cost 1e-8."""

MOST: Final = 1e15
"""The largest price or size, so that products of both stay finite."""

FIRST_ID: Final = 0
LAST_ID: Final = (1 << 62) - 1
"""The largest id of a trade, so that two ids can be subtracted without overflow."""

_LARGEST_CODE = 10**9


def price_of(text: object) -> float:
    """Return a price. Raises TypeError or ValueError for what is none."""
    number = _number(text)
    if not LEAST_PRICE <= number <= MOST:  # false for NaN, too
        raise ValueError("a price is out of range")
    return number


def size_of(text: object) -> float:
    """Return a size, 0 for what is below `LEAST_SIZE`. Raises TypeError or ValueError for what is none."""
    number = _number(text)
    if not 0 <= number <= MOST:
        raise ValueError("a size is out of range")
    return number if number >= LEAST_SIZE else 0.0


def time_of(number: object) -> int:
    """Return a time [ms since 1970]. Raises TypeError or ValueError for what is none."""
    if type(number) is not int:  # not isinstance, because a bool is an int
        raise TypeError("a time is not a whole number")
    if not FIRST_MS <= number <= LAST_MS:
        raise ValueError("a time is not in milliseconds since 1970")
    return number


def written_time_of(text: object) -> int:
    """Return a time [ms since 1970] that is a text. Raises TypeError or ValueError for what is none."""
    if not isinstance(text, str):
        raise TypeError("a time is not a text")
    return time_of(int(text))


def id_of(number: object) -> int:
    """Return the id of a trade. Raises TypeError or ValueError for what is none."""
    if type(number) is not int:
        raise TypeError("an id is not a whole number")
    if not FIRST_ID <= number <= LAST_ID:
        raise ValueError("an id is out of range")
    return number


def amount_of(number: object) -> float:
    """Return an amount that is a number. Raises TypeError, ValueError or OverflowError for what is none."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError("an amount is not a number")
    amount = float(number)
    if not math.isfinite(amount):
        raise ValueError("an amount is out of range")
    return amount


def code_text(code: int) -> str:
    """Return an exchange's error code in words that fit into a sentence, however long it is."""
    return f"code {code}" if abs(code) <= _LARGEST_CODE else "an unknown code"


def symbol_of(text: object) -> str:
    """Return a symbol. Raises TypeError for what is none."""
    if not isinstance(text, str):
        raise TypeError("a symbol is not a text")
    return text


def _number(text: object) -> float:
    if not isinstance(text, str):
        raise TypeError("a price or size is not a text")
    return float(text)
