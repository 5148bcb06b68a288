from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liqmap.collect.recent import RecentTrades
from liqmap.errors import DataError
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.messages import Liquidation
from liqmap.exchanges.rows import no_trades
from liqmap.live.buffer import Chunk
from liqmap.live.registry import Recordings
from liqmap.model import Exchange, Side, Trades
from liqmap.model.window import HOUR, TimeWindow
from liqmap.store.compact import compact
from liqmap.store.feeds import feed_windows
from liqmap.store.liquidations import read_liquidations
from liqmap.store.segments import segment_windows
from tests.liqmap.market_time import held, until
from tests.liqmap.recording import START, Recording, market, recording

BINANCE, BYBIT, OKX = Exchange


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Recording]:
    """Record BTCUSDT on both exchanges, subscribed at 11:57:10."""
    async with market() as (server, clock), recording(tmp_path, server, clock, "BTCUSDT") as running:
        for exchange in Exchange:
            await running.until_subscribed(exchange, "BTCUSDT")
        yield running


async def test_minutes_of_a_full_disk_are_kept_until_there_is_room(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        await made.live(125)
        await until(lambda: caplog.text.count("BTCUSDT could not be stored yet") >= 6)
        assert "No space left on device" in caplog.text
        # While the disk is full: what is tried just when there is room again succeeds. A record that the disk
        # refuses is in the file until it is cut off.
        await until(lambda: made.spans(BINANCE) == made.spans(BYBIT) == [])
        assert [each.until for each in Recordings(made.store.root).all()] == [None, None, None]
    await made.live(720)
    await until(lambda: len(made.spans(BINANCE)) == 1 and made.spans(BINANCE)[0][9:] >= "12:09:00")
    assert made.exact(BINANCE)
    await until(lambda: len(made.spans(BYBIT)) == 1)
    assert made.spans(BYBIT)[0].startswith("11:57:1")  # where the stream began: nothing is lost
    assert made.exact(BYBIT)


async def test_minutes_of_a_symbol_let_go_are_stored_at_the_end(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("liqmap.live.writer.recorded", broken)
        await made.live(125)
        await until(lambda: "bybit BTCUSDT could not be stored yet" in caplog.text)
        assert made.spans(BYBIT) == []
    await made.recorder.__aexit__(None, None, None)
    assert made.spans(BYBIT)[0].startswith("11:57:1")
    assert made.exact(BYBIT)
    assert "that is a gap" not in caplog.text


async def test_minutes_that_no_disk_takes_are_named_as_a_gap_at_the_end(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("liqmap.live.writer.recorded", full)
    await made.live(61)
    await made.recorder.__aexit__(None, None, None)
    assert "bybit BTCUSDT could not be stored since 2051-05-06 11:57:1" in caplog.text


async def test_liquidations_that_cannot_be_stored_are_logged_and_no_feed_is_noted(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    await made.live(60)
    at = int(START.replace(minute=58, second=30).timestamp() * 1000)
    lost = Liquidation("BTCUSDT", at, Side.BUY, 1.0, 1.0)
    with monkeypatch.context() as patched:
        patched.setattr("liqmap.live.writer.append_liquidations", full)
        assert await made.on(BYBIT).writer.write_liquidations([lost]) == [lost]
    assert "Bybit's liquidations could not be stored yet: No space left on device" in caplog.text
    await made.live(60)
    await made.live(60)
    await made.until_stored(BYBIT, "12:00:00")
    noted = feed_windows(made.store.root, BYBIT, "BTCUSDT", START.date())
    assert [(each.start.minute, each.end.minute) for each in noted if each.end.hour == 12] == [(59, 0)]
    assert all(each.end.minute <= 58 for each in noted if each.end.hour == 11)
    assert await made.on(BYBIT).writer.write_liquidations([lost]) == []
    assert lost in read_liquidations(made.store.root, BYBIT, "BTCUSDT", START.date())


async def test_order_that_okx_sends_once_for_each_source_of_its_fills_is_stored_as_one_trade(
    made: Recording,
):
    # Two messages of one order, of ordinary and of retail liquidity; another order came a millisecond later.
    at = made.clock.now().replace(microsecond=0) - timedelta(hours=1)
    window, ms = TimeWindow(at, at + timedelta(minutes=1)), int(at.timestamp() * 1000)
    trades = Trades(
        np.array([ms, ms, ms + 1]), np.full(3, 60_000.0), np.array([100.0, 20.0, 5.0]), np.ones(3, np.bool_)
    )
    chunk = Chunk(window, trades, 1, 9)
    for exchange, orders in ((OKX, [120.0, 5.0]), (BINANCE, [100.0, 20.0, 5.0])):
        assert await made.on(exchange).writer.write("BTCUSDT", [chunk], [], simulated=True) == [chunk]
        unit = 0.01 if exchange is OKX else 1
        found = held(made.store.parts(exchange, "BTCUSDT", window))
        assert sorted(found["size"].tolist()) == sorted(size * unit for size in orders)


@pytest.mark.parametrize("exchange", Exchange)
async def test_minutes_become_hours(tmp_path: Path, exchange: Exchange):
    # Time passes in steps here, in which nothing is sent.
    async with (
        market() as (server, clock),
        recording(tmp_path, server, clock, f"{exchange}:BTCUSDT", silence=600) as made,
    ):
        await until(lambda: made.subscribed(exchange, "BTCUSDT"))
        await made.live(3600 + 900, step=10)
        hour = TimeWindow.ending(START.replace(hour=13, minute=0, second=0, microsecond=0), HOUR)
        await until(lambda: hour in segment_windows(made.store.root, exchange, "BTCUSDT"))
        assert len(made.covered(exchange)) == 1
        assert made.exact(exchange)


@pytest.mark.parametrize("exchange", Exchange)
async def test_recorded_trades_are_replaced_by_the_published_day(tmp_path: Path, exchange: Exchange):
    day = EXCHANGES[exchange].files.span(START.date())
    start = START + (day.end - timedelta(minutes=13) - START.replace(second=0, microsecond=0))
    async with (
        market(start=start) as (server, clock),
        recording(tmp_path, server, clock, f"{exchange}:BTCUSDT") as made,
    ):
        await until(lambda: made.subscribed(exchange, "BTCUSDT"))
        await made.live(300)
        await until(lambda: len(made.spans(exchange)) == 1)
        server.cut_streams()
        await until(lambda: server.stream_connections[exchange] == 2)
        # Over the day's end, when there is no more to record of that day.
        made.symbol(exchange).cut()
        await clock.advance((day.end - clock.now()).total_seconds() + 10)
        # A download that is under way when the clock jumps by minutes would count as one that has stalled.
        await made.until_maintained()
        await clock.advance(600)
        await made.until_maintained()
        assert day in segment_windows(made.store.root, exchange, "BTCUSDT")
        for _ in range(8):  # what a journal holds goes with it, and it grows for an hour
            await clock.advance(600)
            await made.until_maintained()
        held = segment_windows(made.store.root, exchange, "BTCUSDT")
        assert [each for each in held if each.overlap(day)] == [day]
        assert made.store.missing(exchange, "BTCUSDT", day) == []
        assert made.exact(exchange)


@pytest.mark.parametrize("while_compacting", [False, True])
async def test_minute_whose_trades_came_late_is_fetched_again(
    made: Recording, monkeypatch: pytest.MonkeyPatch, while_compacting: bool
):
    await made.live(165)  # until shortly before the store is maintained
    await made.until_stored(BINANCE, "11:59:00")
    (span,) = made.spans(BINANCE)
    windows = segment_windows(made.store.root, BINANCE, "BTCUSDT")
    minute = next(each for each in windows if each.start.minute == 58)
    binance = made.on(BINANCE)
    begun, go_on = threading.Event(), threading.Event()

    def slow(*arguments: Any, **options: Any) -> None:
        begun.set()
        assert go_on.wait(10)
        compact(*arguments, **options)

    monkeypatch.setattr("liqmap.live.repair.compact", slow)
    if while_compacting:
        maintaining = asyncio.create_task(binance.repair.maintain({"BTCUSDT": minute.end}))
        await until(begun.is_set)
    late = [minute.start_ms + 30_000]
    writing = asyncio.create_task(binance.writer.write("BTCUSDT", [], late, simulated=True))
    if while_compacting:
        for _ in range(20):  # more turns than to drop it takes
            await asyncio.to_thread(int)
        assert minute in segment_windows(made.store.root, BINANCE, "BTCUSDT")
        go_on.set()
        await maintaining
    assert await writing == []

    await until(lambda: by_rest(made, minute))
    assert made.spans(BINANCE) == [span]
    assert made.exact(BINANCE)


def by_rest(made: Recording, window: TimeWindow) -> bool:
    """Return whether all that the store has of a window of BTCUSDT on Binance was fetched again."""
    parts = made.store.parts(BINANCE, "BTCUSDT", window)
    return [(part.window, part.segment.origin.via) for part in parts] == [(window, ("REST",))]


async def test_late_trades_are_fetched_though_there_is_no_room_for_the_newest(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    await made.live(165)
    await made.until_stored(BINANCE, "11:59:00")
    minute = next(
        each for each in segment_windows(made.store.root, BINANCE, "BTCUSDT") if each.start.minute == 58
    )
    chunk = Chunk(TimeWindow(minute.end, minute.end + minute.length / 2), no_trades(), None, None)
    monkeypatch.setattr("liqmap.live.writer.recorded", full)
    assert not await made.on(BINANCE).writer.write(
        "BTCUSDT", [chunk], [minute.start_ms + 30_000], simulated=True
    )
    assert "could not be stored yet: [Errno 28] No space left on device" in caplog.text
    await until(lambda: by_rest(made, minute))


async def test_earliest_segment_whose_trades_came_late_is_fetched_again(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def refused(*_: object, **__: object) -> None:
        raise DataError("The exchange limits requests.")

    await made.live(165)
    await made.until_stored(BINANCE, "11:59:00")
    windows = segment_windows(made.store.root, BINANCE, "BTCUSDT")
    first, binance = min(windows, key=lambda each: each.start), made.on(BINANCE)
    with monkeypatch.context() as patched:
        patched.setattr(RecentTrades, "repair", refused)
        await binance.writer.write("BTCUSDT", [], [first.start_ms], simulated=True)
        await until(lambda: "binance BTCUSDT could not be repaired yet" in caplog.text)
    await binance.repair.maintain({"BTCUSDT": first.end})
    await until(lambda: by_rest(made, first))
    assert made.exact(BINANCE)


async def test_segment_with_a_late_trade_that_cannot_be_dropped_is_dropped_later(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def denied(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    await made.live(165)
    await made.until_stored(BINANCE, "11:59:00")
    windows = segment_windows(made.store.root, BINANCE, "BTCUSDT")
    minute, binance = next(each for each in windows if each.start.minute == 58), made.on(BINANCE)
    with monkeypatch.context() as patched:
        patched.setattr("liqmap.store.segments.drop", denied)
        assert await binance.writer.write("BTCUSDT", [], [minute.start_ms], simulated=True) == []
    assert "binance BTCUSDT lacks trades that came late: " in caplog.text
    assert minute in segment_windows(made.store.root, BINANCE, "BTCUSDT")
    await binance.repair.maintain({"BTCUSDT": minute.end})
    await until(lambda: by_rest(made, minute))
    assert made.exact(BINANCE)


async def test_minute_that_waits_for_room_is_fetched_again_if_a_trade_of_it_comes_late(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    minute = TimeWindow.ending(START.replace(minute=59, second=0, microsecond=0), timedelta(minutes=1))
    with monkeypatch.context() as patched:
        patched.setattr("liqmap.live.writer.recorded", full)
        await made.live(125)
        await until(lambda: caplog.text.count("binance BTCUSDT could not be stored yet") >= 2)
        made.symbol(BINANCE)._buffer.late.append(minute.start_ms + 30_000)
        made.on(BINANCE).store_soon("BTCUSDT")
        await made.on(BINANCE)._outbox.flush()
    await made.on(BINANCE)._outbox.retry()
    assert made.spans(BINANCE)[0].endswith("11:58:00")
    await made.live(50)  # the next minute that is stored shows that one is missing
    await until(lambda: by_rest(made, minute))
    assert made.exact(BINANCE)


async def test_store_that_breaks_down_is_logged(
    made: Recording, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("liqmap.live.repair.compact", broken)
    await made.on(BYBIT).repair.maintain({"BTCUSDT": made.clock.now().replace(microsecond=0)})
    assert "bybit could not be compacted" in caplog.text


async def test_liquidation_that_the_disk_took_but_did_not_confirm_is_stored_once(
    made: Recording, monkeypatch: pytest.MonkeyPatch
):
    def broken(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    at, writer = int(START.timestamp() * 1000), made.on(BINANCE).writer
    first, second = (Liquidation("BTCUSDT", at + more, Side.BUY, 1.0, 1.0) for more in (0, 1))
    assert await writer.write_liquidations([first]) == []
    with monkeypatch.context() as patched:
        patched.setattr("liqmap.files.sync_folder", broken)
        assert await writer.write_liquidations([second]) == [second]
    assert await writer.write_liquidations([second]) == []
    assert read_liquidations(made.store.root, BINANCE, "BTCUSDT", START.date()) == [first, second]


async def test_feeds_are_noted_where_the_stream_was_and_not_where_it_was_repaired(made: Recording):
    await made.live(125)
    made.server.cut_streams()
    # Their number, because a stream that is back already does not look cut any more.
    await until(lambda: all(made.symbol(each).recording.cuts for each in Exchange))
    await made.live(300)
    for exchange in (BINANCE, BYBIT):
        found = feed_windows(made.store.root, exchange, "BTCUSDT", START.date())
        assert len(found) == 2  # before the cut and after it
        assert all(any(part.overlap(each) == each for part in made.covered(exchange)) for each in found)


@pytest.mark.parametrize(
    ("exchange", "row"),
    [
        (BINANCE, {"stream": "x", "data": {"e": "forceOrder", "E": 1, "o": {"s": "BTCUSDT", "S": "SELL"}}}),
        (BYBIT, {"topic": "allLiquidation.BTCUSDT", "data": [{"s": "BTCUSDT", "S": "Buy", "v": "x"}]}),
        (BYBIT, {"topic": "allLiquidation.BTCUSDT", "data": [{}]}),
        (OKX, {"arg": {"channel": "liquidation-orders"}, "data": [{"instId": "BTC-USDT-SWAP"}]}),
    ],
)
async def test_minute_with_a_liquidation_that_cannot_be_read_does_not_count_as_received(
    made: Recording, exchange: Exchange, row: dict[str, Any]
):
    await made.live(110)
    made.on(exchange)._connections._streams[0]._take(json.dumps(row))  # at 11:59:00
    await made.live(180)
    await made.until_stored(exchange, "12:01:00")
    noted = feed_windows(made.store.root, exchange, "BTCUSDT", START.date())
    minutes = {at: START.replace(minute=at, second=30, microsecond=0) for at in (58, 59)}
    for moment in minutes.values():  # what it reports may have been in the second before
        assert any(each.start <= moment < each.end for each in made.covered(exchange))
        assert not any(each.start <= moment < each.end for each in noted)


async def test_liquidation_of_another_symbol_that_cannot_be_read_leaves_the_feed_as_it_is(made: Recording):
    await made.live(110)
    row = {"arg": {"channel": "liquidation-orders"}, "data": [{"instId": "ETH-USDT-SWAP"}]}
    made.on(OKX)._connections._streams[0]._take(json.dumps(row))
    await made.live(180)
    await made.until_stored(OKX, "12:01:00")
    noted = feed_windows(made.store.root, OKX, "BTCUSDT", START.date())
    assert [f"{each.end:%H:%M}" for each in noted] == ["12:01"]


async def test_hours_in_which_no_message_can_be_read_are_remembered_as_one_span(made: Recording):
    writer = made.on(OKX).writer
    for place in range(4 * 3600):
        writer.note_unread(["BTCUSDT"], START + timedelta(seconds=place / 2))
    writer.note_unread(["BTCUSDT"], START + 3 * HOUR)
    whole = START.replace(microsecond=0)
    second = timedelta(seconds=1)
    assert writer._unread["BTCUSDT"] == [
        TimeWindow(whole - second, whole + 2 * HOUR),
        TimeWindow(whole + 3 * HOUR - second, whole + 3 * HOUR + second),
    ]
