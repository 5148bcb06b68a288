"""Which symbols an exchange lists: its own list, kept for a day, and similar names for a mistyped one."""

from __future__ import annotations

import asyncio
import difflib
import logging
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self, TypeVar

from cachetools import LRUCache

from liqmap.collect.clients import rest_clients
from liqmap.collect.day import file_days
from liqmap.collect.pages import pages_of
from liqmap.collect.symbols import KnownSymbols
from liqmap.errors import DataError, LiqmapError, NotCovered
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange, Market
from liqmap.net.download import exists
from liqmap.net.session import open_session
from liqmap.parsing import quoted
from liqmap.text import list_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime
    from types import TracebackType

    from liqmap.clock import Clock
    from liqmap.collect.clients import Clients
    from liqmap.model import MapRequest
    from liqmap.model.window import TimeWindow
    from liqmap.net.session import Session
    from liqmap.settings import Settings

log = logging.getLogger(__name__)

AnyError = TypeVar("AnyError", bound=LiqmapError)

KEPT_FOR: Final = timedelta(days=1)
LOOKED_AGAIN_AFTER: Final = timedelta(minutes=10)
"""The age at which a list is fetched again for a symbol that it lacks."""

RETRIED_AFTER: Final = timedelta(minutes=5)
_PATIENCE = 20.0  # seconds for all pages of an exchange
_PATIENCE_FOR_VOLUMES = 5.0  # seconds; volumes only sort suggestions
_PATIENCE_FOR_FILES = 5.0
_LEAST_WAIT = 60.0  # seconds; a list that is due at once, again and again, must not become a busy loop
_MOST_LOOKED_FOR = 10_000  # files; a forgotten one is only looked for again
_MOST_NEAR = 3


