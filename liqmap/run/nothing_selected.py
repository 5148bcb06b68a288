"""Say that a selection takes no trade of a window, and which value would."""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_UP, Context
from typing import TYPE_CHECKING

from liqmap.compute.selection import Cut
from liqmap.model import GrossValue, Portion, Side, TopN
from liqmap.store.largest import read_largest
from liqmap.text import price

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from liqmap.model import MapRequest
    from liqmap.store.segments import Part


def nothing_selected(request: MapRequest, parts: Iterable[Part], trades: Mapping[Side, int]) -> str:
    """Return the sentence that says that `request` selects none of the trades of `parts`, and what would.

    `trades` are the trades of each side in the window.
    """
    symbol = request.market.symbol
    match request.selection:
        case GrossValue(minimum):
            largest = _largest_notional(parts)
            return (
                f"No trade of {symbol} in this window reaches {price(minimum)}: the largest is"
                f" {price(largest)}. Try gross_value {_rounded(largest, 1, ROUND_DOWN)} or a longer window."
            )
        case Portion(fraction):
            most = max(trades.values())
            # Five percent more than one trade needs, so that the suggestion works after rounding, too.
            works = _rounded(min(100, 105 / most), 2, ROUND_UP)
            return (
                f"{_rounded(fraction * 100, 4, ROUND_HALF_EVEN)}% of {most:,} {symbol} trades a side is less"
                f" than one trade. Try portion {works}% or a longer window."
            )
        case TopN():  # pragma: no cover - it takes at least one trade of any window
            return f"No trade of {symbol} in this window was selected."


def _largest_notional(parts: Iterable[Part]) -> float:
    one = Cut(count=1)
    found = (read_largest(each.segment, side, window=each.window, cut=one) for each in parts for side in Side)
    return max(float(each.trades.notional[0]) for each in found if len(each.trades))


def _rounded(value: float, digits: int, rounding: str) -> str:
    """Write `value` with `digits` significant digits and no exponent: 82,300 becomes 80,000."""
    rounded = Context(prec=digits, rounding=rounding).create_decimal(value)
    return f"{rounded.normalize():,f}"
