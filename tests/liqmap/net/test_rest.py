from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from liqmap.clock import ExchangeClock
from liqmap.errors import DataError
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange
from liqmap.net.budget import WeightBudget
from liqmap.net.rest import RejectedRequest, RestClient
from liqmap.net.session import open_session
from liqmap.settings import NetworkSettings
from liqmap.simulator import Fault, MarketServer, SimulatedClock, SimulatedMarket
from tests.liqmap.market_time import driven, until
from tests.liqmap.net.dripping import dripping
from tests.served import served

START = datetime(2023, 8, 3, 12, 0, 30, 250_000, tzinfo=UTC)
SETTINGS = NetworkSettings(attempts=3, retry_wait=1, retry_wait_max=8)

Answer = Callable[[], web.Response]


class Api:
    """An API that gives the planned answers first, and then only good ones."""

    def __init__(self) -> None:
        self.planned: list[Answer] = []
        self.asked: list[datetime] = []
        self.clock = SimulatedClock(START)
        self.used = 0
        self.dates: dict[str, str] = {"Date": ""}

    async def serve(self, _: web.Request) -> web.Response:
        self.asked.append(self.clock.now())
        good = web.json_response([], headers={"X-MBX-USED-WEIGHT-1M": str(self.used)})
        response = self.planned.pop(0)() if self.planned else good
        response.headers.update(self.dates)
        return response


def refusing(status: int, seconds: int | None = None) -> Answer:
    headers = {} if seconds is None else {"Retry-After": str(seconds)}
    return lambda: web.json_response({"code": -1003}, status=status, headers=headers)


@asynccontextmanager
async def asking(a_minute: float = math.inf) -> AsyncIterator[tuple[Api, RestClient, str]]:
    api = Api()
    app = web.Application()
    app.router.add_get("/", api.serve)
    async with served(app) as url, open_session(SETTINGS) as session:
        its_clock = ExchangeClock(api.clock)
        client = RestClient(
            session,
            clock=its_clock,
            budget=WeightBudget(a_minute, clock=its_clock),
            used_weight=EXCHANGES[Exchange.BINANCE].limits.used_weight,
        )
        yield api, client, f"{url}/"


async def test_budget_counts_by_minutes_of_the_clock():
    async with asking(100) as (api, client, url):
        await driven(api.clock, asyncio.gather(*(client.get(url, weight=20) for _ in range(12))))
        minutes = [moment.replace(second=0, microsecond=0) - START for moment in sorted(api.asked)]
        assert len(set(minutes)) == 3
        assert [sorted(minutes).count(each) for each in sorted(set(minutes))] == [5, 5, 2]
        assert api.clock.now() == START.replace(minute=2, second=0, microsecond=0)


async def test_weight_used_by_others_reduces_the_budget():
    async with asking(100) as (api, client, url):
        api.used = 90
        await driven(api.clock, client.get(url, weight=20))
        await driven(api.clock, client.get(url, weight=20))
        assert api.asked == [START, START.replace(minute=1, second=0, microsecond=0)]


async def test_request_larger_than_any_minute_s_budget_is_still_sent():
    async with asking(10) as (api, client, url):
        await driven(api.clock, client.get(url, weight=20))
        assert api.asked == [START]


async def test_count_of_an_earlier_minute_is_ignored():
    budget = WeightBudget(100, clock=(clock := SimulatedClock(START)))
    minute = await budget.spend(20)
    await clock.advance(40)
    budget.hear(100, minute)
    assert await budget.spend(20) == minute + timedelta(minutes=1)


async def test_limit_is_waited_for_by_every_job():
    async with asking() as (api, client, url):
        api.planned = [refusing(429, 25)]
        await driven(api.clock, asyncio.gather(*(client.get(url, weight=20) for _ in range(3))))
        late = asyncio.create_task(client.get(url, weight=20))
        await driven(api.clock, late)
        assert api.asked[3] == START + timedelta(seconds=25)

    async with asking() as (api, client, url):
        api.planned = [refusing(429, 25)]
        first = asyncio.create_task(client.get(url, weight=20))
        await until(lambda: bool(api.clock.alarms))
        second = asyncio.create_task(client.get(url, weight=20))
        await driven(api.clock, asyncio.gather(first, second))
        assert api.asked[1:] == [START + timedelta(seconds=25)] * 2


@pytest.mark.parametrize("answer", [refusing(418, 120), refusing(429, 3600)])
async def test_ban_closes_for_all_jobs_until_it_is_over(answer: Answer):
    async with asking() as (api, client, url):
        api.planned = [answer]
        for _ in range(2):
            with pytest.raises(DataError, match=r"^The exchange limits requests until 1\d:\d\d:30 UTC; try"):
                await driven(api.clock, client.get(url, weight=20))
        assert len(api.asked) == 1
        await api.clock.advance(3600)
        assert await driven(api.clock, client.get(url, weight=20)) == []


