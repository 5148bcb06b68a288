"""What commands need to know of symbols: suggestions, what a typed one means, and similar names."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

from liqmap import LiqmapError, NotPublished, RequestError
from liqmap.parsing import POPULAR_SYMBOLS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from liqmap import Exchange, MapRequest
    from liqmap.collect.listings import Listings


Refusal = TypeVar("Refusal", bound=LiqmapError)


class Explains(Protocol):
    """How the error of a symbol that may not exist is worded: as `Listings.suggesting` does."""

    async def __call__(self, error: Refusal, request: MapRequest, *, typed: str) -> Refusal:
        """Return `error`, with names that are similar to `typed` if there are any."""
        ...


async def _as_it_stands(request: MapRequest) -> MapRequest:
    return request


async def _as_it_is(error: Refusal, request: MapRequest, *, typed: str) -> Refusal:
    del request, typed
    return error


@dataclass(frozen=True, slots=True)
class Symbols:
    """What commands know of symbols: those `offered` of an exchange while somebody types, the best first.

    `completed` returns a request for the market that its symbol means, `explained` the error of one that may
    not exist.
    """

    offered: Callable[[Exchange], Sequence[str]] = lambda _: POPULAR_SYMBOLS
    completed: Callable[[MapRequest], Awaitable[MapRequest]] = _as_it_stands
    explained: Explains = _as_it_is

    @classmethod
    def of(cls, listings: Listings) -> Self:
        """Return the symbols of the exchanges' lists."""
        return cls(
            # Popular ones until the first list is there: Discord waits three seconds for suggestions.
            lambda exchange: listings.ranked(exchange) or POPULAR_SYMBOLS,
            listings.completed,
            listings.suggesting,
        )

    @asynccontextmanager
    async def explaining(self, request: MapRequest, *, typed: str) -> AsyncIterator[None]:
        """Add similar names to the error of a symbol that was `typed` and does not exist."""
        try:
            yield
        except (RequestError, NotPublished) as error:
            raise await self.explained(error, request, typed=typed) from None
