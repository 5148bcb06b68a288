"""Keep what exchanges report of recorded markets, beside their streams, in the store.

Open interest, mark prices, and liquidations that a stream has missed. Exchanges forget: OKX has five days of
open interest in steps of five minutes and one of liquidations, Binance's REST API thirty of open interest.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.errors import LiqmapError
from liqmap.exchanges import EXCHANGES
from liqmap.live.registry import Recordings, readable
from liqmap.model import Market
from liqmap.model.window import TimeWindow

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from liqmap.clock import Clock
    from liqmap.collect.liquidations import LiquidationDays
    from liqmap.collect.series import SeriesCollector
    from liqmap.exchanges.protocol import SeriesFormat

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=15)
"""How often what is new is fetched."""

_BACK: Final = timedelta(days=1)
"""How far back what is missing is fetched, where it can also be fetched later."""


async def keep_series(
    collector: SeriesCollector, liquidations: LiquidationDays, *, root: Path, clock: Clock
) -> None:
    """Fetch again and again what is new of live recordings' series, and liquidations that streams missed."""
    while True:
        await clock.sleep(EVERY.total_seconds())
        now = clock.now().replace(second=0, microsecond=0)
        for recording in readable(Recordings(root)):
            if recording.is_alive(now):
                # Open interest comes every five minutes; another end would leave a gap that only time fills.
                end = now - timedelta(minutes=now.minute % 5)
                market = Market(recording.exchange, recording.symbol)
                await _fetch(collector, market, end)
                try:
                    await liquidations.obtain_recent(market, TimeWindow.ending(end, _BACK))
                except LiqmapError as error:
                    log.info("no recent liquidations of %s: %s", market.symbol, error)


async def _fetch(collector: SeriesCollector, market: Market, end: datetime) -> None:
    for kind, how in EXCHANGES[market.exchange].series.items():
        try:
            await collector.collect(market, kind, TimeWindow.ending(end, _back(how)))
        except LiqmapError as error:
            log.info("no %s of %s: %s", kind, market.symbol, error)


def _back(how: SeriesFormat) -> timedelta:
    """Return how far back a series is fetched: as far as it goes, if the exchange will forget it."""
    # Files stay, so what they have need not be fetched in time.
    reach = None if how.pages is None or how.files is not None else how.pages.reach
    return reach or _BACK
