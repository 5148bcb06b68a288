"""Fetch all pages of an exchange's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.errors import DataError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from liqmap.exchanges.protocol import Paged
    from liqmap.net.rest import RestClient

_WEIGHT = 1  # of a page
_MOST_PAGES = 1000  # far more than any exchange has, so that a faulty cursor ends


async def pages_of(client: RestClient, what: Paged, *, base_url: str) -> AsyncIterator[object]:
    """Yield the answers of all pages below `base_url`.

    Raises DataError if a page cannot be fetched, or if the pages never end.
    """
    seen: set[str] = set()
    for first in what.first_urls(base_url):
        url: str | None = first
        while url is not None:
            if url in seen or len(seen) == _MOST_PAGES:
                raise DataError(f"The pages of {first.partition('?')[0]} do not end; try again later.")
            seen.add(url)
            answer = await client.get(url, weight=_WEIGHT)
            yield answer
            url = what.next_url(url, answer)
