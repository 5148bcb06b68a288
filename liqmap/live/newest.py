"""Ask an exchange for a symbol's newest trade: whether the symbol exists, and whether its stream is dead."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from liqmap.errors import LiqmapError
from liqmap.exchanges import EXCHANGES
from liqmap.net.rest import RejectedRequest

if TYPE_CHECKING:
    from datetime import datetime

    from liqmap.clock import Clock
    from liqmap.exchanges.messages import Newest
    from liqmap.live.symbol import SymbolRecorder
    from liqmap.model import Exchange
    from liqmap.net.rest import RestClient

log = logging.getLogger(__name__)


class NewestTrades:
    """Queries one exchange for newest trades, below `base_url`."""

    def __init__(self, exchange: Exchange, *, client: RestClient, base_url: str, clock: Clock) -> None:
        self._exchange = exchange
        self._live = EXCHANGES[exchange].live
        self._client = client
        self._base_url = base_url
        self._clock = clock

    async def fetch(self, symbol: str) -> Newest:
        """Return a symbol's newest trade. Raises RequestError for an unknown symbol, and DataError."""
        sent = self._clock.now()
        url = self._live.newest_url(self._base_url, symbol)
        try:
            answer = await self._client.get(url, weight=self._live.newest_weight)
        except RejectedRequest as error:
            backfill = EXCHANGES[self._exchange].backfill
            raise (backfill.explained(error.answer, symbol) if backfill else error) from error
        # By now the exchange's clock is known, at the latest from this answer.
        return self._live.newest(answer, asked=self._client.clock.at(sent))

    async def show_dead(self, recorder: SymbolRecorder, now: datetime) -> bool:
        """Return whether a stream is too far behind, or silent though the symbol is traded."""
        symbol = recorder.symbol
        if recorder.note_heard(now):
            if recorder.is_behind():
                log.warning("%s %s is too far behind", self._exchange, symbol)
            return recorder.is_behind()
        if not recorder.is_suspect(now):
            return False
        try:
            dead = recorder.note_newest(await self.fetch(symbol), now)
        except LiqmapError as error:
            # Not a proof of anything: the API may be down while the streams work.
            log.info("%s %s is silent and could not be looked up: %s", self._exchange, symbol, error)
            return False
        if dead:
            log.warning("%s %s is silent though it is traded", self._exchange, symbol)
        return dead
