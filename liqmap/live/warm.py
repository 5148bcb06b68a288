"""Have the trades of the most traded markets in the store before anybody asks for them."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from liqmap.collect.day import Day
from liqmap.errors import LiqmapError
from liqmap.exchanges import EXCHANGES
from liqmap.live.background import Background
from liqmap.live.recorder import configured
from liqmap.model import Exchange
from liqmap.model.window import HOUR, TimeWindow, split_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from liqmap.collect.recent import RecentTrades
    from liqmap.collect.supply import Supply

log = logging.getLogger(__name__)

RANKED_EVERY: Final = timedelta(days=1)
"""How often it is found out which markets are the most traded."""

_AGAIN_AFTER = timedelta(minutes=5)  # where an exchange did not answer
# By then the streams have begun: what they do not hold is fetched, and nothing is missing in between.
_STREAMS_BEGIN = timedelta(minutes=1)


class WarmMarkets:
    """Keeps each exchange's most traded markets recorded, and their last hours in the store.

    `want` has a symbol recorded. Hours that the store lacks are fetched in the background, the newest first,
    while nobody waits for a request to the same exchange; what is stored is never fetched again, so a start
    goes on where the last one ended. Use it as `async with`.
    """

    def __init__(self, supply: Supply, *, want: Callable[[Exchange, str], None]) -> None:
        self._supply = supply
        self._settings = supply.settings
        self._want = want
        self._clock = supply.clock
        self._background = Background(supply.clock, on_failed=_note)

    async def __aenter__(self) -> Self:
        for exchange in Exchange:
            self._background.start(lambda exchange=exchange: self._keep_warm(exchange))  # type: ignore[misc]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._background.close()

    async def _keep_warm(self, exchange: Exchange) -> None:
        named = [symbol for each, symbol in configured(self._settings) if each is exchange]
        while True:
            again = RANKED_EVERY
            most_traded: list[str] = []
            try:
                most_traded = await self._most_traded(exchange)
            except LiqmapError as error:
                log.warning("the most traded markets of %s are not known: %s", exchange, error)
                again = _AGAIN_AFTER
            for symbol in most_traded:
                self._want(exchange, symbol)
            # Those in the settings first: they are what the operator wants most.
            if not await self._fill(exchange, list(dict.fromkeys([*named, *most_traded]))):
                again = _AGAIN_AFTER
            await self._clock.sleep(again.total_seconds())

    async def _most_traded(self, exchange: Exchange) -> list[str]:
        """Return the symbols with the largest volume of the last 24 hours. Raises DataError."""
        row, count = EXCHANGES[exchange], self._settings.recorder.most_traded
        if row.volumes is None or not count:
            return []
        url = row.volumes.url(self._settings.exchanges.of(exchange).api_url)
        volumes = row.volumes.read(await self._supply.clients[exchange].get(url, weight=row.volumes.weight))
        recordable = [symbol for symbol in volumes if row.live.records(symbol)]
        # By name among equals, so that the choice does not change from day to day.
        return sorted(recordable, key=lambda symbol: (-volumes[symbol], symbol))[:count]

    async def _fill(self, exchange: Exchange, symbols: Sequence[str]) -> bool:
        """Fetch what the store lacks of the last hours of `symbols`; return whether nothing went wrong."""
        backfill = self._settings.recorder.backfill
        if not backfill or not symbols:
            return True
        await self._clock.sleep(_STREAMS_BEGIN.total_seconds())
        window = TimeWindow.ending(self._clock.now().replace(second=0, microsecond=0), backfill)
        whole = await self._fill_days(exchange, symbols, window)
        recent = self._supply.recent.get(exchange)
        if recent is None:
            return whole
        # The newest hour of every market before an older one of any: short windows are requested most.
        for hour in sorted(split_at(window, HOUR), key=lambda each: each.start, reverse=True):
            whole = await _fill_hour(recent, exchange, symbols, hour) and whole
        log.info("the last hours of %s on %s are filled", ", ".join(symbols), exchange)
        return whole

    async def _fill_days(self, exchange: Exchange, symbols: Sequence[str], window: TimeWindow) -> bool:
        """Fetch the published days of a window: one file costs less than its hours by request."""
        whole = True
        for symbol in symbols:
            for day in Day.touched(exchange, symbol, [window]):
                if day.window.end <= self._clock.now():
                    outcome = await self._supply.days.obtain(day, _ignore)
                    whole = whole and not isinstance(outcome, LiqmapError)
        return whole


async def _fill_hour(
    recent: RecentTrades, exchange: Exchange, symbols: Sequence[str], hour: TimeWindow
) -> bool:
    """Fetch an hour of each symbol; return whether all came. One that fails stops no other."""
    whole = True
    for symbol in symbols:
        try:
            await recent.fill_patiently(symbol, [hour])
        except LiqmapError as error:
            log.warning("the last hours of %s on %s are not filled: %s", symbol, exchange, error)
            whole = False
    return whole


def _note(error: BaseException) -> None:
    log.error("keeping markets warm has stopped for a minute", exc_info=error)


def _ignore(_: float) -> None:
    """Ignore how far a day is that nobody waits for."""
