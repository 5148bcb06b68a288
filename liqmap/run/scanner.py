"""Scan many markets at once: look up what the store has of each, and compute them in the workers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from liqmap.compute.scan import LARGEST_TRADES, ScannedMarket, ScanRequest, ScanResult, nearest
from liqmap.errors import DamagedSegment, LiqmapError, RequestError
from liqmap.live.registry import Recordings
from liqmap.model import MapRequest, Market, Progress, TopN
from liqmap.run.healing import healed
from liqmap.run.job import MapJob
from liqmap.run.scan import HeldScan, ScanJob, draw_scan, scan_held, scan_markets
from liqmap.run.series import SeriesFetch
from liqmap.store.segments import segment_windows
from liqmap.text import in_bitcoin_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.collect.holdings import Holdings
    from liqmap.run.gathering import Sources
    from liqmap.run.series import MapSeries
    from liqmap.store.local import SegmentStore
    from liqmap.workers.pool import Run

_CHUNKS = 8  # several for each worker, so that the scan does not wait long for the slowest one
_FETCHED_AT_ONCE = 4  # markets whose trades are fetched side by side


class Scanner:
    """Scans the markets of one store; `run` runs jobs in the workers."""

    def __init__(self, store: SegmentStore, sources: Sources, *, run: Run) -> None:
        self._store = store
        self._collector = sources.collector
        self._series = sources.series
        self._clock = sources.clock
        self._run = run
        self._bracket_folder = sources.brackets.folder
        self._fetching = asyncio.Semaphore(_FETCHED_AT_ONCE)

    async def scan(self, request: ScanRequest) -> ScanResult:
        """Return the markets nearest to a large cluster, and their picture.

        Markets that `request` names are fetched as far as the store lacks them. Raises RequestError if it
        names none and none is recorded.
        """
        markets = request.markets or await asyncio.to_thread(self._recorded, request)
        if not markets:
            raise RequestError(
                "No market has been recorded in the last 24 hours; try: liqmap record BTCUSDT, or name"
                " symbols to scan."
            )
        # Amounts of bitcoin cannot be ranked among dollars.
        refused = {market: why for market in markets if (why := in_bitcoin_text(market))}
        markets = tuple(market for market in markets if market not in refused)
        # The list is in the order of names. Dealt out in turns, each chunk gets busy and quiet markets.
        chunks = [markets[first::_CHUNKS] for first in range(min(_CHUNKS, len(markets)))]
        reports = [
            report
            for chunk in await asyncio.gather(*(self._chunk(chunk, request) for chunk in chunks))
            for report in chunk
        ]
        scanned = [report for _, report in reports if isinstance(report, ScannedMarket)]
        failed = [(market, str(report)) for market, report in reports if isinstance(report, LiqmapError)]
        result = ScanResult(request, nearest(scanned, request), len(scanned), (*refused.items(), *failed))
        return replace(result, picture=await self._run(draw_scan, result)) if request.pictured else result

    def _recorded(self, request: ScanRequest) -> tuple[Market, ...]:
        """Return the recorded markets that have trades in the scan's window."""
        root = self._store.root
        recorded = [Market(each.exchange, each.symbol) for each in Recordings(root).all()]
        return tuple(
            market
            for market in recorded
            if (not request.exchanges or market.exchange in request.exchanges)
            and any(
                window.overlap(request.window)
                for window in segment_windows(root, market.exchange, market.symbol)
            )
        )

    async def _chunk(
        self, markets: Sequence[Market], request: ScanRequest
    ) -> list[tuple[Market, ScannedMarket | LiqmapError]]:
        """Return the report of each market that has trades, or what prevents it."""
        wanted = [MapRequest((market,), request.window, TopN(LARGEST_TRADES)) for market in markets]
        if not request.markets:
            job = HeldScan(self._store.root, wanted, (self._bracket_folder,), request.least)
            looked_up = zip(markets, await self._run(scan_held, job), strict=True)
            return [(market, report) for market, report in looked_up if report is not None]
        reports = await self._scanned(wanted, request)
        for each in wanted:
            if isinstance(reports.get(each.market), DamagedSegment):
                reports[each.market] = await self._healed(each, request)
        return list(reports.items())

    async def _healed(self, wanted: MapRequest, request: ScanRequest) -> ScannedMarket | LiqmapError:
        """Return the report of one market whose segments were damaged, or replaced while they were read."""

        async def attempt() -> ScannedMarket | LiqmapError:
            report = (await self._scanned([wanted], request))[wanted.market]
            if isinstance(report, DamagedSegment):
                raise report
            return report

        try:
            return await healed(self._collector.heal, attempt)
        except LiqmapError as error:
            return error

    async def _scanned(
        self, wanted: Sequence[MapRequest], request: ScanRequest
    ) -> dict[Market, ScannedMarket | LiqmapError]:
        """Fetch what is lacking, and return the report of each market, or what prevents it."""
        found = await asyncio.gather(*map(self._fetched, wanted))
        jobs = [job for job in found if isinstance(job, MapJob) and job.parts]
        reports = await self._run(scan_markets, ScanJob(jobs, request.least))
        return {
            **dict(zip((job.request.market for job in jobs), reports, strict=True)),
            **{
                each.market: error
                for each, error in zip(wanted, found, strict=True)
                if isinstance(error, LiqmapError)
            },
        }

    async def _fetched(self, wanted: MapRequest) -> MapJob | LiqmapError:
        market = wanted.market
        async with self._fetching:
            fetch = SeriesFetch(wanted, collector=self._series, clock=self._clock)
            try:
                holdings = await self._collector.collect(
                    market.exchange, market.symbol, window=wanted.window, progress=_ignore
                )
                return self._job(wanted, holdings, await fetch.result())
            except LiqmapError as error:  # it fails this market, and not the scan
                return error
            finally:
                fetch.cancel()

    def _job(self, wanted: MapRequest, holdings: Holdings, series: MapSeries) -> MapJob:
        folders = (self._bracket_folder,)
        return MapJob(wanted, holdings.parts, holdings.coverage, folders, mark=series.mark)


def _ignore(_: Progress) -> None:
    """Ignore what is reported."""
