"""What a worker process runs: the jobs that cost processor time, given paths and small values."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING

import numpy as np

from liqmap.brackets import find_brackets
from liqmap.errors import RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.export import levels_csv
from liqmap.heatmap import build_heatmap
from liqmap.levels import aftermath, build_map, coarsened, joined, path_bin_seconds
from liqmap.margin import MarginRules
from liqmap.model import (
    Aftermath,
    Coverage,
    Exchange,
    GrossValue,
    LiquidationMap,
    MapRequest,
    MapResult,
    MarginBasis,
    MarginModel,
    Portion,
    PricePath,
    Side,
    SideTrades,
    TopN,
)
from liqmap.segment_writer import write_segment
from liqmap.segments import Bars, Origin, Part, Segment, read_bars, read_largest, segment_path
from liqmap.selection import Cut, cut_for, merge, tightened
from liqmap.spans import at_ms
from liqmap.summary import summarize

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

PATH_BINS = 720
"""The price path has at most this many bins: more than the pixels it is drawn on."""

_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


@dataclass(frozen=True, slots=True)
class MapJob:
    """A request with the parts of stored segments, oldest first, that its trades are read from.

    Brackets are looked for in `bracket_folders`, besides those that ship.
    """

    request: MapRequest
    parts: tuple[Part, ...]
    coverage: Coverage
    bracket_folders: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreJob:
    """A downloaded day file that is to become a segment below `root`."""

    file: Path
    origin: Origin
    root: Path
    incoming: Path
    max_unpacked_size: int


def run_map_job(job: MapJob) -> MapResult:
    """Load, select, compute and draw one request.

    Raises RequestError if no trade of the window passes the selection, DataError if a segment is gone.
    """
    # matplotlib takes a second to import: workers do it, the process that only hands out jobs does not.
    from liqmap.render import draw_depth, draw_heatmap, draw_map  # noqa: PLC0415

    watch = _Stopwatch()
    liquidation_map = load_map(job)
    watch.lap("compute")
    label = EXCHANGES[job.request.exchange].contract(job.request.symbol).label
    map_png = draw_map(liquidation_map, label=label)
    watch.lap("map")
    depth_png = draw_depth(liquidation_map, label=label)
    watch.lap("depth")
    heatmap_png = None
    if job.request.heatmap:
        heatmap = build_heatmap(liquidation_map, bin_seconds=_bin_seconds(job))
        heatmap_png = draw_heatmap(liquidation_map, heatmap, label=label)
        watch.lap("heatmap")
    csv = levels_csv(liquidation_map) if job.request.levels_csv else None
    return MapResult(
        request=job.request,
        map_png=map_png,
        depth_png=depth_png,
        summary=summarize(liquidation_map),
        coverage=liquidation_map.coverage,
        timings_ms=watch.laps,
        heatmap_png=heatmap_png,
        levels_csv=csv,
    )


def load_map(job: MapJob) -> LiquidationMap:
    """Read and compute the map of `job`, undrawn. Raises as `run_map_job`."""
    rules, basis = _margin(job)
    paths, trades, last_trade = _read_paths(job)
    sides = {side: _select(job, side, trades[side]) for side in Side}
    if not any(len(side) for side in sides.values()):
        raise RequestError(_nothing_selected(job, trades))
    return build_map(
        job.request,
        replace(job.coverage, last_trade=last_trade),
        path=coarsened(joined(paths), _bin_seconds(job)),
        trade_count=sum(trades.values()),
        buys=sides[Side.BUY],
        sells=sides[Side.SELL],
        after=_after(job, paths, sides),
        rules=rules,
        basis=basis,
    )


def run_store_job(job: StoreJob) -> Segment:
    """Parse a downloaded day file and store it as a segment.

    Raises DataError if the file is not what it should be or the disk is full.
    """
    origin = job.origin
    day = EXCHANGES[origin.exchange].read_day(
        job.file, origin.symbol, origin.window.start.date(), max_unpacked_size=job.max_unpacked_size
    )
    origin = replace(
        origin,
        first_id=day.first_id,
        last_id=day.last_id,
        lost_ids=day.lost_ids,
        duplicates=day.duplicates,
        inverse=day.trades.inverse,
    )
    path = segment_path(job.root, origin.exchange, origin.symbol, origin.window)
    segment = write_segment(path, origin, day.trades, incoming=job.incoming)
    del day
    _c_library("malloc_trim", 0)  # drawing needs a tenth of what parsing took
    return segment


def prepare_process() -> None:
    """Make a new worker process ready: deaf to Ctrl-C, gone when its parent is, and warm."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        # A killed parent cannot tell its workers to stop, and their queue never reaches its end.
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()
    # glibc learns to keep even a day's columns on its heap, where they leave holes: told a limit, it does
    # not, and a worker's peak after a few days parsed is a fifth lower.
    _c_library("mallopt", _M_MMAP_THRESHOLD, 8 << 20)
    importlib.import_module("liqmap.render")


def _c_library(function: str, *arguments: int) -> None:
    """Call a function of glibc; elsewhere, where memory is managed otherwise, do nothing."""
    found = getattr(ctypes.CDLL(None), function, None)
    if found is not None:
        found(*arguments)


