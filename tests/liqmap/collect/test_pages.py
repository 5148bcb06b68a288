from __future__ import annotations

from typing import Any

import pytest

from liqmap.collect.pages import pages_of
from liqmap.errors import DataError


class Chain:
    """Pages that name the next one as they are told to."""

    def __init__(self, following: dict[str, str]) -> None:
        self._following = following

    def first_urls(self, base_url: str) -> tuple[str, ...]:
        return (f"{base_url}/a", f"{base_url}/b")

    def next_url(self, url: str, answer: object) -> str | None:
        assert answer == url
        return self._following.get(url)

    async def get(self, url: str, *, weight: int) -> object:
        assert weight == 1
        return url


async def fetched(**following: str) -> list[object]:
    chain: Any = Chain({f"x/{page}": f"x/{after}" for page, after in following.items()})
    return [page async for page in pages_of(chain, chain.first_urls("x"), chain.next_url)]


async def test_all_pages_of_every_part_are_read():
    assert await fetched(a="a2", a2="a3", b="b2") == ["x/a", "x/a2", "x/a3", "x/b", "x/b2"]


@pytest.mark.parametrize("following", [{"a": "a"}, {"a": "a2", "a2": "a"}, {"b": "a"}])
async def test_pages_that_go_round_are_an_error(following: dict[str, str]):
    with pytest.raises(DataError, match="do not end"):
        await fetched(**following)
