"""What OKX calls a symbol: its swap BTC-USDT-SWAP is BTCUSDT here, as on the other exchanges."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

SWAP: Final = re.compile(r"([^\W_]+)-(USDT|USDC)-SWAP")
"""The instrument of a linear swap: its coin, and the currency that it is paid in."""

_SYMBOL: Final = re.compile(r"([^\W_]+)(USDT|USDC)")


def instrument_of(symbol: str) -> str:
    """Return the instrument of a symbol: BTC-USDT-SWAP for BTCUSDT; what is no linear swap stays as it is."""
    found = _SYMBOL.fullmatch(symbol)
    return f"{found[1]}-{found[2]}-SWAP" if found else symbol


def family_of(symbol: str) -> str:
    """Return the instrument family of a symbol, which has its tiers: BTC-USDT for BTCUSDT."""
    return instrument_of(symbol).removesuffix("-SWAP")


@lru_cache(maxsize=1024)  # every trade of a stream names its own
def symbol_of_swap(instrument: str) -> str | None:
    """Return the symbol of a linear swap, None for another instrument."""
    found = SWAP.fullmatch(instrument)
    return f"{found[1]}{found[2]}" if found else None


def is_linear(symbol: str) -> bool:
    """Return whether a symbol is that of a linear swap."""
    return _SYMBOL.fullmatch(symbol) is not None
