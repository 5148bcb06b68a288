"""Keep what exchanges report of recorded markets, beside their streams, in the store.

Open interest, mark prices, and liquidations that a stream has missed. Exchanges forget: OKX has five days of
open interest in steps of five minutes and one of liquidations, Binance's REST API thirty of open interest.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from liqmap.clock import is_recent
from liqmap.errors import LiqmapError
from liqmap.exchanges import EXCHANGES
from liqmap.live.registry import Recordings, readable
from liqmap.model import Exchange, Market
from liqmap.model.window import DAY, HOUR, TimeWindow

if TYPE_CHECKING:
    from pathlib import Path

    from liqmap.clock import Clock
    from liqmap.collect.liquidations import LiquidationDays
    from liqmap.collect.series import SeriesCollector
    from liqmap.exchanges.protocol import SeriesFormat

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=15)
"""How often what is new is fetched."""

BEGUN_AFTER: Final = timedelta(minutes=2)
"""How old a recording is when this is first fetched: OKX reports liquidations up to a minute late, and none
should be missing between those reports and the stream."""

_LOOK_EVERY = timedelta(minutes=1)

# How far back what is missing is fetched, where it can also be fetched later. A map of a day begins a step
# before it, and may be asked for until the next fetch.
_BACK = DAY + HOUR


async def keep_series(
    collector: SeriesCollector, liquidations: LiquidationDays, *, root: Path, clock: Clock
) -> None:
    """Fetch again and again what is new of live recordings' series, and liquidations that streams missed.

    The first map of a recorded market then need not wait for them.
    """
    # Each exchange by itself, so that a slow one does not keep the others waiting.
    async with asyncio.TaskGroup() as group:
        for exchange in Exchange:
            group.create_task(
                _keep_series_of(exchange, collector, liquidations, recordings=Recordings(root), clock=clock)
            )


async def _keep_series_of(
    exchange: Exchange,
    collector: SeriesCollector,
    liquidations: LiquidationDays,
    *,
    recordings: Recordings,
    clock: Clock,
) -> None:
    fetched: dict[str, datetime] = {}
    while True:
        await clock.sleep(_LOOK_EVERY.total_seconds())
        for recording in await asyncio.to_thread(readable, recordings, exchange):
            now, symbol = clock.now(), recording.symbol
            if not recording.is_alive(now) or is_recent(recording.since, now=now, within=BEGUN_AFTER):
                continue
            if not is_recent(fetched.get(symbol), now=now, within=EVERY):
                fetched[symbol] = now
                await _fetch(Market(exchange, symbol), collector, liquidations, now=now)


async def _fetch(
    market: Market, collector: SeriesCollector, liquidations: LiquidationDays, *, now: datetime
) -> None:
    # Open interest comes every five minutes; another end would leave a gap that only time fills.
    end = now.replace(minute=now.minute - now.minute % 5, second=0, microsecond=0)
    for kind, how in EXCHANGES[market.exchange].series.items():
        try:
            await collector.collect(market, kind, TimeWindow.ending(end, _back(how)), patiently=True)
        except LiqmapError as error:
            log.info("no %s of %s: %s", kind, market.symbol, error)
    try:
        await liquidations.obtain_recent(market, TimeWindow.ending(end, _BACK), patiently=True)
    except LiqmapError as error:
        log.info("no recent liquidations of %s: %s", market.symbol, error)


def _back(how: SeriesFormat) -> timedelta:
    """Return how far back a series is fetched: as far as it goes, if the exchange will forget it."""
    # Files stay, so what they have need not be fetched in time.
    reach = None if how.pages is None or how.files is not None else how.pages.reach
    return reach or _BACK
