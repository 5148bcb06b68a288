"""Which symbols an exchange lists: its own list, kept for a day, and names that are near to another."""

from __future__ import annotations

import asyncio
import difflib
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self, TypeVar

from liqmap.collect.clients import rest_clients
from liqmap.collect.pages import pages_of
from liqmap.errors import DataError, LiqmapError, NotCovered
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange
from liqmap.net.session import open_session

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from liqmap.clock import Clock
    from liqmap.collect.clients import Clients
    from liqmap.model import MapRequest
    from liqmap.settings import Settings

log = logging.getLogger(__name__)

Told = TypeVar("Told", bound=LiqmapError)

KEPT_FOR: Final = timedelta(days=1)
RETRIED_AFTER: Final = timedelta(minutes=5)
_PATIENCE = 20.0  # seconds for all pages of an exchange


class Listings:
    """The exchanges' lists of symbols. Use it as `async with Listings(settings, clock=clock)`."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._symbols: dict[Exchange, frozenset[str]] = {}
        self._asked_again: dict[Exchange, datetime] = {}
        self._locks = {each: asyncio.Lock() for each in Exchange}
        self._stack = AsyncExitStack()
        self._clients: Clients = {}

    async def __aenter__(self) -> Self:
        session = await self._stack.enter_async_context(open_session(self._settings.network))
        self._clients = rest_clients(self._settings, session=session, clock=self._clock)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def known(self, exchange: Exchange) -> frozenset[str]:
        """Return the symbols as far as they have been fetched, without waiting."""
        return self._symbols.get(exchange, frozenset())

    async def symbols(self, exchange: Exchange) -> frozenset[str]:
        """Return the symbols that trade now, fetched anew each day.

        Where the exchange cannot be asked: what it said before, or nothing.
        """
        async with self._locks[exchange]:
            due = self._asked_again.get(exchange)
            if due is None or self._clock.now() >= due:
                await self._refresh(exchange)
        return self.known(exchange)

    async def near(self, exchange: Exchange, symbol: str) -> tuple[str, ...]:
        """Return up to three listed symbols that are spelt like `symbol`.

        () if it is listed itself, or of a market whose list is not fetched.
        """
        row = EXCHANGES[exchange]
        if row.contract(symbol).inverse and not row.listing.lists_inverse:
            return ()
        listed = await self.symbols(exchange)
        if symbol in listed:
            return ()
        return tuple(difflib.get_close_matches(symbol, sorted(listed), n=3, cutoff=0.6))

    async def suggesting(self, error: Told, request: MapRequest) -> Told:
        """Return `error` with names near to the symbol of `request`, if the exchange lists no such symbol."""
        if isinstance(error, NotCovered):
            return error  # it is listed: its days are published
        exchange, symbol = request.market.exchange, request.market.symbol
        near = await self.near(exchange, symbol)
        if not near:
            return error
        names = " or ".join((", ".join(near[:-1]), near[-1])) if len(near) > 1 else near[0]
        label = EXCHANGES[exchange].label
        return type(error)(f"{error} {label} lists no {symbol}; did you mean {names}?")

    async def _refresh(self, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await self._fetch(exchange)
        except (DataError, TimeoutError) as error:
            log.warning("the symbols of %s could not be fetched: %s", exchange, error)
            self._asked_again[exchange] = self._clock.now() + RETRIED_AFTER
            return
        self._symbols[exchange] = found
        self._asked_again[exchange] = self._clock.now() + KEPT_FOR
        log.info("%s lists %d symbols", exchange, len(found))

    async def _fetch(self, exchange: Exchange) -> frozenset[str]:
        listing, client = EXCHANGES[exchange].listing, self._clients[exchange]
        base_url = self._settings.exchanges.of(exchange).api_url
        pages = pages_of(client, listing, base_url=base_url)
        return frozenset([symbol async for page in pages for symbol in listing.read(page)])
