"""The engine against decimal arithmetic, on prices and sizes that exchanges' ticks and steps allow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqmap.compute.aftermath import aftermath
from liqmap.compute.margin import Brackets, MarginRules, liquidation_price
from liqmap.compute.values import PricePath, SideTrades
from liqmap.model import MapRequest, MarginModel, Side, TopN, Valuation
from liqmap.model.window import TimeWindow
from tests.conftest import BTCUSDT
from tests.liqmap.compute import oracle
from tests.liqmap.conftest import Computed, compute, entries_of

START = datetime(2023, 8, 1, tzinfo=UTC)
WINDOW = TimeWindow(START, START + timedelta(hours=1))
ROWS = [("5e4", "0.004", 100), ("6e5", "0.01", 50), ("3e6", "0.025", 20), ("1e7", "0.05", 10)]
TIERS = oracle.tiers_of(ROWS)
BRACKETS = Brackets.of([(float(cap), float(rate), highest) for cap, rate, highest in ROWS])


@dataclass(frozen=True)
class Scene:
    """Trades of both sides, and second bars after them, on a grid of ticks."""

    leverages: tuple[int, ...]
    entries: dict[Side, tuple[oracle.Entry, ...]]
    seconds: tuple[oracle.Second, ...]

    @property
    def last_price(self) -> Decimal:
        return self.seconds[-1].high

    def computed(self, rules: MarginRules) -> Computed:
        """Return the engine's map and levels."""
        lows, highs = ([float(price) for price in prices] for prices in self._extremes())
        time = WINDOW.start_ms + 1000 * np.array([each.second for each in self.seconds])
        path = PricePath(time, np.array(lows), np.array(highs), np.array(highs))
        trades = {side: _side_trades(side, self.entries[side]) for side in Side}
        after = {
            side: aftermath(path, each, bin_seconds=60, later=np.inf if side is Side.BUY else -np.inf)
            for side, each in trades.items()
        }
        request = MapRequest(BTCUSDT, WINDOW, TopN(100), self.leverages, model=MarginModel.SIMPLE)
        entries = [entries_of(trades[Side.BUY], trades[Side.SELL], after)]
        return compute(request, entries, path=path, rules=rules)

    def levels(self, side: Side, rules: MarginRules) -> list[list[oracle.Level]]:
        """Return the oracle's levels, entry by entry."""
        return list(
            oracle.levels(
                side,
                self.entries[side],
                self.seconds,
                valuation=rules.valuation,
                leverages=self.leverages,
                last_price=self.last_price,
                tiers=TIERS if rules.brackets else (),
                split=rules.split,
            )
        )

    def _extremes(self) -> tuple[list[Decimal], list[Decimal]]:
        return [each.low for each in self.seconds], [each.high for each in self.seconds]


