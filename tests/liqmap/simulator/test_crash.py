from collections.abc import AsyncIterator

import aiohttp
import pytest

from liqmap.model import Exchange
from liqmap.simulator import CrashServer, SimulatedClock
from liqmap.simulator.clock import epoch_ms
from tests.liqmap.simulator.conftest import NOON
from tests.liqmap.simulator.test_streams import connected, subscribe

NOON_MS = epoch_ms(NOON)


@pytest.fixture
async def crash(clock: SimulatedClock) -> AsyncIterator[CrashServer]:
    async with CrashServer(rate=1500, symbols=3, clock=clock) as server:
        yield server


def stream(server: CrashServer, *names: str) -> str:
    return server.host.url(f"/binance/market/stream?streams={'/'.join(names)}", scheme="ws")


async def test_binance_gets_each_trade_once_evenly_in_time(
    crash: CrashServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    names = [f"{symbol.lower()}@aggTrade" for symbol in crash.symbols]
    async with connected(session, stream(crash, *names)) as client:
        await crash.connected(Exchange.BINANCE, 1)
        await clock.advance(2)
        await crash.barrier()
    assert len(client.got) == 3000
    for symbol, name in zip(crash.symbols, names, strict=True):
        trades = [message["data"] for message in client.got if message["stream"] == name]
        assert {each["s"] for each in trades} == {symbol}
        assert [each["a"] for each in trades] == list(range(trades[0]["a"], trades[0]["a"] + 1000))
        assert [each["T"] for each in trades] == [NOON_MS + 2 * number for number in range(1000)]
        assert all(0 < each["E"] - each["T"] <= 20 for each in trades)
        assert all((each["f"], each["l"]) == (2 * each["a"], 2 * each["a"] + 1) for each in trades)
        assert all(20_000 < float(each["p"]) < 40_000 and float(each["q"]) > 0 for each in trades)
        assert {each["m"] for each in trades} == {True, False}


async def test_bybit_gets_batches(crash: CrashServer, session: aiohttp.ClientSession, clock: SimulatedClock):
    url = crash.host.url("/bybit/v5/public/linear", scheme="ws")
    async with connected(session, url, subscribe("publicTrade.CRASH01USDT")) as client:
        await crash.connected(Exchange.BYBIT, 1)
        await clock.advance(1)
        await crash.barrier()
    answer, *messages = client.got
    rows = [row for message in messages for row in message["data"]]
    assert answer["success"]
    assert len(messages) == 50
    assert [row["T"] for row in rows] == [NOON_MS + 2 * number for number in range(500)]
    assert [row["i"] for row in rows] == [f"00000000-0000-4000-8000-{row['seq']:012}" for row in rows]
    assert {row["s"] for row in rows} == {"CRASH01USDT"}
    assert {row["S"] for row in rows} == {"Buy", "Sell"}
    assert [message["ts"] for message in messages] == [NOON_MS + 20 * number for number in range(1, 51)]


async def test_ids_continue_without_clients(
    crash: CrashServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    await clock.advance(10)
    async with connected(session, stream(crash, "crash00usdt@aggTrade")) as client:
        await crash.connected(Exchange.BINANCE, 1)
        await clock.advance(1)
        await crash.barrier()
    assert client.got[0]["data"]["a"] == 100_000_000_000 + 5000
    assert len(client.got) == 500


async def test_clients_that_do_not_read_are_dropped(session: aiohttp.ClientSession, clock: SimulatedClock):
    async with CrashServer(rate=200_000, symbols=2, clock=clock, most_buffered=1_000_000) as server:
        async with session.ws_connect(stream(server, "crash00usdt@aggTrade")):
            await server.connected(Exchange.BINANCE, 1)
            await clock.advance(1)  # 20 MB, more than the system buffers between two sockets
            assert server.dropped == 1
        async with connected(session, stream(server, "crash01usdt@aggTrade")) as client:
            await server.connected(Exchange.BINANCE, 2)
            await clock.advance(0.1)
            await server.barrier()
            assert len(client.got) == 10_000
