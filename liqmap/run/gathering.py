"""Gather what a map needs before it is drawn: trades, brackets and series, of all its markets at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from liqmap.errors import DamagedSegment, LiqmapError, UnreadableStore
from liqmap.model import LeftOut, LeftOutKind, Progress
from liqmap.run.series import SeriesFetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from liqmap.clock import Clock
    from liqmap.collect.brackets import BracketTables
    from liqmap.collect.collector import Collector
    from liqmap.collect.holdings import Holdings
    from liqmap.collect.liquidations import LiquidationDays
    from liqmap.collect.series import SeriesCollector
    from liqmap.model import MapRequest, Market
    from liqmap.run.series import MapSeries


_RETRIED = DamagedSegment | UnreadableStore  # the engine draws all markets again after these


@dataclass(frozen=True, slots=True)
class OfMarket:
    """The data of one market: the request for it alone, its trades, and its series."""

    request: MapRequest
    holdings: Holdings
    series: MapSeries


@dataclass(frozen=True, slots=True)
class Gathered:
    """The data of a request's markets. `is_final` says that it will not change any more."""

    markets: tuple[OfMarket, ...]
    left_out: tuple[LeftOut, ...] = ()
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of all that a map needs, and the clock by which they are waited for."""

    collector: Collector
    brackets: BracketTables
    series: SeriesCollector
    liquidations: LiquidationDays
    clock: Clock


class _One:
    """Gathers the data of one market."""

    def __init__(
        self, request: MapRequest, sources: Sources, *, progress: Callable[[Progress], None]
    ) -> None:
        self.request = request
        self._collector = sources.collector
        market = request.market
        self.collecting = asyncio.create_task(
            sources.collector.collect(
                market.exchange, market.symbol, window=request.window, progress=progress
            )
        )
        # Brackets and series are fetched at the same time; the trades take longest anyway.
        self._bracketing = asyncio.create_task(sources.brackets.current(request.model, market.symbol))
        self._fetch = SeriesFetch(
            request, collector=sources.series, liquidations=sources.liquidations, clock=sources.clock
        )

    def held(self) -> OfMarket | LeftOut:
        """Return what there is now, or why that is nothing.

        Once its trades are collected, that is what they are, or why they are not available.
        """
        market = self.request.market
        if self.collecting.done() and not self.collecting.cancelled():
            error = self.collecting.exception()
            if error is None:
                return OfMarket(self.request, self.collecting.result(), self._fetch.held())
            if (failed := _failed(market, error)) is not None:
                return failed
        holdings = self._collector.held(market.exchange, market.symbol, window=self.request.window)
        if not holdings.parts:
            return LeftOut(market, LeftOutKind.BEING_FETCHED)
        return OfMarket(self.request, holdings, self._fetch.held())

    async def result(self) -> tuple[OfMarket, bool]:
        """Return the market's data, and whether it is final. Raises LiqmapError."""
        holdings = await self.collecting
        brackets_are_current = await self._bracketing
        series = await self._fetch.result()
        is_final = holdings.coverage.fraction == 1 and brackets_are_current and series.is_final
        return OfMarket(self.request, holdings, series), is_final

    def cancel(self) -> None:
        """Stop gathering."""
        self.collecting.cancel()
        self._bracketing.cancel()
        self._fetch.cancel()


class Gathering:
    """Gathers what a request needs, of all its markets at once. `cancel` it at the end."""

    def __init__(
        self, request: MapRequest, sources: Sources, *, progress: Callable[[Progress], None]
    ) -> None:
        self._progress = progress
        self._shares = [0.0] * len(request.markets)
        self._each = [
            _One(request.alone(market), sources, progress=self._heard(place))
            for place, market in enumerate(request.markets)
        ]
        self.collected: asyncio.Future[Any] = asyncio.gather(
            *(each.collecting for each in self._each), return_exceptions=True
        )
        """Done once the trades of all markets are there, or are known not to be available."""

    def held(self) -> Gathered:
        """Return what there is now; markets without any trades are left out."""
        found = [each.held() for each in self._each]
        left_out = tuple(each for each in found if isinstance(each, LeftOut))
        return Gathered(tuple(each for each in found if isinstance(each, OfMarket)), left_out)

    async def result(self) -> Gathered:
        """Return the data of all markets; of several markets, those that are not available are left out.

        Raises LiqmapError if none is available.
        """
        # With `return_exceptions`, so that one exchange's failure does not end the others' fetching.
        outcomes = await asyncio.gather(*(each.result() for each in self._each), return_exceptions=True)
        found, left_out, is_final = [], [], True
        for each, outcome in zip(self._each, outcomes, strict=True):
            if isinstance(outcome, tuple):
                found.append(outcome[0])
                is_final = is_final and outcome[1]
            elif (failed := _failed(each.request.market, outcome)) is not None:
                left_out.append(failed)
            else:
                raise outcome
        if not found:
            raise next(outcome for outcome in outcomes if isinstance(outcome, LiqmapError))
        return Gathered(tuple(found), tuple(left_out), is_final and not left_out)

    def cancel(self) -> None:
        """Stop gathering."""
        for each in self._each:
            each.cancel()

    def _heard(self, place: int) -> Callable[[Progress], None]:
        def heard(progress: Progress) -> None:
            """Report one market's progress as that of all, which are fetched at once."""
            if len(self._shares) > 1 and progress.fraction is not None:
                self._shares[place] = progress.fraction
                progress = Progress(progress.text, sum(self._shares) / len(self._shares), left=progress.left)
            self._progress(progress)

        return heard


def _failed(market: Market, error: BaseException) -> LeftOut | None:
    """Return a market as left out because of `error`, None if that is no reason to leave it out."""
    if isinstance(error, LiqmapError) and not isinstance(error, _RETRIED):
        return LeftOut(market, LeftOutKind.FAILED, problem=error.problem)
    return None
