from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import aiohttp
import pytest

from liqmap.simulator import Fault, MarketServer, SimulatedClock
from liqmap.simulator.clock import epoch_ms
from tests.liqmap.simulator.conftest import NOON, SMALL

NOON_MS = epoch_ms(NOON)
HOUR_MS = 3_600_000
DAYS = [SMALL.day("BTCUSDT", date(2023, 7, 30) + timedelta(days=n)) for n in range(3)]
TRADES = [
    (trade_id, time)
    for day in DAYS
    for trade_id, time in zip(day.ids.tolist(), day.trades.time.tolist(), strict=True)
]
PAST = [(trade_id, time) for trade_id, time in TRADES if time <= NOON_MS]

Get = Callable[..., Awaitable[tuple[int, Any, dict[str, str]]]]


@pytest.fixture
def get(server: MarketServer, session: aiohttp.ClientSession) -> Get:
    async def fetch(path: str = "aggTrades", **query: Any) -> tuple[int, Any, dict[str, str]]:
        url = f"{server.binance_url}/fapi/v1/{path}"
        async with session.get(url, params={"symbol": "BTCUSDT", **query}) as response:
            return response.status, await response.json(content_type=None), dict(response.headers)

    return fetch


def ids(rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(row["a"], row["T"]) for row in rows]


async def test_trades_are_written_as_in_the_dump(get: Get):
    status, rows, headers = await get(fromId=PAST[-3][0])
    day, place = DAYS[-1], PAST[-3][0] - DAYS[-1].first_id
    assert status == 200
    assert headers["X-Simulated-Market"] == "1"
    assert headers["X-MBX-USED-WEIGHT-1M"] == "20"
    size = f"{day.trades.size[place]:.3f}"
    assert rows[0] == {
        "a": PAST[-3][0],
        "p": f"{day.trades.price[place]:.1f}",
        "q": size,
        "nq": size,
        "f": 2 * PAST[-3][0],
        "l": 2 * PAST[-3][0] + 1,
        "T": PAST[-3][1],
        "m": not day.trades.is_buy[place],
    }
    assert len(rows) == 3


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, PAST[-500:]),
        ({"limit": 7}, PAST[-7:]),
        ({"limit": 1000, "fromId": PAST[-1500][0]}, PAST[-1500:-500]),
        ({"fromId": PAST[-1][0] + 1}, []),
        ({"startTime": PAST[-800][1], "limit": 3}, [each for each in PAST if each[1] >= PAST[-800][1]][:3]),
        (
            {"startTime": NOON_MS - HOUR_MS, "endTime": NOON_MS - 1},
            [each for each in PAST if NOON_MS - HOUR_MS <= each[1] < NOON_MS][:500],
        ),
        (
            {"endTime": NOON_MS - HOUR_MS, "limit": 2},
            [each for each in PAST if each[1] <= NOON_MS - HOUR_MS][-2:],
        ),
        ({"startTime": NOON_MS + 1}, []),
        ({"startTime": NOON_MS, "endTime": NOON_MS - 5}, []),
    ],
)
async def test_trades_are_found_by_id_and_time(get: Get, query: dict[str, int], expected: list[Any]):
    status, rows, _ = await get(**query)
    assert status == 200
    assert ids(rows) == expected


async def test_pages_go_on_across_midnight(get: Get):
    first = DAYS[-1].first_id - 600
    found = []
    for page in range(2):
        _, rows, _ = await get(fromId=first + 1000 * page, limit=1000)
        found += ids(rows)
    assert found == [each for each in TRADES if first <= each[0] < first + 2000]


