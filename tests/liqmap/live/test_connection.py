from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from liqmap.clock import SystemClock
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.messages import PartlyUnreadable
from liqmap.live.connection import Stream
from liqmap.model import Exchange
from liqmap.net.attempts import TransientError
from liqmap.net.session import open_session
from liqmap.settings import NetworkSettings
from liqmap.simulator import SimulatedClock
from tests.liqmap.market_time import until
from tests.liqmap.recording import START, market, recording
from tests.served import served

BINANCE, BYBIT = Exchange.BINANCE, Exchange.BYBIT


class Peer:
    """An exchange that keeps what it is told, and answers nothing of its own."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.sockets: list[web.WebSocketResponse] = []

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            self.heard.append(message.data if message.data == "ping" else json.loads(message.data))
        return socket


@asynccontextmanager
async def connected(
    exchange: Exchange,
) -> AsyncIterator[tuple[Peer, Stream, SimulatedClock, asyncio.Task[None], list[Any]]]:
    """Run a stream of BTCUSDT to a peer."""
    peer, clock, got = Peer(), SimulatedClock(START), list[Any]()
    app = web.Application()
    app.router.add_get("/{path:.*}", peer.serve)
    async with served(app) as url, open_session(NetworkSettings()) as session:
        stream = Stream(
            session,
            EXCHANGES[exchange].live,
            url,
            clock=clock,
            on_live=got.append,
            on_refused=lambda symbol: got.append(f"{symbol} is refused"),
            on_events=got.extend,
            on_unreadable=got.append,
        )
        task = asyncio.create_task(stream.run(lambda: ("BTCUSDT",)))
        await until(lambda: bool(peer.heard))
        try:
            yield peer, stream, clock, task, got
        finally:
            await stream.drop()
            await asyncio.gather(task, return_exceptions=True)


async def heard(peer: Peer, count: int) -> None:
    await until(lambda: len(peer.heard) == count)


async def test_bybit_receives_a_heartbeat_every_twenty_seconds():
    async with connected(BYBIT) as (peer, _, clock, _, _):
        for beats in range(1, 4):
            await clock.advance(19.5)
            assert peer.heard[1:] == [{"op": "ping"}] * (beats - 1)
            await clock.advance(0.5)
            await heard(peer, 1 + beats)


async def test_binance_connection_is_renewed_before_it_is_a_day_old():
    async with connected(BINANCE) as (peer, _, clock, task, _):
        await clock.advance(22.9 * 3600)
        assert not task.done()
        await peer.sockets[0].send_str('{"result":null,"id":1}')
        await clock.advance(0.2 * 3600)
        await until(task.done)
        assert len(peer.heard) == 1


async def test_stream_reports_what_was_acknowledged_and_refused():
    async with connected(BYBIT) as (peer, stream, _, _, got):
        number = peer.heard[0]["req_id"]
        await peer.sockets[0].send_json({"op": "subscribe", "success": True, "req_id": number})
        await until(lambda: got == [("BTCUSDT",)])
        await stream.subscribe(("NOPEUSDT",))
        await until(lambda: len(peer.heard) == 2)
        await peer.sockets[0].send_json(
            {"op": "subscribe", "success": False, "req_id": peer.heard[1]["req_id"]}
        )
        await until(lambda: len(got) == 2)
        assert got == [("BTCUSDT",), "NOPEUSDT is refused"]


async def test_streams_refused_together_are_requested_again_one_by_one():
    async with connected(BYBIT) as (peer, stream, clock, _, got):

        async def answer(place: int, *, success: bool, **more: str) -> None:
            await until(lambda: len(peer.heard) > place)
            number = peer.heard[place]["req_id"]
            await peer.sockets[0].send_json({"op": "subscribe", "success": success, "req_id": number} | more)

        await stream.subscribe(("ETHUSDT", "NOPEUSDT", "XRPUSDT"))
        await answer(1, success=False, ret_msg="error:handler not found,topic:publicTrade.NOPEUSDT")
        for asked in (1, 2, 3):
            await heard(peer, 2 + asked)
            await clock.advance(0.1)
            assert len(peer.heard) == 2 + asked
            await clock.advance(0.1)
        assert [each["args"][0] for each in peer.heard[2:]] == [
            "publicTrade.ETHUSDT",
            "publicTrade.NOPEUSDT",
            "publicTrade.XRPUSDT",
        ]
        await answer(2, success=True)
        await answer(3, success=False, ret_msg="error:handler not found,topic:publicTrade.NOPEUSDT")
        await answer(4, success=False, ret_msg="error:already subscribed,topic:publicTrade.XRPUSDT")
        await until(lambda: len(got) == 3)
        assert got == [("ETHUSDT",), "NOPEUSDT is refused", ("XRPUSDT",)]


async def test_many_symbols_are_requested_in_several_messages():
    async with connected(BYBIT) as (peer, stream, _, _, _):
        await stream.subscribe(tuple(f"COIN{number:03}USDT" for number in range(250)))
        await heard(peer, 4)
        assert [len(each["args"]) for each in peer.heard[1:]] == [200, 200, 100]


async def test_connection_that_delivers_nothing_counts_as_a_failure():
    async with connected(BYBIT) as (peer, _, _, task, _):
        await peer.sockets[0].close()
        with pytest.raises(TransientError, match="accepts a connection but sends nothing"):
            await task


async def test_connection_that_delivered_something_ends_without_error():
    async with connected(BYBIT) as (peer, _, _, task, got):
        trade = {"T": 1672304486865, "s": "BTCUSDT", "S": "Buy", "v": "1", "p": "2"}
        await peer.sockets[0].send_json({"topic": "publicTrade.BTCUSDT", "data": [trade]})
        await until(lambda: len(got) == 1)
        await peer.sockets[0].close()
        await task


async def test_trade_of_size_0_does_not_end_the_connection():
    async with connected(BYBIT) as (peer, _, _, task, got):
        for size in ("0", "1"):
            trade = {"T": 1672304486865, "s": "BTCUSDT", "S": "Buy", "v": size, "p": "2", "i": None}
            await peer.sockets[0].send_json({"topic": "publicTrade.BTCUSDT", "data": [trade]})
        await until(lambda: len(got) == 2)
        assert [each.size for each in got] == [0, 1]
        assert not task.done()


async def test_address_without_a_server_is_a_transient_failure():
    async with open_session(NetworkSettings()) as session:
        stream = Stream(
            session,
            EXCHANGES[BYBIT].live,
            "ws://127.0.0.1:9",
            clock=SimulatedClock(START),
            on_live=lambda _: None,
            on_refused=lambda _: None,
            on_events=lambda _: None,
            on_unreadable=lambda _: None,
        )
        with pytest.raises(TransientError, match=r"127\.0\.0\.1 cannot be reached"):
            await stream.run(tuple)
        await stream.subscribe(("BTCUSDT",))
        await stream.drop()


@pytest.mark.parametrize("status", [401, 403, 451, 503, 200])
async def test_refused_handshake_names_the_reason_and_when_to_try_again(status: int):
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/{path:.*}", refuse)
    async with served(app) as url, open_session(NetworkSettings()) as session:
        with pytest.raises(TransientError) as caught:
            await session.stream(url)
    if status in {401, 403, 451}:
        assert f"refuses this network (HTTP {status}), as exchanges do with some countries" in str(
            caught.value
        )
        assert caught.value.retry_after == 600
    else:
        assert str(caught.value) == f"127.0.0.1 refuses a stream (HTTP {status}); it is tried again."


async def test_liquidations_that_can_be_read_are_taken_beside_one_that_cannot():
    async with connected(BYBIT) as (peer, _, _, _, got):
        row = {"T": 1739502302929, "s": "ROSEUSDT", "S": "Sell", "v": "20000", "p": "0.04499"}
        await peer.sockets[0].send_json({"topic": "allLiquidation.ROSEUSDT", "data": [{}, row]})
        await until(lambda: len(got) == 2)
        assert isinstance(got[0], PartlyUnreadable)
        assert got[1].symbol == "ROSEUSDT"


async def test_connection_that_is_renewed_before_its_end_loses_nothing_on_binance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    live = EXCHANGES[BINANCE].live
    assert live.lifetime == timedelta(hours=23)  # Binance cuts after 24
    monkeypatch.setattr(live, "lifetime", timedelta(hours=1))
    # Time passes in long steps here, in which nothing is sent.
    async with (
        market(scale=0.02) as (server, clock),
        recording(tmp_path, server, clock, "binance:BTCUSDT", silence=600) as made,
    ):
        await until(lambda: made.subscribed(BINANCE, "BTCUSDT"))
        await made.live(3600 - 60, step=60)
        assert server.stream_connections[BINANCE] == 1
        await made.live(960, step=60)
        assert server.stream_connections[BINANCE] == 2
        await until(lambda: len(made.spans(BINANCE)) == 1)
        assert made.exact(BINANCE, scale=0.02)


def stream(exchange: Exchange) -> Stream:
    nobody = cast(Any, None)
    return Stream(
        nobody,
        EXCHANGES[exchange].live,
        "wss://example.org",
        clock=SystemClock(),
        on_live=nobody,
        on_refused=nobody,
        on_events=nobody,
        on_unreadable=lambda _: None,
    )


async def test_connection_ends_in_good_time_though_the_clock_is_set_back():
    class Hand(SimulatedClock):
        async def sleep(self, seconds: float, /) -> None:
            assert not slept, "the exchange cuts the connection in this time"
            slept.append(seconds)
            self._now -= timedelta(hours=6)

    class Socket:
        async def close(self) -> None:
            slept.append(0.0)

    slept: list[float] = []
    connection = stream(BINANCE)
    connection._clock = Hand(START)
    await connection._keep(cast(Any, Socket()))
    assert slept == [23 * 3600.0, 0.0]


def test_unreadable_message_of_a_numbered_stream_shows_in_the_ids():
    assert stream(Exchange.BINANCE)._take("{") is False


def test_unreadable_message_of_an_unnumbered_stream_ends_the_connection():
    """What it told of is missing, and nothing but a new start says so."""
    with pytest.raises(TransientError, match="cannot be read"):
        stream(Exchange.BYBIT)._take('{"topic":"publicTrade.BTCUSDT","data":[{}]}')


async def test_okx_is_sent_no_more_subscriptions_than_it_accepts_in_an_hour():
    async with connected(Exchange.OKX) as (peer, stream, clock, _, got):
        for place in range(500):
            await stream.subscribe((f"COIN{place}USDT",))
        await heard(peer, 480)  # with the first of the connection
        await clock.advance(3599)
        await stream.subscribe(("ETHUSDT",))
        await clock.advance(2)
        await stream.subscribe(("XRPUSDT",))
        await until(lambda: any("XRP-USDT-SWAP" in str(each) for each in peer.heard))
        subscriptions = [each for each in peer.heard if isinstance(each, dict)]
        assert not any("ETH-USDT-SWAP" in str(each) for each in subscriptions)
        await peer.sockets[0].send_json({"event": "error", "code": "60014", "msg": "x", "id": "1"})
        assert got == []  # refused for now is not refused
