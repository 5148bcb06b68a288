"""Open interest and liquidations of a map of several markets: each market's own, and their sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from liqmap.compute.values import LiquidationMap, Realised
from liqmap.model import OpenInterest, RealisedSums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.model import Exchange

Prices = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Returns a market's price, by which it is aligned, at each of some moments [ms]."""

Value = TypeVar("Value")
Other = TypeVar("Other")


def with_series(
    drawn: LiquidationMap,
    *,
    interest: Sequence[OpenInterest | None],
    realised: Sequence[Realised | None],
    factors: Sequence[int],
    bin_seconds: int,
    prices: Sequence[Prices],
) -> LiquidationMap:
    """Return a map of several markets with the open interest and liquidations of each, and their sums.

    Sums are over the markets where they are known, never scaled up to the others. A size of 1 in a market is
    as many coins as its factor says. `prices` returns the prices of each by which it is aligned; liquidations
    are aligned by those at the end of their bin of `bin_seconds`, as a heatmap's columns are.
    """
    shares = tuple(
        replace(each, open_interest=open_, realised=gone)
        for each, open_, gone in zip(drawn.shares, interest, realised, strict=True)
    )
    exchanges = [each.market.exchange for each in shares]
    return replace(
        drawn,
        shares=shares,
        open_interest=_interest_together(interest, [each / factors[0] for each in factors], exchanges),
        realised=_realised_together(realised, prices, exchanges, width=bin_seconds * 1000),
    )


def _interest_together(
    interest: Sequence[OpenInterest | None], coins: Sequence[float], exchanges: Sequence[Exchange]
) -> OpenInterest | None:
    """Return the sum of the open interest that is known, in the first market's unit of sizes.

    `coins` is what a size of 1 in each market is in that unit.
    """
    known = _known(interest, coins)
    if not known:
        return None
    notional = sum(each.notional for each, _ in known)
    starts = [None if each.start is None else each.start * size for each, size in known]
    return OpenInterest(
        start=None if None in starts else sum(each for each in starts if each is not None),
        end=sum(each.end * size for each, size in known),
        notional=notional,
        share_long=sum(each.share_long * each.notional for each, _ in known) / notional,
        share_short=sum(each.share_short * each.notional for each, _ in known) / notional,
        of=_unless_all(interest, exchanges),
    )


def _realised_together(
    realised: Sequence[Realised | None],
    prices: Sequence[Prices],
    exchanges: Sequence[Exchange],
    *,
    width: int,
) -> Realised | None:
    """Return all liquidations in order of time, aligned by the prices at the end of their bin."""
    known = _known(realised, prices)
    if not known:
        return None
    every = [each for each, _ in known]
    time = np.concatenate([each.time for each in every])
    order = np.argsort(time, kind="stable")
    price = np.concatenate([each.price * _ratios(each.time, prices[0], own, width) for each, own in known])
    sums = [each.sums for each in every]
    kinds = {each.at_fills for each in sums}
    return Realised(
        time[order],
        price[order],
        np.concatenate([each.notional for each in every])[order],
        np.concatenate([each.is_long for each in every])[order],
        RealisedSums(
            long=sum(each.long for each in sums),
            short=sum(each.short for each in sums),
            longs=sum(each.longs for each in sums),
            shorts=sum(each.shorts for each in sums),
            complete=all(each.complete for each in sums),
            at_fills=kinds.pop() if len(kinds) == 1 else None,
            covered=min(each.covered for each in sums),
            most_covered=max(each.covered for each in sums),
            of=_unless_all(realised, exchanges),
        ),
    )


def _ratios(
    time: NDArray[np.int64], reference: Prices, own: Prices, width: int
) -> NDArray[np.float64] | float:
    """Return by what a market's prices of each time are multiplied, bin by bin of `width` [ms]."""
    if own is reference or not len(time):
        return 1.0
    bins, place = np.unique(time // width, return_inverse=True)
    ends = (bins + 1) * width
    ratio: NDArray[np.float64] = (reference(ends) / own(ends))[place]
    return ratio


def _known(values: Sequence[Value | None], others: Sequence[Other]) -> list[tuple[Value, Other]]:
    """Return the values that are known, each with its market's own of `others`."""
    return [(value, other) for value, other in zip(values, others, strict=True) if value is not None]


def _unless_all(values: Sequence[object], exchanges: Sequence[Exchange]) -> tuple[Exchange, ...]:
    """Return the exchanges whose values are known, nothing if all are known."""
    known = tuple(exchange for _, exchange in _known(values, exchanges))
    return () if len(known) == len(exchanges) else known