async def test_ban_of_years_is_one_of_days_and_names_its_day():
    async with asking() as (api, client, url):
        api.planned = [refusing(429, 999_999_999)]
        with pytest.raises(DataError, match=r"^The exchange limits requests until 2023-08-06 12:00 UTC; try"):
            await driven(api.clock, client.get(url, weight=20))


async def test_forbidden_closes_for_all_jobs_for_ten_minutes():
    async with asking() as (api, client, url):
        api.planned = [refusing(403)]
        with pytest.raises(
            DataError, match=r"HTTP 403.*too many requests or because it blocks.*again at 1\d:\d\d:30"
        ):
            await driven(api.clock, client.get(url, weight=20))
        with pytest.raises(DataError, match="limits requests until"):
            await driven(api.clock, client.get(url, weight=20))
        assert len(api.asked) == 1
        await api.clock.advance(601)
        assert await driven(api.clock, client.get(url, weight=20)) == []


async def test_limit_without_a_time_is_a_minute():
    async with asking() as (api, client, url):
        api.planned = [refusing(429)]
        await driven(api.clock, client.get(url, weight=20))
        assert api.asked == [START, START + timedelta(minutes=1)]


async def test_lasting_limit_raises_one_sentence():
    async with asking() as (api, client, url):
        api.planned = [refusing(429, 1)] * 9
        with pytest.raises(DataError, match=r"^127\.0\.0\.1 is limiting requests; try again in a minute\.$"):
            await driven(api.clock, client.get(url, weight=20))
        assert len(api.asked) == 3


@pytest.mark.parametrize(
    "answer",
    [
        refusing(500),
        refusing(503),
        lambda: web.Response(text="<!DOCTYPE html>", content_type="text/html"),
        lambda: web.Response(body=b"\xff\xfe[", content_type="application/json"),
        lambda: web.Response(body=b"[" * 100_000, content_type="application/json"),
        lambda: web.Response(body=b"", content_type="application/json"),
    ],
)
async def test_passing_failure_is_retried_by_the_clock(answer: Answer):
    async with asking() as (api, client, url):
        api.planned = [answer]
        assert await driven(api.clock, client.get(url, weight=20)) == []
        assert len(api.asked) == 2
        assert START < api.asked[1] <= START + timedelta(seconds=8)
        api.planned = [answer] * 3
        with pytest.raises(DataError, match=r"busy|cannot be read"):
            await driven(api.clock, client.get(url, weight=20))


@pytest.mark.parametrize("charset", ["zlib_codec", "no-such-charset", "utf-7", "idna", "\\x00", ""])
async def test_charset_of_an_answer_does_not_matter(charset: str):
    async with asking() as (api, client, url):
        said = {"Content-Type": f"application/json; charset={charset}"}
        api.planned = [lambda: web.Response(body=b'{"price":"1"}', headers=said)]
        assert await client.get(url, weight=20) == {"price": "1"}
        assert len(api.asked) == 1
        api.planned = [lambda: web.Response(body=b"x\x9c", headers=said)] * 3
        with pytest.raises(DataError, match=r"^127\.0\.0\.1 sent an answer that cannot be read; try again"):
            await driven(api.clock, client.get(url, weight=20))


async def test_refusal_with_a_code_is_not_retried():
    async with asking() as (api, client, url):
        api.planned = [lambda: web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)]
        with pytest.raises(RejectedRequest, match="refuses to answer") as raised:
            await client.get(url, weight=20)
        assert raised.value.answer == {"code": -1121, "msg": "Invalid symbol."}
        assert len(api.asked) == 1


@pytest.mark.parametrize(("status", "sentence"), [(401, "refuses this network"), (404, "answered HTTP 404")])
async def test_blocked_or_missing_address_raises_one_sentence_at_once(status: int, sentence: str):
    async with asking() as (api, client, url):
        api.planned = [refusing(status)]
        with pytest.raises(DataError, match=sentence):
            await client.get(url, weight=20)


async def test_answer_of_a_simulated_market_is_known():
    async with asking() as (api, client, url):
        await client.get(url, weight=1)
        assert not client.simulated
        api.planned = [lambda: web.json_response([], headers={"X-Simulated-Market": "1"})]
        await client.get(url, weight=1)
        assert client.simulated


