"""Add up the levels of one market's selected trades, which come stretch by stretch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.compute.by_price import MANY, PriceSums
from liqmap.compute.levels import aligned, level_bound, levels_of
from liqmap.compute.margin import allowed_leverage, surely_allowed
from liqmap.compute.selection import Cut, merge
from liqmap.compute.values import Aftermath, Entries, PricePath, Selected, SideTrades
from liqmap.model import MapRequest, Side

if TYPE_CHECKING:
    from collections.abc import Iterable

    from liqmap.compute.buckets import LevelSums
    from liqmap.compute.margin import MarginRules
    from liqmap.compute.standing import Positions


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
        bound = level_bound(trades.side, self._request.levels, after.extreme, self._last_price)
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
