"""Which symbols an exchange lists: its own list, kept for a day, and names that are near to another."""

from __future__ import annotations

import asyncio
import difflib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, assert_never

import aiohttp

from liqmap.errors import LiqmapError, NotCovered
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange

if TYPE_CHECKING:
    from datetime import datetime
    from types import TracebackType

    from liqmap.clock import Clock
    from liqmap.model import MapRequest
    from liqmap.settings import Settings

log = logging.getLogger(__name__)

Told = TypeVar("Told", bound=LiqmapError)

KEPT_FOR: Final = timedelta(days=1)
RETRIED_AFTER: Final = timedelta(minutes=5)
_INVERSE_UNLISTED = frozenset({Exchange.BINANCE})  # whose inverse contracts have an address of their own
_TIMEOUT = aiohttp.ClientTimeout(total=20)
_MOST_PAGES = 20


class Listings:
    """The exchanges' lists of symbols. Use it as `async with Listings(settings, clock=clock)`."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._symbols: dict[Exchange, frozenset[str]] = {}
        self._asked_again: dict[Exchange, datetime] = {}
        self._locks = {each: asyncio.Lock() for each in Exchange}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

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
        if exchange in _INVERSE_UNLISTED and EXCHANGES[exchange].contract(symbol).inverse:
            return ()
        listed = await self.symbols(exchange)
        if symbol in listed:
            return ()
        return tuple(difflib.get_close_matches(symbol, sorted(listed), n=3, cutoff=0.6))

    async def suggesting(self, error: Told, request: MapRequest) -> Told:
        """Return `error` with names near to the symbol of `request`, if the exchange lists no such symbol."""
        if isinstance(error, NotCovered):
            return error  # it is listed: its days are published
        near = await self.near(request.exchange, request.symbol)
        if not near:
            return error
        names = " or ".join((", ".join(near[:-1]), near[-1])) if len(near) > 1 else near[0]
        return type(error)(
            f"{error} {request.exchange.title()} lists no {request.symbol}; did you mean {names}?"
        )

    async def _refresh(self, exchange: Exchange) -> None:
        try:
            match exchange:
                case Exchange.BINANCE:
                    found = await self._binance()
                case Exchange.BYBIT:
                    found = await self._bybit()
                case _:  # pragma: no cover - the type checker proves that every exchange is handled
                    assert_never(exchange)
        except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError) as error:
            log.warning("the symbols of %s could not be had: %s", exchange, type(error).__name__)
            self._asked_again[exchange] = self._clock.now() + RETRIED_AFTER
            return
        self._symbols[exchange] = found
        self._asked_again[exchange] = self._clock.now() + KEPT_FOR
        log.info("%s lists %d symbols", exchange, len(found))

    async def _binance(self) -> frozenset[str]:
        """Read {"symbols": [{"symbol": "BTCUSDT", "status": "TRADING", …}, …]}."""
        answer = await self._get(f"{self._settings.exchanges.binance.api_url}/fapi/v1/exchangeInfo", {})
        return frozenset(each["symbol"] for each in answer["symbols"] if each["status"] == "TRADING")

    async def _bybit(self) -> frozenset[str]:
        """Read {"retCode": 0, "result": {"list": [{"symbol": "BTCUSDT", …}, …], "nextPageCursor": ""}}."""
        url = f"{self._settings.exchanges.bybit.api_url}/v5/market/instruments-info"
        found: set[str] = set()
        for category in ("linear", "inverse"):
            query = {"category": category, "limit": "1000", "status": "Trading"}
            for _ in range(_MOST_PAGES):
                result = (await self._get(url, query))["result"]
                found.update(each["symbol"] for each in result["list"])
                if not result.get("nextPageCursor"):
                    break
                query["cursor"] = result["nextPageCursor"]
        return frozenset(found)

    async def _get(self, url: str, query: dict[str, str]) -> dict[str, Any]:
        async with self._session.get(url, params=query) as response:
            response.raise_for_status()
            answer: dict[str, Any] = await response.json()
            return answer
