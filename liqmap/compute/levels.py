"""Compute the liquidation levels of the selected trades, and the map that they add up to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.compute.buckets import LevelSums, depth
from liqmap.compute.by_price import MANY, PriceSums, rows_of
from liqmap.compute.clusters import find_clusters, labelled
from liqmap.compute.margin import allowed_leverage, liquidation_price, shares, surely_allowed
from liqmap.compute.selection import Cut, merge
from liqmap.compute.values import (
    Aftermath,
    Entries,
    LiquidationLevels,
    LiquidationMap,
    PricePath,
    Selected,
    SideTrades,
)
from liqmap.model import Coverage, LevelFilter, MapRequest, Side
from liqmap.model.exact import rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from liqmap.compute.margin import MarginRules
    from liqmap.compute.standing import Positions
    from liqmap.model import MarginBasis


LARGEST_KEPT: Final = 100
"""How many of each side's largest trades a map keeps, for drawing; all others only count in its sums."""

_AT_ONCE: Final = 20_000  # trades: enough for numpy to be fast, few enough for the CPU cache


@dataclass(frozen=True, slots=True, eq=False)
class Added:
    """What one market's selected trades add up to: the sums of their levels, and which they are."""

    sums: LevelSums
    buys: Selected
    sells: Selected
    unplaced: float
    not_opened: float = 0.0
    closed: float = 0.0


def build_map(
    request: MapRequest,
    coverage: Coverage,
    *,
    path: PricePath,
    trade_count: int,
    entries: Iterable[Entries],
    rules: MarginRules,
    basis: MarginBasis,
    positions: Positions | None = None,
) -> LiquidationMap:
    """Compute all that the pictures of `request` show, from its selected trades and its price path.

    `entries` are stretches of the window, newest first; one is held at a time. Their prices lie within those
    of the path. The last price is the path's last close. Standing + swept + unplaced notional is exactly
    what was selected (times the number of leverages where the rules do not split a trade). With `positions`,
    not opened + closed notional are added to that sum.
    """
    last_price = float(path.close[-1])
    bounds = level_bounds(path, request, rules)
    sums = LevelSums(*bounds, leverages=request.leverages, last_price=last_price)
    added = add_up(request, entries, rules, sums=sums, path=path, positions=positions)
    return map_of(
        request, coverage, added, path=path, trade_count=trade_count, last_price=last_price, basis=basis
    )


def add_up(
    request: MapRequest,
    entries: Iterable[Entries],
    rules: MarginRules,
    *,
    sums: LevelSums,
    path: PricePath,
    ratio: float = 1.0,
    positions: Positions | None = None,
) -> Added:
    """Add the levels of `entries` to `sums`, and return what they add up to.

    Levels are computed and swept by the market's own prices, those of `path`. They are added times `ratio`,
    as those of the reference.
    """
    adding = {
        side: _Adding(side, request, rules, sums, path, ratio=ratio, positions=positions) for side in Side
    }
    for stretch in entries:
        for side, trades in stretch.trades.items():
            adding[side].add(trades, stretch.after[side])
    for each in adding.values():
        each.finish()
    buys, sells = (adding[side].selection.selected() for side in Side)
    return Added(
        sums,
        buys,
        sells,
        sum(each.unplaced for each in adding.values()),
        sum(each.not_opened for each in adding.values()),
        sum(each.closed for each in adding.values()),
    )


def aligned(levels: LiquidationLevels, ratio: float) -> LiquidationLevels:
    """Return levels times `ratio`: so, their distances from the last price are kept."""
    return levels if ratio == 1 else replace(levels, price=rounded(levels.price * ratio))


def map_of(
    request: MapRequest,
    coverage: Coverage,
    added: Added,
    *,
    path: PricePath,
    trade_count: int,
    last_price: float,
    basis: MarginBasis,
) -> LiquidationMap:
    """Return the map of what was added up."""
    sums = added.sums
    buckets = sums.buckets()
    bands = sums.bands()
    clusters = find_clusters(buckets, bands, last_price=last_price)
    long_total, short_total = buckets.long.sum(axis=0), buckets.short.sum(axis=0)
    swept_long, swept_short = sums.swept(Side.BUY), sums.swept(Side.SELL)
    return LiquidationMap(
        request=request,
        coverage=coverage,
        path=path,
        buys=added.buys,
        sells=added.sells,
        trade_count=trade_count,
        last_price=last_price,
        buckets=buckets,
        # Buckets on the other side of the last price hold none of this side's levels. Clipping their edges
        # to the last price makes the curve start there.
        long_depth=depth(
            np.minimum(buckets.edges, last_price)[::-1], long_total[::-1], last_price=last_price
        ),
        short_depth=depth(np.maximum(buckets.edges, last_price), short_total, last_price=last_price),
        swept_long=swept_long,
        swept_short=swept_short,
        swept_outside=max(0.0, swept_long + swept_short - float(buckets.swept.sum())),
        unplaced=added.unplaced,
        margin=basis,
        bands=bands,
        clusters=clusters,
        labelled=labelled(clusters, buckets),
        not_opened=added.not_opened,
        closed=added.closed,
    )


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
    bound = _bound(trades.side, request.levels, after.extreme, last_price)
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


