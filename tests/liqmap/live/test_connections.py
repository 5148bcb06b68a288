from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from liqmap.exchanges import EXCHANGES
from liqmap.live.connections import Connections
from liqmap.model import Exchange
from liqmap.net.attempts import TransientError
from liqmap.settings import RecorderSettings
from tests.liqmap.market_time import until
from tests.liqmap.recording import market, recording

NAMES = tuple(f"COIN{number:03}USDT" for number in range(700))


class FakeStream:
    """A connection that remembers what it was asked to subscribe to, and runs until it is told to end."""

    def __init__(self) -> None:
        self.subscribed: list[str] = []
        self.runs = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, symbols: Any) -> None:
        self.runs += 1
        self.subscribed = list(symbols())
        self.ended = asyncio.get_running_loop().create_future()
        await self.ended

    async def subscribe(self, symbols: tuple[str, ...]) -> None:
        self.subscribed += symbols


async def test_symbols_are_divided_among_connections_and_each_is_in_one():
    made: list[FakeStream] = []

    def new() -> Any:
        made.append(FakeStream())
        return made[-1]

    wanted = list(NAMES[:5])
    connections = Connections(new, most_symbols=2)
    running = asyncio.create_task(connections.run(lambda: tuple(wanted)))
    await until(lambda: len(made) == 3 and all(each.runs for each in made))
    assert [each.subscribed for each in made] == [list(NAMES[:2]), list(NAMES[2:4]), [NAMES[4]]]
    wanted += NAMES[5:8]
    await connections.subscribe(NAMES[5:8])
    await until(lambda: len(made) == 4 and made[3].runs == 1)
    assert [each.subscribed for each in made] == [[*NAMES[at : at + 2]] for at in (0, 2, 4, 6)]
    made[2].ended.set_exception(TransientError("it broke"))
    with pytest.raises(TransientError, match="it broke"):
        await running
    # What is not wanted any more makes room.
    del wanted[:4]
    running = asyncio.create_task(connections.run(lambda: tuple(wanted)))
    await until(lambda: [each.runs for each in made] == [2, 2, 1, 1])
    assert sorted(made[0].subscribed + made[1].subscribed) == sorted(wanted)
    made[1].ended.set_result(None)
    await running


@pytest.mark.parametrize("exchange", Exchange)
def test_a_connection_stays_within_the_limit_of_its_exchange(exchange: Exchange):
    live = EXCHANGES[exchange].live
    most, longest = live.most_symbols, "1000000BABYDOGE1USDT"
    assert most > RecorderSettings().most_symbols + 3
    match exchange:
        case Exchange.BINANCE:  # 1024 streams: two of each symbol, and that of the brackets
            assert 2 * most + 1 <= 1024
        case Exchange.BYBIT:  # 21,000 characters of topics
            message = live.subscribe([longest] * most, number=1)
            assert len(message) <= 21_000
        case Exchange.OKX:  # 480 subscriptions in an hour, even if each is made on its own
            assert live.subscriptions_an_hour is not None
            assert most <= live.subscriptions_an_hour


async def test_symbols_over_several_connections_are_all_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(type(EXCHANGES[Exchange.BYBIT].live), "most_symbols", 1)
    async with (
        market() as (server, clock),
        recording(tmp_path, server, clock, "bybit:BTCUSDT", "bybit:ETHUSDT") as made,
    ):
        for symbol in ("BTCUSDT", "ETHUSDT"):
            await made.until_subscribed(Exchange.BYBIT, symbol)
        assert server.stream_connections[Exchange.BYBIT] == 2
        await made.live(125)
        await made.until_stored(Exchange.BYBIT, "11:59:00")
        assert made.exact(Exchange.BYBIT)
        await until(lambda: made.spans(Exchange.BYBIT, "ETHUSDT") != [])
        assert made.exact(Exchange.BYBIT, "ETHUSDT")
