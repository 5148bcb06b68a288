"""Aggregate: several markets of one coin -> one map, in the prices of the first.

Each market is computed alone: its own trades, its own prices for sweeping, its own margin model. Then its
levels are aligned: a level l of market e lies at l × P / P_e, with P the reference's price and P_e its own,
both medians of the window's last 60 s. So a level 2 % below its own price lies 2 % below the reference's,
which is what decides a liquidation, and one odd trade moves no level. Only then are the levels put into
buckets, once for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from liqmap.compute.buckets import LevelSums
from liqmap.compute.levels import LARGEST_KEPT, Added, add_up, level_bounds, map_of
from liqmap.compute.selection import Cut, merge
from liqmap.compute.values import (
    Entries,
    LevelBuckets,
    LiquidationMap,
    MarketShare,
    PricePath,
    Realised,
    Selected,
)
from liqmap.model import (
    Coverage,
    LeftOut,
    LeftOutKind,
    MapRequest,
    MarginBasis,
    MarginModel,
    Market,
    OpenInterest,
    RealisedSums,
    Side,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from liqmap.compute.margin import MarginRules
    from liqmap.compute.standing import Positions
    from liqmap.model import Exchange

STALE_MS: Final = 300_000
"""A market whose newest trade is older than this is left out."""

MOST_OFF: Final = 0.01
"""A market whose price differs more than this from the reference's is left out: it may be another coin."""


Prices = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Returns a market's price, by which it is aligned, at each of some moments [ms]."""


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
    side_by_side: Callable[..., Iterable[Added]] = map,
) -> LiquidationMap:
    """Compute one map of several markets, of which the first is the reference.

    `side_by_side` applies a function to each source, as `map` does. For each market standing + swept +
    unplaced notional is exactly what was selected of it; the totals are the sums over the markets.
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
            last_price=source.last_price,
            ratio=ratio,
            positions=source.positions,
        )

    each_added = list(side_by_side(added, sources, ratios))
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
    return replace(
        drawn,
        shares=shares,
        open_interest=_interest_together(shares, [each / factors[0] for each in factors]),
        realised=_realised_together(shares, prices, width=bin_seconds * 1000),
    )


def _interest_together(shares: Sequence[MarketShare], coins: Sequence[float]) -> OpenInterest | None:
    """Return the sum of the open interest that is known, in the first market's unit of sizes.

    `coins` is what a size of 1 in each market is in that unit.
    """
    known = [
        (share, share.open_interest, each)
        for share, each in zip(shares, coins, strict=True)
        if share.open_interest is not None
    ]
    if not known:
        return None
    notional = sum(each.notional for _, each, _ in known)
    starts = [None if each.start is None else each.start * size for _, each, size in known]
    return OpenInterest(
        start=None if None in starts else sum(each for each in starts if each is not None),
        end=sum(each.end * size for _, each, size in known),
        notional=notional,
        share_long=sum(each.share_long * each.notional for _, each, _ in known) / notional,
        share_short=sum(each.share_short * each.notional for _, each, _ in known) / notional,
        of=_unless_all(shares, [share for share, _, _ in known]),
    )


def _realised_together(
    shares: Sequence[MarketShare], prices: Sequence[Prices], *, width: int
) -> Realised | None:
    """Return all liquidations in order of time, aligned by the prices at the end of their bin."""
    known = [
        (share, share.realised, own)
        for share, own in zip(shares, prices, strict=True)
        if share.realised is not None
    ]
    if not known:
        return None
    every = [each for _, each, _ in known]
    time = np.concatenate([each.time for each in every])
    order = np.argsort(time, kind="stable")
    price = np.concatenate([each.price * _ratios(each.time, prices[0], own, width) for _, each, own in known])
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
            of=_unless_all(shares, [share for share, _, _ in known]),
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


def _unless_all(shares: Sequence[MarketShare], known: Sequence[MarketShare]) -> tuple[Exchange, ...]:
    every = len(known) == len(shares)
    return () if every else tuple(each.market.exchange for each in known)


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
    bases = {replace(each.basis, source="") for each in sources}
    sweeps = {each.basis.sweep for each in sources}
    if len(bases) == 1:
        return sources[0].basis
    own = MarginModel.EXCHANGE if request.model is MarginModel.EXCHANGE else request.model
    sweep = sweeps.pop() if len(sweeps) == 1 else None
    return MarginBasis(own, sweep=sweep, positions=sources[0].basis.positions)
