"""Sums by entry price against the levels of every single trade."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from liqmap.compute.adding import add_up
from liqmap.compute.buckets import LevelSums
from liqmap.compute.by_price import MANY, PriceSums
from liqmap.compute.levels import level_bounds, levels_of
from liqmap.compute.margin import Brackets, MarginRules, first_tier, liquidation_price
from liqmap.compute.open_shares import GRID_MS, OpenShares
from liqmap.compute.standing import Positions
from liqmap.compute.sweep import SweepPath
from liqmap.compute.values import Aftermath, Entries, PricePath, SideTrades
from liqmap.model import LevelFilter, MapRequest, MarginModel, Side, TopN, Valuation
from liqmap.model.window import TimeWindow
from tests.conftest import BTCUSDT
from tests.liqmap.conftest import compute, entries_of

WINDOW = TimeWindow.ending(datetime(2023, 8, 1, 1, tzinfo=UTC), timedelta(hours=1))
LEVERAGES = (3, 10, 25, 100)
REQUEST = MapRequest(BTCUSDT, WINDOW, TopN(100), LEVERAGES, model=MarginModel.SIMPLE)
BRACKETS = Brackets.of([(5e4, 0.004, 125), (6e5, 0.01, 50), (3e6, 0.025, 20), (2e7, 0.05, 2)])
RULES = {
    "no brackets, in full at each": MarginRules(split=False),
    "on the mark value": MarginRules(BRACKETS),
    "on the value at entry": MarginRules(BRACKETS, Valuation.ENTRY),
    "on the size": MarginRules(Brackets.of([(2.0, 0.004, 50), (40.0, 0.01, 10)]), Valuation.SIZE, fee=0.0005),
    "inverse": MarginRules(Brackets.of([(1.5, 0.004, 100), (30.0, 0.01, 25)]), inverse=True),
    "no leverage allowed": MarginRules(Brackets.of([(5e4, 0.3, 2), (6e5, 0.4, 1)])),
}


@dataclass(frozen=True)
class Sample:
    """Trades of one side on ticks, largest first, and a bound for each, which may be one of its levels."""

    trades: SideTrades
    bound: NDArray[np.float64]
    path: PricePath

    @property
    def after(self) -> Aftermath:
        return Aftermath(self.bound)

    @property
    def last_price(self) -> float:
        """A price that bounds nothing."""
        return 1e9 if self.trades.side is Side.BUY else 0.0

    def sums(self, rules: MarginRules) -> LevelSums:
        low, high = level_bounds(self.path, REQUEST, rules)
        return LevelSums(low, high, leverages=LEVERAGES, last_price=float(self.path.close[-1]))

    def add_levels(
        self, rows: NDArray[np.int64] | slice, rules: MarginRules, sums: LevelSums
    ) -> tuple[int, ...]:
        trades, after = self.trades.chosen(rows), self.after.chosen(rows)
        levels = levels_of(trades, REQUEST, rules, after=after, last_price=self.last_price)
        sums.add(levels)
        return tuple(len(each.price) for each in levels)


@st.composite
def samples(draw: st.DrawFn, rules: MarginRules) -> Sample:
    """Draw trades of whole notionals, so that all sums are exact in whatever order they are added."""
    decimals, side = draw(st.sampled_from([0, 1, 4])), draw(st.sampled_from(Side))
    unit, around = 10.0**decimals, draw(st.integers(3_000, 400_000))
    ticks = st.integers(around - around // 20, around + around // 20)
    rows = draw(
        st.lists(st.tuples(ticks, st.integers(1, 5000).map(lambda n: 400 * n)), min_size=1, max_size=30)
    )
    rows.sort(key=lambda row: -row[1])
    price = np.array([tick for tick, _ in rows]) / unit
    notional = np.array([float(each) for _, each in rows])
    levels = [
        liquidation_price(rules, side, leverage=each, entry_price=price, notional=notional)
        for each in LEVERAGES
    ]
    bound = np.empty(len(rows))
    for place in range(len(rows)):
        level = float(draw(st.sampled_from(levels))[place])
        beside = draw(st.sampled_from([-1e-6, -3e-12, 0.0, 3e-12, 1e-6]))
        bound[place] = draw(st.sampled_from([level, level * (1 + beside), draw(ticks) / unit]))
    ends = np.array([price.min(), price.max()])
    path = PricePath(WINDOW.start_ms + np.array([0, 1000]), ends, ends, ends)
    return Sample(SideTrades(side, np.full(len(rows), WINDOW.start_ms), price, notional), bound, path)


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@settings(max_examples=80)
@given(data=st.data())
def test_sums_by_price_are_those_of_every_single_level(rules: MarginRules, data: st.DataObject):
    sample = data.draw(samples(rules))
    one_by_one, by_price = sample.sums(rules), sample.sums(rules)
    sample.add_levels(slice(None), rules, one_by_one)
    summed = PriceSums(sample.trades.side, REQUEST, rules, sample.path)
    others = summed.add(sample.trades, sample.bound)
    summed.put_into(by_price, ratio=1.0)
    sample.add_levels(others, rules, by_price)
    expected, found = one_by_one.buckets(), by_price.buckets()
    assert np.array_equal(found.edges, expected.edges)
    for name in ("long", "short", "swept"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-12)
        assert np.array_equal(getattr(found, name) > 0, getattr(expected, name) > 0)
    assert by_price.swept(sample.trades.side) == pytest.approx(
        one_by_one.swept(sample.trades.side), rel=1e-12
    )
    assert by_price.bands() == tuple(pytest.approx(each) for each in one_by_one.bands())


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("side", Side)
def test_trades_of_the_first_tier_and_no_others_have_levels_in_proportion_to_their_prices(
    rules: MarginRules, side: Side
):
    most = first_tier(rules, side, LEVERAGES)
    if np.isinf(most):
        return
    entry = np.array([1000.0])
    in_base = rules.inverse != (rules.valuation is Valuation.SIZE)
    at, beyond = (value * (1000.0 if in_base else 1.0) for value in (most, most * 1.01))
    levels = {
        value: [
            float(
                liquidation_price(rules, side, leverage=each, entry_price=entry, notional=np.array([value]))[
                    0
                ]
            )
            for each in LEVERAGES
        ]
        for value in (1.0, at, beyond)
    }
    assert levels[at] == levels[1.0]
    if rules.brackets is not None and most < rules.brackets.cap[0]:
        assert levels[beyond] != levels[1.0]


def test_prices_between_the_ticks_of_the_path_are_left_to_their_own_levels():
    path = PricePath(np.array([WINDOW.start_ms]), np.array([100.0]), np.array([110.5]), np.array([100.0]))
    summed = PriceSums(Side.BUY, REQUEST, RULES["on the mark value"], path)
    price = np.array([100.5, 100.25])
    trades = SideTrades(Side.BUY, np.full(2, WINDOW.start_ms), price, np.array([20.0, 10.0]))
    assert summed.add(trades, np.full(2, 90.0)) == slice(None)


def test_a_range_of_more_prices_than_memory_is_spent_on_is_left_to_single_levels():
    path = PricePath(np.array([WINDOW.start_ms]), np.array([0.000001]), np.array([9.0]), np.array([5.0]))
    summed = PriceSums(Side.SELL, REQUEST, RULES["on the mark value"], path)
    trades = SideTrades(Side.SELL, np.full(1, WINDOW.start_ms), np.array([5.0]), np.array([20.0]))
    assert np.arange(1)[summed.add(trades, np.full(1, 6.0))].tolist() == [0]


def test_map_of_many_trades_is_what_all_its_levels_add_up_to():
    rng, rules = np.random.default_rng(3), RULES["on the mark value"]
    path = PricePath(WINDOW.start_ms + np.array([0, 1000]), *(np.array([28_000.0, 29_000.1]),) * 3)
    sides = {}
    for side in Side:
        notional = np.sort(np.minimum(rng.pareto(1.0, MANY + 7) * 1e4 + 1e3, 3e7))[::-1].copy()
        price = rng.integers(280_000, 290_001, len(notional)) / 10
        sides[side] = SideTrades(side, np.full(len(notional), WINDOW.start_ms), price, notional)
    after = {
        side: Aftermath(each.price * rng.uniform(0.85, 1.15, len(each)).round(3))
        for side, each in sides.items()
    }
    found = compute(
        REQUEST, [entries_of(sides[Side.BUY], sides[Side.SELL], after)] * 3, path=path, rules=rules
    )
    for side, drawn, swept in (
        (Side.BUY, found.map.buckets.long, found.map.swept_long),
        (Side.SELL, found.map.buckets.short, found.map.swept_short),
    ):
        every = [each for stretch in found.stretches for each in stretch if each.side is side]
        for row, leverage in enumerate(LEVERAGES):
            levels = [each for each in every if each.leverage == leverage]
            standing = sum(float(each.notional[each.standing].sum()) for each in levels)
            assert drawn[row].sum() == pytest.approx(standing, rel=1e-12)
        assert swept == pytest.approx(
            sum(float(each.notional[~each.standing].sum()) for each in every), rel=1e-12
        )
    selected = found.map.buys.notional + found.map.sells.notional
    in_all = float(found.map.buckets.long.sum() + found.map.buckets.short.sum())
    in_all += found.map.swept_long + found.map.swept_short + found.map.unplaced
    assert in_all == pytest.approx(selected, rel=1e-12)
    assert found.map.unplaced > 0


def moving_market(
    *, seed: int, empties: bool
) -> tuple[dict[Side, SideTrades], dict[Side, Aftermath], PricePath, Positions]:
    """Return many trades of an hour, what marks sweep of them, and what open interest leaves of them."""
    rng = np.random.default_rng(seed)
    start = WINDOW.start_ms
    middle = 29_000 + np.cumsum(rng.normal(0, 60, 60))
    low, high = (np.round(middle + sign * rng.uniform(5, 90, 60), 1) for sign in (-1, 1))
    traded = PricePath(start + 60_000 * np.arange(60), low, high, low)
    marks = PricePath(
        traded.time, low + rng.integers(0, 40, 60) / 10, high - rng.integers(0, 40, 60) / 10, low
    )
    sweeping = SweepPath.of(WINDOW, marks, None, bin_seconds=60, timed=False)
    edges = start + GRID_MS * np.arange(5)
    opened, closing = rng.uniform(0, 1, 4) * (rng.random(4) < 0.8), rng.uniform(0, 0.9, 4)
    closing[2] = 1.0 if empties else closing[2]
    shares = OpenShares(edges, np.full(5, 100.0), opened, closing, start, int(edges[-1]), 4, 0)
    trades, after = {}, {}
    for side in Side:
        minute, notional = (
            rng.integers(0, 60, 3 * MANY),
            1000 * rng.integers(1, 200, 3 * MANY).astype(np.float64),
        )
        order = np.argsort(-notional, kind="stable")
        minute, notional = minute[order], notional[order]
        ticks = rng.integers(np.rint(low * 10)[minute], np.rint(high * 10)[minute] + 1)
        times = start + 60_000 * minute + rng.integers(0, 60_000, len(minute))
        trades[side] = SideTrades(side, times, ticks / 10, notional)
        own = (low if side is Side.BUY else high)[minute]
        after[side] = sweeping.after(side, times, own, timed=False)
    return trades, after, traded, Positions.of(shares, sweeping, traded)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("empties", [False, True])
@pytest.mark.parametrize("shown", LevelFilter)
@pytest.mark.parametrize("rules", ["on the mark value", "no brackets, in full at each"])
def test_open_interest_leaves_of_sums_by_price_what_it_leaves_of_single_levels(
    seed: int, empties: bool, shown: LevelFilter, rules: str
):
    trades, after, path, positions = moving_market(seed=seed, empties=empties)
    request, last = replace(REQUEST, levels=shown), float(path.close[-1])

    def sums() -> LevelSums:
        low, high = level_bounds(path, request, RULES[rules])
        return LevelSums(low, high, leverages=LEVERAGES, last_price=last)

    found = add_up(
        request,
        [Entries(trades, after)],
        RULES[rules],
        sums=sums(),
        path=path,
        positions=positions,
    )
    one_by_one, selected, opened, left = sums(), 0.0, 0.0, 0.0
    for side in Side:
        levels = levels_of(
            trades[side], request, RULES[rules], after=after[side], last_price=last, positions=positions
        )
        one_by_one.add(levels)
        for each in levels:
            assert each.selected is not None
            assert each.opened is not None
            selected += float(each.selected.sum())
            opened += float(each.opened.sum())
            left += float(each.notional.sum())
    expected, drawn = one_by_one.buckets(), found.sums.buckets()
    assert np.array_equal(drawn.edges, expected.edges)
    for name in ("long", "short", "swept"):
        assert getattr(drawn, name) == pytest.approx(getattr(expected, name), rel=1e-12)
        assert np.array_equal(getattr(drawn, name) > 0, getattr(expected, name) > 0)
    assert found.not_opened == pytest.approx(selected - opened, rel=1e-9)
    assert found.closed == pytest.approx(opened - left, rel=1e-9)
    assert opened > left > 0
