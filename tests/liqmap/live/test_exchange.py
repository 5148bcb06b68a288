from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from liqmap.errors import RequestError
from liqmap.exchanges.messages import Newest, StreamTrade
from liqmap.live.newest import NewestTrades
from liqmap.live.registry import Recordings
from liqmap.live.symbol import MOST_LAG, SymbolRecorder
from liqmap.live.writer import SegmentWriter
from liqmap.model import Exchange
from liqmap.simulator import Fault, SimulatedClock
from liqmap.store.liquidations import read_liquidations
from tests.liqmap.market_time import until
from tests.liqmap.recording import MARKET, START, Recording, market, recording

BINANCE, BYBIT, OKX = Exchange.BINANCE, Exchange.BYBIT, Exchange.OKX
HANDOVER = timedelta(seconds=10)


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Recording]:
    """Record BTCUSDT on both exchanges, subscribed at 11:57:10."""
    async with market() as (server, clock), recording(tmp_path, server, clock, "BTCUSDT") as running:
        for exchange in Exchange:
            await running.until_subscribed(exchange, "BTCUSDT")
        yield running


async def reconnected(made: Recording, exchange: Exchange, connections: int) -> None:
    await made.server.connected(exchange, connections)
    await until(lambda: made.subscribed(exchange, "BTCUSDT"))


async def test_cut_is_repaired_by_rest(made: Recording):
    await made.live(150)
    assert made.server.cut_streams(BINANCE) == 1
    await reconnected(made, BINANCE, 2)
    await made.clock.advance(20)
    await made.live(130)
    await until(lambda: len(made.spans(BINANCE)) == 1 and made.spans(BINANCE)[0].endswith("12:02:00"))
    assert made.exact(BINANCE)
    recording = made.symbol(BINANCE).recording
    assert (recording.cuts, recording.connected) == (1, True)


async def test_connection_about_to_close_is_followed_without_a_cut(made: Recording):
    await made.live(150)
    await made.server.announce_closing()
    closing = made.clock.now() + HANDOVER
    await made.server.connected(OKX, 2)
    await until(lambda: closing in made.clock.alarms)
    await made.clock.advance(HANDOVER.total_seconds())
    await made.live(140)
    await until(lambda: len(made.spans(OKX)) == 1 and made.spans(OKX)[0].endswith("12:02:00"))
    assert made.exact(OKX)
    recording = made.symbol(OKX).recording
    assert (recording.cuts, recording.connected) == (0, True)
    assert made.server.stream_connections[OKX] == 2


async def test_short_connections_begin_at_least_a_second_apart(tmp_path: Path):
    async with market(scale=0.5) as (server, clock), recording(tmp_path, server, clock, "BTCUSDT") as made:
        await made.until_subscribed(BINANCE)
        for connections in (2, 3):
            await made.live(0.6, step=0.6)
            assert made.symbol(BINANCE).newest_ms
            server.cut_streams(BINANCE)
            await until(lambda: not made.subscribed(BINANCE, "BTCUSDT"))
            await clock.advance(0.2)
            assert server.stream_connections[BINANCE] == connections - 1
            await clock.advance(0.2)
            await reconnected(made, BINANCE, connections)


async def test_cut_is_a_gap_where_the_exchange_serves_no_past_trades(made: Recording):
    await made.live(150)
    made.server.refuse_streams(BYBIT, times=1)
    made.server.cut_streams(BYBIT)
    await until(lambda: made.server.requests["/bybit/v5/public/linear"] >= 2)
    await reconnected(made, BYBIT, 2)
    await made.clock.advance(20)
    await made.live(130)
    await until(lambda: made.spans(BYBIT)[-1].endswith("12:02:00"))
    first, second = made.spans(BYBIT)
    assert first.startswith("11:57:13-11:59:3")
    assert second == "11:59:46-12:02:00"
    assert made.exact(BYBIT)


@pytest.mark.parametrize("exchange", Exchange)
async def test_silent_stream_of_a_busy_symbol_is_reconnected(tmp_path: Path, exchange: Exchange):
    # Five trades a second: whenever the exchange is asked, somebody has traded just now.
    name = f"{exchange}:BTCUSDT"
    async with market(scale=0.4) as (server, clock), recording(tmp_path, server, clock, name) as made:
        await made.until_subscribed(exchange)
        await made.live(15)
        server.silence(exchange)
        for _ in range(12):
            await made.live(10, step=10)
            if server.stream_connections[exchange] == 2:
                break
        await reconnected(made, exchange, 2)


