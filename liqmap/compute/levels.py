"""Compute the liquidation levels of trades."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from liqmap.compute.by_price import rows_of
from liqmap.compute.margin import liquidation_price, shares
from liqmap.compute.values import Aftermath, Entries, LiquidationLevels, PricePath, SideTrades
from liqmap.model import LevelFilter, MapRequest, Side
from liqmap.model.exact import rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from liqmap.compute.margin import MarginRules
    from liqmap.compute.standing import Positions


def levels_of(
    trades: SideTrades,
    request: MapRequest,
    rules: MarginRules,
    *,
    after: Aftermath,
    last_price: float,
    positions: Positions | None = None,
) -> tuple[LiquidationLevels, ...]:
    """Return the levels of `trades` at each leverage of `request`, leverages ascending.

    A trade has levels only at the leverages that the rules allow for its size. With `positions`, a level's
    notional is what open interest leaves of it.
    """
    share = shares(
        rules, request.leverages, request.weights, entry_price=trades.price, notional=trades.notional
    )
    bound = level_bound(trades.side, request.levels, after.extreme, last_price)
    entries = None if positions is None else positions.entries(trades.side, trades.time, after.own)
    found = []
    for leverage, part in zip(request.leverages, share, strict=True):
        placed = rows_of(part > 0)
        entry, notional = trades.price[placed], trades.notional[placed]
        price = liquidation_price(rules, trades.side, leverage=leverage, entry_price=entry, notional=notional)
        levels = LiquidationLevels(
            side=trades.side,
            leverage=leverage,
            price=price,
            notional=notional * part[placed],
            entry_time=trades.time[placed],
            entry_price=entry,
            after=after.chosen(placed),
            standing=price < bound[placed] if trades.side is Side.BUY else price > bound[placed],
            turn=None if trades.turn is None else trades.turn[placed],
        )
        if positions is not None and entries is not None:
            levels = positions.weighed(levels, entries.chosen(placed), request.levels)
        found.append(levels)
    return tuple(found)


def all_levels(
    entries: Iterable[Entries],
    request: MapRequest,
    rules: MarginRules,
    *,
    last_price: float,
    positions: Positions | None = None,
) -> Iterator[tuple[LiquidationLevels, ...]]:
    """Yield the levels of each stretch of `entries`, buys' before sells', leverages ascending."""
    for stretch in entries:
        yield tuple(
            levels
            for side, trades in stretch.trades.items()
            for levels in levels_of(
                trades,
                request,
                rules,
                after=stretch.after[side],
                last_price=last_price,
                positions=positions,
            )
        )


def aligned(levels: LiquidationLevels, ratio: float) -> LiquidationLevels:
    """Return levels times `ratio`, which keeps their distances from the last price."""
    return levels if ratio == 1 else replace(levels, price=rounded(levels.price * ratio))


def level_bound(
    side: Side, shown: LevelFilter, extreme: NDArray[np.float64], last_price: float
) -> NDArray[np.float64]:
    """Return, for each trade, the price below which (buys) or above which (sells) its levels stand."""
    if shown is LevelFilter.ALL:
        return np.full(len(extreme), last_price)
    return np.minimum(extreme, last_price) if side is Side.BUY else np.maximum(extreme, last_price)


def level_bounds(path: PricePath, request: MapRequest, rules: MarginRules) -> tuple[float, float]:
    """Return two prices between which every level lies.

    No position outlives the loss of its whole margin, which comes last at the lowest leverage.
    """
    bankrupt = replace(rules, brackets=None)
    lowest, highest = (
        float(
            liquidation_price(
                bankrupt,
                side,
                leverage=request.leverages[0],
                entry_price=np.array([entry]),
                notional=np.ones(1),
            )[0]
        )
        for side, entry in ((Side.BUY, path.low.min()), (Side.SELL, path.high.max()))
    )
    # Levels are rounded to twelve digits, so they may lie a little beyond.
    return lowest * (1 - 1e-9), highest * (1 + 1e-9)
