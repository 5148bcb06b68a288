"""Compute in a worker process what a scan reports of each market: its map, which is not drawn."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from liqmap.collect.holdings import held_in
from liqmap.compute.scan import CURRENT_FOR, NearCluster, ScannedMarket
from liqmap.compute.selection import Cut
from liqmap.compute.summary import summarize
from liqmap.compute.volatility import hourly_volatility
from liqmap.errors import DamagedSegment, LiqmapError
from liqmap.model import Side
from liqmap.model.series import SeriesKind
from liqmap.model.window import HOUR, TimeWindow
from liqmap.run.job import MapJob, compute_map, load_job
from liqmap.run.series import mark_span
from liqmap.store.largest import read_largest
from liqmap.store.local import SegmentStore
from liqmap.store.series import SeriesStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from liqmap.compute.scan import ScanResult
    from liqmap.model import Cluster, MapRequest, MapSummary
    from liqmap.store.segments import Part


_KNOWN_OF_HOUR = 0.95  # less would make the volume of an hour too small, and a cluster's share too large


class ScanJob(NamedTuple):
    """Markets to scan, and how large their clusters have to be (`ScanRequest.least`)."""

    markets: Sequence[MapJob]
    least: float = 0.0


class HeldScan(NamedTuple):
    """Requests for markets to scan as far as the store at `root` has them, with the dated brackets."""

    root: Path
    requests: Sequence[MapRequest]
    bracket_folders: tuple[Path, ...]
    least: float = 0.0


def scan_markets(job: ScanJob) -> list[ScannedMarket | LiqmapError]:
    """Return what a scan reports of several markets, with an error in the place of each one that fails."""
    return [_tried(each, job.least) for each in job.markets]


def scan_held(job: HeldScan) -> list[ScannedMarket | LiqmapError | None]:
    """Return what a scan reports of markets as they are in the store; None for one without trades.

    A worker looks them up itself: what the store has of many markets is more than should pass between
    processes, and several look at once.
    """
    # Without a limit: a scan stores nothing, so nothing has to make room.
    store, series = SegmentStore(job.root, max_size=sys.maxsize), SeriesStore(job.root)

    def looked_up(request: MapRequest) -> ScannedMarket | LiqmapError | None:
        market, span = request.market, mark_span(request.window)
        try:
            held = held_in(store, market, request.window)
            mark = series.read(market, SeriesKind.MARK_PRICE, span).series
        except LiqmapError as error:
            return error
        if not held.parts:
            return None
        found = MapJob(request, held.parts, held.coverage, job.bracket_folders, mark if len(mark) else None)
        return _tried(found, job.least)

    def healed(request: MapRequest) -> ScannedMarket | LiqmapError | None:
        looked_at: set[Path] = set()
        while isinstance(report := looked_up(request), DamagedSegment) and report.path not in looked_at:
            # Or replaced while it was read. Others may hold the same.
            looked_at.add(report.path)
            store.heal(report.path)
        return report

    return [healed(each) for each in job.requests]


def draw_scan(result: ScanResult) -> bytes:
    """Draw a scan in a worker process."""
    from liqmap.render.scan import scan_canvas  # noqa: PLC0415 - only workers draw

    return scan_canvas(result).png()


def _tried(job: MapJob, least: float) -> ScannedMarket | LiqmapError:
    try:
        return scanned(job, least=least)
    except LiqmapError as error:  # one market without trades, or damaged, does not end the scan
        return error


def scanned(job: MapJob, *, least: float = 0.0) -> ScannedMarket:
    """Compute the map of one job and return what a scan reports of it. Raises as `run_map_job`."""
    loaded = load_job(job)
    found = compute_map(job, loaded)
    summary, volatility = summarize(found), hourly_volatility(found.path)
    below, above = _nearest_of(summary, least) if least else (summary.nearest_long, summary.nearest_short)
    coverage, end = found.coverage, job.request.window.end
    known_until = coverage.covered[-1].end if coverage.covered else job.request.window.start
    # A cluster is compared with the volume of an hour: what a quiet market cannot absorb, a busy one may.
    traded = _hour_notional(job, TimeWindow.ending(known_until, HOUR))
    return ScannedMarket(
        market=job.request.market,
        last_price=summary.last_price,
        bucket_size=summary.bucket_size,
        covered=coverage.fraction,
        volatility=volatility,
        hour_notional=traded,
        long=_near(below, volatility, traded),
        short=_near(above, volatility, traded),
        simulated=coverage.simulated,
        price_age=end - loaded.last_trade,
        unknown=end - known_until,
    )


def _nearest_of(summary: MapSummary, least: float) -> tuple[Cluster | None, Cluster | None]:
    """Return the nearest cluster of longs and of shorts among those of a notional of at least `least`."""

    def nearest(side: Side) -> Cluster | None:
        large = (each for each in summary.clusters if each.side is side and each.notional >= least)
        return min(large, key=lambda each: abs(each.distance), default=None)

    return nearest(Side.BUY), nearest(Side.SELL)


def _near(cluster: Cluster | None, volatility: float | None, traded: float | None) -> NearCluster | None:
    if cluster is None:
        return None
    return NearCluster(
        price=cluster.price,
        distance=cluster.distance,
        notional=cluster.notional,
        hours=abs(cluster.distance) / volatility if volatility else None,
        share=cluster.notional / traded if traded else None,
    )


def _hour_notional(job: MapJob, hour: TimeWindow) -> float | None:
    """Return what traded within `hour`, None if that is not the last one or too little of it is known."""
    parts = (part.overlap(hour) for part in job.coverage.covered)
    known = sum((part.length for part in parts if part is not None), timedelta())
    if job.request.window.end - hour.end > CURRENT_FOR or known < _KNOWN_OF_HOUR * HOUR:
        return None
    return _traded(job.parts, hour)


def _traded(parts: Iterable[Part], hour: TimeWindow) -> float:
    """Return what traded within `hour` [quote currency], as far as `parts` have it."""
    total = 0.0
    for part in parts:
        window = part.window.overlap(hour)
        if window is not None:
            for side in Side:
                found = read_largest(part.segment, side, window=window, cut=Cut())
                total += float(found.trades.notional.sum())
    return total
