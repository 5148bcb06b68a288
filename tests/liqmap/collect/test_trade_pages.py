from __future__ import annotations

from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.collect.trade_pages import TradePages
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange
from liqmap.net.rest import RejectedRequest

T0 = 1_791_072_000_000
BACKFILLED = [each for each in Exchange if EXCHANGES[each].backfill is not None]


class Client:
    """Serves pages of trades, each an id and a time, in order of both, as the documentation says.

    `spoilt` are the numbers of pages, from 1 on, that come without rows, and `headless` those without their
    first id.
    """

    def __init__(self, exchange: Exchange, trades: list[tuple[int, int]]) -> None:
        self._exchange = exchange
        self._trades = trades
        self.spoilt: frozenset[int] = frozenset()
        self.headless: frozenset[int] = frozenset()
        self.pages = 0

    async def get(self, url: str, **_: object) -> object:
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        self.pages += 1
        found = self._of_binance(query) if self._exchange is Exchange.BINANCE else self._of_okx(query)
        if self.pages in self.headless:
            found = found[1:]
        if self.pages in self.spoilt:
            found = []
        if self._exchange is Exchange.BINANCE:
            return [
                {
                    "a": number,
                    "p": "85079.10",
                    "q": "0.023",
                    "nq": "0.023",
                    "f": 7,
                    "l": 7,
                    "T": ms,
                    "m": False,
                }
                for number, ms in found
            ]
        rows: list[dict[str, Any]] = [
            {"instId": "NEW-USDT-SWAP", "side": "sell", "sz": "0.01", "source": "0", "px": "29963.2"}
            | {"tradeId": str(number), "ts": str(ms)}
            for number, ms in reversed(found)
        ]
        return {"code": "0", "msg": "", "data": rows}

    def _of_binance(self, query: dict[str, str]) -> list[tuple[int, int]]:
        limit = int(query["limit"])
        if "fromId" in query:
            if int(query["fromId"]) < self._trades[0][0]:  # of more than 48 hours ago
                raise RejectedRequest("refused", {"code": -4166, "msg": "Search window is restricted."})
            return [each for each in self._trades if each[0] >= int(query["fromId"])][:limit]
        if "startTime" in query:
            return [each for each in self._trades if each[1] >= int(query["startTime"])][:limit]
        return self._trades[-limit:]

    def _of_okx(self, query: dict[str, str]) -> list[tuple[int, int]]:
        key = {"1": 0, "2": 1}.get(query.get("type", ""))
        older = [each for each in self._trades if key is None or each[key] < int(query["after"])]
        return older[-int(query["limit"]) :]


def pages_of(exchange: Exchange, trades: list[tuple[int, int]]) -> tuple[Client, TradePages]:
    client, backfill = Client(exchange, trades), EXCHANGES[exchange].backfill
    assert backfill is not None
    pages = TradePages(
        exchange, backfill, base_url="https://example.org", client=cast("Any", client), most_at_once=4
    )
    return client, pages


def listed(count: int, *, first: int = 1, every: int = 7) -> list[tuple[int, int]]:
    """Return so many trades of a symbol that was listed at T0."""
    return [(first + number, T0 + every * number) for number in range(count)]


@pytest.mark.parametrize("exchange", BACKFILLED)
@pytest.mark.parametrize(
    ("count", "first"), [(1, 1), (60, 0), (100, 1), (101, 1), (1001, 1), (5000, 2_562_435_589)]
)
async def test_first_trade_of_a_symbol_is_found_by_any_time_before_it(
    exchange: Exchange, count: int, first: int
):
    _, pages = pages_of(exchange, listed(count, first=first))
    for before in (T0 - 3_600_000, T0 - 1, T0):
        assert await pages.first_id("NEWUSDT", before) == first
    assert await pages.first_id("NEWUSDT", T0 + 1) == first + 1


async def test_first_trade_of_a_symbol_is_searched_for_once():
    client, pages = pages_of(Exchange.OKX, listed(5000))
    assert await pages.first_id("NEWUSDT", T0 - 1) == 1
    searched = client.pages
    assert searched < 30
    assert await pages.first_id("NEWUSDT", T0 - 3_600_000) == 1
    assert client.pages == searched


@pytest.mark.parametrize("exchange", BACKFILLED)
async def test_symbol_that_nobody_has_traded_yet_begins_with_any_id(exchange: Exchange):
    _, pages = pages_of(exchange, [])
    assert await pages.first_id("NEWUSDT", T0) == 0


@given(st.sampled_from(BACKFILLED), st.integers(1, 3000), st.integers(-10, 21_000), st.integers(1, 30))
async def test_page_that_is_empty_once_hides_no_trade(
    exchange: Exchange, count: int, after: int, spoilt: int
):
    trades = listed(count, first=2_562_435_589)
    client, pages = pages_of(exchange, trades)
    client.spoilt = frozenset({spoilt})
    made = [number for number, ms in trades if ms >= T0 + after]
    assert await pages.first_id("NEWUSDT", T0 + after) == (made[0] if made else trades[-1][0] + 1)


@pytest.mark.parametrize("exchange", BACKFILLED)
@pytest.mark.parametrize("spoil", ["spoilt", "headless"])
@pytest.mark.parametrize("page", [1, 2, 3])
async def test_rows_that_a_page_lacks_at_its_start_are_requested_again(
    exchange: Exchange, spoil: str, page: int
):
    client, pages = pages_of(exchange, listed(3000))
    setattr(client, spoil, frozenset({page}))
    found = await pages.between("NEWUSDT", 1, 3001, report=lambda *_: None)
    assert found.ids.tolist() == list(range(1, 3001))
