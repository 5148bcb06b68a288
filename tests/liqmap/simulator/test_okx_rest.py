from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from liqmap.simulator import MarketServer, SimulatedClock
from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.okx_messages import okx_rows
from tests.liqmap.simulator.conftest import NOON, SMALL

NOON_MS = epoch_ms(NOON)
PAST = [row for row in okx_rows(SMALL.day("ETHUSDT", NOON.date())) if int(row["ts"]) <= NOON_MS]
NAME = "ETH-USDT-SWAP"

Get = Callable[..., Awaitable[Any]]


@pytest.fixture
def get(server: MarketServer, session: aiohttp.ClientSession) -> Get:
    async def fetch(path: str = "market/history-trades", **query: Any) -> Any:
        async with session.get(f"{server.okx_url}/api/v5/{path}", params=query) as response:
            assert response.status == 200
            return await response.json()

    return fetch


async def test_pages_of_older_fills_follow_each_other(get: Get):
    first = (await get(instId=NAME))["data"]
    second = (await get(instId=NAME, after=first[-1]["tradeId"]))["data"]
    assert (first[::-1], second[::-1]) == (PAST[-100:], PAST[-200:-100])


async def test_fills_before_a_time(get: Get):
    stop = int(PAST[-300]["ts"])
    rows = (await get(instId=NAME, after=stop, type=2, limit=20))["data"]
    assert rows[::-1] == [row for row in PAST if int(row["ts"]) < stop][-20:]


async def test_id_beyond_the_newest_gives_the_newest(get: Get):
    newest = (await get("market/trades", instId=NAME, limit=3))["data"]
    after = int(newest[0]["tradeId"]) + 1_000_000
    assert (await get(instId=NAME, after=after, limit=3))["data"] == newest


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"instId": "NOPE-USDT-SWAP"}, "51001"),
        ({}, "51001"),
        ({"instId": NAME, "after": "x"}, "51000"),
        ({"instId": NAME, "type": "2", "before": "1"}, "50039"),
    ],
)
async def test_what_is_wrong_is_refused_in_the_body(get: Get, query: dict[str, str], code: str):
    body = await get(**query)
    assert (body["code"], body["data"]) == (code, [])


async def test_more_than_20_requests_in_two_seconds_are_refused(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    url = f"{server.okx_url}/api/v5/market/history-trades"

    async def asked() -> tuple[int, str]:
        async with session.get(url, params={"instId": NAME, "limit": 1}) as response:
            return response.status, (await response.json())["code"]

    assert [await asked() for _ in range(21)] == [(200, "0")] * 20 + [(429, "50011")]
    await clock.advance(2)
    assert await asked() == (200, "0")
