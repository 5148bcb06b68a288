from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from liqmap.brackets import bracketed_symbols, find_brackets
from liqmap.errors import SettingsError
from liqmap.exchanges import EXCHANGES
from liqmap.live.recorder import configured
from liqmap.live.registry import Recording as Description
from liqmap.live.registry import Recordings
from liqmap.model import Exchange
from liqmap.settings import RecorderSettings, Settings
from liqmap.simulator import Bracket, Fault
from tests.liqmap.market_time import until
from tests.liqmap.recording import Recording, market, recording

BINANCE, BYBIT = Exchange.BINANCE, Exchange.BYBIT
BRACKETS = [Bracket(25_000, 0.03, 0, 11, 20), Bracket(200_000, 0.05, 500, 6, 10)]


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Recording]:
    """Record BTCUSDT on both exchanges."""
    async with market() as (server, clock), recording(tmp_path, server, clock, "BTCUSDT") as running:
        for exchange in Exchange:
            await server.connected(exchange, 1)
        yield running


@pytest.mark.parametrize("exchange", Exchange)
async def test_minutes_of_the_stream_become_segments(made: Recording, exchange: Exchange):
    await made.live(185)
    await until(lambda: made.spans(exchange)[-1:] == [f"{made.spans(exchange)[0][:8]}-12:00:00"])
    assert made.spans(exchange)[0].startswith("11:57:1")
    assert made.exact(exchange)
    (part,) = made.store.parts(exchange, "BTCUSDT", made.covered(exchange)[0])[:1]
    assert part.segment.origin.simulated
    assert part.segment.origin.via == ("live stream",)


async def test_brackets_that_change_become_a_table_of_that_day(made: Recording):
    folders = (made.store.root / "brackets",)
    await made.server.announce("BTCUSDT")
    await made.server.announce("BTCUSDT", [Bracket(100, 0.9, 0, 1, 20)])  # makes no sense
    await made.server.announce("NEWUSDT", BRACKETS)
    await until(lambda: "NEWUSDT" in bracketed_symbols(BINANCE, folders))
    found = find_brackets(BINANCE, "NEWUSDT", on=made.clock.now().date(), folders=folders)
    assert found is not None
    assert (found.date, found.is_earliest) == (made.clock.now().date(), False)
    assert found.brackets.cap.tolist() == [25_000, 200_000]
    assert found.brackets.deduction.tolist() == pytest.approx([0, 500])
    assert found.source == f"Binance's USD-M leverage brackets (stream !contractInfo), {found.date}"
    bitcoin = find_brackets(BINANCE, "BTCUSDT", on=made.clock.now().date(), folders=folders)
    assert bitcoin is not None
    assert bitcoin.date != found.date
    await made.live(125)
    await until(lambda: made.exact(BINANCE))


async def test_requested_symbol_is_recorded_from_then_on(made: Recording):
    assert not made.recorder.is_recorded(BYBIT, "ETHUSDT")
    made.recorder.want(BYBIT, "ETHUSDT", until=made.clock.now())
    assert made.recorder.is_recorded(BYBIT, "ETHUSDT")
    await until(lambda: made.subscribed(BYBIT, "ETHUSDT"))
    await made.live(125)
    await made.until_covered(BYBIT, "11:57:11-11:59:00", symbol="ETHUSDT")
    assert made.exact(BYBIT, "ETHUSDT")
    assert made.server.stream_connections[BYBIT] == 1


async def test_old_window_or_symbol_without_a_stream_is_not_recorded(made: Recording):
    made.recorder.want(BYBIT, "ETHUSDT", until=made.clock.now() - timedelta(days=1))
    made.recorder.want(BYBIT, "BTCUSD", until=made.clock.now())
    assert not made.recorder.is_recorded(BYBIT, "ETHUSDT")
    assert not made.recorder.is_recorded(BYBIT, "BTCUSD")


async def test_symbol_requested_while_connecting_is_recorded(tmp_path: Path):
    async with market() as (server, clock), recording(tmp_path, server, clock) as made:
        for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
            made.recorder.want(BYBIT, symbol, until=clock.now())
        for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
            await made.until_subscribed(BYBIT, symbol)


@pytest.mark.parametrize("exchange", Exchange)
async def test_unknown_symbol_is_refused(made: Recording, exchange: Exchange):
    made.recorder.want(exchange, "NOPEUSDT", until=made.clock.now())
    newest = EXCHANGES[exchange].live.newest_url("", "").partition("?")[0]
    await until(lambda: made.server.requests[f"/{exchange}{newest}"] >= 2)
    recordings = Recordings(made.store.root)
    await until(lambda: not made.recorder.is_recorded(exchange, "NOPEUSDT"))
    await until(lambda: recordings.read(exchange, "NOPEUSDT") is None)


async def test_recorder_starts_though_rest_does_not_answer(tmp_path: Path):
    async with market() as (server, clock):
        server.plan("aggTrades|recent-trade|market/trades", Fault.STALL, times=1000)
        async with recording(tmp_path, server, clock, "BTCUSDT", "ETHUSDT") as made:
            for exchange in Exchange:
                await server.connected(exchange, 1)
                await made.until_subscribed(exchange, "ETHUSDT")


