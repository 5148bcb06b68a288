from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.margin import Brackets, MarginRules, least_distance, liquidation_price
from liqmap.compute.sweep import MINUTE_MS, SweepPath
from liqmap.compute.values import PricePath
from liqmap.model import Side, Valuation
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import TimeWindow

START = datetime(2023, 8, 1, 0, 3, tzinfo=UTC)
MINUTES = 14
WINDOW = TimeWindow(START, START + timedelta(minutes=MINUTES))


def path(lows: list[float | None], traded: list[float], *, bin_seconds: int) -> SweepPath:
    """Return a path of marks that last a minute and have no width; None is a minute without one."""
    times = WINDOW.start_ms + MINUTE_MS * np.arange(MINUTES)
    known = [(int(time), (low, low, low)) for time, low in zip(times, lows, strict=True) if low is not None]
    mark = Series.of(SeriesKind.MARK_PRICE, [time for time, _ in known], [values for _, values in known])
    price = np.array(traded)
    return SweepPath.of(
        WINDOW, PricePath(times, price, price, price), mark, bin_seconds=bin_seconds, timed=True
    )


prices = st.lists(st.integers(90, 110).map(float), min_size=MINUTES, max_size=MINUTES)
marks = st.lists(st.one_of(st.none(), st.integers(90, 110).map(float)), min_size=MINUTES, max_size=MINUTES)


@given(
    marks, prices, st.lists(st.integers(0, MINUTES * 60_000 - 1), min_size=1), st.sampled_from([30, 60, 300])
)
def test_aftermath_by_marks_is_what_a_look_at_each_minute_gives(
    lows: list[float | None], traded: list[float], offsets: list[int], bin_seconds: int
):
    by_minute = [one if one is not None else other for one, other in zip(lows, traded, strict=True)]
    times = np.array([WINDOW.start_ms + each for each in offsets])
    sweeping, own = path(lows, traded, bin_seconds=bin_seconds), np.full(len(times), 95.0)
    found = sweeping.after(Side.SELL, times, own, timed=True)
    untimed = sweeping.after(Side.SELL, times, own, timed=False)
    assert (untimed.extreme.tolist(), untimed.soon) == (found.extreme.tolist(), None)
    for place, offset in enumerate(offsets):
        minute = offset // MINUTE_MS
        assert found.extreme[place] == max([95.0, *by_minute[minute + 1 :]])
        bin_end = (WINDOW.start_ms + offset) // (bin_seconds * 1000) * bin_seconds * 1000 + bin_seconds * 1000
        last = max(minute, (bin_end - WINDOW.start_ms) // MINUTE_MS - 1)
        assert found.soon is not None
        assert found.soon[place] == max([95.0, *by_minute[minute + 1 : last + 1]])


@pytest.mark.parametrize("seconds", [1, 30, 59])
@pytest.mark.parametrize("bin_seconds", [60, 300])
def test_mark_prices_of_the_minute_that_the_window_cuts_sweep_nothing(seconds: int, bin_seconds: int):
    window = TimeWindow(START, START + timedelta(minutes=3, seconds=seconds))
    times = window.start_ms + MINUTE_MS * np.arange(4)
    price = np.full(4, 100.0)
    # The last candle goes on after the window's end, where the mark price may have been anywhere.
    mark = Series.of(
        SeriesKind.MARK_PRICE, times.tolist(), [(99.0, 101.0, 100.0)] * 3 + [(50.0, 200.0, 90.0)]
    )
    sweeping = SweepPath.of(
        window, PricePath(times, price, price, price), mark, bin_seconds=bin_seconds, timed=True
    )
    lowest, highest = (
        sweeping.after(side, times[:1], None, timed=False).extreme[0] for side in (Side.BUY, Side.SELL)
    )
    assert (lowest, highest, sweeping.share) == (99.0, 101.0, 0.75)


def test_path_says_how_much_of_the_window_has_marks():
    assert path([100.0] * 7 + [None] * 7, [100.0] * 14, bin_seconds=60).share == 0.5


def test_bins_have_the_extremes_of_their_minutes():
    binned = path([*map(float, range(14))], [0.0] * 14, bin_seconds=300).binned()
    # From 00:00 on, of which the window begins at 00:03.
    assert (binned.time - WINDOW.start_ms).tolist() == [each * MINUTE_MS for each in (-3, 2, 7, 12)]
    assert binned.low.tolist() == [0, 2, 7, 12]
    assert binned.high.tolist() == [1, 6, 11, 13]


# With tiers in which the maintenance margin is nearly all that there is, as OKX's and Binance's last are.
STEEP = Brackets.of([(1, 0.005, 100), (60, 0.2075, 4.54), (50_000, 0.25, 3), (7e7, 0.4, 2), (1e8, 0.5, 1)])
BRACKETS = Brackets.of([(50_000, 0.004, 125), (600_000, 0.005, 100), (3_000_000, 0.0065, 75), (1e8, 0.1, 5)])


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    "rules",
    [
        *(MarginRules(BRACKETS, valuation, inverse=False) for valuation in Valuation),
        *(MarginRules(STEEP, valuation, fee=0.0005) for valuation in Valuation),
        MarginRules(STEEP, inverse=True),
        MarginRules(),
        MarginRules(inverse=True),
    ],
)
@pytest.mark.parametrize("leverages", [(5, 50, 100), (2,), (3, 4)])
def test_no_level_is_nearer_than_the_least_distance(
    side: Side, rules: MarginRules, leverages: tuple[int, ...]
):
    entry, notional = np.full(50, 30_000.0), np.geomspace(1_000, 9e7, 50)
    distance = least_distance(rules, leverages)
    assert distance > 0
    for leverage in leverages:
        allowed = np.full(50, fill_value=True)
        if rules.brackets is not None:
            tier = np.searchsorted(rules.brackets.cap, rules.tiered(entry, notional))
            allowed = rules.brackets.max_leverage[tier] >= leverage
        level = liquidation_price(rules, side, leverage=leverage, entry_price=entry, notional=notional)
        assert (np.abs(level / entry - 1)[allowed] > distance).all()


