from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from liqmap.clock import ExchangeClock
from liqmap.exchanges.messages import Liquidation, Newest, StreamTrade
from liqmap.live.buffer import TradeBuffer
from liqmap.live.exchange import ExchangeRecorder
from liqmap.live.registry import Recording
from liqmap.live.symbol import SymbolRecorder
from liqmap.model import Exchange, Side
from liqmap.settings import Settings

NOW = datetime(2026, 10, 4, 12, tzinfo=UTC)
MS = int(NOW.timestamp()) * 1000
DAY = 86_400_000


class StoppedClock:
    def now(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float, /) -> None:
        raise AssertionError(f"nobody should wait {seconds} s")


def recording(exchange: Exchange, *, numbered: bool) -> tuple[ExchangeRecorder, TradeBuffer]:
    """Return a channel that records one symbol, connected to nothing, and the symbol's buffer."""
    nobody = cast(Any, None)
    channel = ExchangeRecorder(
        exchange,
        Settings(),
        session=nobody,
        client=cast(Any, SimpleNamespace(clock=ExchangeClock(StoppedClock()))),
        keeper=nobody,
        recordings=nobody,
        clock=StoppedClock(),
        on_forgotten=nobody,
    )
    buffer = TradeBuffer(numbered=numbered, most_trades=1000)
    description = Recording(exchange, "BTCUSDT", updated=NOW, since=NOW)
    channel._tracks["BTCUSDT"] = SymbolRecorder(
        "BTCUSDT", buffer, nobody, description, timedelta(seconds=30), numbered
    )
    return channel, buffer


@pytest.mark.parametrize("days", [-2, 0.01, 20 / 24, 2, 40_000])
@pytest.mark.parametrize(("exchange", "numbered"), [(Exchange.BINANCE, True), (Exchange.BYBIT, False)])
def test_trade_of_another_day_is_a_gap_and_no_more(exchange: Exchange, numbered: bool, days: float):
    channel, buffer = recording(exchange, numbered=numbered)

    def take(number: int, after: int) -> None:
        trade = StreamTrade("BTCUSDT", number if numbered else None, MS + after, 100.0, 1.0, is_buy=True)
        channel._take([trade])

    for number, after in (
        (1, 0),
        (2, 1000),
        (3, 5700),
        (4, int(days * DAY)),
        (5, 9000),
        (6, 10_000),
        (7, 60_500),
    ):
        take(number, after)
    assert [(each.window.start_ms - MS, each.window.end_ms - MS) for each in buffer.chunks] == [
        (1000, 5000),
        (10_000, 60_000),
    ]
    assert buffer.newest_ms == MS + 60_500


def test_liquidation_of_another_day_is_left_out():
    channel, _ = recording(Exchange.BYBIT, numbered=False)
    sound = Liquidation("BTCUSDT", MS, Side.BUY, 100.0, 1.0)
    channel._take([sound, sound._replace(time=MS + 2 * DAY), sound._replace(symbol="ETHUSDT")])
    assert channel._liquidations == [sound]


@pytest.mark.parametrize("minutes", [0, 5])
def test_quiet_time_is_whole_only_if_the_newest_trade_has_come_in(minutes: int):
    channel, buffer = recording(Exchange.BYBIT, numbered=False)
    track, ahead = channel._tracks["BTCUSDT"], timedelta(minutes=minutes)  # this machine's clock
    track.go_live(NOW + ahead)
    assert not track.is_silenced(Newest(MS - 1000, MS + 30_000), NOW + ahead)
    assert buffer.chunks == []
    for after in (100, 5000):
        trade = StreamTrade("BTCUSDT", None, MS + after, 100.0, 1.0, is_buy=True, name=str(after))
        track.take(trade, NOW + ahead)
    assert track.is_silenced(Newest(MS + 50_000, MS + 60_000), NOW + ahead) == (minutes == 0)
    assert buffer.chunks == []
    assert not track.is_silenced(Newest(MS + 5000, MS + 62_000), NOW + ahead)
    assert [(each.window.start_ms - MS, each.window.end_ms - MS) for each in buffer.chunks] == [
        (1000, 60_000)
    ]


def test_quiet_time_of_a_stream_that_has_told_nothing_yet_is_not_known():
    channel, buffer = recording(Exchange.BYBIT, numbered=False)
    track = channel._tracks["BTCUSDT"]
    track.go_live(NOW)
    assert not track.is_silenced(Newest(None, MS + 60_000), NOW + timedelta(minutes=1))
    assert buffer.chunks == []