async def test_dripping_answer_fails_after_its_attempts():
    clock = SimulatedClock(START)
    async with dripping(clock) as (drip, url), open_session(SETTINGS, sleep=clock.sleep) as session:
        client = RestClient(
            session,
            clock=ExchangeClock(clock),
            budget=WeightBudget(math.inf, clock=clock),
            used_weight=lambda _: None,
        )
        with pytest.raises(DataError, match=r"^127\.0\.0\.1 did not answer in time; try again"):
            await driven(clock, client.get(url, weight=1))
        assert drip.connections == 3
        waited = (clock.now() - START).total_seconds()
        assert (
            3 * SETTINGS.answer_timeout <= waited <= 3 * (SETTINGS.answer_timeout + SETTINGS.retry_wait_max)
        )


async def test_cancelled_request_reads_no_further():
    clock = SimulatedClock(START)
    async with dripping(clock) as (drip, url), open_session(SETTINGS, sleep=clock.sleep) as session:
        client = RestClient(
            session,
            clock=ExchangeClock(clock),
            budget=WeightBudget(math.inf, clock=clock),
            used_weight=lambda _: None,
        )
        task = asyncio.create_task(client.get(url, weight=1))
        await until(lambda: drip.open == 1)
        task.cancel()
        await until(lambda: drip.open == 0)
        assert task.cancelled()


def zeros(megabytes: int) -> Answer:
    """Answer with so many zeros, packed a thousandfold."""
    body = zlib.compress(bytes(megabytes * 1_000_000))
    return lambda: web.Response(body=body, headers={"Content-Encoding": "deflate"})


@pytest.mark.parametrize("compressed", [True, False])
async def test_answer_beyond_the_size_limit_is_refused_and_not_tried_again(*, compressed: bool):
    async with asking() as (api, client, url):
        api.planned = [zeros(40) if compressed else lambda: web.Response(body=bytes(32_000_001))]
        with pytest.raises(DataError, match=r"larger than 32 MB, .* network\.max_answer_size"):
            await client.get(url, weight=1)
        assert len(api.asked) == 1


async def test_endless_answer_is_broken_off_at_the_size_limit():
    async with MarketServer(SimulatedMarket(scale=0.001), clock=SimulatedClock(START)) as server:
        network = NetworkSettings.model_validate({"max_answer_size": 200_000})
        async with open_session(network) as session:
            clock = SimulatedClock(START)
            client = RestClient(
                session,
                clock=ExchangeClock(clock),
                budget=WeightBudget(math.inf, clock=clock),
                used_weight=lambda _: None,
            )
            server.plan("exchangeInfo", Fault.ENDLESS)
            with pytest.raises(DataError, match=r"larger than 0\.2 MB"):
                await client.get(f"{server.binance_url}/fapi/v1/exchangeInfo", weight=1)


@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 503])
async def test_every_answer_shows_the_exchange_s_time(status: int):
    async with asking() as (api, client, url):
        api.dates = {"Date": "Thu, 03 Aug 2023 11:59:58 GMT"}
        api.planned = [refusing(status, 0)]
        with suppress(DataError):
            await driven(api.clock, client.get(url, weight=1))
        assert client.clock.is_known
        assert client.clock.at(START) <= datetime(2023, 8, 3, 11, 59, 58, tzinfo=UTC)


@pytest.mark.parametrize(
    "dates",
    [
        {"Date": ""},
        {"Date": "yesterday"},
        {"Date": "Thu, 03 Aug 2023 11:59:58 -0000"},
        {"Date": "Thu, 03 Aug 2023 11:59:58 +99999999999999"},
        {"Date": "Thu, 03 Aug 2023 11:59:58 GMT", "Age": "3600"},
    ],
)
async def test_answer_without_a_time_or_out_of_a_cache_shows_none(dates: dict[str, str]):
    async with asking() as (api, client, url):
        api.dates = dates
        await client.get(url, weight=1)
        assert not client.clock.is_known


async def test_budget_counts_by_the_exchange_s_minutes():
    async with asking(100) as (api, client, url):
        api.dates = {"Date": "Thu, 03 Aug 2023 12:00:55 GMT"}
        await driven(api.clock, client.get(url, weight=90))
        api.dates = {"Date": "Thu, 03 Aug 2023 12:01:00 GMT"}
        await driven(api.clock, client.get(url, weight=90))
        assert api.asked[1] - START == timedelta(seconds=5)


async def test_closed_budget_opens_when_the_clock_is_set_back():
    budget = WeightBudget(100, clock=(clock := SimulatedClock(START)))
    budget.close(600)
    clock._now -= timedelta(hours=3)
    await budget.spend(1)


async def test_endless_budget_never_waits():
    budget = WeightBudget(math.inf, clock=SimulatedClock(START))
    for _ in range(1000):
        await budget.spend(1000)