async def test_trades_appear_as_time_passes(get: Get, clock: SimulatedClock):
    after = [each for each in TRADES if each[0] > PAST[-1][0]]
    await clock.advance((after[0][1] - NOON_MS - 1) / 1000)
    assert (await get(fromId=after[0][0]))[1] == []
    await clock.advance(0.001)
    assert after[0] in ids((await get(fromId=after[0][0]))[1])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"startTime": NOON_MS - 48 * HOUR_MS - 1}, -4166),
        ({"endTime": NOON_MS - 48 * HOUR_MS - 1}, -4166),
        ({"fromId": next(a for a, time in reversed(TRADES) if time < NOON_MS - 48 * HOUR_MS)}, -4166),
        ({"fromId": 1}, -4166),
        ({"symbol": "NOPEUSDT"}, -1121),
        ({"symbol": "BTCUSD_PERP"}, -1121),
        ({"symbol": ""}, -1102),
        ({"startTime": "soon"}, -1102),
        ({"startTime": NOON_MS - HOUR_MS, "endTime": NOON_MS}, -1127),
        ({"startTime": NOON_MS, "fromId": 5}, -1128),
        ({"limit": 1001}, -1130),
    ],
)
async def test_bad_queries_are_refused(get: Get, query: dict[str, Any], code: int):
    status, body, headers = await get(**query)
    assert status == 400
    assert body["code"] == code
    assert body["msg"]
    assert headers["X-MBX-USED-WEIGHT-1M"] == "20"


async def test_two_days_back_to_the_millisecond_is_answered(get: Get):
    oldest = next(each for each in TRADES if each[1] >= NOON_MS - 48 * HOUR_MS)
    for query in ({"startTime": NOON_MS - 48 * HOUR_MS}, {"fromId": oldest[0]}):
        assert ids((await get(**query))[1])[0] == oldest


async def test_weight_above_the_limit_is_refused_then_banned(clock: SimulatedClock, get: Get):
    statuses = [(await get(limit=1))[0] for _ in range(120)]
    assert set(statuses) == {200}
    status, body, headers = await get()
    assert (status, body["code"]) == (429, -1003)
    assert (headers["Retry-After"], headers["X-MBX-USED-WEIGHT-1M"]) == ("60", "2420")
    assert {(await get())[0] for _ in range(10)} == {429}
    status, _, headers = await get("exchangeInfo")
    assert (status, headers["Retry-After"]) == (418, "120")
    await clock.advance(120)
    assert (await get())[0] == 200


async def test_listings_name_grids_of_linear_contracts(get: Get):
    _, body, headers = await get("exchangeInfo")
    assert headers["X-MBX-USED-WEIGHT-1M"] == "1"
    listed = {each["symbol"]: each for each in body["symbols"]}
    assert "BTCUSD" not in listed
    assert "BTCUSD_PERP" not in listed
    assert listed["SHIBUSDT"]["filters"] == [
        {"filterType": "PRICE_FILTER", "tickSize": "0.00000001"},
        {"filterType": "LOT_SIZE", "stepSize": "1"},
    ]
    assert listed["BTCUSDT"]["status"] == "TRADING"
    assert body["serverTime"] == NOON_MS


async def test_pages_skip_or_repeat_rows_when_planned(server: MarketServer, get: Get):
    _, sound, _ = await get(limit=9)
    server.plan("aggTrades", Fault.SKIP_ROWS)
    assert (await get(limit=9))[1] == sound[:3] + sound[6:]
    server.plan("aggTrades", Fault.DUPLICATE_ROWS)
    assert (await get(limit=9))[1] == sound[:6] + sound[3:]
    server.plan("aggTrades", Fault.SKIP_ROWS)
    assert (await get(limit=2))[1] == sound[-2:]


@pytest.mark.parametrize(
    ("fault", "status", "wait"), [(Fault.IP_BAN, 418, "120"), (Fault.TOO_MANY, 429, "0")]
)
async def test_faults_of_status_are_shown(
    server: MarketServer, session: aiohttp.ClientSession, fault: Fault, status: int, wait: str
):
    server.plan("aggTrades", fault)
    async with session.get(f"{server.binance_url}/fapi/v1/aggTrades?symbol=BTCUSDT") as response:
        assert (response.status, response.headers["Retry-After"]) == (status, wait)
