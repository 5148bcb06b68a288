"""Check the tiers that an exchange published for one symbol, and write them as a table keeps them."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from liqmap.compute.margin import Brackets

if TYPE_CHECKING:
    from collections.abc import Iterable

    from liqmap.exchanges.messages import RiskTier

_MOST = 1e19  # Binance writes the largest whole number of 64 bits where it knows no cap
_SLACK = 1e-6  # exchanges publish rounded deductions


def tiers_text(tiers: Iterable[RiskTier]) -> str:
    """Return `tiers`, lowest first, as a table keeps them: `cap,rate,leverage cap,rate,leverage …`.

    A table keeps no deductions, because they follow from the rest. Raises ValueError for invalid tiers: caps
    that do not rise, rates that fall, leverages that rise, or deductions that do not follow.
    """
    lowest_first = sorted(tiers, key=lambda tier: tier[:3])
    if not lowest_first or not all(_is_sane(tier) for tier in lowest_first):
        raise ValueError("a tier is out of range")
    for lower, higher in pairwise(lowest_first):
        if not (
            lower.cap < higher.cap and lower.rate <= higher.rate and lower.max_leverage >= higher.max_leverage
        ):
            raise ValueError("tiers do not follow one another")
    derived = Brackets.of([tier[:3] for tier in lowest_first]).deduction
    for tier, expected in zip(lowest_first, derived, strict=True):
        # `not … <=` rather than `>`, so that NaN is refused too.
        if tier.deduction is not None and not abs(tier.deduction - expected) <= _SLACK * max(1.0, expected):
            raise ValueError("a deduction does not follow from the tiers")
    return " ".join(",".join(map(_written, tier[:3])) for tier in lowest_first)


def _written(value: float) -> str:
    number = float(value)  # JSON may have sent a whole number
    return str(int(number)) if number.is_integer() else repr(number)


def _is_sane(tier: RiskTier) -> bool:
    if not all(map(math.isfinite, tier[:3])):
        return False
    # rate × leverage < 1: even at the highest leverage the maintenance margin is below the initial margin.
    return 0 < tier.cap < _MOST and tier.max_leverage >= 1 and 0 < tier.rate * tier.max_leverage < 1