class Listings:
    """The exchanges' lists of symbols. Use it as `async with Listings(settings, clock=clock)`.

    Lists are kept in the store's folder. With `daily`, they are fetched at the start and once a day,
    otherwise when they are first needed.
    """

    def __init__(self, settings: Settings, *, clock: Clock, daily: bool = False) -> None:
        self._settings = settings
        self._clock = clock
        self._daily = daily
        self.known: Final = KnownSymbols(settings.storage.path)
        """What is known without a request to an exchange."""
        self._failed_at: dict[Exchange, datetime] = {}
        self._published: LRUCache[tuple[Market, date], bool] = LRUCache(_MOST_LOOKED_FOR)
        self._locks = {each: asyncio.Lock() for each in Exchange}
        self._stack = AsyncExitStack()
        self._session: Session | None = None
        self._clients: Clients = {}

    async def __aenter__(self) -> Self:
        session = await self._stack.enter_async_context(open_session(self._settings.network))
        self._session = session
        self._clients = rest_clients(self._settings, session=session, clock=self._clock)
        if self._daily:
            for exchange in Exchange:
                self._stack.push_async_callback(_end, asyncio.create_task(self._refresh_daily(exchange)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def trading(self, exchange: Exchange) -> frozenset[str]:
        """Return the symbols that traded when the list was last fetched, without waiting."""
        listing = self.known.listing(exchange)
        return frozenset() if listing is None else listing.trading

    def ranked(self, exchange: Exchange) -> tuple[str, ...]:
        """Return the symbols that traded when the list was fetched last, the most traded first."""
        listing = self.known.listing(exchange)
        return () if listing is None else listing.ranked

    async def symbols(self, exchange: Exchange, *, kept_for: timedelta = KEPT_FOR) -> frozenset[str]:
        """Return the symbols that trade now, from a list fetched less than `kept_for` ago.

        If the exchange cannot be reached, the list is an older one or empty.
        """
        async with self._locks[exchange]:
            now = self._clock.now()
            if now >= self._due(exchange, now, kept_for=kept_for):
                await self._refresh(exchange)
        return self.trading(exchange)

    async def completed(self, request: MapRequest) -> MapRequest:
        """Return `request` for the markets that its symbols mean."""
        meant = await asyncio.gather(*(self.meant(market, request.window) for market in request.markets))
        return replace(request, markets=tuple(meant))

    async def meant(self, market: Market, window: TimeWindow) -> Market:
        """Return the market that a symbol means.

        A symbol is taken as it stands if the exchange lists it, a bracket table names it, or the exchange
        has a file of it for a day of `window`. Any other is completed, if possible to one that exists.
        """
        if market in self.known:
            return market
        # It may have been listed since this morning.
        await self.symbols(market.exchange, kept_for=LOOKED_AGAIN_AFTER)
        if market in self.known or await self._published_of([market], window):
            return market
        completed = self.known.completed(market)
        if completed in self.known:
            return completed
        spellings = EXCHANGES[market.exchange].listing.spellings(market.symbol)
        others = [Market(market.exchange, name) for name in spellings.names]
        published = await self._published_of(others, window)
        return next((each for each in others if each in published), completed)

    async def near(self, exchange: Exchange, symbol: str) -> tuple[str, ...]:
        """Return up to three listed symbols with `symbol` in their names, then those that are spelt like it.

        There are none if it is listed itself, or if its kind of market is not in the list.
        """
        row = EXCHANGES[exchange]
        if row.contract(symbol).inverse and not row.listing.lists_inverse:
            return ()
        listed = await self.symbols(exchange)
        if symbol in listed:
            return ()
        # Names that contain what was typed come first: PEPE means 1000PEPEUSDT more likely than a name that
        # is spelt like it.
        longer = [each for each in self.ranked(exchange) if symbol in each][:_MOST_NEAR]
        alike = difflib.get_close_matches(symbol, sorted(listed), n=_MOST_NEAR, cutoff=0.6)
        return tuple(dict.fromkeys([*longer, *alike]))[:_MOST_NEAR]

    async def suggesting(self, error: AnyError, request: MapRequest, *, typed: str) -> AnyError:
        """Return `error`, or one that names what is spelt like `typed`, where that is no known symbol."""
        if isinstance(error, NotCovered) or request.market in self.known:
            return error  # it exists: what is wrong is something else
        near = await self.near(request.market.exchange, request.market.symbol)
        if not near:
            return error
        names, label = list_text(near, "or"), EXCHANGES[request.market.exchange].label
        return type(error)(f"{label} lists no {quoted(typed)}; did you mean {names}?")

    async def _refresh_daily(self, exchange: Exchange) -> None:
        await self.symbols(exchange, kept_for=timedelta(0))
        while True:
            await self.symbols(exchange)
            now = self._clock.now()
            wait = self._due(exchange, now, kept_for=KEPT_FOR) - now
            await self._clock.sleep(max(_LEAST_WAIT, wait.total_seconds()))

    def _due(self, exchange: Exchange, now: datetime, *, kept_for: timedelta) -> datetime:
        """Return when the list is due to be fetched: now, if there is none."""
        listing = self.known.listing(exchange)
        fetched, failed = None if listing is None else listing.fetched, self._failed_at.get(exchange)
        pauses = ((fetched, kept_for), (failed, RETRIED_AFTER))
        # What lies in the future was noted before the clock was set back; its pause would never end.
        return max((at + pause for at, pause in pauses if at is not None and at <= now), default=now)

    async def _refresh(self, exchange: Exchange) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                found = await self._fetch(exchange)
            volumes = await self._fetch_volumes(exchange)
            await asyncio.to_thread(self.known.keep, exchange, found, volumes=volumes, now=self._clock.now())
        except (LiqmapError, TimeoutError) as error:
            log.warning("the symbols of %s could not be fetched: %s", exchange, error)
            self._failed_at[exchange] = self._clock.now()
            return
        log.info("%s lists %d symbols", exchange, len(found))

    async def _fetch(self, exchange: Exchange) -> frozenset[str]:
        listing, client = EXCHANGES[exchange].listing, self._clients[exchange]
        base_url = self._settings.exchanges.of(exchange).api_url
        pages = pages_of(client, listing.first_urls(base_url), listing.next_url)
        return frozenset([symbol async for page in pages for symbol in listing.read(page)])

    async def _fetch_volumes(self, exchange: Exchange) -> Mapping[str, float] | None:
        """Return what each symbol traded within a day, None if that cannot be found out: it only sorts."""
        volumes = EXCHANGES[exchange].volumes
        if volumes is None:
            return None
        url = volumes.url(self._settings.exchanges.of(exchange).api_url)
        try:
            async with asyncio.timeout(_PATIENCE_FOR_VOLUMES):
                return volumes.read(await self._clients[exchange].get(url, weight=volumes.weight))
        except (LiqmapError, TimeoutError) as error:
            log.info("the trading volumes of %s could not be fetched: %s", exchange, error)
            return None

    async def _published_of(self, markets: Sequence[Market], window: TimeWindow) -> frozenset[Market]:
        """Return which of `markets` have a file of the window's first or last completed day."""
        wanted = [(market, day) for market in markets for day in self._days_over(market.exchange, window)]
        unknown = [each for each in wanted if each not in self._published]
        # A file that is not found in time counts as missing: the symbol can still be completed.
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_FOR_FILES):
                await asyncio.gather(*(self._look_for(*each) for each in unknown))
        return frozenset(market for market, day in wanted if self._published.get((market, day)))

    def _days_over(self, exchange: Exchange, window: TimeWindow) -> list[date]:
        """Return the first and the last day of a window that is over."""
        days = file_days(exchange, window)
        over = [each.day for each in days if each.window.end <= self._clock.now()]
        # A symbol that was listed or delisted within the window has a file of one of them only.
        return list(dict.fromkeys(over[:1] + over[-1:]))

    async def _look_for(self, market: Market, day: date) -> None:
        base_url = self._settings.exchanges.of(market.exchange).archive_url
        file = EXCHANGES[market.exchange].files.day_file(base_url, market.symbol, day)
        try:
            found = self._session is not None and await exists(self._session, file.url)
        except DataError as error:
            log.info("could not find out whether there is a file of %s: %s", market.symbol, error)
            return
        self._published[market, day] = found


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
