import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import numpy as np
import pytest

from liqmap.model import Exchange
from liqmap.simulator import Bracket, MarketServer, SimulatedClock, SimulatedMarket
from liqmap.simulator.clock import epoch_ms
from tests.liqmap.market_time import until
from tests.liqmap.simulator.conftest import NOON, SMALL

NOON_MS = epoch_ms(NOON)
BTC, ETH = (SMALL.day(symbol, NOON.date()) for symbol in ("BTCUSDT", "ETHUSDT"))

BRACKETS = [Bracket(25_000, 0.03, 0, 11, 20), Bracket(200_000, 0.05, 500, 6, 10)]

Socket = aiohttp.ClientWebSocketResponse


class Reader:
    """A client that reads on and keeps what comes."""

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.got: list[Any] = []
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            self.got.append(json.loads(message.data))

    def trades(self, symbol: str) -> list[tuple[int, int]]:
        """Return (id, time) of the trades that came, from either exchange."""
        found = []
        for message in self.got:
            if message.get("stream") == f"{symbol.lower()}@aggTrade":
                found.append((message["data"]["a"], message["data"]["T"]))
            elif message.get("topic") == f"publicTrade.{symbol}":
                found += [(row["seq"], row["T"]) for row in message["data"]]
        return found


@asynccontextmanager
async def connected(session: aiohttp.ClientSession, url: str, command: Any = None) -> AsyncIterator[Reader]:
    async with session.ws_connect(url) as socket:
        reader = Reader(socket)
        if command is not None:
            await socket.send_json(command)
        try:
            yield reader
        finally:
            reader.task.cancel()
            await asyncio.gather(reader.task, return_exceptions=True)


def binance(server: MarketServer, *names: str) -> str:
    return f"{server.binance_stream_url}/market/stream?streams={'/'.join(names)}"


def bybit(server: MarketServer) -> str:
    return f"{server.bybit_stream_url}/v5/public/linear"


def subscribe(*topics: str) -> dict[str, Any]:
    return {"op": "subscribe", "args": topics, "req_id": "r1"}


