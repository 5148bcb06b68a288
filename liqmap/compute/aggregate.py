"""Aggregate: several markets of one coin -> one map, in the prices of the first.

Each market is computed alone: its own trades, its own prices for sweeping, its own margin model. Then its
levels are aligned: a level l of market e lies at l × P / P_e, with P the reference's price and P_e its own,
both medians of the window's last 60 s. So a level 2 % below its own price lies 2 % below the reference's,
which is what decides a liquidation, and one odd trade moves no level. Only then are the levels put into
buckets, once for all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from liqmap.compute.adding import LARGEST_KEPT, Added, add_up
from liqmap.compute.buckets import LevelSums
from liqmap.compute.levels import level_bounds
from liqmap.compute.map import map_of
from liqmap.compute.selection import Cut, merge
from liqmap.compute.values import (
    Entries,
    LevelBuckets,
    LiquidationMap,
    MarketShare,
    PricePath,
    Selected,
)
from liqmap.model import (
    Coverage,
    LeftOut,
    LeftOutKind,
    MapRequest,
    MarginBasis,
    Market,
    PositionBasis,
    Side,
    SweepBasis,
    SweepPrice,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from liqmap.compute.margin import MarginRules
    from liqmap.compute.standing import Positions

STALE_MS: Final = 300_000
"""A market whose newest trade is older than this is left out."""

MOST_OFF: Final = 0.01
"""A market whose price differs more than this from the reference's is left out: it may be another coin."""


class Quote(NamedTuple):
    """A market's price by which it is aligned, its last trade, and the coins its symbol counts as one."""

    market: Market
    price: float
    time: datetime
    factor: int


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One market's part of a map, not yet read: `entries` reads its selected trades, newest first.

    `price`, by which it is aligned, is the median of the window's last 60 s.
    """

    market: Market
    coverage: Coverage
    path: PricePath
    price: float
    trade_count: int
    entries: Callable[[], Iterable[Entries]]
    rules: MarginRules
    basis: MarginBasis
    positions: Positions | None = None

    @property
    def last_price(self) -> float:
        """The market's own last price."""
        return float(self.path.close[-1])


def comparable(quotes: Sequence[Quote], *, at: datetime) -> list[LeftOut]:
    """Return which markets cannot be drawn with the others `at` the window's end, and why: stale or off.

    The first that is not stale is the reference. Where all are stale, the newest trade of all counts as the
    end. Prices are compared coin by coin.
    """
    oldest = timedelta(milliseconds=STALE_MS)
    newest = max(each.time for each in quotes)
    at = newest if at - newest > oldest else at
    left_out, reference = [], None
    for each in quotes:
        if at - each.time > oldest:
            left_out.append(LeftOut(each.market, LeftOutKind.STALE, since=each.time))
            continue
        reference = reference or each
        off = each.price / each.factor / (reference.price / reference.factor) - 1
        if abs(off) > MOST_OFF:
            left_out.append(LeftOut(each.market, LeftOutKind.OFF, off=off))
    return left_out


def build_joint_map(
    request: MapRequest,
    coverage: Coverage,
    sources: Sequence[Source],
    *,
    left_out: Sequence[LeftOut] = (),
) -> LiquidationMap:
    """Compute one map of several markets, of which the first is the reference.

    For each market standing + swept + unplaced notional is exactly what was selected of it; the totals are
    the sums over the markets.
    """
    reference = sources[0]
    last_price = reference.last_price
    ratios = [reference.price / each.price for each in sources]
    bounds = np.array(
        [
            np.array(level_bounds(each.path, request, each.rules)) * ratio
            for each, ratio in zip(sources, ratios, strict=True)
        ]
    )
    low, high = float(bounds[:, 0].min()), float(bounds[:, 1].max())

    def sums() -> LevelSums:
        return LevelSums(low, high, leverages=request.leverages, last_price=last_price)

    def added(source: Source, ratio: float) -> Added:
        return add_up(
            request,
            source.entries(),
            source.rules,
            sums=sums(),
            path=source.path,
            ratio=ratio,
            positions=source.positions,
        )

    each_added = [added(source, ratio) for source, ratio in zip(sources, ratios, strict=True)]
    total = sums()
    for each in each_added:
        total.add_sums(each.sums)
    whole = Added(
        total,
        _together([each.buys for each in each_added]),
        _together([each.sells for each in each_added]),
        sum(each.unplaced for each in each_added),
        sum(each.not_opened for each in each_added),
        sum(each.closed for each in each_added),
    )
    drawn = map_of(
        request,
        coverage,
        whole,
        path=reference.path,
        trade_count=sum(each.trade_count for each in sources),
        last_price=last_price,
        basis=_basis(request, sources),
    )
    grid = total.readable_grid()
    shares = [
        _share(source, ratio, each, buckets=each.sums.buckets(grid))
        for source, ratio, each in zip(sources, ratios, each_added, strict=True)
    ]
    return replace(drawn, shares=tuple(shares), left_out=tuple(left_out))


def _share(source: Source, ratio: float, added: Added, *, buckets: LevelBuckets) -> MarketShare:
    return MarketShare(
        market=source.market,
        ratio=ratio,
        last_price=source.last_price,
        path=source.path,
        buckets=buckets,
        buys=added.buys,
        sells=added.sells,
        trade_count=source.trade_count,
        swept_long=added.sums.swept(Side.BUY),
        swept_short=added.sums.swept(Side.SELL),
        unplaced=added.unplaced,
        margin=source.basis,
        coverage=source.coverage,
        not_opened=added.not_opened,
        closed=added.closed,
    )


def _together(parts: Sequence[Selected]) -> Selected:
    largest = merge([each.largest for each in parts], Cut(count=LARGEST_KEPT))
    return Selected(sum(each.count for each in parts), sum(each.notional for each in parts), largest)


def _basis(request: MapRequest, sources: Sequence[Source]) -> MarginBasis:
    """Return the basis that all have, or that each has its own."""
    each = [source.basis for source in sources]
    models = {replace(basis, source="", sweep=None, positions=None) for basis in each}
    basis = each[0] if len(models) == 1 else MarginBasis(request.model)
    return replace(
        basis,
        sweep=_sweep([one.sweep for one in each if one.sweep is not None]),
        positions=_positions([one.positions for one in each if one.positions is not None]),
    )


def _sweep(each: Sequence[SweepBasis]) -> SweepBasis | None:
    """Return which price swept the levels, in which share of the markets' windows together."""
    marked = sum(one.share for one in each if one.price is SweepPrice.MARK)
    if not marked:
        return each[0] if each else None
    return SweepBasis(SweepPrice.MARK, marked / len(each))


def _positions(each: Sequence[PositionBasis]) -> PositionBasis | None:
    """Return the intervals of all markets, and when the open interest of all is known."""
    if not each:
        return None
    return PositionBasis(
        each[0].turnover,
        sum(one.judged for one in each),
        sum(one.unfit for one in each),
        max((one.known_from for one in each if one.known_from is not None), default=None),
        min((one.known_until for one in each if one.known_until is not None), default=None),
    )
