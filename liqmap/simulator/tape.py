"""Find the simulated market's trades by time or by id, across days, making each day once."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import TYPE_CHECKING

from cachetools import LRUCache

from liqmap.model.window import TimeWindow
from liqmap.simulator.clock import from_epoch_ms
from liqmap.simulator.liquidations import liquidation_days
from liqmap.simulator.listings import LISTINGS

if TYPE_CHECKING:
    from liqmap.simulator.liquidations import Liquidations
    from liqmap.simulator.listings import MarketDay
    from liqmap.simulator.market import SimulatedMarket
    from liqmap.simulator.series import SeriesDay

# Enough for every symbol's stream across midnight and for a search two days back.
_KEPT_DAYS = 3 * len(LISTINGS)
_KEPT_SERIES = 400  # days, of some 60 KiB each
_DAY = timedelta(days=1)

# Shared by all tapes of a process: a busy day's take a second, and tests make many tapes of one market.
_LIQUIDATIONS: LRUCache[tuple[SimulatedMarket, str, date], Liquidations] = LRUCache(_KEPT_DAYS)


def linear_symbols() -> list[str]:
    """Return the symbols of linear contracts, which all exchanges list."""
    return [name for name, listing in LISTINGS.items() if listing.dollars is None]


class Tape:
    """The trades of `market`, in parts: runs of one day's trades, in order, with contiguous ids."""

    def __init__(self, market: SimulatedMarket) -> None:
        self._market = market
        self._days: LRUCache[tuple[str, date], asyncio.Task[MarketDay]] = LRUCache(_KEPT_DAYS)
        self._series: LRUCache[tuple[str, date], SeriesDay] = LRUCache(_KEPT_SERIES)

    async def day(self, symbol: str, day: date) -> MarketDay:
        """Return a whole day, made in a thread if it is new. Raises KeyError for an unlisted symbol."""
        key = (symbol, day)
        if key not in self._days:
            # A task, so that two simultaneous requests make a day only once; the work runs in a thread.
            self._days[key] = asyncio.create_task(asyncio.to_thread(self._market.day, symbol, day))
        return await asyncio.shield(self._days[key])

    async def series(self, symbol: str, day: date) -> SeriesDay:
        """Return the series of a whole day. Raises KeyError for a symbol that is not listed."""
        key = (symbol, day)
        if key not in self._series:
            made = await self.day(symbol, day)
            self._series[key] = await asyncio.to_thread(self._market.series_in, made)
        return self._series[key]

    async def liquidations(self, symbol: str, start_ms: int, end_ms: int) -> list[Liquidations]:
        """Return the liquidations with start_ms <= time < end_ms, a part for each day."""
        window = range(from_epoch_ms(start_ms).toordinal(), from_epoch_ms(end_ms - 1).toordinal() + 1)
        days = [await self._liquidations_of(symbol, date.fromordinal(day)) for day in window]
        return [day.between(start_ms, end_ms) for day in days]

    async def _liquidations_of(self, symbol: str, day: date) -> Liquidations:
        key = (self._market, symbol, day)
        if key not in _LIQUIDATIONS:
            made = [await self.day(symbol, each) for each in liquidation_days(day)]
            _LIQUIDATIONS[key] = await asyncio.to_thread(self._market.liquidations_in, made)
        return _LIQUIDATIONS[key]

    async def between(
        self, symbol: str, start_ms: int, end_ms: int, *, limit: int | None = None
    ) -> list[MarketDay]:
        """Return the first `limit` trades (all: None) with start_ms <= time < end_ms."""
        parts: list[MarketDay] = []
        day, last = from_epoch_ms(start_ms).date(), from_epoch_ms(end_ms - 1).date()
        while day <= last and limit != 0 and start_ms < end_ms:
            whole = await self.day(symbol, day)
            start, stop = (int(each) for each in whole.trades.time.searchsorted((start_ms, end_ms)))
            if limit is not None:
                stop = min(stop, start + limit)
                limit -= stop - start
            parts.append(whole.part(start, stop))
            day += _DAY
        return [part for part in parts if len(part.trades)]

    async def before(self, symbol: str, end_ms: int, *, limit: int) -> list[MarketDay]:
        """Return the last `limit` trades with time < end_ms, fewer if they span more than two days."""
        parts: list[MarketDay] = []
        today = from_epoch_ms(end_ms - 1).date()
        for day in (today, today - _DAY):
            if limit:
                whole = await self.day(symbol, day)
                stop = int(whole.trades.time.searchsorted(end_ms))
                start = max(stop - limit, 0)
                parts.insert(0, whole.part(start, stop))
                limit -= stop - start
        return [part for part in parts if len(part.trades)]

    async def from_id(
        self, symbol: str, trade_id: int, end_ms: int, *, limit: int, days: int = 3
    ) -> list[MarketDay]:
        """Return the first `limit` trades from `trade_id` on with time < end_ms.

        It looks back at most `days` days from `end_ms`. For an older id, the answer begins there.
        """
        day = today = from_epoch_ms(end_ms - 1).date()
        while today - day < days * _DAY and trade_id < self._market.first_id(symbol, day):
            day -= _DAY
        whole = await self.day(symbol, day)
        start = max(trade_id - whole.first_id, 0)
        stop = min(int(whole.trades.time.searchsorted(end_ms)), start + limit)
        part = whole.part(start, max(start, stop))
        if not len(part.trades):
            return []
        # Ids go on from day to day, so what follows is found by its time.
        after = TimeWindow.of_day(day).end_ms
        return [part, *await self.between(symbol, after, end_ms, limit=limit - len(part.trades))]
