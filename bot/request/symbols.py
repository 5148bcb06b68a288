"""Symbols: which to suggest while somebody types, what a typed one means, and which are near to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, Unpack

from liqmap import DataError, Exchange, MapRequest, MapResult, RequestError
from liqmap.parsing import POPULAR_SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bot.request.drawing import Draw, Listeners
    from liqmap.collect.listings import Listings


async def _as_it_stands(request: MapRequest) -> MapRequest:
    return request


@dataclass(frozen=True, slots=True)
class Symbols:
    """What commands know of symbols: `offered` while somebody types, and what a typed one means.

    `completed` returns a request for the market that its symbol means.
    """

    offered: Callable[[], tuple[str, ...]] = lambda: POPULAR_SYMBOLS
    completed: Callable[[MapRequest], Awaitable[MapRequest]] = _as_it_stands

    @classmethod
    def of(cls, listings: Listings) -> Self:
        """Return what the exchanges' lists say."""
        return cls(lambda: listed(listings), listings.completed)


def listed(listings: Listings) -> tuple[str, ...]:
    """Return symbols to offer: popular ones first, then all that are known to be listed."""
    others = frozenset[str]().union(*(listings.trading(exchange) for exchange in Exchange))
    return (*POPULAR_SYMBOLS, *sorted(others - set(POPULAR_SYMBOLS)))


def suggesting(draw: Draw, listings: Listings) -> Draw:
    """Return `draw` with near names in the error of a symbol that the exchange does not list."""

    async def run(request: MapRequest, **listeners: Unpack[Listeners]) -> MapResult:
        try:
            return await draw(request, **listeners)
        except (RequestError, DataError) as error:
            raise await listings.suggesting(error, request) from None

    return run
