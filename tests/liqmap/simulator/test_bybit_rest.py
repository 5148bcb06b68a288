import csv
import gzip
import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest

from liqmap.simulator import Fault, MarketServer, SimulatedClock
from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.formats import bybit_csv_gz
from tests.liqmap.simulator.conftest import NOON, SMALL

NOON_MS = epoch_ms(NOON)
DUMP = list(
    csv.DictReader(io.StringIO(gzip.decompress(bybit_csv_gz(SMALL.day("ETHUSDT", NOON.date()))).decode()))
)
PAST = [row for row in DUMP if float(row["timestamp"]) * 1000 < NOON_MS + 1]

Get = Callable[..., Awaitable[Any]]


@pytest.fixture
def get(server: MarketServer, session: aiohttp.ClientSession) -> Get:
    async def fetch(path: str = "recent-trade", **query: Any) -> Any:
        async with session.get(f"{server.bybit_url}/v5/market/{path}", params=query) as response:
            assert response.status == 200
            return await response.json()

    return fetch


@pytest.mark.parametrize(("limit", "count"), [(None, 500), (20, 20), (5000, 1000)])
async def test_newest_trades_come_first_as_in_the_dump(get: Get, limit: int | None, count: int):
    query = {"category": "linear", "symbol": "ETHUSDT"} | ({} if limit is None else {"limit": limit})
    body = await get(**query)
    rows = body["result"]["list"]
    assert body["retCode"] == 0
    names = {"execId": "trdMatchID", "price": "price", "size": "size", "side": "side", "symbol": "symbol"}
    expected = [{name: row[column] for name, column in names.items()} for row in PAST[-count:]]
    assert [{name: row[name] for name in names} for row in reversed(rows)] == expected
    assert [int(row["time"]) for row in reversed(rows)] == [
        int(float(row["timestamp"]) * 1000 + 0.01) for row in PAST[-count:]
    ]
    assert {row["isBlockTrade"] for row in rows} == {False}


async def test_trades_just_after_midnight_reach_into_the_day_before(get: Get, clock: SimulatedClock):
    await clock.advance((datetime(2023, 8, 2, 0, 1, tzinfo=UTC) - clock.now()).total_seconds())
    rows = (await get(category="linear", symbol="ETHUSDT", limit=1000))["result"]["list"]
    assert len(rows) == 1000
    assert int(rows[-1]["time"]) < NOON_MS + 12 * 3_600_000 < int(rows[0]["time"])
    assert [int(row["seq"]) for row in rows] == list(
        range(int(rows[0]["seq"]), int(rows[0]["seq"]) - 1000, -1)
    )


async def test_inverse_contracts_have_a_category_of_their_own(get: Get):
    rows = (await get(category="inverse", symbol="BTCUSD", limit=5))["result"]["list"]
    assert len(rows) == 5
    assert all(float(row["size"]) == int(row["size"]) for row in rows)


@pytest.mark.parametrize(
    ("category", "symbol"),
    [("linear", "NOPEUSDT"), ("linear", "BTCUSD"), ("inverse", "BTCUSDT"), ("linear", "")],
)
async def test_unknown_symbols_are_refused_in_the_body(get: Get, category: str, symbol: str):
    body = await get(category=category, symbol=symbol)
    assert body == {"retCode": 10001, "retMsg": "params error: symbol invalid", "result": {}}


async def test_listings_come_in_pages(get: Get):
    listed: list[Any] = []
    cursor = ""
    while not listed or cursor:
        result = (await get("instruments-info", category="linear", cursor=cursor))["result"]
        listed += result["list"]
        cursor = unquote(result["nextPageCursor"])
    assert [each["symbol"] for each in listed] == [
        *("BTCUSDT", "DOGEUSDT", "ETHUSDT", "SHIBUSDT", "SOLUSDT", "XRPUSDT")
    ]
    assert listed[3]["priceFilter"] == {"tickSize": "0.00000001"}
    assert listed[0]["baseCoin"] == "BTC"


async def test_cursor_that_is_quoted_twice_is_refused(get: Get):
    cursor = (await get("instruments-info", category="linear"))["result"]["nextPageCursor"]
    assert cursor == "first%3D3%26last%3D6"
    assert (await get("instruments-info", category="linear", cursor=cursor))["retCode"] == 10001


async def test_risk_limits_are_as_bybit_publishes_them(get: Get):
    linear = await get("risk-limit", category="linear", symbol="ETHUSDT")
    assert linear["result"]["list"][1] == {
        "id": 2,
        "symbol": "ETHUSDT",
        "riskLimitValue": "2000000",
        "maintenanceMargin": "0.005",
        "initialMargin": "0.01",
        "isLowestRisk": 0,
        "maxLeverage": "100.00",
        "mmDeduction": "510",
    }
    inverse = await get("risk-limit", category="inverse", symbol="BTCUSD")
    assert inverse["result"]["list"][0] == {
        "id": 1,
        "symbol": "BTCUSD",
        "riskLimitValue": "150",
        "maintenanceMargin": "0.5",
        "initialMargin": "1",
        "isLowestRisk": 1,
        "maxLeverage": "100.00",
    }
    assert (await get("risk-limit", category="linear", symbol="BTCUSD"))["retCode"] == 10001


async def test_pages_skip_or_repeat_rows_when_planned(server: MarketServer, get: Get):
    query = {"category": "linear", "symbol": "ETHUSDT", "limit": 6}
    sound = (await get(**query))["result"]["list"]
    server.plan("recent-trade", Fault.SKIP_ROWS)
    assert (await get(**query))["result"]["list"] == sound[:2] + sound[4:]


async def test_files_are_published_by_the_clock(clock: SimulatedClock, session: aiohttp.ClientSession):
    async with MarketServer(SMALL, clock=clock, publish_delay=timedelta(hours=1)) as server:

        async def status(day: int) -> int:
            url = f"{server.bybit_url}/trading/SOLUSDT/SOLUSDT2023-08-{day:02}.csv.gz"
            async with session.get(url) as response:
                return response.status

        assert await status(1) == 404
        await clock.advance(13 * 3600 - 1)
        assert await status(1) == 404
        await clock.advance(1)
        assert await status(1) == 200
        server.published_until = datetime(2023, 7, 31, tzinfo=UTC).date()
        assert await status(1) == 404