async def test_wrong_clock_causes_no_reconnection(tmp_path: Path):
    async with market() as (server, clock):
        ahead = SimulatedClock(clock.now() + timedelta(seconds=200))
        async with recording(tmp_path, server, ahead, "bybit:BTCUSDT") as made:
            await made.until_subscribed(BYBIT)
            for _ in range(12):
                await ahead.advance(5)
                await clock.advance(5)
                await server.pump()
                await server.barrier()
            assert server.stream_connections[BYBIT] == 1
            lag = made.symbol(BYBIT).lag
            assert lag is not None
            assert lag < timedelta(seconds=1)


@pytest.mark.parametrize("exchange", Exchange)
async def test_silent_stream_is_noticed_and_reconnected(
    made: Recording, exchange: Exchange, caplog: pytest.LogCaptureFixture
):
    await made.live(60)
    made.server.silence(exchange)
    for _ in range(20):  # the watch asks the exchange, which takes turns of the loop and not time
        if made.server.stream_connections[exchange] == 2:
            break
        await made.live(10)
    await reconnected(made, exchange, 2)
    assert "BTCUSDT is silent though it is traded" in caplog.text
    await made.live(180)
    await until(lambda: made.spans(exchange)[-1][9:] > f"{made.clock.now() - timedelta(seconds=90):%H:%M:%S}")
    assert made.exact(exchange)
    if exchange is BYBIT:  # which gives nothing of the past
        assert len(made.spans(exchange)) == 2
    else:
        await until(lambda: len(made.spans(exchange)) == 1)


async def test_unknown_symbol_does_not_stop_others_from_being_recorded(tmp_path: Path):
    names = ("bybit:NOPEUSDT", "bybit:BTCUSDT", "bybit:ETHUSDT")
    async with market() as (server, clock):
        server.plan("recent-trade", Fault.STALL, times=1000)  # so that the stream alone tells
        async with recording(tmp_path, server, clock, *names) as made:
            # All three were refused together; the first of them is asked for alone, the next after a pause.
            await until(lambda: clock.now() + timedelta(seconds=0.2) in clock.alarms)
            await clock.advance(1)
            for symbol in ("BTCUSDT", "ETHUSDT"):
                await made.until_subscribed(BYBIT, symbol)
            await until(lambda: "NOPEUSDT" not in made.on(BYBIT).recorders)
            recordings = Recordings(made.store.root)
            await until(lambda: [each.symbol for each in recordings.all()] == ["BTCUSDT", "ETHUSDT"])


async def test_refused_symbol_of_the_settings_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    listed, fetch = asyncio.Event(), NewestTrades.fetch

    async def unlisted(newest: NewestTrades, symbol: str) -> Newest:
        if not listed.is_set():
            raise RequestError(f"Bybit has no future named {symbol}.")
        return await fetch(newest, symbol)

    monkeypatch.setattr(NewestTrades, "fetch", unlisted)
    async with market() as (server, clock), recording(tmp_path, server, clock, "bybit:BTCUSDT") as made:
        await until(made.recorder.refused.is_set)
        await until(lambda: not made.recorder.is_recorded(BYBIT, "BTCUSDT"))
        listed.set()
        await made.live(600)
        await made.until_subscribed(BYBIT)
        assert made.recorder.is_recorded(BYBIT, "BTCUSDT")


async def test_symbol_that_cannot_be_claimed_does_not_stop_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    lock = tmp_path / "simulated" / "recordings" / BYBIT / "ETHUSDT.lock"
    lock.mkdir(parents=True)
    names = ("bybit:BTCUSDT", "bybit:ETHUSDT", "bybit:SOLUSDT")
    async with market() as (server, clock), recording(tmp_path, server, clock, *names) as made:
        for symbol in ("BTCUSDT", "SOLUSDT"):
            await made.until_subscribed(BYBIT, symbol)
        assert caplog.text.count("bybit ETHUSDT is not recorded yet") == 1
        assert "has stopped for a minute" not in caplog.text
        lock.rmdir()
        await made.live(600)
        await made.until_subscribed(BYBIT, "ETHUSDT")
        assert (server.stream_connections[BYBIT], made.symbol(BYBIT).recording.cuts) == (1, 0)


