from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.adding import LARGEST_KEPT
from liqmap.compute.aftermath import aftermath
from liqmap.compute.levels import levels_of
from liqmap.compute.margin import Brackets, MarginRules
from liqmap.compute.path import coarsened, joined, path_bin_seconds
from liqmap.compute.values import Aftermath, Entries, LiquidationMap, PricePath, SideTrades
from liqmap.model import LevelFilter, MapRequest, MarginModel, Side, TopN
from liqmap.model.window import TimeWindow
from tests.conftest import BTCUSDT
from tests.liqmap.conftest import SEED_RULES, Computed, compute, entries_of, nothing_after

START = datetime(2023, 8, 1, tzinfo=UTC)
WINDOW = TimeWindow(START, START + timedelta(hours=6))
REQUEST = MapRequest(BTCUSDT, WINDOW, TopN(100), model=MarginModel.SIMPLE)


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


def computed_at(buys: SideTrades, sells: SideTrades, *, last: float) -> Computed:
    """Return the map of trades after which the price has gone to `last`, unseen on its way."""
    prices = path(*buys.price, *sells.price, last)
    return compute(REQUEST, [entries_of(buys, sells)], path=prices)


def mapped(buys: SideTrades, sells: SideTrades, *, last: float) -> LiquidationMap:
    return computed_at(buys, sells, last=last).map


side_rows = st.lists(st.tuples(st.floats(20_000, 40_000), st.floats(1, 1e7)), max_size=30)


def test_levels_of_a_trade_stand_at_every_leverage_with_its_full_notional():
    buys = trades(Side.BUY, (29_000.0, 5.0), (28_000.0, 4.0))
    after = nothing_after(buys)[Side.BUY]
    found = levels_of(buys, REQUEST, SEED_RULES, after=after, last_price=30_000.0)
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
    assert (drawn.swept_long, drawn.swept_short) == (20.0, 0.0)
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
    for selected, standing, swept, depth in (
        (drawn.buys, drawn.buckets.long, drawn.swept_long, drawn.long_depth),
        (drawn.sells, drawn.buckets.short, drawn.swept_short, drawn.short_depth),
    ):
        assert standing.sum() + swept == pytest.approx(4 * selected.notional)
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


def test_map_orders_clusters_from_the_last_price_outwards():
    buys = trades(Side.BUY, (100.0, 10.0), (90.0, 9.0))
    drawn = mapped(buys, trades(Side.SELL, (100.0, 10.0)), last=100.0)
    longs, shorts = (
        [each.distance for each in drawn.clusters if each.side is side] for side in (Side.BUY, Side.SELL)
    )
    assert longs == sorted(longs, reverse=True)
    assert shorts == sorted(shorts)
    assert [each.distance for each in drawn.clusters] == longs + shorts


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


def walk(seed: int, *, seconds: int = 400) -> PricePath:
    """Return second bars of a random walk around 100, with holes, as the market leaves them."""
    rng = np.random.default_rng(seed)
    kept = np.sort(rng.choice(seconds, int(seconds * 0.8), replace=False))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, len(kept))))
    spread = 1 + 0.001 * rng.random((2, len(kept)))
    return PricePath(WINDOW.start_ms + 1000 * kept, close / spread[0], close * spread[1], close)