@given(
    tiers=st.lists(
        st.tuples(st.floats(1.0001, 30), st.floats(1e-4, 0.12), st.floats(0, 1)), min_size=1, max_size=6
    ),
    places=st.lists(st.floats(1e-6, 1), min_size=1, max_size=20),
    leverages=st.lists(st.integers(2, 150), min_size=1, max_size=4, unique=True),
    valuation=st.sampled_from(Valuation),
    inverse=st.booleans(),
    side=st.sampled_from(Side),
)
def test_no_level_of_any_brackets_is_nearer_than_the_least_distance(
    tiers: list[tuple[float, float, float]],
    places: list[float],
    leverages: list[int],
    valuation: Valuation,
    inverse: bool,
    side: Side,
):
    caps = 1000 * np.cumprod([step for step, _, _ in tiers])
    rates = np.cumsum([rate for _, rate, _ in tiers])
    # As exchanges have it, a tier allows leverages whose initial margin is more than the maintenance margin.
    most = 1 / (rates + 1e-3 + np.array([spare for _, _, spare in tiers]))
    rules = MarginRules(Brackets.of(list(zip(caps, rates, most, strict=True))), valuation, inverse=inverse)
    distance = least_distance(rules, sorted(leverages))
    # Many at the very end of a tier, from where a position's value grows into the next one.
    value = np.append(caps, caps[-1] * np.array(places))
    entry = np.full(len(value), 30_000.0)
    notional = value * entry if inverse != (valuation is Valuation.SIZE) else value
    tier = np.searchsorted(caps, rules.tiered(entry, notional))
    for leverage in leverages:
        allowed = np.append(most, 0.0)[tier] >= leverage
        level = liquidation_price(rules, side, leverage=leverage, entry_price=entry, notional=notional)
        assert (np.abs(level / entry - 1)[allowed] >= distance).all()


def test_least_distance_is_that_of_a_short_that_grows_into_the_next_tier():
    rules = MarginRules(Brackets.of([(1_000, 0.01, 50), (10_000, 0.1, 5)]))
    # At the level, its loss has left a margin of 2 % - 0.909 %: 1 % of 1,000 and 10 % of what it grew by.
    (level,) = liquidation_price(
        rules, Side.SELL, leverage=50, entry_price=np.array([100.0]), notional=np.array([1_000.0])
    )
    assert level == pytest.approx(100 + 1 / 1.1)
    assert least_distance(rules, (50,)) == pytest.approx(0.01 / 1.1)
