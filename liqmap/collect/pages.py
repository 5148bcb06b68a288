"""Fetch all pages of an exchange's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.errors import DataError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from liqmap.net.rest import RestClient

_MOST_PAGES = 1000  # far more than any exchange has, so that a faulty cursor ends


async def pages_of(
    client: RestClient,
    first_urls: Iterable[str],
    next_url: Callable[[str, object], str | None],
    *,
    weight: int = 1,
) -> AsyncIterator[object]:
    """Yield the answers of `first_urls` and of all pages after them, which cost `weight` each.

    Raises DataError if a page cannot be fetched, or if the pages never end.
    """
    seen: set[str] = set()
    for first in first_urls:
        url: str | None = first
        while url is not None:
            if url in seen or len(seen) == _MOST_PAGES:
                raise DataError(f"The pages of {first.partition('?')[0]} do not end; try again later.")
            seen.add(url)
            answer = await client.get(url, weight=weight)
            yield answer
            url = next_url(url, answer)
