from datetime import date

import aiohttp
import numpy as np
import pytest

from liqmap.model import Exchange
from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket
from liqmap.simulator.clock import epoch_ms
from tests.liqmap.simulator.conftest import NOON
from tests.liqmap.simulator.test_streams import binance, bybit, connected, deliver, subscribe

NOON_MS = epoch_ms(NOON)
MARKET = SimulatedMarket(scale=0.5)
ALL = MARKET.liquidations("SOLUSDT", NOON.date())
AFTERNOON = ALL.between(NOON_MS + 1, NOON_MS + 11 * 3_600_000)


def test_liquidations_are_the_same_every_time_and_others_every_day():
    again = MARKET.liquidations("SOLUSDT", NOON.date())
    other = MARKET.liquidations("SOLUSDT", date(2023, 8, 2))
    for name in ("time", "price", "size", "is_long"):
        np.testing.assert_array_equal(getattr(again, name), getattr(ALL, name))
    assert len(ALL) == 100
    assert not np.array_equal(other.size, ALL.size)
    assert (np.diff(ALL.time) >= 0).all()


def test_liquidations_follow_fast_moves_against_the_position():
    trades = MARKET.day("SOLUSDT", NOON.date()).trades
    at = trades.time.searchsorted(ALL.time)
    before = trades.price[trades.time.searchsorted(ALL.time - 30_000)]
    move = np.log(ALL.price / before)
    assert ((move < 0) == ALL.is_long).all()
    assert np.median(abs(move)) > 3 * np.median(abs(np.log(trades.price[30:] / trades.price[:-30])))
    assert (trades.time[at] == ALL.time).all()
    assert 0 < ALL.is_long.sum() < len(ALL)


@pytest.mark.parametrize("symbol", ["SHIBUSDT", "BTCUSD"])
def test_small_markets_have_a_few(symbol: str):
    assert len(SimulatedMarket(scale=0.001).liquidations(symbol, NOON.date())) == 4


@pytest.mark.parametrize("step", [1000, 357.3, 0.1])
async def test_streams_report_liquidations_as_their_exchange_does(
    session: aiohttp.ClientSession, clock: SimulatedClock, step: float
):
    end = NOON_MS + 11 * 3_600_000
    async with (
        MarketServer(MARKET, clock=clock, pump_every=None) as server,
        connected(session, binance(server, "solusdt@forceOrder")) as sampled,
        connected(session, bybit(server), subscribe("allLiquidation.SOLUSDT")) as complete,
    ):
        await server.connected(Exchange.BINANCE, 1)
        await server.connected(Exchange.BYBIT, 1)
        first = int(AFTERNOON.time[0] - NOON_MS) // 1000
        await clock.advance(first - 1)
        for _ in range(30):
            await clock.advance(step)
            await deliver(server)
        await clock.advance((end - epoch_ms(clock.now())) / 1000)
        await deliver(server)
    reported = [message["data"]["o"] for message in sampled.got]
    expected = AFTERNOON.latest_a_second()
    assert [each["T"] for each in reported] == expected.time.tolist()
    assert [each["S"] == "SELL" for each in reported] == expected.is_long.tolist()
    assert [float(each["ap"]) for each in reported] == expected.price.tolist()
    # The limit of a liquidated long's sale lies below its fill, by the maintenance rate.
    assert [float(each["p"]) < float(each["ap"]) for each in reported] == expected.is_long.tolist()
    assert len({each["T"] // 1000 for each in reported}) == len(reported)
    rows = [row for message in complete.got if "topic" in message for row in message["data"]]
    assert [row["T"] for row in rows] == AFTERNOON.time.tolist()
    assert [row["S"] == "Buy" for row in rows] == AFTERNOON.is_long.tolist()
    assert [float(row["v"]) for row in rows] == AFTERNOON.size.tolist()
    assert {row["s"] for row in rows} == {"SOLUSDT"}
