from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from liqmap.clock import ExchangeClock
from liqmap.errors import DataError
from liqmap.exchanges.messages import Liquidation, Newest, StreamTrade
from liqmap.live.buffer import Chunk, TradeBuffer
from liqmap.live.exchange import ExchangeRecorder
from liqmap.live.registry import Recording, Recordings
from liqmap.live.symbol import MOST_LAG, SymbolRecorder
from liqmap.model import Exchange, Side
from liqmap.net.attempts import TransientError
from liqmap.settings import Settings
from liqmap.simulator import SimulatedClock

NOW = datetime(2026, 10, 4, 12, tzinfo=UTC)
MS = int(NOW.timestamp()) * 1000
DAY = 86_400_000


def recorder(*, numbered: bool) -> tuple[SymbolRecorder, TradeBuffer]:
    """Return the recorder of one symbol, connected to nothing, and its buffer."""
    buffer = TradeBuffer(numbered=numbered, most_trades=1000)
    description = Recording(Exchange.BYBIT, "BTCUSDT", updated=NOW, since=NOW)
    nobody = cast(Any, None)
    return SymbolRecorder(description, buffer=buffer, lock=nobody, silence=timedelta(seconds=30)), buffer


def trade(after: int, *, number: int | None = None) -> StreamTrade:
    """Return a trade so many milliseconds after NOW."""
    return StreamTrade("BTCUSDT", number, MS + after, 100.0, 1.0, is_buy=True, name=str(after))


@pytest.mark.parametrize("days", [-2, 6 / 86_400, 0.002, 0.01, 20 / 24, 2, 40_000])
@pytest.mark.parametrize("numbered", [True, False])
def test_trade_of_another_day_leaves_a_gap_and_nothing_else(numbered: bool, days: float):
    symbol, buffer = recorder(numbered=numbered)
    taken = [
        symbol.take(trade(after, number=number if numbered else None), NOW + timedelta(milliseconds=at))
        for number, after, at in (
            (1, 0, 0),
            (2, 1000, 1000),
            (3, 5700, 5700),
            (4, 5800 + int(days * DAY), 5800),
            (5, 9000, 9000),
            (6, 10_000, 10_000),
            (7, 60_500, 60_500),
        )
    ]
    assert taken == [True, True, True, False, True, True, True]
    assert [(each.window.start_ms - MS, each.window.end_ms - MS) for each in buffer.chunks] == [
        (1000, 5000),
        (10_000, 60_000),
    ]
    assert symbol.newest_ms == MS + 60_500


@pytest.mark.parametrize("ahead", [-7, 7, 200])
def test_clock_that_is_set_costs_a_stream_five_seconds_at_most(ahead: float):
    symbol, buffer = recorder(numbered=False)
    for after in range(0, 120_500, 500):
        off = timedelta(seconds=ahead) if after > 30_000 else timedelta()
        symbol.take(trade(after), NOW + timedelta(milliseconds=after) - off)
    symbol.cut()
    windows = [(each.window.start_ms - MS, each.window.end_ms - MS) for each in buffer.chunks]
    assert windows[0][0] == 1000
    assert windows[-1][1] == 119_000
    assert sum(end - start for start, end in windows) >= 118_000 - 5000
    assert not any(each.lost for each in buffer.chunks)


class NoConnection:
    """A session without a network."""

    async def stream(self, _: str) -> None:
        raise TransientError("There is no network.")


class NoAnswer:
    """A client of an exchange that never answers."""

    simulated = True

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = ExchangeClock(clock)

    async def get(self, _: str, **__: object) -> object:
        raise DataError("There is no network.")


class Written(list[Liquidation]):
    """A writer that only remembers liquidations."""

    async def write(self, *_: object, **__: object) -> list[Chunk]:
        return []

    async def write_tiers(self, _: object) -> bool:
        return True

    async def write_liquidations(self, liquidations: list[Liquidation]) -> list[Liquidation]:
        self.extend(liquidations)
        return []

    def close(self) -> None:
        pass


class Unrepaired(Written):
    """A repair that does nothing."""

    async def close(self) -> None:  # type: ignore[override]
        pass


async def test_liquidation_of_another_day_or_symbol_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    clock, written = SimulatedClock(NOW), Written()
    supply = SimpleNamespace(
        settings=Settings(),
        clock=clock,
        session=NoConnection(),
        clients={Exchange.BYBIT: NoAnswer(clock)},
    )
    bybit = ExchangeRecorder(
        Exchange.BYBIT,
        cast(Any, supply),
        writer=cast(Any, written),
        repair=cast(Any, Unrepaired()),
        recordings=Recordings(tmp_path),
        on_forgotten=lambda: None,
    )
    bybit.want("BTCUSDT", asked=None)
    sound = Liquidation("BTCUSDT", MS, Side.BUY, 100.0, 1.0)
    caplog.set_level(logging.WARNING)
    async with bybit:
        await clock.advance(0)
        bybit.take([sound, sound._replace(time=MS + 2 * DAY), sound._replace(symbol="ETHUSDT")])
    assert written == [sound]
    problem = f"bybit BTCUSDT has events of another time than this machine's: {MS + 2 * DAY} ms"
    assert problem in caplog.messages


def test_quiet_symbol_checked_late_is_not_behind():
    symbol, _ = recorder(numbered=True)
    symbol.go_live(NOW)
    symbol.take(trade(0, number=1), NOW)
    assert symbol.note_heard(NOW + 2 * MOST_LAG)
    assert not symbol.is_behind()


@pytest.mark.parametrize("first", [timedelta(0), timedelta(minutes=5)])
def test_stream_is_behind_once_its_lag_has_grown_too_much(first: timedelta):
    symbol, _ = recorder(numbered=True)
    symbol.go_live(NOW)
    for number, growth in enumerate([timedelta(0), MOST_LAG, MOST_LAG + timedelta(seconds=1)], 1):
        symbol.take(trade(number, number=number), NOW + timedelta(milliseconds=number) + first + growth)
        assert symbol.note_heard(NOW)
        assert symbol.is_behind() == (growth > MOST_LAG)


@pytest.mark.parametrize("minutes", [0, 5])
def test_quiet_time_is_closed_only_if_the_newest_trade_was_received(minutes: int):
    symbol, buffer = recorder(numbered=False)
    ahead = timedelta(minutes=minutes)  # of this machine's clock
    symbol.go_live(NOW + ahead)
    assert not symbol.note_newest(Newest(MS - 1000, MS + 30_000), NOW + ahead)
    assert buffer.chunks == []
    for after in (100, 5000):
        symbol.take(trade(after), NOW + ahead)
    assert symbol.note_newest(Newest(MS + 50_000, MS + 60_000), NOW + ahead) == (minutes == 0)
    assert buffer.chunks == []
    assert not symbol.note_newest(Newest(MS + 5000, MS + 62_000), NOW + ahead)
    assert [(each.window.start_ms - MS, each.window.end_ms - MS) for each in buffer.chunks] == [
        (1000, 60_000)
    ]


def test_quiet_time_before_the_first_trade_is_not_closed():
    symbol, buffer = recorder(numbered=False)
    symbol.go_live(NOW)
    assert not symbol.note_newest(Newest(None, MS + 60_000), NOW + timedelta(minutes=1))
    assert buffer.chunks == []