def _bound(
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


class _Adding:
    """Adds up one side's selected trades, which come in stretches, and their levels."""

    def __init__(
        self,
        side: Side,
        request: MapRequest,
        rules: MarginRules,
        sums: LevelSums,
        path: PricePath,
        *,
        ratio: float,
        positions: Positions | None,
    ) -> None:
        self.selection = _Selection(side)
        self.unplaced = self.not_opened = self.closed = 0.0
        self._request, self._rules, self._sums, self._positions = request, rules, sums, positions
        self._path, self._last_price, self._ratio = path, float(path.close[-1]), ratio
        self._by_price: PriceSums | None = None
        self._new, self._others = _Waiting(MANY), _Waiting(_AT_ONCE)
        self._surely_allowed = surely_allowed(rules, request.leverages[0])

    def add(self, trades: SideTrades, after: Aftermath) -> None:
        """Add trades, and what the price did after each."""
        self.selection.add(trades if self._ratio == 1 else replace(trades, price=trades.price * self._ratio))
        if self._positions is not None:
            trades, after = self._opening(self._positions, trades, after)
        if many := self._new.add(trades, after):
            self._sum_up(*many)

    def finish(self) -> None:
        """Add what still waits, and what has been summed up by prices."""
        if self._new.count and self._by_price is not None:
            self._sum_up(*self._new.taken())
        for waiting in (self._new, self._others):
            if waiting.count:
                self._add_levels(*waiting.taken())
        if self._by_price is not None:
            self._by_price.put_into(self._sums, ratio=self._ratio)
            if self._positions is not None:
                opened = self._by_price.opened * self._by_price.times
                self.not_opened += self._by_price.selected * self._by_price.times - opened
                self.closed += opened - self._by_price.left

    def _sum_up(self, trades: SideTrades, after: Aftermath) -> None:
        """Sum trades up by their prices as far as that can be done; the others wait."""
        if self._by_price is None:
            self._by_price = PriceSums(trades.side, self._request, self._rules, self._path, self._positions)
            self._new = _Waiting(_AT_ONCE)  # the next ones need not be many, and larger stretches cost less
        bound = _bound(trades.side, self._request.levels, after.extreme, self._last_price)
        others = self._by_price.add(trades, bound, after.own)
        if many := self._others.add(trades.chosen(others), after.chosen(others)):
            self._add_levels(*many)

    def _opening(
        self, positions: Positions, trades: SideTrades, after: Aftermath
    ) -> tuple[SideTrades, Aftermath]:
        """Return the trades of intervals in which open interest opened anything; the others are counted."""
        # In about half of the intervals nothing was opened, and levels of nothing need no computing.
        opens = np.flatnonzero(positions.opens(trades.time))
        opening = trades.chosen(opens)
        unplaced = self._too_large(trades)
        unplaced -= self._too_large(opening)
        idle = float(trades.notional.sum()) - float(opening.notional.sum()) - unplaced
        self.not_opened += idle * (1 if self._rules.split else len(self._request.leverages))
        self.unplaced += unplaced
        return opening, after.chosen(opens)

    def _too_large(self, trades: SideTrades) -> float:
        """Return the notional of trades that are too large for any of the leverages."""
        value = self._rules.tiered(trades.price, trades.notional)
        if value.max(initial=0) <= self._surely_allowed:
            return 0.0
        large = trades.chosen(np.flatnonzero(value > self._surely_allowed))
        if not len(large):
            return 0.0
        allowed = allowed_leverage(self._rules, entry_price=large.price, notional=large.notional)
        return float(large.notional[allowed < self._request.leverages[0]].sum())

    def _add_levels(self, trades: SideTrades, after: Aftermath) -> None:
        """Compute the levels of trades one by one, and add them."""
        levels = levels_of(
            trades,
            self._request,
            self._rules,
            after=after,
            last_price=self._last_price,
            positions=self._positions,
        )
        self._sums.add([aligned(each, self._ratio) for each in levels])
        for each in levels:
            if each.selected is not None and each.opened is not None:
                opened = float(each.opened.sum())
                self.not_opened += float(each.selected.sum()) - opened
                self.closed += opened - float(each.notional.sum())
        # A trade that may not have the lowest leverage may have none.
        if len(levels[0].price) < len(trades):
            self.unplaced += self._too_large(trades)


class _Waiting:
    """Trades of several stretches, which wait until there are `many`: numpy is slow with few."""

    def __init__(self, many: int) -> None:
        self.count = 0
        self._many = many
        self._parts: list[tuple[SideTrades, Aftermath]] = []

    def add(self, trades: SideTrades, after: Aftermath) -> tuple[SideTrades, Aftermath] | None:
        """Add trades, and return all that waited if these are many."""
        self.count += len(trades)
        self._parts.append((trades, after))
        return self.taken() if self.count >= self._many else None

    def taken(self) -> tuple[SideTrades, Aftermath]:
        """Return all that waited, and begin anew."""
        parts, self._parts, self.count = self._parts, [], 0
        if len(parts) == 1:
            return parts[0]
        trades, after = zip(*parts, strict=True)
        return SideTrades.joined(trades), Aftermath.joined(after, trades[0].side)


class _Selection:
    """Adds up one side's selected trades, and keeps the largest."""

    def __init__(self, side: Side) -> None:
        self._count, self._notional = 0, 0.0
        self._largest = [SideTrades.none(side)]

    def add(self, trades: SideTrades) -> None:
        self._count += len(trades)
        self._notional += float(trades.notional.sum())
        # np.arange copies; a slice would be a view and keep the whole stretch in memory.
        self._largest.append(trades.chosen(np.arange(min(len(trades), LARGEST_KEPT))))

    def selected(self) -> Selected:
        # Stretches came newest first. Reversed, the earlier of equal trades counts as the larger.
        return Selected(self._count, self._notional, merge(self._largest[::-1], Cut(count=LARGEST_KEPT)))
