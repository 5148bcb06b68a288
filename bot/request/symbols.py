"""Symbols to suggest: while somebody types, and after a mistyped one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from liqmap import DataError, Exchange, MapRequest, MapResult, RequestError
from liqmap.parsing import POPULAR_SYMBOLS

if TYPE_CHECKING:
    from bot.request.drawing import Draw, Listeners
    from liqmap.collect.listings import Listings


def listed(listings: Listings) -> tuple[str, ...]:
    """Return symbols to offer: popular ones first, then all that are known to be listed."""
    others = listings.known(Exchange.BINANCE) | listings.known(Exchange.BYBIT)
    return (*POPULAR_SYMBOLS, *sorted(others - set(POPULAR_SYMBOLS)))


def suggesting(draw: Draw, listings: Listings) -> Draw:
    """Return `draw` with near names in the error of a symbol that the exchange does not list."""

    async def run(request: MapRequest, **listeners: Unpack[Listeners]) -> MapResult:
        try:
            return await draw(request, **listeners)
        except (RequestError, DataError) as error:
            raise await listings.suggesting(error, request) from None

    return run
