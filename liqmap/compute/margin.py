"""Liquidation price models: at which price a position opened by a trade is liquidated, and at which leverage.

Every model asks when a position's margin balance has fallen to its maintenance margin. Written in the
position's value v at that moment, linear and inverse contracts share one equation. With N the value at
entry, 1/L the initial margin rate, and MM the maintenance margin:

    the value falls (linear long, inverse short)    N/L + v - N = MM
    the value rises (linear short, inverse long)    N/L + N - v = MM

Linear values are in quote currency, and price = entry × v/N. Inverse values are in base currency, because
one contract is a fixed number of US dollars, and price = entry × N/v. The models differ in MM:

    no brackets            0: the loss has used up the whole initial margin (py-liquidation-map's factors)
    on the value by mark   v × rate - deduction, with the tier of v (isolated mode with nothing added:
                           Binance's TMM = UPNL = 0 and WB = N/L)
    on the value at entry  N × rate - deduction, with the tier of N
    on the size            v × (rate + fee for closing), with the tier of the size, which is in base currency
                           or, of inverse contracts, in US dollars. OKX's tiers count contracts, so a tier
                           does not move with the price; without deductions, levels jump where tiers meet

Which exchange uses which, and since when, is in its row of `EXCHANGES`. Exchanges liquidate by the mark
price; a map compares levels with traded prices, the closest to it that trades contain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from liqmap.model import MarginModel, Side, Valuation
from liqmap.model.exact import rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


_NEARLY = 1 - 1e-9  # of distances, because levels are rounded to twelve digits


@dataclass(frozen=True, slots=True, eq=False)
class Brackets:
    """An exchange's risk tiers of one symbol, ascending, as arrays of one length.

    A position whose value, or whose size where tiers are of sizes, is at most `cap` (and above the previous
    tier's) needs value × `rate` - `deduction` as maintenance margin and may have up to `max_leverage`. Above
    the last cap no position is allowed.
    """

    cap: NDArray[np.float64]
    rate: NDArray[np.float64]
    max_leverage: NDArray[np.float64]
    deduction: NDArray[np.float64]

    @classmethod
    def of(cls, tiers: Sequence[tuple[float, float, float]]) -> Self:
        """Return brackets of tiers (cap, rate, max leverage).

        The deductions are derived: they make the maintenance margin continuous where tiers meet.
        """
        cap, rate, max_leverage = np.array(tiers, np.float64).T
        steps = cap[:-1] * np.diff(rate)
        return cls(cap, rate, max_leverage, np.r_[0.0, np.cumsum(steps)])


@dataclass(frozen=True, slots=True, eq=False)
class MarginRules:
    """How the levels of one map are computed.

    Without `brackets` there is no maintenance margin, and every leverage is allowed. If `split`, a trade's
    notional is divided among its leverages; otherwise it counts in full at each, as in py-liquidation-map.
    `fee` is the fee for closing, if it counts as maintenance margin.
    """

    brackets: Brackets | None = None
    valuation: Valuation = Valuation.MARK
    inverse: bool = False
    split: bool = True
    fee: float = 0.0

    def tiered(self, entry_price: NDArray[np.float64], notional: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what decides the tiers of positions at entry: their values, or their sizes."""
        in_base = self.inverse != (self.valuation is Valuation.SIZE)
        if not in_base:
            return notional
        # A position of just the cap is of its tier, whatever a float makes of it.
        return rounded(notional / entry_price)


UNOWNED: Final = {MarginModel.SIMPLE: MarginRules(split=False)}
"""The rules of the margin models that belong to no exchange and use no brackets."""


def liquidation_price(
    rules: MarginRules,
    side: Side,
    *,
    leverage: int,
    entry_price: NDArray[np.float64],
    notional: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the liquidation price of each isolated position, to twelve significant digits.

    `notional` is in quote currency, for inverse contracts in US dollars. This does not check whether the
    leverage is allowed; `allowed_leverage` does.
    """
    rises = (side is Side.SELL) != rules.inverse
    value = rules.tiered(entry_price, notional)
    multiple = _remaining_value(rules, value, leverage=leverage, rises=rises)
    # Sweeping and bucketing compare levels with prices, so the noise of floats must not decide.
    return rounded(entry_price / multiple if rules.inverse else entry_price * multiple)


def allowed_leverage(
    rules: MarginRules, *, entry_price: NDArray[np.float64], notional: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the highest leverage that each position may have at entry, 0 where it is too large for any."""
    value = rules.tiered(entry_price, notional)
    return _of_tier(_max_leverage(rules.brackets), rules.brackets, value)


def surely_allowed(rules: MarginRules, leverage: int) -> float:
    """Return up to which value (or size, where that decides the tier) all positions may have `leverage`."""
    if rules.brackets is None:
        return np.inf
    barred = _max_leverage(rules.brackets) < leverage
    return float(np.r_[0.0, rules.brackets.cap][barred].min(initial=np.inf))


def first_tier(rules: MarginRules, side: Side, leverages: Sequence[int]) -> float:
    """Return up to which value (or size, where that decides the tier) positions stay in the first tier.

    Until they are liquidated, at any of `leverages`: the level is then a multiple of the entry price.
    """
    brackets, sign = rules.brackets, 1 if (side is Side.SELL) != rules.inverse else -1
    if brackets is None:
        return np.inf
    caps = [_by_tier(rules, brackets, 1 + sign / each, sign)[0][:-1] for each in leverages]
    return float(np.concatenate([brackets.cap, *caps]).min(initial=np.inf))


def least_distance(rules: MarginRules, leverages: Sequence[int]) -> float:
    """Return a share of the entry price that every level is at least away from it, whatever the position.

    The nearest level is that of the highest leverage which a tier allows. With x the change of a position's
    value until then, as a share of its value at entry, its maintenance margin is at most rate × (1 + x), and
    more × x besides, where the value grows beyond the tier into others whose rates are `more` higher.
    """
    inverse = 1 if rules.inverse else 0  # where prices are 1 / value, they change by less than the value
    if rules.brackets is None:
        return _NEARLY / (leverages[-1] + inverse)
    brackets, distances = rules.brackets, []
    for cap, rate, tier in zip(brackets.cap, brackets.rate + rules.fee, brackets.max_leverage, strict=True):
        if most := max((each for each in leverages if each <= tier), default=0):
            reached = min(int(np.searchsorted(brackets.cap, cap * (1 + 1 / most))), len(brackets.cap) - 1)
            more = max(0.0, brackets.rate[reached] + rules.fee - rate)
            distances.append((1 / most - rate) / (1 + rate + more) / (1 + inverse / most))
    return max(0.0, _NEARLY * float(min(distances, default=0.0)))


def shares(
    rules: MarginRules,
    leverages: Sequence[int],
    weights: Sequence[float],
    *,
    entry_price: NDArray[np.float64],
    notional: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the share of each trade that counts at each leverage, with shape (leverages, trades).

    If the rules split trades, a trade's shares are proportional to `weights` over the leverages allowed for
    it, and sum to one, or to zero if none is allowed. Otherwise every share is one.
    """
    if not rules.split:
        return np.ones((len(leverages), len(notional)))
    value = rules.tiered(entry_price, notional)
    weight = np.array(weights, np.float64)[:, np.newaxis]
    # Which leverages are allowed depends on the tier alone, so shares are computed once a tier, and last
    # for trades beyond all tiers.
    weight = weight * (np.array(leverages)[:, np.newaxis] <= _max_leverage(rules.brackets))
    total = weight.sum(axis=0)
    split: NDArray[np.float64] = weight / np.where(total > 0, total, 1.0)
    return _of_tier(split, rules.brackets, value)


def _remaining_value(
    rules: MarginRules, value: NDArray[np.float64], *, leverage: int, rises: bool
) -> NDArray[np.float64]:
    """Return the positions' value at liquidation as a multiple of their value at entry.

    `value` is that at entry or, where the tiers are of sizes, the size.
    """
    sign = 1 if rises else -1
    bankrupt = 1 + sign / leverage
    if rules.brackets is None:
        return np.full(len(value), bankrupt)
    caps, factor, constant = _by_tier(rules, rules.brackets, bankrupt, sign)
    multiple = np.full(len(value), factor[0])  # the first tier's constant is 0
    # caps[:-1]: values beyond the last cap are computed with the last tier.
    beyond, tier = _beyond_first(caps[:-1], value)
    multiple[beyond] = factor[tier] + constant[tier] / value[beyond]
    return multiple


def _by_tier(
    rules: MarginRules, brackets: Brackets, bankrupt: float, sign: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return each tier's cap of the value at entry (or of the size), factor, and constant.

    In every tier the multiple is factor + constant / value. By mark, the tier is that of the value at
    liquidation, which is not known yet. But the equation is monotone and piecewise linear in it, so each cap
    corresponds to one value at entry. Comparing with these finds the tier at once, without guessing the
    entry's tier and repeating until it agrees.
    """
    if rules.valuation is Valuation.SIZE:
        return brackets.cap, bankrupt / (1 + sign * (brackets.rate + rules.fee)), np.zeros(len(brackets.cap))
    if rules.valuation is Valuation.ENTRY:
        return brackets.cap, bankrupt - sign * brackets.rate, sign * brackets.deduction
    offset, slope = sign * brackets.deduction, 1 + sign * brackets.rate
    return (brackets.cap * slope - offset) / bankrupt, bankrupt / slope, offset / slope


def _of_tier(
    per_tier: NDArray[np.float64], brackets: Brackets | None, value: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return `per_tier` at each value's tier; its last axis ends with an entry for values beyond them."""
    tier = np.zeros(len(value), np.intp)
    if brackets is not None:
        beyond, found = _beyond_first(brackets.cap, value)
        tier[beyond] = found
    return per_tier.take(tier, axis=-1)


def _max_leverage(brackets: Brackets | None) -> NDArray[np.float64]:
    """Return the highest leverage of each tier, then 0 for values beyond all tiers."""
    return np.array([np.inf]) if brackets is None else np.append(brackets.max_leverage, 0.0)


def _beyond_first(
    caps: NDArray[np.float64], value: NDArray[np.float64]
) -> tuple[NDArray[np.intp] | slice, NDArray[np.intp]]:
    """Return which values lie beyond the first tier, and their tiers; or all values, if these are most.

    Nearly all trades lie in the first tier, and one comparison is ten times faster than a search for them.
    """
    beyond = np.flatnonzero(value > caps.min(initial=np.inf))
    # Putting values into their places takes three times as long as finding the tiers of all.
    rows = slice(None) if 2 * len(beyond) > len(value) else beyond
    return rows, np.searchsorted(caps, value[rows])
