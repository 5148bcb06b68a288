"""Windows of the simulated market as jobs, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from liqmap.model import Coverage, Exchange, MapRequest
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import TimeWindow
from liqmap.run.job import MapJob
from liqmap.simulator import MarketDay, SimulatedMarket
from liqmap.simulator.series import MINUTE_MS, STEP_MS, STEPS, SeriesDay
from liqmap.store.segments import Origin, Part, Segment, segment_path
from liqmap.store.writer import write_segment

FIRST = date(2026, 9, 1)


class Days:
    """Days of one symbol, each made once and stored below `root`."""

    def __init__(self, root: Path, market: SimulatedMarket, symbol: str) -> None:
        self._root = root
        self._market = market
        self._symbol = symbol
        self._segments: dict[date, Segment] = {}
        self._series: dict[date, SeriesDay] = {}

    def made(self, day: date) -> MarketDay:
        """Return the trades of a day."""
        return self._market.day(self._symbol, day)

    def prepare(self, day: date, made: MarketDay | None = None) -> None:
        """Store the trades and the series of a day, unless they are."""
        if day not in self._segments:
            made = made or self.made(day)
            window = TimeWindow.of_day(day)
            path = segment_path(self._root, Exchange.BINANCE, self._symbol, window)
            origin = Origin(Exchange.BINANCE, self._symbol, window, "simulated", "", simulated=True)
            self._segments[day] = write_segment(path, origin, made.trades, incoming=self._root / "incoming")
            self._series[day] = self._market.series_in(made)

    def series(self, day: date) -> SeriesDay:
        """Return the series of a day."""
        self.prepare(day)
        return self._series[day]

    def job(self, request: MapRequest) -> MapJob:
        """Return the job of a request for days that are prepared, with the mark prices."""
        days = request.window.days
        for day in days:
            self.prepare(day)
        parts = [Part(self._segments[day], TimeWindow.of_day(day)) for day in days]
        inside = [
            Part(part.segment, within) for part in parts if (within := part.window.overlap(request.window))
        ]
        mark = Series.joined(SeriesKind.MARK_PRICE, [marks_of(self._series[day]) for day in days])
        return MapJob(request, tuple(inside), Coverage(request.window, (request.window,)), mark=mark)


def marks_of(day: SeriesDay) -> Series:
    """Return a day's mark prices."""
    starts = [day.start_ms + MINUTE_MS * minute for minute in range(len(day.low))]
    rows = list(zip(day.low, day.high, day.close, strict=True))
    return Series.of(SeriesKind.MARK_PRICE, starts, rows)


def interest_of(days: Sequence[SeriesDay]) -> Series:
    """Return the open interest of days that follow each other."""
    starts = [day.start_ms + STEP_MS * step for day in days for step in range(STEPS)]
    return Series.of(
        SeriesKind.OPEN_INTEREST, starts, [(value,) for day in days for value in day.interest[1:]]
    )


def window(end: date, hours: int) -> TimeWindow:
    """Return the hours before a midnight."""
    return TimeWindow.ending(datetime.fromisoformat(f"{end}T00:00+00:00"), timedelta(hours=hours))
