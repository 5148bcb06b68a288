"""Put what is recorded into the shared store, so that machines that record nothing have it minutes later."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from liqmap.errors import LiqmapError
from liqmap.model import Market
from liqmap.model.window import DAY, TimeWindow
from liqmap.store.bounded import in_thread
from liqmap.store.packs import is_packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from liqmap.clock import Clock
    from liqmap.live.recorder import Recorder
    from liqmap.store.local import SegmentStore
    from liqmap.store.shared import SharedStore

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=2)
"""How often: with the minute that is open, what happens is there within four minutes."""

_STILL_CHANGING: Final = timedelta(hours=2)
"""How long after its end an hour may still be compacted or repaired."""

_MARKETS_AT_ONCE: Final = 16


class RecordedHours:
    """Publishes the hours of recorded markets as packs, one for each hour, and removes those that grew.

    The pack of an hour that has grown is another one. The one before it stays until the next, because
    somebody may be about to read it.
    """

    def __init__(self, shared: SharedStore, store: SegmentStore, *, clock: Clock) -> None:
        self._shared = shared
        self._store = store
        self._clock = clock
        self._since: dict[Market, datetime] = {}
        self._packs: dict[str, list[str]] = {}  # keys of an hour's packs, by what they have in common

    async def keep_published(self, recorder: Recorder) -> None:
        """Publish again and again what `recorder` has recorded. What fails is tried again the next time."""
        while True:
            await self._clock.sleep(EVERY.total_seconds())
            markets = [
                Market(exchange, symbol)
                for exchange, each in recorder.exchanges.items()
                for symbol in each.recorders
            ]
            try:
                await self.publish(markets)
            except LiqmapError as error:
                log.warning("what was recorded is not in the shared store yet: %s", error)

    async def publish(self, markets: Sequence[Market]) -> None:
        """Publish what the store has of `markets` and is not published. Raises StoreError."""
        now = self._clock.now()
        touched: set[str] = set()
        for first in range(0, len(markets), _MARKETS_AT_ONCE):
            some = markets[first : first + _MARKETS_AT_ONCE]
            touched |= await asyncio.wrap_future(in_thread(partial(self._publish, some, now)))
        await asyncio.wrap_future(in_thread(partial(self._remove_final, touched)))

    def _publish(self, markets: Sequence[Market], now: datetime) -> set[str]:
        """Publish what is new of some markets, and return the hours that it is of."""
        segments = [
            part.segment
            for market in markets
            for part in self._store.parts(market.exchange, market.symbol, self._changing(market, now))
            if is_packed(part.segment)
        ]
        keys = set(self._shared.publish(segments).values())
        self._since |= dict.fromkeys(markets, now - _STILL_CHANGING)
        self._shared.withdraw(self._replaced(keys))
        return {_hour_of(key) for key in keys}

    def _replaced(self, keys: Iterable[str]) -> list[str]:
        """Note the packs that were published now; return those of their hours that nobody reads any more."""
        replaced: list[str] = []
        for key in keys:
            packs = self._packs.setdefault(_hour_of(key), [])
            if key not in packs:
                packs.append(key)
            # The one before the newest stays: somebody may be about to read it.
            replaced += packs[:-2]
            del packs[:-2]
        return replaced

    def _changing(self, market: Market, now: datetime) -> TimeWindow:
        # From a whole hour on: the pack of an hour has all of it.
        since = self._since.get(market, now - DAY).replace(minute=0, second=0, microsecond=0)
        return TimeWindow(since, now.replace(microsecond=0))

    def _remove_final(self, touched: set[str]) -> None:
        """Remove all packs but the last of hours that change no more, and forget them."""
        final = self._packs.keys() - touched
        self._shared.withdraw([key for hour in final for key in self._packs[hour][:-1]])
        for hour in final:
            del self._packs[hour]


def _hour_of(key: str) -> str:
    return key.rpartition("-")[0]
