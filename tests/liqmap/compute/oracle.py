"""A slow map by decimal arithmetic: one trade after the other, from the exchanges' formulas as published.

It shares nothing with the engine but the model's enums. Levels are the first twelve digits of the exact
number; everything else is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext

from liqmap.model import Side, Valuation

_TWELVE = Context(prec=12, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True)
class Tier:
    """A bracket: up to which value, its rate, its highest leverage, and what is taken off."""

    cap: Decimal
    rate: Decimal
    max_leverage: int
    deduction: Decimal


@dataclass(frozen=True)
class Entry:
    """A selected trade: in which second it was made, at which price, and its notional."""

    second: int
    price: Decimal
    notional: Decimal


@dataclass(frozen=True)
class Second:
    """The lowest and the highest price of a second."""

    second: int
    low: Decimal
    high: Decimal


@dataclass(frozen=True)
class Level:
    """Where an entry is liquidated at one leverage, how much counts there, and whether it stands."""

    leverage: int
    price: Decimal
    notional: Decimal
    standing: bool


def tiers_of(rows: Sequence[tuple[str, str, int]]) -> tuple[Tier, ...]:
    """Return tiers of rows (cap, rate, highest leverage): cum_n = cum_n-1 + cap_n-1 × (mmr_n - mmr_n-1)."""
    tiers: list[Tier] = []
    for cap, rate, highest in rows:
        before = tiers[-1] if tiers else Tier(Decimal(0), Decimal(rate), highest, Decimal(0))
        deduction = before.deduction + before.cap * (Decimal(rate) - before.rate)
        tiers.append(Tier(Decimal(cap), Decimal(rate), highest, deduction))
    return tuple(tiers)


def level_price(
    valuation: Valuation,
    side: Side,
    leverage: int,
    *,
    price: Decimal,
    notional: Decimal,
    tiers: Sequence[Tier] = (),
) -> Decimal:
    """Return the exact liquidation price of a linear contract's position, before it is rounded."""
    sign = 1 if side is Side.BUY else -1
    size = notional / price
    bankrupt = price * (1 - sign / Decimal(leverage))
    if not tiers:
        return bankrupt
    if valuation is Valuation.ENTRY:
        tier = _tier(tiers, notional)
        return bankrupt + sign * price * tier.rate - sign * tier.deduction / size
    # The tier of the value at liquidation: started from that at entry, until both agree.
    tier = _tier(tiers, notional)
    for _ in tiers:
        found = (bankrupt - sign * tier.deduction / size) / (1 - sign * tier.rate)
        again = _tier(tiers, found * size)
        if again == tier:
            break
        tier = again
    return found


def levels(
    side: Side,
    entries: Sequence[Entry],
    seconds: Sequence[Second],
    *,
    valuation: Valuation,
    leverages: Sequence[int],
    last_price: Decimal,
    tiers: Sequence[Tier] = (),
    split: bool = True,
) -> Iterator[list[Level]]:
    """Yield the levels of each entry, at the leverages that it may have."""
    for entry in entries:
        highest = _tier(tiers, entry.notional).max_leverage if tiers else 10**9
        if tiers and entry.notional > tiers[-1].cap:
            highest = 0
        allowed = [leverage for leverage in leverages if leverage <= highest]
        later = [each for each in seconds if each.second > entry.second]
        found = []
        for leverage in allowed:
            with localcontext(prec=50):
                exact = level_price(
                    valuation, side, leverage, price=entry.price, notional=entry.notional, tiers=tiers
                )
                price = _TWELVE.plus(exact)
                share = entry.notional / (len(allowed) if split else 1)
            if side is Side.BUY:
                touched = any(each.low <= price for each in later) or last_price <= price
            else:
                touched = any(each.high >= price for each in later) or last_price >= price
            found.append(Level(leverage, price, share, not touched))
        yield found


def _tier(tiers: Sequence[Tier], value: Decimal) -> Tier:
    return next((tier for tier in tiers if value <= tier.cap), tiers[-1])