async def test_unanswered_subscription_is_sent_again(made: Recording):
    await made.live(10)
    made.symbol(BYBIT).cut()
    await made.live(60)
    assert made.subscribed(BYBIT, "BTCUSDT")
    assert made.server.stream_connections[BYBIT] == 1


async def test_failed_recorder_logs_it_and_resumes_after_a_minute(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    recordings = Recordings(made.store.root)
    await until(lambda: recordings.read(BYBIT, "BTCUSDT") is not None)
    before = recordings.read(BYBIT, "BTCUSDT")
    assert before is not None
    with monkeypatch.context() as patched:
        patched.setattr(SegmentWriter, "write_liquidations", broken)
        made.on(BYBIT).store_soon("BTCUSDT")
        await until(lambda: not made.subscribed(BYBIT, "BTCUSDT"))
    assert "a recorder of bybit has stopped for a minute" in caplog.text
    assert made.subscribed(BINANCE, "BTCUSDT")
    assert recordings.read(BYBIT, "BTCUSDT") == before
    await made.clock.advance(61)
    await until(lambda: recordings.read(BYBIT, "BTCUSDT") != before)


async def test_recorder_survives_a_message_that_breaks_it(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(SymbolRecorder, "take", broken)
        await made.live(10)
        await until(lambda: "has stopped for a minute" in caplog.text)
    assert not made.subscribed(BYBIT, "BTCUSDT")
    await made.clock.advance(61)
    await reconnected(made, BYBIT, 2)
    await made.live(125)
    assert made.exact(BYBIT)


async def test_refused_connections_are_retried_with_growing_waits(tmp_path: Path):
    async with market() as (server, clock):
        server.refuse_streams(BYBIT, times=8)
        async with recording(tmp_path, server, clock, "bybit:BTCUSDT", retry_wait=1) as made:
            path, tried = "/bybit/v5/public/linear", 0
            while server.requests[path] < 9:
                await clock.advance(0.25)
                await until(lambda: bool(clock.alarms))
                tried += 1
            assert tried > 8  # and not at once
            await until(lambda: made.subscribed(BYBIT, "BTCUSDT"))


@pytest.mark.parametrize("exchange", Exchange)
async def test_quiet_symbol_stays_recorded(tmp_path: Path, exchange: Exchange):
    # SHIBUSDT: five trades a minute; with one in a hundred of them left, minutes without any are many.
    symbol = "SHIBUSDT"
    async with (
        market(scale=0.0005) as (server, clock),
        recording(tmp_path, server, clock, f"{exchange}:{symbol}") as made,
    ):
        await until(lambda: made.subscribed(exchange, symbol))
        await made.live(3600, step=15)
        assert server.stream_connections[exchange] == 1
        if exchange is BYBIT:
            await until(lambda: made.spans(exchange, symbol)[-1][9:] >= "12:55:00")
        assert len(made.spans(exchange, symbol)) == 1
        assert made.exact(exchange, symbol, scale=0.0005)


async def test_stream_too_far_behind_is_dropped(made: Recording, caplog: pytest.LogCaptureFixture):
    await made.live(60)
    made.server.silence(BINANCE)
    newest = made.symbol(BINANCE).newest_ms
    old = StreamTrade("BTCUSDT", 1 << 60, newest + 1, 1.0, 1.0, is_buy=True)
    await made.clock.advance(9)
    made.clock._now += MOST_LAG + timedelta(seconds=1)  # as if all had stood still, this program too
    made.on(BINANCE).take([old])
    await made.clock.advance(10)
    await made.server.connected(BINANCE, 2)
    assert "BTCUSDT is too far behind" in caplog.text


@pytest.mark.parametrize("exchange", Exchange)
async def test_liquidations_are_kept_beside_the_trades(tmp_path: Path, exchange: Exchange):
    start = START.replace(hour=14, minute=14)
    async with market(start=start) as (server, clock):
        async with recording(tmp_path, server, clock, f"{exchange}:BTCUSDT") as made:
            await until(lambda: made.subscribed(exchange, "BTCUSDT"))
            await made.live(4000, step=20)
        reported = MARKET.liquidations("BTCUSDT", start.date())
        found = [each.time for each in read_liquidations(made.store.root, exchange, "BTCUSDT", start.date())]
        since, end = start.timestamp() * 1000, clock.now().timestamp() * 1000 - 1000
        times = [time for time in reported.time.tolist() if since < time < end]
        assert len(times) > 3
        # Binance tells the latest of each second.
        assert {time // 1000 for time in found} == {time // 1000 for time in times}
        assert found == times or exchange is BINANCE


async def test_holes_are_repaired_while_there_is_no_connection(tmp_path: Path):
    async with (
        market() as (server, clock),
        recording(tmp_path, server, clock, "binance:BTCUSDT", retry_wait=1) as made,
    ):
        await until(lambda: made.subscribed(BINANCE, "BTCUSDT"))
        await made.live(150)
        server.refuse_streams(BINANCE, times=1_000_000)
        server.cut_streams(BINANCE)
        await until(lambda: not made.subscribed(BINANCE, "BTCUSDT"))
        await clock.advance(780)
        await until(lambda: made.spans(BINANCE)[-1][9:] >= "12:10:02")
        assert made.exact(BINANCE)


async def test_unreadable_messages_are_skipped_and_logged_once_a_minute(
    made: Recording, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    stream = made.on(BINANCE)._connections._streams[0]
    for text in ("not JSON", '{"stream":"x","data":{"e":"aggTrade"}}', '["a list"]') * 100:
        assert not stream._take(text)
    await made.clock.advance(70)
    first, count = [each for each in caplog.messages if "Binance's messages" in each]
    assert first.startswith("Binance's messages: Binance sent a message that cannot be read; ")
    assert count == "Binance's messages: 299 more since 11:57:10"


async def test_unreadable_messages_of_a_stream_without_ids_are_logged_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with (
        market() as (server, clock),
        recording(tmp_path, server, clock, "bybit:BTCUSDT", retry_wait=1) as made,
    ):
        for connection in range(1, 8):
            await server.connected(BYBIT, connection)
            await until(lambda: made.subscribed(BYBIT, "BTCUSDT"))
            for each in server._streams.connections:
                await each.socket.send_str("not JSON")
            await until(lambda: not made.subscribed(BYBIT, "BTCUSDT"))
            await clock.advance(2)
        complaints = [each for each in caplog.messages if "cannot be read" in each]
        assert len(complaints) == 1
        assert complaints[0].startswith("Bybit's streams: Bybit sent a message that cannot be read (")


@pytest.mark.parametrize("seconds", [-7200, -25, 25, 7200])
async def test_recording_follows_the_exchange_s_clock(
    tmp_path: Path, seconds: int, caplog: pytest.LogCaptureFixture
):
    ahead = timedelta(seconds=seconds)
    async with (
        market() as (server, clock),
        recording(tmp_path, server, clock, "BTCUSDT", ahead=ahead) as made,
    ):
        for exchange in Exchange:
            await made.until_subscribed(exchange)
        await made.live(150)
        server.cut_streams()
        await made.live(150)
        for exchange in Exchange:
            assert max(window.end for window in made.covered(exchange)) > clock.now() - timedelta(minutes=2)
            assert made.exact(exchange)
            lag = Recordings(made.store.root).read(exchange, "BTCUSDT")
            assert lag is not None
            assert lag.lag is not None
            assert lag.lag < 10
            assert lag.clock_off is not None
            assert abs(lag.clock_off - seconds) < 1.5
        assert "another time" not in caplog.text


async def test_barred_network_is_reported_and_retried_after_ten_minutes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with market() as (server, clock):
        server.refuse_streams(BYBIT, status=451)
        async with recording(tmp_path, server, clock, "bybit:BTCUSDT", retry_wait=1) as made:
            await until(lambda: "refuses this network (HTTP 451)" in caplog.text)
            assert "check the network" not in caplog.text
            await clock.advance(590)
            assert server.stream_connections[BYBIT] == 0
            await clock.advance(20)
            await until(lambda: made.subscribed(BYBIT, "BTCUSDT"))


async def test_recording_continues_while_rest_requests_are_banned(made: Recording):
    made.server.plan("aggTrades|recent-trade", Fault.IP_BAN, times=100)
    await made.live(185)
    for exchange in Exchange:
        await made.until_stored(exchange, "12:00:00")
        assert made.exact(exchange)
