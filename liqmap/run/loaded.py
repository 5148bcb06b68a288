"""What a request needs of its parts: small values, and entries that are read stretch by stretch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from liqmap.compute.aftermath import aftermath
from liqmap.compute.path import coarsened, joined, median_prices
from liqmap.compute.values import NEVER, Aftermath, Entries, PricePath, SideTrades
from liqmap.model import GrossValue, Picture, Side
from liqmap.store.bars import read_path_around, read_seconds_near
from liqmap.store.largest import read_largest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from liqmap.compute.open_shares import OpenShares, Volume
    from liqmap.compute.selection import Cut
    from liqmap.compute.standing import Positions
    from liqmap.compute.sweep import SweepPath
    from liqmap.model import MapRequest
    from liqmap.store.largest import Largest
    from liqmap.store.segments import Part

_STRETCH = 20_000  # entries computed at once: enough for numpy to be fast, few enough for the CPU cache
_NO_PATH = PricePath(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0))


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """What a request needs of its parts: small values, and `entries`, which are read on demand.

    `last_trade` is the second of the window's newest trade. `paths` are the parts' price paths in bins of
    `bin_seconds`, `trade_count` the number of each side's trades in the window. `cuts` says how many of each
    part's largest trades are selected, and `held` has these trades themselves if they are few. `seconds` are
    the parts' price paths by the second, if they were read for a short window. `minutes` are those by the
    minute; they are read if mark prices sweep the levels, if open interest weighs them, or for a heatmap. In
    the first two cases, `traded` is the path of all parts by the minute.
    `marks` is the path by mark price, if that sweeps the levels. Open interest also needs `path_by_minutes`,
    by which levels are swept, and the `volume` by the minute. No level is nearer to its entry than
    `least_distance`, a share of the price. `positions` says how open interest weighs the entries, None if it
    does not. `stretches` are the entries, timed, where `with_entries` has read them.
    """

    request: MapRequest
    parts: tuple[Part, ...]
    bin_seconds: int
    last_trade: datetime
    paths: tuple[PricePath, ...]
    trade_count: Mapping[Side, int]
    cuts: Mapping[Side, Sequence[Cut]]
    held: Mapping[tuple[int, Side], Largest]
    seconds: tuple[PricePath, ...] = ()
    minutes: tuple[PricePath, ...] = ()
    traded: PricePath | None = None
    marks: SweepPath | None = None
    path_by_minutes: SweepPath | None = None
    volume: Volume | None = None
    least_distance: float = 0.0
    positions: Positions | None = None
    stretches: tuple[Entries, ...] = ()

    @property
    def path(self) -> PricePath:
        """The price path of the whole window."""
        return coarsened(joined(self.paths), self.bin_seconds)

    @property
    def open_shares(self) -> OpenShares | None:
        """What each interval opened and closed of the open interest, if that weighs the positions."""
        return None if self.positions is None else self.positions.shares

    @property
    def price(self) -> float:
        """The price at the window's end by which several markets are aligned: its last minute's median."""
        return float(self.median_prices(np.array([self.request.window.end_ms]))[0])

    def median_prices(self, moments: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the median price of the last minute before each moment [ms], which no odd trade moves.

        Where nobody traded in it, it is that of the minute that ends with the last trade before.
        """
        near = np.unique(moments)
        while True:
            path = joined([self._seconds_before(index, near) for index in range(len(self.parts))])
            last = path.time[np.maximum(np.searchsorted(path.time, moments) - 1, 0)]
            # Of a coarse bar, only the seconds show when in it the last trade was made.
            idle = last[last < moments - 60_000]
            wanted = np.union1d(near, np.concatenate([idle, idle + 60_000]))
            if len(wanted) == len(near):
                return median_prices(path, moments)
            near = wanted

    def with_entries(self) -> Loaded:
        """Return it with its entries, if a heatmap of a short window needs them more than once."""
        if not self.seconds or Picture.HEATMAP not in self.request.pictures:
            return self
        return replace(self, stretches=tuple(self.entries(timed=True)))

    def entries(self, *, timed: bool = False) -> Iterator[Entries]:
        """Read the selected trades in stretches, newest first, with what the price did after them.

        A stretch is several parts with few entries, or one with many. With `timed`, it includes what the
        price did in the rest of each entry's bin, because a heatmap shows when a level was swept. If
        `positions` weigh the entries, it includes what it did in each one's own minute.
        """
        if self.stretches:
            yield from self.stretches
            return
        waiting: list[Entries] = []
        count = 0
        for entries in self._by_part(timed=timed):
            waiting.append(entries)
            count += sum(map(len, entries.trades.values()))
            if count >= _STRETCH:
                yield together(waiting)
                waiting, count = [], 0
        if waiting:
            yield together(waiting)

    def _by_part(self, *, timed: bool) -> Iterator[Entries]:
        # Newest first, so that the extremes of the price after each part are known when it is read.
        later = dict(NEVER)
        wide = {side: self._wide_minutes(side, timed=timed) for side in Side}
        for index in reversed(range(len(self.parts))):
            found = {side: self._selected(index, side) for side in Side}
            trades = {side: each.trades for side, each in found.items()}
            if any(map(len, trades.values())):
                its_wide = {side: each[index] for side, each in wide.items()}
                yield Entries(trades, self._after(index, found, later, wide=its_wide, timed=timed))
            path = self.paths[index]
            later[Side.BUY] = min(later[Side.BUY], path.low.min(initial=np.inf))
            later[Side.SELL] = max(later[Side.SELL], path.high.max(initial=-np.inf))

    def _after(
        self,
        index: int,
        found: Mapping[Side, Largest],
        later: Mapping[Side, float],
        *,
        wide: Mapping[Side, NDArray[np.int64]],
        timed: bool,
    ) -> dict[Side, Aftermath]:
        """Return what the price did after the entries of a part; `later` are its extremes after the part.

        `wide` are the places of its `_wide_minutes`.
        """
        part = self.parts[index]
        trades = {side: each.trades for side, each in found.items()}
        own = self._own_minutes(index, found, wide)
        # A segment stores what the price did after each trade, until the segment's end. A part that ends
        # earlier needs the seconds instead.
        if self.marks is not None:
            after = {
                side: self.marks.after(side, each.time, own.get(side), timed=timed)
                for side, each in trades.items()
            }
        elif timed or part.window.end < part.segment.origin.window.end:
            after = self._by_seconds(index, trades, later)
        else:
            after = {side: _until_end(found[side], later[side]) for side in Side}
        if self.positions is not None:
            after = {side: replace(each, own=own.get(side)) for side, each in after.items()}
        return after

    def _selected(self, index: int, side: Side) -> Largest:
        part, cut = self.parts[index], self.cuts[side][index]
        if (index, side) in self.held:
            return self.held[index, side].first(cut.count)
        return read_largest(part.segment, side, window=part.window, cut=cut, turns=self._in_order)

    @property
    def _in_order(self) -> bool:
        """Whether to read the order in which the trades were made, for a table of levels."""
        # Only that mode lists trades as they were made; the tables of the others begin with the largest.
        wanted = self.request.levels_csv or self.request.tables
        return wanted and isinstance(self.request.selection, GrossValue)

    def _wide_minutes(self, side: Side, *, timed: bool) -> list[NDArray[np.int64]]:
        """Return, of each part's minutes, the places of those that may sweep levels of their own entries.

        Those are left out in which it does not matter, because later prices reach the levels as well.
        """
        path, minutes = self.path_by_minutes, self.traded
        if path is None or minutes is None:
            return [np.empty(0, np.int64)] * len(self.parts)
        adverse, other = (minutes.low, minutes.high) if side is Side.BUY else (minutes.high, minutes.low)
        # Few minutes have such a wide range that it may include a level of their own entries.
        (wide,) = np.nonzero(self._may_reach(side, adverse, other))
        # In few of these the price goes beyond all later ones.
        later = _following(path, side, minutes.time[wide], self.positions, timed=timed)
        wide = wide[adverse[wide] < later if side is Side.BUY else adverse[wide] > later]
        ends = np.cumsum([len(each.time) for each in self.minutes])
        first = ends - [len(each.time) for each in self.minutes]
        return [wide[slice(*np.searchsorted(wide, span))] - span[0] for span in zip(first, ends, strict=True)]

    def _own_minutes(
        self, index: int, found: Mapping[Side, Largest], wide: Mapping[Side, NDArray[np.int64]]
    ) -> dict[Side, NDArray[np.float64]]:
        """Return the extremes of the traded prices after the entries in each one's own minute.

        Seconds are read only where these may have reached a level, in `wide` minutes; elsewhere the extremes
        are infinite. A side without such entries is left out.
        """
        near = {side: self._near(index, found[side], each) for side, each in wide.items() if len(each)}
        near = {side: each for side, each in near.items() if len(each)}
        own: dict[Side, NDArray[np.float64]] = {}
        if near:
            times = np.concatenate([found[side].trades.time[each] for side, each in near.items()])
            bars = self._seconds_near(index, times)
            for side, each in near.items():
                trades = found[side].trades
                after = aftermath(bars, trades.chosen(each), bin_seconds=60, later=NEVER[side])
                own[side] = np.full(len(trades), NEVER[side])
                own[side][each] = after.extreme if after.soon is None else after.soon
        return own

    def _near(self, index: int, found: Largest, wide: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of trades in `wide` minutes whose nearest level may be reached in these."""
        trades, minutes = found.trades, self.minutes[index]
        number = (minutes.time[wide] - minutes.time[0]) // 60_000
        place = np.full(int(minutes.time[-1] - minutes.time[0]) // 60_000 + 1, -1)
        place[number] = wide
        its = place[(trades.time - minutes.time[0]) // 60_000]
        (near,) = np.nonzero(its >= 0)
        its, extreme = its[near], found.extreme[near]
        # After the trade, no price of its minute is worse than either of these.
        if trades.side is Side.BUY:
            worst = np.maximum(minutes.low[its], extreme)
        else:
            worst = np.minimum(minutes.high[its], extreme)
        reached = self._may_reach(trades.side, worst, trades.price[near])
        return np.compress(reached, near)

    def _may_reach(
        self, side: Side, adverse: NDArray[np.float64], entry: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Return whether adverse prices may reach levels of positions that were opened at `entry`."""
        if side is Side.BUY:
            return adverse <= entry * (1 - self.least_distance)
        return adverse >= entry * (1 + self.least_distance)

    def _by_seconds(
        self, index: int, trades: Mapping[Side, SideTrades], later: Mapping[Side, float]
    ) -> dict[Side, Aftermath]:
        # Only the rest of a trade's own minute needs seconds; minutes do for the rest of its bin.
        bars = self._path_around(index, np.concatenate([each.time for each in trades.values()]))
        rest = self._rest_of_bin(index)
        bars = joined([bars, rest]) if len(rest.time) else bars
        return {
            side: aftermath(bars, trades[side], bin_seconds=self.bin_seconds, later=later[side])
            for side in Side
        }

    def _seconds_before(self, index: int, moments: NDArray[np.int64]) -> PricePath:
        """Return a part's price path: of seconds in the minute before each moment, coarser elsewhere."""
        part = self.parts[index]
        times = np.concatenate([moments - 60_000, moments - 1])
        times = times[(times >= part.window.start_ms) & (times < part.window.end_ms)]
        if len(times):
            return self._path_around(index, times)
        path = self.paths[index]
        # Its first bin may begin before it, where the part before has prices of its own.
        return PricePath(np.maximum(path.time, part.window.start_ms), path.low, path.high, path.close)

    def _seconds_near(self, index: int, times: NDArray[np.int64]) -> PricePath:
        """Return a part's price path by the second, which may leave out what is not near the `times` [ms]."""
        if self.seconds:
            return self.seconds[index]
        part = self.parts[index]
        return read_seconds_near(part.segment, part.window, times)[0]

    def _path_around(self, index: int, times: NDArray[np.int64]) -> PricePath:
        """Return a part's price path: of seconds near the `times` [ms], and of minutes elsewhere.

        Where it is less work, all is of seconds.
        """
        if self.seconds:
            return self.seconds[index]
        part, minutes = self.parts[index], self.minutes[index] if self.minutes else None
        return read_path_around(part.segment, part.window, times, minutes=minutes)

    def _rest_of_bin(self, index: int) -> PricePath:
        """Return the prices of later parts in the bin in which a part ends, as one second after its end."""
        end_ms, width = self.parts[index].window.end_ms, self.bin_seconds * 1000
        bin_start = end_ms // width * width
        rest = []
        for path in self.paths[index + 1 :]:
            if len(path.time) and (path.time[0] != bin_start or bin_start == end_ms):
                break
            rest.append(PricePath(path.time[:1], path.low[:1], path.high[:1], path.close[:1]))
        whole = coarsened(joined([_NO_PATH, *rest]), self.bin_seconds)
        return PricePath(np.full(len(whole.time), end_ms), whole.low, whole.high, whole.close)


def together(parts: Sequence[Entries]) -> Entries:
    """Join the entries of several parts, newest part first, into one stretch."""
    if len(parts) == 1:
        return parts[0]
    trades, after = {}, {}
    for side in Side:
        # Oldest first, so that of equal trades the earlier stays in front.
        selected = SideTrades.joined([part.trades[side] for part in reversed(parts)])
        order = np.argsort(-selected.notional, kind="stable")
        trades[side] = selected.chosen(order)
        after[side] = Aftermath.joined([part.after[side] for part in reversed(parts)], side).chosen(order)
    return Entries(trades, after)


def _until_end(found: Largest, later: float) -> Aftermath:
    worst = np.minimum if found.trades.side is Side.BUY else np.maximum
    return Aftermath(worst(found.extreme, later))


def _following(
    path: SweepPath, side: Side, times: NDArray[np.int64], positions: Positions | None, *, timed: bool
) -> NDArray[np.float64]:
    """Return, for minutes at `times` [ms], the later extremes beyond which their own trades matter.

    A level that the later prices reach as well is swept anyway. But for a heatmap only those of the same bin
    count, and for open interest only those of the same interval.
    """
    following = path.later(side, times, timed=timed)
    if positions is None:
        return following
    rest, nearer = positions.rest(side, times), np.maximum if side is Side.BUY else np.minimum
    # What opens nothing has no part in what is swept, whenever that was.
    return np.where(positions.opens(times), nearer(rest, following) if timed else rest, following)
