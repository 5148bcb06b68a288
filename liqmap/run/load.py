"""Read what a request needs from parts of stored segments, stretch by stretch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from liqmap.compute.open_shares import Volume
from liqmap.compute.path import coarsened, joined
from liqmap.compute.selection import Cut, cut_for, shared_out
from liqmap.compute.sweep import SweepPath
from liqmap.errors import DataError, LiqmapError, RequestError
from liqmap.model import Picture, Side
from liqmap.model.window import TimeWindow, at_ms
from liqmap.run.loaded import Loaded
from liqmap.store.bars import path_of, read_bars, read_volume
from liqmap.store.largest import read_largest
from liqmap.text import counted, known_share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from liqmap.compute.values import PricePath
    from liqmap.model import Coverage, MapRequest
    from liqmap.model.series import Series
    from liqmap.store.largest import Largest
    from liqmap.store.segments import Part

_HELD = 50_000  # selections of at most this many trades a side stay in memory after counting: no second read
_DAY_BINS = 120  # seconds of a bin in windows of up to a day, whose seconds a heatmap holds


def load(
    request: MapRequest,
    parts: tuple[Part, ...],
    *,
    bin_seconds: int,
    coverage: Coverage | None = None,
    mark: Series | None = None,
    least_distance: float = 0.0,
    weighs: bool = False,
    selects: bool = True,
) -> Loaded:
    """Read the price path and find how many of each part's largest trades are selected.

    `parts` come oldest first. `coverage` says what is missing of the window and was left out of the parts;
    without it, all is known. If there are `mark` prices, they sweep the levels. With `weighs`, minutes and
    volumes are read too, by which open interest weighs positions. In both cases all levels are at least
    `least_distance` away from their entries. Without `selects`, the caller calls `select_together`
    afterwards. Raises RequestError if nobody traded, DataError if all trades are missing or a segment is
    gone.
    """
    heatmap = Picture.HEATMAP in request.pictures
    # Bins that are no whole minutes need all seconds, and so do a heatmap's entries.
    by_seconds = bool(bin_seconds % 60) or (heatmap and bin_seconds <= _DAY_BINS)
    by_minutes = mark is not None or weighs or (heatmap and not by_seconds)
    read = _Read()
    for part in parts:
        read.add(part, bin_seconds=bin_seconds, by_seconds=by_seconds, by_minutes=by_minutes, weighs=weighs)
    trade_count = read.trade_count
    if not any(trade_count.values()):
        raise _no_trades(request, coverage)
    held: dict[tuple[int, Side], Largest] = {}
    cuts: dict[Side, tuple[Cut, ...]] = {}
    if selects:
        cuts = {side: _cuts(request, parts, side, side_trades=trade_count[side], held=held) for side in Side}
    newest, path = [
        each for each in zip(parts, read.seconds or read.paths, strict=True) if len(each[1].time)
    ][-1]
    last_trade = at_ms(int(path.time[-1]))
    if not read.seconds:  # the path has bins, and the last second of the newest one is read anew to be exact
        last_trade = _last_second(newest, since=last_trade)
    path_by_minutes = volume = traded = None
    if mark is not None or weighs:
        traded = joined(read.minutes)
        path_by_minutes = SweepPath.of(request.window, traded, mark, bin_seconds=bin_seconds, timed=heatmap)
    if weighs:
        volume = Volume(*(np.concatenate(columns) for columns in zip(*read.volumes, strict=True)))
    return Loaded(
        request,
        parts,
        bin_seconds,
        last_trade,
        tuple(read.paths),
        trade_count,
        cuts,
        held,
        tuple(read.seconds),
        tuple(read.minutes),
        traded,
        None if mark is None else path_by_minutes,
        path_by_minutes,
        volume,
        least_distance,
    )


@dataclass(slots=True, eq=False)
class _Read:
    """What the bars of the parts say: the path in bins, and in seconds and minutes where those are needed."""

    paths: list[PricePath] = field(default_factory=list)
    seconds: list[PricePath] = field(default_factory=list)
    minutes: list[PricePath] = field(default_factory=list)
    volumes: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = field(default_factory=list)
    trade_count: dict[Side, int] = field(default_factory=lambda: dict.fromkeys(Side, 0))

    def add(self, part: Part, *, bin_seconds: int, by_seconds: bool, by_minutes: bool, weighs: bool) -> None:
        """Read the bars of the next part, once for all that is made of them."""
        bars = read_bars(part.segment, part.window, bin_seconds=1 if by_seconds else bin_seconds)
        self.trade_count[Side.BUY] += bars.buys
        self.trade_count[Side.SELL] += bars.sells
        path = path_of(bars)
        self.paths.append(coarsened(path, bin_seconds))
        if by_seconds:
            self.seconds.append(path)
        if by_minutes:
            # Only bars of minutes have volumes.
            self.minutes.append(coarsened(path, 60) if bars.volume is None else path)
        if weighs:
            self.volumes.append(read_volume(part.segment, part.window, bars=bars))


def _no_trades(request: MapRequest, coverage: Coverage | None) -> LiqmapError:
    """Return what to raise for a window without trades: nobody traded, or they are missing or left out."""
    symbol = request.market.symbol
    lost = 0 if coverage is None else sum(gap.lost for gap in coverage.missing)
    if lost:
        return DataError(
            f"Up to {lost:,} {symbol} trades are missing in this window, and there are no others; try another"
            " window."
        )
    if coverage is not None and coverage.zero_sizes:
        return RequestError(
            f"No {symbol} trade with a size is known in this window: {counted(coverage.zero_sizes, 'row')} of"
            " size 0 in its days were left out; try another window."
        )
    covered = 1.0 if coverage is None else coverage.fraction
    where = "this window" if covered == 1 else f"the {known_share(covered)} of this window that is known"
    return RequestError(f"Nobody traded {symbol} in {where}; try a longer one or another symbol.")


def select_together(every: Sequence[Loaded]) -> list[Loaded]:
    """Find which trades of several markets are selected, the largest of all together."""
    held: list[dict[tuple[int, Side], Largest]] = [{} for _ in every]
    cuts: list[dict[Side, tuple[Cut, ...]]] = [{} for _ in every]
    # Of equal trades the earlier one is selected, so the parts are searched in the order of time.
    places = [(which, index) for which, each in enumerate(every) for index in range(len(each.parts))]
    places.sort(key=lambda place: every[place[0]].parts[place[1]].window.start)
    for side in Side:
        trades = sum(each.trade_count[side] for each in every)
        cut = cut_for(every[0].request.selection, side_trades=trades)
        counts = dict.fromkeys(places, cut)
        if cut.count is not None:
            read = partial(_read_pooled, every, places, side, held if cut.count <= _HELD else None)
            shared = shared_out(cut.count, parts=len(places), read=read)
            counts = {place: Cut(count=count) for place, count in zip(places, shared, strict=True)}
        for which, each in enumerate(every):
            cuts[which][side] = tuple(counts[which, index] for index in range(len(each.parts)))
    return [replace(each, cuts=cuts[which], held=held[which]) for which, each in enumerate(every)]


def _read_pooled(
    every: Sequence[Loaded],
    places: Sequence[tuple[int, int]],
    side: Side,
    held: list[dict[tuple[int, Side], Largest]] | None,
    index: int,
    cut: Cut,
) -> NDArray[np.float64]:
    which, place = places[index]
    part = every[which].parts[place]
    found = read_largest(part.segment, side, window=part.window, cut=cut)
    if held is not None:
        held[which][place, side] = found
    return found.trades.notional


def _last_second(part: Part, *, since: datetime) -> datetime:
    """Return the second of the newest trade of a part that has one from `since` on."""
    window = TimeWindow(max(part.window.start, since), part.window.end)
    return at_ms(int(read_bars(part.segment, window).time[-1]))


def _cuts(
    request: MapRequest,
    parts: tuple[Part, ...],
    side: Side,
    *,
    side_trades: int,
    held: dict[tuple[int, Side], Largest],
) -> tuple[Cut, ...]:
    cut = cut_for(request.selection, side_trades=side_trades)
    if cut.count is None:
        return (cut,) * len(parts)
    few = cut.count <= _HELD

    def read(index: int, cut: Cut) -> NDArray[np.float64]:
        found = read_largest(parts[index].segment, side, window=parts[index].window, cut=cut)
        if few:
            held[index, side] = found
        return found.trades.notional

    counts = shared_out(cut.count, parts=len(parts), read=read)
    return tuple(Cut(count=count) for count in counts)
