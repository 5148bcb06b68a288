from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.levels import (
    MAX_BUCKETS,
    build_map,
    coarsened,
    fill_buckets,
    find_clusters,
    joined,
    levels_of,
    path_bin_seconds,
)
from liqmap.model import (
    Coverage,
    Exchange,
    LiquidationLevels,
    LiquidationMap,
    MapRequest,
    PricePath,
    Side,
    SideTrades,
    TimeWindow,
    TopN,
)

START = datetime(2023, 8, 1, tzinfo=UTC)
WINDOW = TimeWindow(START, START + timedelta(hours=6))
REQUEST = MapRequest(Exchange.BINANCE, "BTCUSDT", WINDOW, TopN(100))


def trades(side: Side, *rows: tuple[float, float]) -> SideTrades:
    """Return trades of rows (price, notional), a second apart."""
    return SideTrades(
        side,
        WINDOW.start_ms + 1000 * np.arange(len(rows)),
        np.array([price for price, _ in rows], np.float64),
        np.array([notional for _, notional in rows], np.float64),
    )


def path(*closes: float) -> PricePath:
    prices = np.array(closes, np.float64)
    return PricePath(WINDOW.start_ms + 1000 * np.arange(len(closes)), prices, prices, prices)


def mapped(buys: SideTrades, sells: SideTrades, *, last: float) -> LiquidationMap:
    return build_map(
        REQUEST, Coverage(WINDOW, (WINDOW,)), path=path(last), trade_count=1000, buys=buys, sells=sells
    )


def levels(price: list[float], notional: list[float], *, side: Side = Side.BUY) -> LiquidationLevels:
    prices = np.array(price, np.float64)
    return LiquidationLevels(
        side, 10, prices, np.array(notional, np.float64), np.zeros(len(price), np.int64), prices
    )


side_rows = st.lists(st.tuples(st.floats(20_000, 40_000), st.floats(1, 1e7)), max_size=30)


def test_levels_of_a_trade_stand_at_every_leverage_with_its_full_notional():
    found = levels_of(trades(Side.BUY, (29_000.0, 5.0), (28_000.0, 4.0)), REQUEST)
    assert [each.leverage for each in found] == [10, 25, 50, 100]
    assert found[0].price.tolist() == pytest.approx([26_100.0, 25_200.0])
    assert found[3].price.tolist() == pytest.approx([28_710.0, 27_720.0])
    assert all(each.notional.tolist() == [5.0, 4.0] for each in found)
    assert found[0].entry_price.tolist() == [29_000.0, 28_000.0]


def test_map_by_hand():
    # A long from 100 at 10x is liquidated at 90, at 25x at 96, at 50x at 98 and at 100x at 99; a short
    # from 100 at 110, 104, 102 and 101. With the last price at 97, the longs at 98 and 99 have passed.
    drawn = mapped(trades(Side.BUY, (100.0, 10.0)), trades(Side.SELL, (100.0, 7.0)), last=97.0)
    assert drawn.last_price == 97.0
    assert drawn.buckets.long.sum(axis=1).tolist() == [10.0, 10.0, 0.0, 0.0]
    assert drawn.buckets.short.sum(axis=1).tolist() == [7.0, 7.0, 7.0, 7.0]
    assert (drawn.passed_long, drawn.passed_short) == (20.0, 0.0)
    at = {
        round(float(edge), 6): float(total)
        for edge, total in zip(drawn.buckets.edges, drawn.buckets.long.sum(axis=0), strict=False)
        if total
    }
    assert at == {90.0: 10.0, 96.0: 10.0}
    assert drawn.long_depth.notional[-1] == 20.0
    assert drawn.short_depth.notional[-1] == 28.0


def test_level_at_the_last_price_itself_does_not_stand():
    drawn = mapped(trades(Side.BUY, (100.0, 10.0)), trades(Side.SELL), last=90.0)
    assert drawn.buckets.long.sum() == 0


@given(buys=side_rows, sells=side_rows, last=st.floats(20_000, 40_000))
def test_nothing_is_lost_between_trades_buckets_and_depth(buys, sells, last: float):
    drawn = mapped(trades(Side.BUY, *buys), trades(Side.SELL, *sells), last=last)
    for side_trades, standing, passed, depth in (
        (drawn.buys, drawn.buckets.long, drawn.passed_long, drawn.long_depth),
        (drawn.sells, drawn.buckets.short, drawn.passed_short, drawn.short_depth),
    ):
        selected = 4 * side_trades.notional.sum()
        assert standing.sum() + passed == pytest.approx(selected)
        assert depth.notional[-1] == pytest.approx(standing.sum())


@given(buys=side_rows, sells=side_rows, last=st.floats(20_000, 40_000))
def test_depth_starts_at_the_last_price_and_never_falls(buys, sells, last: float):
    drawn = mapped(trades(Side.BUY, *buys), trades(Side.SELL, *sells), last=last)
    for curve, direction in ((drawn.long_depth, -1), (drawn.short_depth, 1)):
        assert (curve.price[0], curve.notional[0]) == (last, 0.0)
        assert (np.diff(curve.price) * direction >= 0).all()
        assert (np.diff(curve.notional) >= 0).all()


