"""Small coins that an exchange trades by the thousand: 1000PEPEUSDT here is PEPEUSDT there."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_FACTORS: Final = {"1000": 1_000, "10000": 10_000, "1000000": 1_000_000, "1M": 1_000_000}
_COUNTED: Final = re.compile(
    r"(1000000|10000|1000|1M)([^\W\d_][^\W_]*)|([^\W_]*[^\W\d_])(1000)(?=USD)(USD[TC])"
)


class Counted(NamedTuple):
    """A symbol that counts coins by `factor`, and the symbol that counts them one by one."""

    factor: int
    single: str


def counted(symbol: str) -> Counted:
    """Return by how many coins a symbol counts: 1000PEPEUSDT and PEPE1000USDT by 1000, most by one."""
    found = _COUNTED.fullmatch(symbol)
    if found is None:
        return Counted(1, symbol)
    if found[1]:
        return Counted(_FACTORS[found[1]], found[2])
    return Counted(_FACTORS[found[4]], f"{found[3]}{found[5]}")


def other_counts(symbol: str) -> tuple[str, ...]:
    """Return the symbols of the same coin that count it otherwise, the likeliest first."""
    factor, single = counted(symbol)
    if factor != 1:
        return (single,)
    coin, currency = single[:-4], single[-4:]
    if not coin or currency not in {"USDT", "USDC"} or not coin[0].isalpha():
        return ()
    return (*(f"{prefix}{single}" for prefix in _FACTORS), f"{coin}1000{currency}")
