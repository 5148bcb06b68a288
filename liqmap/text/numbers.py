"""Word amounts of money, prices, shares, counts and lists."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_SIGNIFICANT_DIGITS = 5


def money(value: float) -> str:
    """Return a measured amount of quote currency: always three digits, and a unit: $1.25B, $34.0M, $950."""
    for unit, letter in _UNITS:
        # 0.9995 and 1.0005: an amount that is rounded up to the next unit gets that unit, $1.00M for $1,000K.
        if abs(value) >= unit * 0.9995:
            digits = max(0, 2 - math.floor(math.log10(max(abs(value) / unit, 1) * 1.0005)))
            return f"${value / unit:.{digits}f}{letter}"
    return f"${value:,.0f}" if value == 0 or abs(value) >= 1 else f"${value:.2f}"


def limit_text(value: float) -> str:
    """Return an amount that somebody chose, with all of its digits and no more: $100K, $2.01M, $950."""
    unit, letter = next(((unit, letter) for unit, letter in _UNITS if value >= unit), (1.0, ""))
    # As Decimal: a division of floats can add digits that nobody typed.
    return f"${without_zeros(f'{Decimal(str(value)) / Decimal(unit):,f}')}{letter}"


def money_ticks(ticks: Sequence[float], *, step: float) -> list[str]:
    """Return the amounts along an axis, `step` apart, all in one unit: $0, $0.5M, $1.0M."""
    largest = max(ticks, default=0.0)
    unit, letter = next(((unit, letter) for unit, letter in _UNITS if largest >= unit), (1.0, ""))
    return [f"${price(tick / unit, step=step / unit)}{letter}" if tick else "$0" for tick in ticks]


def price(value: float, *, step: float | None = None) -> str:
    """Return a price with thousands separators: to five significant digits at most, or as exact as `step`."""
    if step is not None:
        return f"{value:,.{_decimals(step)}f}"
    if value == 0:
        return "0"
    decimals = max(0, _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(value))))
    return without_zeros(f"{value:,.{decimals}f}")


def price_step(last_price: float, *, bucket_size: float) -> float:
    """Return the step of an answer's prices: that of the last price or of the buckets, the finer of both."""
    # No two buckets may have the same price.
    _, _, decimals = price(last_price).partition(".")
    return 10.0 ** -max(len(decimals), _decimals(bucket_size))


def _decimals(step: float) -> int:
    # The logarithm of 0.001 may come out just below -3, which would be a fourth decimal.
    return max(0, -math.floor(math.log10(step) + 1e-9))


def percent(value: float, *, digits: int = 2) -> str:
    """Return a share as a percentage with a sign: +1.25 %."""
    return f"{value * 100:+.{digits}f} %"


def share_text(value: float) -> str:
    """Return a share as a whole percentage without a sign: 54 %."""
    return f"{value * 100:.0f} %"


def part_text(share: float) -> str:
    """Return a part with two digits, such as 0.34 % or 140 %."""
    return (
        f"{without_zeros(f'{share * 100:.{max(0, 1 - math.floor(math.log10(max(share * 100, 1e-3))))}f}')} %"
    )


def size_text(size: int) -> str:
    """Return the size of files [bytes]: 2.5 MiB, 12 KiB."""
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{-(-size // 1024):,} KiB"


def known_share(value: float) -> str:
    """Return the known share of something, rounded down: a window that lacks a second must not show 100 %."""
    rounded = math.floor(value * 1000) / 10
    return f"{rounded:g} %" if rounded or not value else "less than 0.1 %"


def counted(count: int, what: str) -> str:
    """Return a number of things: 1 day, 2,000 days."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def list_text(words: Sequence[str], last: str = "and") -> str:
    """Return words as a list, with `last` before the last of them: Binance, Bybit and OKX."""
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def without_zeros(text: str) -> str:
    """Return a decimal number without the zeros at its end: 2.50 -> 2.5."""
    return text.rstrip("0").rstrip(".") if "." in text else text