def _exit_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _margin(job: MapJob) -> tuple[MarginRules, MarginBasis]:
    """Return the rules that the request asks for, or the simple ones where there are no brackets."""
    request = job.request
    inverse = EXCHANGES[request.exchange].contract(request.symbol).inverse
    if request.model is MarginModel.SIMPLE:
        return MarginRules(MarginModel.SIMPLE, inverse=inverse, split=False), MarginBasis(request.model)
    end = request.window.end.date()
    found = find_brackets(Exchange(request.model.value), request.symbol, on=end, folders=job.bracket_folders)
    if found is None:
        note = f"no {request.model.title()} brackets of {request.symbol} by {end}"
        return MarginRules(MarginModel.SIMPLE, inverse=inverse), MarginBasis(MarginModel.SIMPLE, note=note)
    rules = MarginRules(request.model, found.brackets, inverse=inverse)
    return rules, MarginBasis(request.model, found.date, found.source)


def _bin_seconds(job: MapJob) -> int:
    return path_bin_seconds(int(job.request.window.length.total_seconds()), bins=PATH_BINS)


def _read_paths(job: MapJob) -> tuple[list[PricePath], dict[Side, int], datetime]:
    """Return each part's price path, coarsened, the sides' trades, and the second of the newest one."""
    paths, buys, sells, newest = [], 0, 0, 0
    for part in job.parts:
        bars = read_bars(part.segment, part.window)
        buys, sells = buys + bars.buys, sells + bars.sells
        newest = int(bars.time[-1]) if len(bars.time) else newest
        paths.append(coarsened(_path(bars), _bin_seconds(job)))
    if not buys + sells:
        raise RequestError(
            f"Nobody traded {job.request.symbol} in this window; try a longer one or another symbol."
        )
    return paths, {Side.BUY: buys, Side.SELL: sells}, at_ms(newest)


def _after(job: MapJob, paths: list[PricePath], sides: dict[Side, SideTrades]) -> dict[Side, Aftermath]:
    """Return what the price did after the sides' entries, from the newest part back.

    Second bars are read again only of parts that have entries; of what lies after those, the coarsened
    path knows the extremes as well.
    """
    found = {side: Aftermath(np.empty(len(of)), np.empty(len(of))) for side, of in sides.items()}
    lowest, highest = np.inf, -np.inf
    for index in reversed(range(len(paths))):
        part, bars = job.parts[index], None
        for side, of in sides.items():
            inside = (of.time >= part.window.start_ms) & (of.time < part.window.end_ms)
            if inside.any():
                bars = bars or joined(
                    [_path(read_bars(part.segment, part.window)), *_rest_of_bin(job, paths, index)]
                )
                later = lowest if side is Side.BUY else highest
                its = aftermath(bars, of.chosen(inside), bin_seconds=_bin_seconds(job), later=later)
                found[side].extreme[inside], found[side].soon[inside] = its.extreme, its.soon
        lowest = min(lowest, paths[index].low.min(initial=np.inf))
        highest = max(highest, paths[index].high.max(initial=-np.inf))
    return found


def _rest_of_bin(job: MapJob, paths: list[PricePath], index: int) -> list[PricePath]:
    """Return what later parts have of the bin in which the part at `index` ends, put behind its end."""
    end_ms, width = job.parts[index].window.end_ms, _bin_seconds(job) * 1000
    bin_start = end_ms // width * width
    rest = []
    for path in paths[index + 1 :]:
        if len(path.time) and (path.time[0] != bin_start or bin_start == end_ms):
            break
        low, high, close = path.low[:1], path.high[:1], path.close[:1]
        rest.append(PricePath(np.full(len(low), end_ms), low, high, close))
    return rest


def _path(bars: Bars) -> PricePath:
    return PricePath(bars.time, bars.low, bars.high, bars.close)


def _select(job: MapJob, side: Side, side_trades: int) -> SideTrades:
    wanted = cut = cut_for(job.request.selection, side_trades=side_trades)
    found: list[SideTrades] = []
    for part in job.parts:
        found.append(read_largest(part.segment, side, window=part.window, cut=cut))
        # Now and then what is kept tells how large later trades must be; sorting each time costs more.
        if wanted.count is not None and sum(map(len, found)) >= 2 * wanted.count:
            found = [merge(found, wanted)]
            cut = tightened(wanted, found[0])
    return merge(found, wanted)


def _nothing_selected(job: MapJob, trades: dict[Side, int]) -> str:
    symbol = job.request.symbol
    match job.request.selection:
        case GrossValue(minimum):
            largest = _largest_notional(job)
            return (
                f"No trade of {symbol} in this window reaches {minimum:,.0f}: the largest is {largest:,.0f}."
                f" Try gross_value {_round_down(largest):,.0f} or a longer window."
            )
        case Portion(fraction):
            most = max(trades.values())
            return (
                f"{fraction:.4%} of {most:,} {symbol} trades a side is less than one trade."
                f" Try portion {1.05 / most:.2%} or a longer window."
            )
        case TopN():  # pragma: no cover - takes at least one of any trades
            return f"No trade of {symbol} in this window was selected."


def _largest_notional(job: MapJob) -> float:
    one = Cut(count=1)
    found = [
        read_largest(part.segment, side, window=part.window, cut=one) for part in job.parts for side in Side
    ]
    return max(float(each.notional[0]) for each in found if len(each))


def _round_down(value: float) -> float:
    """Keep the first digit: 82,300 becomes 80,000, which the largest trade still reaches."""
    power = 10.0 ** (len(str(int(value))) - 1)
    return value // power * power


class _Stopwatch:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self._last = (now - self._last) * 1000, now