def _side_trades(side: Side, entries: tuple[oracle.Entry, ...]) -> SideTrades:
    return SideTrades(
        side,
        WINDOW.start_ms + 1000 * np.array([each.second for each in entries], np.int64) + 250,
        np.array([float(each.price) for each in entries], np.float64),
        np.array([float(each.notional) for each in entries], np.float64),
    )


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Draw trades on ticks, and bars that now and then end exactly where one of them is liquidated."""
    decimals = draw(st.sampled_from([0, 1, 2, 4, 7]))
    tick = Decimal(1).scaleb(-decimals)
    around = draw(st.integers(2_000, 400_000))
    prices = st.integers(around - around // 20, around + around // 20).map(lambda ticks: ticks * tick)
    sizes = st.integers(1, 10**6).map(lambda steps: Decimal(steps) / 1000)
    leverages = tuple(sorted(draw(st.sets(st.sampled_from([3, 8, 10, 25, 50, 100]), min_size=1))))

    def entries() -> tuple[oracle.Entry, ...]:
        rows = draw(st.lists(st.tuples(st.integers(0, 40), prices, sizes), max_size=5))
        found = [oracle.Entry(second, price, price * size) for second, price, size in rows]
        return tuple(sorted(found, key=lambda each: (-each.notional, each.second)))

    sides = {side: entries() for side in Side}
    seconds = []
    for number in range(draw(st.integers(1, 8))):
        low, high = sorted((draw(prices), draw(prices)))
        touched = draw(st.sampled_from([None, *Side]))
        if touched is not None and sides[touched]:
            entry = draw(st.sampled_from(sides[touched]))
            sign = -1 if touched is Side.BUY else 1
            level = entry.price * (1 + sign / Decimal(draw(st.sampled_from(leverages))))
            # To the tick, and one tick to either side of it.
            near = level.quantize(tick) + draw(st.integers(-1, 1)) * tick
            low, high = min(low, near), max(high, near)
        seconds.append(oracle.Second(6 * number + 1, low, high))
    # Entries lie within the path, whose first and last seconds are those of the window.
    everything = [each.price for side in Side for each in sides[side]]
    first = oracle.Second(0, min([seconds[0].low, *everything]), max([seconds[0].high, *everything]))
    return Scene(leverages, sides, (first, *seconds))


RULES = {
    "no brackets, in full at each": MarginRules(split=False),
    "no brackets": MarginRules(),
    "on the mark value": MarginRules(BRACKETS),
    "on the value at entry": MarginRules(BRACKETS, Valuation.ENTRY),
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@settings(max_examples=40)
@given(scene=scenes())
def test_level_and_touch_are_those_of_decimal_arithmetic(rules: MarginRules, scene: Scene):
    found = scene.computed(rules)
    for each in found.levels:
        expected = [
            level
            for entry in scene.levels(each.side, rules)
            for level in entry
            if level.leverage == each.leverage
        ]
        # An exact level of thirteen digits or more can lie so near the middle of two of twelve digits that
        # floats and decimals part; on a tick there is no such middle.
        assert each.price.tolist() == pytest.approx([float(level.price) for level in expected], rel=1.5e-12)
        if rules.brackets is None and each.leverage != 3:
            assert each.price.tolist() == [float(level.price) for level in expected]
        assert each.standing.tolist() == [level.standing for level in expected]
        assert each.notional.tolist() == pytest.approx([float(level.notional) for level in expected])


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@settings(max_examples=40)
@given(scene=scenes())
def test_bucket_of_every_level_is_that_of_decimal_arithmetic(rules: MarginRules, scene: Scene):
    buckets = scene.computed(rules).map.buckets
    size = Decimal(str(buckets.size))
    edges = [Decimal(str(edge)) for edge in buckets.edges]
    for side, drawn in ((Side.BUY, buckets.long), (Side.SELL, buckets.short)):
        expected: dict[tuple[int, Decimal], Decimal] = defaultdict(Decimal)
        for entry in scene.levels(side, rules):
            for level in entry:
                if level.standing:
                    expected[level.leverage, level.price // size * size] += level.notional
        found = {
            (leverage, edges[place]): float(notional)
            for leverage, row in zip(scene.leverages, drawn, strict=True)
            for place, notional in enumerate(row)
            if notional
        }
        assert found == pytest.approx({key: float(total) for key, total in expected.items()})


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@settings(max_examples=40)
@given(scene=scenes())
def test_standing_swept_and_unplaced_add_up_to_what_was_selected(rules: MarginRules, scene: Scene):
    drawn = scene.computed(rules).map
    for side, selected, standing, swept in (
        (Side.BUY, drawn.buys, drawn.buckets.long, drawn.swept_long),
        (Side.SELL, drawn.sells, drawn.buckets.short, drawn.swept_short),
    ):
        found = [level for entry in scene.levels(side, rules) for level in entry]
        assert standing.sum() == pytest.approx(_total(found, lambda level: level.standing))
        assert swept == pytest.approx(_total(found, lambda level: not level.standing))
        assert selected.notional == pytest.approx(float(sum(each.notional for each in scene.entries[side])))
    times = 1 if rules.split else len(scene.leverages)
    selected_in_all = drawn.buys.notional + drawn.sells.notional
    standing_in_all = float(drawn.buckets.long.sum() + drawn.buckets.short.sum())
    swept_in_all = drawn.swept_long + drawn.swept_short
    assert standing_in_all + swept_in_all + drawn.unplaced == pytest.approx(times * selected_in_all)


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@settings(max_examples=40)
@given(scene=scenes())
def test_bands_are_those_of_decimal_arithmetic(rules: MarginRules, scene: Scene):
    for band in scene.computed(rules).map.bands:
        width = scene.last_price * Decimal(str(band.distance))
        for side, found in ((Side.BUY, band.long), (Side.SELL, band.short)):
            levels = [level for entry in scene.levels(side, rules) for level in entry]
            expected = _total(
                levels,
                lambda level: level.standing and abs(level.price - scene.last_price) <= width,  # noqa: B023
            )
            assert found == pytest.approx(expected)
            assert bool(found) == bool(expected)


def _total(levels: list[oracle.Level], counts: Callable[[oracle.Level], bool]) -> float:
    return float(sum(level.notional for level in levels if counts(level)))


def solusdt(*, low: str) -> Computed:
    """Return the map of 10 SOL bought at 142.5 at 25x, after which the price goes to `low` and back."""
    seconds = [("142.5", "142.5"), (low, "142.5"), ("141", "142.5")]
    scene = Scene(
        (25,),
        {Side.BUY: (oracle.Entry(0, Decimal("142.5"), Decimal(1425)),), Side.SELL: ()},
        tuple(
            oracle.Second(number, Decimal(lowest), Decimal(highest))
            for number, (lowest, highest) in enumerate(seconds)
        ),
    )
    return scene.computed(RULES["no brackets"])


def test_low_at_the_very_level_sweeps_it():
    found = solusdt(low="136.8")
    (level,) = found.longs
    assert level.price.tolist() == [136.8]
    assert level.standing.tolist() == [False]
    assert (found.map.buckets.long.sum(), found.map.swept_long) == (0.0, 1425.0)


def test_low_a_tick_above_the_level_leaves_it_in_the_bucket_that_begins_with_it():
    buckets = solusdt(low="136.81").map.buckets
    (place,) = np.flatnonzero(buckets.long.sum(axis=0))
    assert buckets.edges[place] == 136.8
    assert buckets.long.sum() == 1425.0


@pytest.mark.parametrize(("symbol", "decimals"), [("BTC", 1), ("SOL", 2), ("DOGE", 5), ("ETH", 2)])
@pytest.mark.parametrize("leverage", [10, 25, 50, 100])
def test_every_level_on_a_tick_is_that_tick(symbol: str, decimals: int, leverage: int):
    around = {"BTC": 60_000, "SOL": 142, "DOGE": 0.12, "ETH": 2_400}[symbol]
    ticks = round(around * 10**decimals) + np.arange(2_400)
    for side, sign in ((Side.BUY, -1), (Side.SELL, 1)):
        exact = [Decimal(int(tick)) * (leverage + sign) / leverage for tick in ticks]
        on_tick = [place for place, level in enumerate(exact) if level == level.to_integral_value()]
        trades = SideTrades(side, np.zeros(2_400, np.int64), ticks / 10.0**decimals, np.ones(2_400))
        found = liquidation_price(
            RULES["no brackets"], side, leverage=leverage, entry_price=trades.price, notional=trades.notional
        )
        assert found[on_tick].tolist() == [float(exact[place].scaleb(-decimals)) for place in on_tick]
        assert len(on_tick) == pytest.approx(2_400 / leverage, abs=1)