def entered(side: Side, bars: PricePath, seed: int, *, count: int = 60) -> SideTrades:
    """Return trades somewhere inside the bars of a path."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(bars.time), count)
    notional = np.sort(10 ** rng.uniform(3, 7.5, count))[::-1]
    return SideTrades(side, bars.time[rows] + rng.integers(0, 1000, count), bars.close[rows], notional)


def aftermaths(bars: PricePath, *sides: SideTrades, bin_seconds: int = 60) -> dict[Side, Aftermath]:
    """Return what the price did after the entries in a window that ends with its bars."""
    return {
        each.side: aftermath(
            bars, each, bin_seconds=bin_seconds, later=np.inf if each.side is Side.BUY else -np.inf
        )
        for each in sides
    }


def computed(
    bars: PricePath,
    buys: SideTrades,
    sells: SideTrades,
    *,
    rules: MarginRules = SEED_RULES,
    request: MapRequest = REQUEST,
    bin_seconds: int = 60,
) -> Computed:
    """Return the map of entries in a window that ends with its second bars."""
    after = aftermaths(bars, buys, sells, bin_seconds=bin_seconds)
    return compute(request, [entries_of(buys, sells, after)], path=coarsened(bars, bin_seconds), rules=rules)


TIERED = MarginRules(Brackets.of([(1e5, 0.004, 100), (1e6, 0.01, 50), (1e7, 0.05, 10)]))


def swept_map(seed: int, *, show: LevelFilter = LevelFilter.STANDING) -> Computed:
    """Return the map of a walk that touches many of its levels, under a model with brackets."""
    bars = walk(seed)
    buys, sells = entered(Side.BUY, bars, seed), entered(Side.SELL, bars, seed + 1)
    request = MapRequest(BTCUSDT, WINDOW, TopN(100), levels=show)
    return computed(bars, buys, sells, rules=TIERED, request=request, bin_seconds=1)


@given(seed=st.integers(0, 10_000), show=st.sampled_from(LevelFilter))
def test_standing_and_swept_and_unplaced_are_what_was_selected(seed: int, show: LevelFilter):
    drawn = swept_map(seed, show=show).map
    buckets = drawn.buckets
    selected = drawn.buys.notional + drawn.sells.notional
    standing = buckets.long.sum() + buckets.short.sum()
    swept = buckets.swept.sum() + drawn.swept_outside
    assert standing + swept + drawn.unplaced == pytest.approx(selected, rel=1e-12)
    assert swept == pytest.approx(drawn.swept_long + drawn.swept_short)
    assert drawn.unplaced == pytest.approx(
        sum(
            float(each.largest.notional[each.largest.notional > 1e7].sum())
            for each in (drawn.buys, drawn.sells)
        )
    )


@given(seed=st.integers(0, 10_000))
def test_level_stands_exactly_if_no_second_after_its_entry_s_touched_it(seed: int):
    found = swept_map(seed)
    drawn, bars = found.map, found.map.path
    for each in found.levels:
        for price, time, standing in zip(each.price, each.entry_time, each.standing, strict=True):
            later = bars.time > time
            is_long = each.side is Side.BUY
            touched = (bars.low[later] <= price).any() if is_long else (bars.high[later] >= price).any()
            wrong_side = price >= drawn.last_price if is_long else price <= drawn.last_price
            assert standing == (not touched and not wrong_side)


def test_level_that_price_crossed_and_came_back_from_is_swept_unless_all_are_wanted():
    # A long from 100 at 100x is liquidated at 99; the price goes to 98.5 and back to 100.
    bars = PricePath(WINDOW.start_ms + 1000 * np.arange(3), *[np.array([100.0, 98.5, 100.0])] * 3)
    buys, sells = trades(Side.BUY, (100.0, 10.0)), trades(Side.SELL)
    for show, standing in ((LevelFilter.STANDING, 30.0), (LevelFilter.ALL, 40.0)):
        drawn = computed(bars, buys, sells, request=replace(REQUEST, levels=show), bin_seconds=1).map
        assert drawn.buckets.long.sum() == standing
        assert drawn.swept_long == 40.0 - standing


def test_everything_swept_leaves_nothing_standing_and_says_how_much():
    bars = PricePath(WINDOW.start_ms + 1000 * np.arange(2), *[np.array([100.0, 50.0])] * 3)
    buys, sells = trades(Side.BUY, (100.0, 10.0)), trades(Side.SELL)
    drawn = computed(bars, buys, sells, bin_seconds=1).map
    assert drawn.buckets.long.sum() == 0
    assert (drawn.swept_long, drawn.swept_outside) == (40.0, 40.0)
    assert drawn.clusters == drawn.labelled == ()


@given(seed=st.integers(0, 10_000), stretches=st.integers(1, 5))
def test_map_of_stretches_is_the_map_of_the_whole(seed: int, stretches: int):
    bars = walk(seed)
    whole = swept_map(seed).map
    buys, sells = entered(Side.BUY, bars, seed), entered(Side.SELL, bars, seed + 1)
    after = aftermaths(bars, buys, sells, bin_seconds=1)
    edges = np.linspace(bars.time[0], bars.time[-1] + 1000, stretches + 1)
    parts = []
    for start, end in reversed(list(pairwise(edges))):
        inside = {side.side: (side.time >= start) & (side.time < end) for side in (buys, sells)}
        chosen = {side.side: side.chosen(inside[side.side]) for side in (buys, sells)}
        its = {side: of.chosen(inside[side]) for side, of in after.items()}
        parts.append(Entries(chosen, its))
    request = MapRequest(BTCUSDT, WINDOW, TopN(100))
    found = compute(request, parts, path=whole.path, rules=TIERED).map
    np.testing.assert_array_equal(found.buckets.edges, whole.buckets.edges)
    np.testing.assert_allclose(found.buckets.long, whole.buckets.long)
    np.testing.assert_allclose(found.buckets.swept, whole.buckets.swept)
    for one, other in ((found.buys, whole.buys), (found.sells, whole.sells)):
        assert one.count == other.count
        assert one.notional == pytest.approx(other.notional)
        np.testing.assert_array_equal(one.largest.time, other.largest.time)
    assert found.unplaced == pytest.approx(whole.unplaced)


def test_map_keeps_the_largest_trades_and_counts_the_others():
    bars = walk(1)
    buys = entered(Side.BUY, bars, 1, count=2 * LARGEST_KEPT)
    drawn = computed(bars, buys, entered(Side.SELL, bars, 2)).map
    assert drawn.buys.count == 2 * LARGEST_KEPT
    np.testing.assert_array_equal(drawn.buys.largest.notional, buys.notional[:LARGEST_KEPT])
    assert drawn.buys.notional == pytest.approx(buys.notional.sum())