def expected(day: Any, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
    rows = np.flatnonzero((day.trades.time > start_ms) & (day.trades.time <= end_ms))
    return list(zip(day.ids[rows].tolist(), day.trades.time[rows].tolist(), strict=True))


async def deliver(server: MarketServer) -> None:
    await server.pump()
    await server.barrier()


async def test_binance_sends_one_trade_a_message_as_the_dump_has_it(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    async with connected(session, binance(server, "btcusdt@aggTrade", "ethusdt@aggTrade")) as client:
        await server.connected(Exchange.BINANCE, 1)
        await clock.advance(60)
        await deliver(server)
        for day in (BTC, ETH):
            assert client.trades(day.symbol) == expected(day, NOON_MS, NOON_MS + 60_000)
    first = next(message for message in client.got if message["stream"] == "btcusdt@aggTrade")["data"]
    place = first["a"] - BTC.first_id
    size = f"{BTC.trades.size[place]:.3f}"
    assert first == {
        "e": "aggTrade",
        "E": NOON_MS + 60_000,
        "s": "BTCUSDT",
        "a": first["a"],
        "st": 1,
        "p": f"{BTC.trades.price[place]:.1f}",
        "q": size,
        "nq": size,
        "m": not BTC.trades.is_buy[place],
        "f": 2 * first["a"],
        "l": 2 * first["a"] + 1,
        "T": int(BTC.trades.time[place]),
    }


async def test_bybit_sends_trades_in_batches_with_the_dump_s_ids(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    async with connected(session, bybit(server), subscribe("publicTrade.BTCUSDT")) as client:
        await server.connected(Exchange.BYBIT, 1)
        await clock.advance(6 * 3600)
        await deliver(server)
        assert client.trades("BTCUSDT") == expected(BTC, NOON_MS, NOON_MS + 6 * 3_600_000)
    answer, *messages = client.got
    assert (answer["success"], answer["req_id"], answer["op"]) == (True, "r1", "subscribe")
    sizes = [len(message["data"]) for message in messages]
    assert len(sizes) > 1
    assert set(sizes[:-1]) == {1024}
    assert {message["ts"] for message in messages} == {NOON_MS + 6 * 3_600_000}
    row = messages[0]["data"][0]
    place = row["seq"] - BTC.first_id
    assert row["i"] == f"00000000-0000-4000-8000-{row['seq']:012}"
    assert row["S"] == ("Buy" if BTC.trades.is_buy[place] else "Sell")
    assert (row["v"], row["p"]) == (f"{BTC.trades.size[place]:.3f}", f"{BTC.trades.price[place]:.1f}")
    assert (row["s"], row["BT"], row["RPI"]) == ("BTCUSDT", False, False)


async def test_trades_go_on_from_pump_to_pump_and_across_midnight(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    await clock.advance((datetime(2023, 8, 1, 23, 59, tzinfo=UTC) - clock.now()).total_seconds())
    start = epoch_ms(clock.now())
    async with connected(session, binance(server, "btcusdt@aggTrade")) as client:
        await server.connected(Exchange.BINANCE, 1)
        for seconds in (0.0, 30.123, 29.876, 0.001, 60, 0.5):
            await clock.advance(seconds)
            await deliver(server)
            await deliver(server)
        tomorrow = SMALL.day("BTCUSDT", datetime(2023, 8, 2, tzinfo=UTC).date())
        end = epoch_ms(clock.now())
        assert client.trades("BTCUSDT") == expected(BTC, start, end) + expected(tomorrow, start, end)


async def test_pumps_at_once_send_nothing_twice(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    async with connected(session, binance(server, "btcusdt@aggTrade")) as client:
        await server.connected(Exchange.BINANCE, 1)
        await clock.advance(13 * 3600)  # into a day that is yet to be made
        await asyncio.gather(*(server.pump() for _ in range(5)))
        await server.barrier()
        ids = [trade_id for trade_id, _ in client.trades("BTCUSDT")]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert ids[-1] > BTC.ids[-1]


async def test_binance_acknowledges_commands_even_for_unknown_names(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    async with connected(session, binance(server)) as client:
        await client.socket.send_json(
            {"method": "SUBSCRIBE", "params": ["nope@aggTrade", "BTCUSDT@aggTrade"], "id": 1}
        )
        await server.connected(Exchange.BINANCE, 1)
        await clock.advance(60)
        await deliver(server)
        await client.socket.send_json({"method": "SUBSCRIBE", "params": ["ethusdt@aggTrade"], "id": 2})
        await until(lambda: len(client.got) == 2)
        await clock.advance(60)
        await deliver(server)
        await client.socket.send_json({"method": "UNSUBSCRIBE", "params": ["ethusdt@aggTrade"], "id": 3})
        await client.socket.send_str("what?")
        await until(lambda: bool(client.got[-1].get("error")))
        await clock.advance(60)
        await deliver(server)
    assert [each for each in client.got if each.get("id")] == [{"result": None, "id": n} for n in (1, 2, 3)]
    assert client.trades("ETHUSDT") == expected(ETH, NOON_MS + 60_000, NOON_MS + 120_000)
    assert client.trades("BTCUSDT") == []


async def test_binance_closes_beyond_1024_streams(server: MarketServer, session: aiohttp.ClientSession):
    async with session.ws_connect(binance(server, "btcusdt@aggTrade")) as socket:
        names = [f"s{n}@aggTrade" for n in range(1024)]
        await socket.send_json({"method": "SUBSCRIBE", "params": names[:1023], "id": 1})
        assert await socket.receive_json() == {"result": None, "id": 1}
        await socket.send_json({"method": "SUBSCRIBE", "params": names[1023:], "id": 2})
        answer = await socket.receive_json()
        assert (answer["id"], answer["error"]["code"]) == (2, 2)
        assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1008


@pytest.mark.parametrize("path", ["stream", "ws"])
async def test_binance_s_old_addresses_acknowledge_and_stay_silent(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock, path: str
):
    command = {"method": "SUBSCRIBE", "params": ["btcusdt@aggTrade"], "id": 1}
    async with connected(session, f"{server.binance_stream_url}/{path}", command) as client:
        await server.connected(Exchange.BINANCE, 1)
        await clock.advance(600)
        await deliver(server)
    assert client.got == [{"result": None, "id": 1}]


async def test_bybit_answers_pings_and_unsubscribes(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    async with connected(session, bybit(server), subscribe("publicTrade.BTCUSDT")) as client:
        await client.socket.send_json({"op": "ping"})
        await client.socket.send_json({"op": "unsubscribe", "args": ["publicTrade.BTCUSDT"], "req_id": "r2"})
        await client.socket.send_json({"op": "dance"})
        await until(lambda: len(client.got) == 4)
        await clock.advance(600)
        await deliver(server)
    assert [(each["op"], each["success"], each["ret_msg"]) for each in client.got] == [
        ("subscribe", True, ""),
        ("ping", True, "pong"),
        ("unsubscribe", True, ""),
        ("dance", False, "unknown operation"),
    ]


async def test_cut_streams_are_gone_and_new_ones_start_from_now(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    async with (
        connected(session, binance(server, "btcusdt@aggTrade")) as client,
        connected(session, bybit(server), subscribe("publicTrade.BTCUSDT")) as other,
    ):
        await server.connected(Exchange.BINANCE, 1)
        await server.connected(Exchange.BYBIT, 1)
        assert server.cut_streams(Exchange.BINANCE) == 1
        await client.task
        assert client.socket.closed
        await clock.advance(60)
        async with connected(session, binance(server, "btcusdt@aggTrade")) as again:
            await server.connected(Exchange.BINANCE, 2)
            await clock.advance(60)
            await deliver(server)
            assert again.trades("BTCUSDT") == expected(BTC, NOON_MS + 60_000, NOON_MS + 120_000)
        assert other.trades("BTCUSDT") == expected(BTC, NOON_MS, NOON_MS + 120_000)
        assert client.trades("BTCUSDT") == []
        assert server.stream_connections == {Exchange.BINANCE: 2, Exchange.BYBIT: 1}


@pytest.mark.parametrize(("symbols", "silent"), [((), {"BTCUSDT", "ETHUSDT"}), (("BTCUSDT",), {"BTCUSDT"})])
async def test_silenced_streams_stay_open_and_new_ones_speak(
    server: MarketServer,
    session: aiohttp.ClientSession,
    clock: SimulatedClock,
    symbols: tuple[str, ...],
    silent: set[str],
):
    url = binance(server, "btcusdt@aggTrade", "ethusdt@aggTrade")
    async with connected(session, url) as client:
        await server.connected(Exchange.BINANCE, 1)
        server.silence(Exchange.BINANCE, *symbols)
        server.silence(Exchange.BYBIT)
        async with connected(session, url) as other:
            await server.connected(Exchange.BINANCE, 2)
            await clock.advance(60)
            await deliver(server)
            for symbol in ("BTCUSDT", "ETHUSDT"):
                assert other.trades(symbol)
                assert (client.trades(symbol) == []) == (symbol in silent)
        assert not client.socket.closed


async def test_refused_streams_get_503_as_often_as_planned(
    server: MarketServer, session: aiohttp.ClientSession
):
    server.refuse_streams(Exchange.BYBIT, times=2)
    for _ in range(2):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(bybit(server))
        assert refused.value.status == 503
    async with session.ws_connect(bybit(server)):
        assert server.stream_connections[Exchange.BYBIT] == 1


async def test_barrier_waits_until_a_client_has_processed_what_was_sent(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    async with session.ws_connect(binance(server, "btcusdt@aggTrade")) as socket:
        await server.connected(Exchange.BINANCE, 1)
        await clock.advance(60)
        await server.pump()
        waiting = asyncio.create_task(server.barrier())
        for _ in expected(BTC, NOON_MS, NOON_MS + 60_000):
            assert not waiting.done()
            await socket.receive()
        reading = asyncio.create_task(socket.receive())
        await waiting
        reading.cancel()


async def test_barrier_passes_over_clients_that_are_gone(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    async with session.ws_connect(binance(server, "btcusdt@aggTrade")):
        await server.connected(Exchange.BINANCE, 1)
        waiting = asyncio.create_task(server.barrier())
        await asyncio.sleep(0)
        server.cut_streams()
        await waiting
        await clock.advance(60)
        await deliver(server)


async def test_clients_that_do_not_read_delay_no_other(clock: SimulatedClock, session: aiohttp.ClientSession):
    market = SimulatedMarket(scale=0.05)  # more than the system buffers between two sockets
    async with MarketServer(market, clock=clock, pump_every=1800) as server:
        url = binance(server, *(f"{symbol}@aggTrade" for symbol in ("btcusdt", "ethusdt", "solusdt")))
        async with session.ws_connect(url):  # and never receives
            await server.connected(Exchange.BINANCE, 1)
            async with connected(session, bybit(server), subscribe("publicTrade.BTCUSDT")) as client:
                await server.connected(Exchange.BYBIT, 1)
                await clock.advance(11 * 3600)
                due = expected(market.day("BTCUSDT", NOON.date()), NOON_MS, NOON_MS + 11 * 3_600_000)
                await until(lambda: len(client.trades("BTCUSDT")) == len(due))
                assert client.trades("BTCUSDT") == due
                assert [each.sending.locked() for each in server._streams.connections] == [True, False]


async def test_streams_need_a_websocket_and_are_marked_as_simulated(
    server: MarketServer, session: aiohttp.ClientSession
):
    async with session.get(f"{server.bybit_url}/v5/public/linear") as response:
        assert response.status == 400
    async with session.ws_connect(bybit(server)) as socket:
        assert socket._response.headers["X-Simulated-Market"] == "1"


async def test_changed_contract_is_announced_to_its_subscribers(
    server: MarketServer, session: aiohttp.ClientSession
):
    async with (
        connected(session, binance(server, "!contractInfo", "btcusdt@aggTrade")) as reader,
        connected(session, binance(server, "btcusdt@aggTrade")) as other,
    ):
        await server.connected(Exchange.BINANCE, 2)
        await server.announce("LOOMUSDT", BRACKETS)
        await server.announce("BONDUSDT")
        await until(lambda: len(reader.got) == 2)
        assert other.got == []
    changed, listed = (message["data"] for message in reader.got)
    assert reader.got[0]["stream"] == "!contractInfo"
    assert (changed["e"], changed["s"], changed["ct"], changed["cs"]) == (
        *("contractInfo", "LOOMUSDT", "PERPETUAL", "TRADING"),
    )
    assert changed["bks"] == [
        {"bs": 1, "bnf": 0, "bnc": 25_000, "mmr": 0.03, "cf": 0, "mi": 11, "ma": 20},
        {"bs": 2, "bnf": 25_000, "bnc": 200_000, "mmr": 0.05, "cf": 500, "mi": 6, "ma": 10},
    ]
    assert listed["bks"] == []


async def test_okx_accepts_480_subscriptions_an_hour_on_each_connection(
    server: MarketServer, session: aiohttp.ClientSession, clock: SimulatedClock
):
    argument = {"channel": "trades", "instId": "BTC-USDT-SWAP"}
    async with connected(session, f"{server.okx_stream_url}/ws/v5/public") as client:
        for number in range(481):
            await client.socket.send_json({"id": str(number), "op": "subscribe", "args": [argument]})
        await until(lambda: len(client.got) == 481)
        assert [each["event"] for each in client.got[-2:]] == ["subscribe", "error"]
        assert client.got[-1]["code"] == "60014"
        await clock.advance(3601)
        await client.socket.send_json({"id": "482", "op": "subscribe", "args": [argument]})
        await until(lambda: len(client.got) == 482)
        assert client.got[-1]["event"] == "subscribe"
