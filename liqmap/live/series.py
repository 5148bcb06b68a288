"""Keep the open interest and the mark prices of recorded markets in the store.

Exchanges forget: OKX has five days of open interest in steps of five minutes, Binance's REST API thirty.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.errors import LiqmapError
from liqmap.exchanges import EXCHANGES
from liqmap.live.registry import Recordings
from liqmap.model import Market
from liqmap.window import TimeWindow

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from liqmap.clock import Clock
    from liqmap.collect.series import SeriesCollector
    from liqmap.exchanges.protocol import SeriesFormat

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=15)
"""How often what is new is fetched."""

_BACK: Final = timedelta(days=1)
"""How far back what is missing is fetched, where it can also be fetched later."""


async def keep_series(collector: SeriesCollector, *, root: Path, clock: Clock) -> None:
    """Fetch what is new of the series of all live recordings, again and again."""
    while True:
        await clock.sleep(EVERY.total_seconds())
        now = clock.now().replace(second=0, microsecond=0)
        for recording in Recordings(root).all():
            if recording.is_alive(now):
                end = now - timedelta(minutes=now.minute % 5)
                await _fetch(collector, Market(recording.exchange, recording.symbol), end)


async def _fetch(collector: SeriesCollector, market: Market, end: datetime) -> None:
    for kind, how in EXCHANGES[market.exchange].series.items():
        try:
            await collector.collect(market, kind, TimeWindow.ending(end, _back(how)))
        except LiqmapError as error:
            log.info("no %s of %s: %s", kind, market.symbol, error)


def _back(how: SeriesFormat) -> timedelta:
    """Return how far back a series is fetched: as far as it goes, if the exchange will forget it."""
    reach = None if how.pages is None or how.files is not None else how.pages.reach
    return reach or _BACK
