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
from liqmap.series import SeriesKind
from liqmap.window import TimeWindow

if TYPE_CHECKING:
    from pathlib import Path

    from liqmap.clock import Clock
    from liqmap.collect.series import SeriesCollector

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=15)
"""How often what is new is fetched."""

_BACK: Final = timedelta(days=1)


async def keep_series(collector: SeriesCollector, *, root: Path, clock: Clock) -> None:
    """Fetch what is new of the series of all live recordings, again and again."""
    while True:
        await clock.sleep(EVERY.total_seconds())
        now = clock.now().replace(second=0, microsecond=0)
        window = TimeWindow.ending(now - timedelta(minutes=now.minute % 5), _BACK)
        for recording in Recordings(root).all():
            if recording.is_alive(now):
                await _fetch(collector, Market(recording.exchange, recording.symbol), window)


async def _fetch(collector: SeriesCollector, market: Market, window: TimeWindow) -> None:
    for kind in SeriesKind:
        if kind in EXCHANGES[market.exchange].series:
            try:
                await collector.collect(market, kind, window)
            except LiqmapError as error:
                log.info("no %s of %s: %s", kind, market.symbol, error)
