"""The series of a map: which ones a request needs, and how long it waits for them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from liqmap.errors import DataError
from liqmap.model import GapKind, LevelFilter, PositionModel, SweepPrice
from liqmap.model.series import SeriesKind
from liqmap.model.window import TimeWindow

if TYPE_CHECKING:
    from liqmap.clock import Clock
    from liqmap.collect.liquidations import LiquidationDays
    from liqmap.collect.series import SeriesCollector, SeriesHoldings
    from liqmap.model import Gap, MapRequest
    from liqmap.model.series import Series

PATIENCE: Final = timedelta(seconds=2)
"""How much longer than for its trades a map waits for series that it does not need."""

# Exchanges publish the newest minutes late. A map that lacks only those is final, or none would ever be.
_NEWEST: Final = timedelta(minutes=15)
_STILL_TO_COME: Final = frozenset({GapKind.BEING_FETCHED, GapKind.NOT_FETCHED_YET, GapKind.FAILED})


class MapSeries(NamedTuple):
    """The series of a map, each None if no row is known. `is_final` says that nothing more will be known."""

    mark: Series | None = None
    interest: Series | None = None
    is_final: bool = True


class SeriesFetch:
    """The series and the published liquidations of one request, fetched while its trades are."""

    def __init__(
        self,
        request: MapRequest,
        *,
        collector: SeriesCollector,
        liquidations: LiquidationDays | None = None,
        clock: Clock,
    ) -> None:
        self._request = request
        self._collector = collector
        self._clock = clock
        self._tasks = {
            kind: asyncio.create_task(collector.collect(request.market, kind, _span(kind, request.window)))
            for kind in _kinds(request)
        }
        self._published = asyncio.create_task(_published_liquidations(request, liquidations))
        self._is_answered = False

    async def result(self) -> MapSeries:
        """Return the series. Those that the request needs are waited for, however long they take.

        The others are waited for up to `PATIENCE`, and not at all if the exchange cannot be reached. Raises
        UnreadableStore.
        """
        await asyncio.gather(*(self._tasks[kind] for kind in _required(self._request)))
        # Only waited for: what is not done in time may go on.
        everything = asyncio.create_task(asyncio.wait((self._published, *self._tasks.values())))
        ends = (
            everything,
            asyncio.ensure_future(self._clock.sleep(PATIENCE.total_seconds())),
            asyncio.ensure_future(self._collector.unreachable(self._request.market.exchange)),
        )
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if everything.done():
                self._published.result()
                return _known({kind: task.result() for kind, task in self._tasks.items()})
            held = await asyncio.to_thread(self.held)
            return held if self._let_go_on() else held._replace(is_final=False)
        finally:
            for each in ends:
                each.cancel()

    def held(self) -> MapSeries:
        """Return the series that are stored by now. Raises UnreadableStore."""
        return held_series(self._request, self._collector)

    def _let_go_on(self) -> bool:
        """Let what is not done be fetched for the next map. Return whether the liquidations are there."""
        tasks = (*self._tasks.values(), self._published)
        self._collector.let_go_on(task for task in tasks if not task.done())
        self._is_answered = True
        return self._published.done()

    def cancel(self) -> None:
        """Wait no longer: nothing is fetched for a map that nobody waits for."""
        if not self._is_answered:
            for task in (*self._tasks.values(), self._published):
                task.cancel()


def held_series(request: MapRequest, collector: SeriesCollector) -> MapSeries:
    """Return what the store has of a map's series, without fetching. Raises UnreadableStore."""
    return _known(
        {kind: collector.held(request.market, kind, _span(kind, request.window)) for kind in _kinds(request)}
    )


async def _published_liquidations(request: MapRequest, liquidations: LiquidationDays | None) -> None:
    """Bring the liquidations of a window into the store, if files or REST have them."""
    if liquidations is None or request.levels is LevelFilter.ALL:
        return
    with suppress(DataError):
        await liquidations.obtain_recent(request.market, request.window)
    for day in request.window.days:
        # A failure is no reason to refuse a map: it only has no dots then.
        with suppress(DataError):
            await liquidations.obtain(request.market, day)


def _kinds(request: MapRequest) -> list[SeriesKind]:
    # `ALL` draws what py-liquidation-map draws, which needs neither of them.
    if request.levels is LevelFilter.ALL:
        return _required(request)
    marks = [] if request.sweep is SweepPrice.TRADED else [SeriesKind.MARK_PRICE]
    return [SeriesKind.OPEN_INTEREST, *marks]


def _required(request: MapRequest) -> list[SeriesKind]:
    sweeps = request.sweep is SweepPrice.MARK and request.levels is LevelFilter.STANDING
    weighs = request.positions is PositionModel.OPEN_INTEREST
    marks = [SeriesKind.MARK_PRICE] if sweeps else []
    return [SeriesKind.OPEN_INTEREST, *marks] if weighs else marks


def mark_span(window: TimeWindow) -> TimeWindow:
    """Return the span of the mark prices that a map of `window` reads."""
    return _span(SeriesKind.MARK_PRICE, window)


def _span(kind: SeriesKind, window: TimeWindow) -> TimeWindow:
    """Return the whole steps that a window touches."""
    start, end = _floored(window.start, kind), _floored(window.end, kind)
    if kind is SeriesKind.OPEN_INTEREST:
        # One step more: the value at the window's start belongs to the step that ends there.
        return TimeWindow(start - kind.step, max(end, start))
    return TimeWindow(start, _floored(window.end + kind.step - timedelta(seconds=1), kind))


def _floored(moment: datetime, kind: SeriesKind) -> datetime:
    midnight = moment.replace(hour=0, minute=0, second=0)
    return moment - (moment - midnight) % kind.step


def _known(found: dict[SeriesKind, SeriesHoldings]) -> MapSeries:
    series = {kind: each.series for kind, each in found.items() if len(each.series)}
    is_final = not any(_may_come(gap, each.window) for each in found.values() for gap in each.missing)
    return MapSeries(series.get(SeriesKind.MARK_PRICE), series.get(SeriesKind.OPEN_INTEREST), is_final)


def _may_come(gap: Gap, window: TimeWindow) -> bool:
    """Return whether what is missing may be known later and would matter."""
    is_newest = gap.window.end == window.end and gap.window.length <= _NEWEST
    return gap.kind in _STILL_TO_COME and not is_newest