@given(buys=side_rows, sells=side_rows, last=st.floats(20_000, 40_000), seed=st.integers(0, 99))
def test_order_of_the_trades_changes_nothing(buys, sells, last: float, seed: int):
    rng = np.random.default_rng(seed)
    one = mapped(trades(Side.BUY, *buys), trades(Side.SELL, *sells), last=last)
    shuffled = [[rows[i] for i in rng.permutation(len(rows))] for rows in (buys, sells)]
    other = mapped(trades(Side.BUY, *shuffled[0]), trades(Side.SELL, *shuffled[1]), last=last)
    np.testing.assert_allclose(one.buckets.long, other.buckets.long)
    np.testing.assert_allclose(one.buckets.short, other.buckets.short)


@given(
    prices=st.lists(st.floats(1e-7, 1e6, allow_subnormal=False), min_size=1, max_size=20),
    last=st.floats(1e-7, 1e6, allow_subnormal=False),
)
def test_buckets_of_any_scale_hold_each_level_within_their_edges(prices: list[float], last: float):
    buckets = fill_buckets([levels(prices, [1.0] * len(prices))], [levels([], [])], last_price=last)
    standing = [price for price in prices if price < last]
    for price in standing:
        index = np.searchsorted(buckets.edges, price, side="right") - 1
        assert buckets.edges[index] <= price < buckets.edges[index + 1]
        assert buckets.long[0, index] >= 1
    assert buckets.long.sum() == len(standing)
    assert len(buckets.edges) <= MAX_BUCKETS + 3
    # 1, 2 or 5 times a power of ten
    digits = buckets.size / 10.0 ** math.floor(math.log10(buckets.size) + 1e-9)
    assert round(digits, 6) in {1, 2, 5}
    np.testing.assert_allclose(np.diff(buckets.edges), buckets.size, rtol=1e-5)


def test_edges_are_round_numbers():
    buckets = fill_buckets([levels([0.1, 0.3], [1, 1])], [levels([], [])], last_price=0.5)
    assert buckets.size == 0.001
    assert 0.3 in buckets.edges.tolist()
    assert buckets.long[0, buckets.edges.tolist().index(0.3)] == 1


def test_nothing_standing_still_has_a_bucket():
    buckets = fill_buckets([levels([], [])], [levels([], [])], last_price=100.0)
    assert buckets.edges[0] <= 100.0 < buckets.edges[-1]
    assert buckets.long.sum() == 0


def test_clusters_are_runs_of_high_buckets():
    edges = np.arange(90.0, 99.0)
    totals = np.array([8.0, 4.0, 1.0, 0.0, 2.0, 0.0, 1.9, 0.0])
    first, second = find_clusters(edges, totals, last_price=100.0)
    assert (first.low, first.high, first.notional) == (90.0, 92.0, 12.0)
    assert first.price == pytest.approx((90.5 * 8 + 91.5 * 4) / 12)
    assert first.distance == pytest.approx(first.price / 100 - 1)
    assert (second.low, second.high, second.notional) == (94.0, 95.0, 2.0)


def test_no_totals_have_no_clusters():
    assert find_clusters(np.arange(4.0), np.zeros(3), last_price=1.0) == ()


def test_map_orders_clusters_from_the_last_price_outwards():
    buys = trades(Side.BUY, (100.0, 10.0), (90.0, 9.0))
    drawn = mapped(buys, trades(Side.SELL, (100.0, 10.0)), last=100.0)
    assert [c.distance for c in drawn.long_clusters] == sorted(
        (c.distance for c in drawn.long_clusters), reverse=True
    )
    assert [c.distance for c in drawn.short_clusters] == sorted(c.distance for c in drawn.short_clusters)


def test_path_in_coarser_bins_keeps_extremes_and_last_closes():
    time = WINDOW.start_ms + 1000 * np.array([0, 1, 59, 60, 200])
    fine = PricePath(
        time, np.array([5.0, 3, 4, 8, 9]), np.array([6.0, 4, 7, 9, 10]), np.array([5.5, 4, 5, 9, 9.5])
    )
    coarse = coarsened(fine, 60)
    assert ((coarse.time - WINDOW.start_ms) // 1000).tolist() == [0, 60, 180]
    assert coarse.low.tolist() == [3, 8, 9]
    assert coarse.high.tolist() == [7, 9, 10]
    assert coarse.close.tolist() == [5, 9, 9.5]


def test_path_coarsened_by_parts_equals_the_whole():
    closes = np.random.default_rng(1).normal(100, 1, 1000)
    whole = path(*closes)
    parts = [
        PricePath(*(getattr(whole, name)[cut] for name in ("time", "low", "high", "close")))
        for cut in (slice(0, 333), slice(333, 1000))
    ]
    one = coarsened(whole, 60)
    other = coarsened(joined([coarsened(part, 60) for part in parts]), 60)
    for name in ("time", "low", "high", "close"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_path_of_nothing_stays_nothing():
    assert len(coarsened(path(), 60).time) == 0


@pytest.mark.parametrize(
    ("seconds", "bin_"), [(60, 1), (720, 1), (721, 2), (21_600, 30), (90 * 86_400, 14_400)]
)
def test_path_bins_fit_the_picture(seconds: int, bin_: int):
    assert path_bin_seconds(seconds, bins=720) == bin_
