from datetime import date, timedelta

import aiohttp
import numpy as np
import pytest

from liqmap.model import Exchange
from liqmap.model.window import TimeWindow
from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket
from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.liquidations import OPENERS
from liqmap.simulator.positions import PositionBook
from liqmap.simulator.series import mark_seconds
from tests.liqmap.simulator.conftest import NOON
from tests.liqmap.simulator.test_streams import binance, bybit, connected, deliver, subscribe

NOON_MS = epoch_ms(NOON)
MARKET = SimulatedMarket(scale=0.1)
ALL = MARKET.liquidations("SOLUSDT", NOON.date())
AFTERNOON = ALL.between(NOON_MS + 1, NOON_MS + 11 * 3_600_000)


def test_liquidations_of_a_day_are_always_the_same_and_differ_between_days():
    again = MARKET.liquidations("SOLUSDT", NOON.date())
    other = MARKET.liquidations("SOLUSDT", date(2023, 8, 2))
    for name in ("time", "price", "size", "is_long"):
        np.testing.assert_array_equal(getattr(again, name), getattr(ALL, name))
    assert len(ALL) > 100
    assert not np.array_equal(other.size, ALL.size)
    assert (np.diff(ALL.time) >= 0).all()


def test_liquidations_come_when_the_mark_price_reaches_a_new_extreme():
    marks = mark_seconds(MARKET.day("SOLUSDT", NOON.date()))
    # Within a second after the mark price that reached the level, of a step of five minutes.
    second = np.maximum((ALL.time - TimeWindow.of_day(NOON.date()).start_ms) // 1000 - 1, 0)
    for at, is_long in zip(second.tolist(), ALL.is_long.tolist(), strict=True):
        so_far = marks[at // 300 * 300 : at + 1]
        assert marks[at] == (so_far.min() if is_long else so_far.max())
    assert 0 < ALL.is_long.sum() < len(ALL)


@pytest.mark.parametrize("symbol", ["SOLUSDT", "BTCUSD"])
def test_liquidations_are_those_of_positions_that_open_interest_counts(symbol: str):
    days = [MARKET.day(symbol, NOON.date() - timedelta(days=back)) for back in (1, 0)]
    book = PositionBook(
        seed=MARKET.seed,
        interest=float(MARKET.series_in(days[0]).interest[0]),
        inverse=symbol == "BTCUSD",
        most_openers=OPENERS,
    )
    for day in days:
        series = MARKET.series_in(day)
        book.add(day, series)
        for steps in book.steps:
            change = [each.opened - each.closed - each.liquidated for each in steps]
            assert change == pytest.approx(np.diff(series.interest), abs=1e-3)
    told = MARKET.liquidations(symbol, NOON.date())
    for steps, is_long in zip(book.steps, (True, False), strict=True):
        # Each is told in whole lots, here of one coin or dollar.
        number = int((told.is_long == is_long).sum())
        liquidated = sum(each.liquidated for each in steps)
        assert told.size[told.is_long == is_long].sum() == pytest.approx(liquidated, abs=number + 50)


@pytest.mark.parametrize("symbol", ["SHIBUSDT", "BTCUSD"])
def test_small_markets_have_a_few(symbol: str):
    assert 0 < len(SimulatedMarket(scale=0.001).liquidations(symbol, NOON.date())) < 100


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
