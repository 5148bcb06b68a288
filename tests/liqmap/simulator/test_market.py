from datetime import UTC, date, datetime

import numpy as np
import pytest

from liqmap.simulator import LISTINGS, SimulatedMarket

DAY = date(2023, 8, 1)


def test_same_symbol_day_and_seed_give_the_same_trades():
    first, again = (
        SimulatedMarket(seed=3, scale=0.01).day("ETHUSDT", DAY),
        SimulatedMarket(seed=3, scale=0.01).day("ETHUSDT", DAY),
    )
    for name in ("time", "price", "size", "is_buy"):
        np.testing.assert_array_equal(getattr(first.trades, name), getattr(again.trades, name))
    assert first.first_id == again.first_id


@pytest.mark.parametrize(
    "other",
    [
        lambda: SimulatedMarket(seed=4, scale=0.01).day("ETHUSDT", DAY),
        lambda: SimulatedMarket(seed=3, scale=0.01).day("SOLUSDT", DAY),
        lambda: SimulatedMarket(seed=3, scale=0.01).day("ETHUSDT", date(2023, 8, 2)),
    ],
)
def test_another_seed_symbol_or_day_gives_other_trades(other):
    trades = SimulatedMarket(seed=3, scale=0.01).day("ETHUSDT", DAY).trades
    assert not np.array_equal(trades.size[:100], other().trades.size[:100])


@pytest.mark.parametrize("symbol", LISTINGS)
def test_trades_lie_inside_their_day_on_the_grids_of_price_and_size(symbol: str):
    day = SimulatedMarket(scale=0.01).day(symbol, DAY)
    trades = day.trades
    midnight = datetime(2023, 8, 1, tzinfo=UTC).timestamp() * 1000
    assert (np.diff(trades.time) >= 0).all()
    assert trades.time[0] >= midnight
    assert trades.time[-1] < midnight + 86_400_000
    for values, places in (
        (trades.price, day.listing.price_decimals),
        (trades.size, day.listing.size_decimals),
    ):
        assert (values > 0).all()
        np.testing.assert_array_equal(np.round(values, places), values)


@pytest.mark.parametrize("day", [date(2020, 2, 29), date(2023, 12, 31), date(2030, 6, 1)])
def test_price_and_ids_go_on_across_midnight(day: date):
    market = SimulatedMarket(scale=0.01)
    today, tomorrow = market.day("BTCUSDT", day), market.day("BTCUSDT", date.fromordinal(day.toordinal() + 1))
    assert tomorrow.first_id == today.first_id + len(today.trades)
    assert tomorrow.trades.price[0] == pytest.approx(today.trades.price[-1], rel=0.005)


def test_sizes_have_a_fat_tail_and_come_in_clusters():
    trades = SimulatedMarket(scale=0.2).day("BTCUSDT", DAY).trades
    notional = np.sort(trades.notional)[::-1]
    assert notional[len(notional) // 1000] > 100 * np.median(notional)
    per_minute = np.bincount((trades.time // 60_000 - trades.time[0] // 60_000).astype(int))
    # Independent arrivals would vary no more than their mean.
    assert per_minute.var() > 5 * per_minute.mean()


def test_scale_multiplies_the_number_of_trades():
    count = len(SimulatedMarket(scale=0.01).day("BTCUSDT", DAY).trades)
    assert len(SimulatedMarket(scale=0.02).day("BTCUSDT", DAY).trades) == pytest.approx(2 * count, abs=1)


def test_unlisted_symbol_is_a_key_error():
    with pytest.raises(KeyError):
        SimulatedMarket().day("NOPEUSDT", DAY)