async def test_restart_resumes_the_symbols_lately_requested(tmp_path: Path):
    async with market() as (server, clock):
        async with recording(tmp_path, server, clock) as made:
            made.recorder.want(BYBIT, "BTCUSDT", until=clock.now())
            await until(lambda: made.subscribed(BYBIT, "BTCUSDT"))
            await made.live(125)
            await made.until_covered(BYBIT, "11:57:13-11:59:00")
        # What the open minute held is kept too, as far as it is whole.
        assert made.spans(BYBIT)[0].startswith("11:57:13-11:59:1")
        await clock.advance(6.9 * 86_400)
        async with recording(tmp_path, server, clock) as made:
            assert made.recorder.is_recorded(BYBIT, "BTCUSDT")
        await clock.advance(0.2 * 86_400)
        async with recording(tmp_path, server, clock) as made:
            assert not made.recorder.is_recorded(BYBIT, "BTCUSDT")


async def test_symbol_long_forgotten_is_let_go(tmp_path: Path):
    async with market() as (server, clock), recording(tmp_path, server, clock, keep_days=0.01) as made:
        made.recorder.want(BYBIT, "BTCUSDT", until=clock.now())
        await until(lambda: made.subscribed(BYBIT, "BTCUSDT"))
        await made.live(600)
        assert made.recorder.is_recorded(BYBIT, "BTCUSDT")
        await made.live(780)
        await until(lambda: not made.recorder.is_recorded(BYBIT, "BTCUSDT"))
        made.recorder.want(BYBIT, "BTCUSDT", until=clock.now())
        await until(lambda: made.subscribed(BYBIT, "BTCUSDT"))
        assert made.recorder.is_recorded(BYBIT, "BTCUSDT")


async def test_symbol_of_another_process_is_left_alone_and_taken_over_later(tmp_path: Path):
    async with market() as (server, clock), recording(tmp_path, server, clock, "bybit:BTCUSDT") as one:
        await until(lambda: one.subscribed(BYBIT, "BTCUSDT"))
        async with recording(tmp_path, server, clock, "bybit:BTCUSDT") as other:
            await one.live(60)
            assert other.recorder.is_recorded(BYBIT, "BTCUSDT")
            assert server.stream_connections[BYBIT] == 1
            await one.recorder.__aexit__(None, None, None)
            assert not one.recorder.is_recorded(BYBIT, "BTCUSDT")
            await other.live(720)
            await until(lambda: other.subscribed(BYBIT, "BTCUSDT"))
            assert server.stream_connections[BYBIT] == 2


async def test_recorder_closes_while_symbols_are_being_looked_up(tmp_path: Path):
    async with market() as (server, clock):
        server.plan("recent-trade", Fault.STALL, times=1000)
        async with recording(tmp_path, server, clock) as made:
            made.recorder.want(BYBIT, "BTCUSDT", until=clock.now())
            await until(lambda: server.requests["/bybit/v5/market/recent-trade"] == 1)
        lock = Recordings(made.store.root).claim(BYBIT, "BTCUSDT")
        assert lock is not None
        lock.release()


@pytest.mark.parametrize("name", ["BTCUSDT", "NOPEUSDT"])
async def test_recorder_closing_during_a_write_stores_its_final_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    begun, go_on = threading.Event(), threading.Event()
    write = Recordings.write

    def slow_once(recordings: Recordings, described: Description) -> None:
        if not begun.is_set():
            begun.set()
            assert go_on.wait(10)
        write(recordings, described)

    async with market() as (server, clock):
        async with recording(tmp_path, server, clock, f"bybit:{name}") as made:
            exchange = made.on(BYBIT)
            await until(lambda: name in exchange.recorders)
            with monkeypatch.context() as patched:
                patched.setattr(Recordings, "write", slow_once)
                exchange.store_soon(name)
                await until(begun.is_set)
                if name == "NOPEUSDT":
                    await until(lambda: name not in exchange.recorders)
                closing = asyncio.create_task(made.recorder.__aexit__(None, None, None))
                for _ in range(20):  # more turns than a close that waits for nobody takes
                    await asyncio.to_thread(int)
                assert not closing.done()
                go_on.set()
                await closing
        reported = Recordings(made.store.root).read(BYBIT, name)
        assert (reported is None) if name == "NOPEUSDT" else (reported is not None and not reported.connected)


async def test_recorded_symbols_stay_within_the_limit(tmp_path: Path):
    async with (
        market() as (server, clock),
        recording(tmp_path, server, clock, most_symbols=1, most_traded=0) as made,
    ):
        made.recorder.want(BYBIT, "BTCUSDT", until=clock.now())
        made.recorder.want(BYBIT, "ETHUSDT", until=clock.now())
        await until(lambda: made.subscribed(BYBIT, "BTCUSDT"))
        assert not made.recorder.is_recorded(BYBIT, "ETHUSDT")


def test_configured_symbols_are_on_every_exchange_or_on_one():
    settings = Settings(recorder=RecorderSettings(symbols=("btc", "bybit:ETHUSDT")))
    assert list(configured(settings)) == [
        (BINANCE, "BTCUSDT"),
        (BYBIT, "BTCUSDT"),
        (Exchange.OKX, "BTCUSDT"),
        (BYBIT, "ETHUSDT"),
    ]


def test_configured_symbol_without_a_stream_raises_one_sentence():
    settings = Settings(recorder=RecorderSettings(symbols=("binance:BTCUSD",)))
    with pytest.raises(
        SettingsError,
        match=r"^Setting recorder\.symbols: Binance COIN-M contracts such as BTCUSD_PERP cannot",
    ):
        list(configured(settings))
