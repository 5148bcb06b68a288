from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.brackets import find_brackets
from liqmap.compute.margin import Brackets, MarginRules, allowed_leverage, liquidation_price, shares
from liqmap.model import Exchange, Side, Valuation

SIMPLE = MarginRules(split=False)
# Rates and caps like a real table's; a deduction makes the maintenance margin continuous at each cap.
BRACKETS = Brackets.of(
    [(5e4, 0.004, 125), (6e5, 0.01, 50), (3e6, 0.025, 20), (2e7, 0.05, 10), (1e8, 0.25, 2)]
)
CAPS = BRACKETS.cap.tolist()

notionals = st.one_of(
    st.floats(10, 2e8), st.sampled_from(CAPS), st.sampled_from([cap + 0.01 for cap in CAPS])
)


def price_of(rules: MarginRules, side: Side, leverage: int, *, entry: float, notional: float) -> float:
    found = liquidation_price(
        rules, side, leverage=leverage, entry_price=np.array([entry]), notional=np.array([notional])
    )
    return float(found[0])


def maintenance(brackets: Brackets, value: float) -> float:
    """Return the maintenance margin, tier by tier as a person would add it up."""
    total, floor = 0.0, 0.0
    for place, (cap, rate) in enumerate(zip(brackets.cap, brackets.rate, strict=True)):
        top = value if place == len(brackets.cap) - 1 else min(value, float(cap))
        total += max(0.0, top - floor) * float(rate)
        floor = float(cap)
    return total


def slow_price(rules: MarginRules, side: Side, leverage: int, *, entry: float, notional: float) -> float:
    """Return the price at which the margin balance meets the maintenance margin, by halving an interval."""
    brackets = rules.brackets
    size = notional / entry  # base currency; the value at entry of inverse contracts
    direction = 1 if side is Side.BUY else -1

    def excess(price: float) -> float:
        if rules.inverse:
            margin = size / leverage + direction * notional * (1 / entry - 1 / price)
            value_now, value_then = notional / price, size
        else:
            margin = notional / leverage + direction * size * (price - entry)
            value_now, value_then = size * price, notional
        if brackets is None:
            return margin
        held = value_then if rules.valuation is Valuation.ENTRY else value_now
        return margin - maintenance(brackets, held)

    # From a price where it is solvent for sure to one where it is not.
    good, bad = (entry * 1e3, entry * 1e-3) if side is Side.BUY else (entry * 1e-3, entry * 1e3)
    for _ in range(200):
        middle = (good + bad) / 2
        good, bad = (middle, bad) if excess(middle) > 0 else (good, middle)
    return good


@pytest.mark.parametrize(
    ("leverage", "long", "short"),
    [(10, 26_100.0, 31_900.0), (25, 27_840.0, 30_160.0), (50, 28_420.0, 29_580.0), (100, 28_710.0, 29_290.0)],
)
def test_simple_model_is_the_seed_library_s_factor(leverage: int, long: float, short: float):
    for side, expected in ((Side.BUY, long), (Side.SELL, short)):
        found = price_of(SIMPLE, side, leverage, entry=29_000.0, notional=1e5)
        assert found == pytest.approx(expected, rel=1e-12)


# Percent below and above the entry, long and short, of Binance BTCUSDT with the brackets of September 2026.
DISTANCES = [
    (1e5, 10, 9.639, 9.562), (1e5, 25, 3.614, 3.586), (1e5, 50, 1.606, 1.594), (1e5, 100, 0.602, 0.598),
    (5e5, 10, 9.608, 9.512), (5e5, 25, 3.578, 3.542), (5e5, 50, 1.568, 1.552), (5e5, 100, 0.563, 0.557),
    (2e6, 10, 9.487, 9.364), (2e6, 25, 3.447, 3.403), (2e6, 50, 1.434, 1.416),
    (1e7, 10, 9.212, 9.030), (1e7, 25, 3.152, 3.089), (1e7, 50, 1.131, 1.109),
]  # fmt: skip


@pytest.mark.parametrize(("notional", "leverage", "long", "short"), DISTANCES)
def test_binance_distances_are_the_published_ones(notional: float, leverage: int, long: float, short: float):
    dated = find_brackets(Exchange.BINANCE, "BTCUSDT", on=date(2026, 9, 30))
    assert dated is not None
    rules = MarginRules(dated.brackets)
    entry = 60_000.0
    below = 1 - price_of(rules, Side.BUY, leverage, entry=entry, notional=notional) / entry
    above = price_of(rules, Side.SELL, leverage, entry=entry, notional=notional) / entry - 1
    # They are given in percent with three decimals, which is 5e-6 of the price at most.
    assert 100 * below == pytest.approx(long, abs=5.01e-4)
    assert 100 * above == pytest.approx(short, abs=5.01e-4)


# 10 BTC at 60,000 in a tier of 0.5 % with a deduction of 510, as Bybit has it above 300,000.
BYBIT = Brackets.of([(300_000, 0.0033, 150), (np.inf, 0.005, 100)])


@pytest.mark.parametrize(
    ("side", "leverage", "old", "new"),
    [
        (Side.BUY, 10, 54_249.00, 54_220.10),
        (Side.BUY, 25, 57_849.00, 57_838.19),
        (Side.BUY, 50, 59_049.00, 59_044.22),
        (Side.BUY, 100, 59_649.00, 59_647.24),
        (Side.SELL, 10, 65_751.00, 65_722.39),
        (Side.SELL, 25, 62_151.00, 62_140.30),
    ],
)
def test_bybit_s_levels_before_and_since_september_2025(side: Side, leverage: int, old: float, new: float):
    for valuation, expected in ((Valuation.ENTRY, old), (Valuation.MARK, new)):
        rules = MarginRules(BYBIT, valuation)
        found = price_of(rules, side, leverage, entry=60_000.0, notional=600_000.0)
        assert round(found, 2) == expected


def test_bybit_s_levels_at_two_percent_without_a_deduction():
    brackets = Brackets.of([(np.inf, 0.02, 25)])
    position = {"entry": 60_000.0, "notional": 600_000.0}
    assert price_of(MarginRules(brackets, Valuation.ENTRY), Side.BUY, 10, **position) == 55_200.0
    assert round(price_of(MarginRules(brackets), Side.BUY, 10, **position), 2) == 55_102.04


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("leverage", [10, 25, 50, 100])
@given(
    entry=st.integers(1_000, 1_500_000).map(lambda ticks: Decimal(ticks) / 10),
    dollars=st.integers(1, 10**8),
)
def test_inverse_level_is_that_of_the_published_formula(
    side: Side, leverage: int, entry: Decimal, dollars: int
):
    """Quantity in dollars, deduction in coin, tier by the value at liquidation; nothing added by hand."""
    tiers = [(Decimal(150), Decimal("0.005")), (Decimal(300), Decimal("0.01")), (None, Decimal("0.015"))]
    deductions = [Decimal(0), Decimal("0.75"), Decimal("2.25")]
    q, sign = Decimal(dollars), 1 if side is Side.BUY else -1
    levels = []
    for (cap, rate), deduction in zip(tiers, deductions, strict=True):
        coin = q / entry + sign * (q / (entry * leverage) + deduction)
        level = q * (1 + sign * rate) / coin if coin > 0 else None
        levels.append((cap, level))
    # The value at liquidation lies in one tier alone: the first whose cap its own level keeps to.
    (expected, *_) = [level for cap, level in levels if level and (cap is None or q / level <= cap)]
    brackets = Brackets.of([(150, 0.005, 100), (300, 0.01, 100), (np.inf, 0.015, 100)])
    rules = MarginRules(brackets, inverse=True)
    found = price_of(rules, side, leverage, entry=float(entry), notional=float(dollars))
    assert found == pytest.approx(float(expected), rel=1e-11)


def test_inverse_levels_before_and_since_september_2025():
    # 600,000 dollars at 60,000 are 10 BTC: at 25x and 0.5 %, a margin of 0.4 and a maintenance of 0.05 BTC.
    brackets = Brackets.of([(150, 0.005, 100)])
    position = {"entry": 60_000.0, "notional": 600_000.0}
    for valuation, long, short in (
        (Valuation.ENTRY, 600_000 / (10 + 0.4 - 0.05), 600_000 / (10 - 0.4 + 0.05)),
        (Valuation.MARK, 600_000 * 1.005 / (10 + 0.4), 600_000 * 0.995 / (10 - 0.4)),
    ):
        rules = MarginRules(brackets, valuation, inverse=True)
        assert price_of(rules, Side.BUY, 25, **position) == pytest.approx(long, rel=1e-11)
        assert price_of(rules, Side.SELL, 25, **position) == pytest.approx(short, rel=1e-11)


@pytest.mark.parametrize(
    ("notional", "highest"), [(1e5, 150), (3e5, 150), (300_000.01, 100), (2e6, 75), (1e7, 50), (2e9, 0)]
)
def test_bracket_caps_the_leverage(notional: float, highest: int):
    dated = find_brackets(Exchange.BINANCE, "BTCUSDT", on=date(2026, 9, 30))
    assert dated is not None
    rules = MarginRules(dated.brackets)
    found = allowed_leverage(rules, entry_price=np.array([60_000.0]), notional=np.array([notional]))
    assert found.tolist() == [highest]


@given(
    brackets=st.sampled_from([BRACKETS, None]),
    valuation=st.sampled_from([Valuation.ENTRY, Valuation.MARK]),
    side=st.sampled_from(Side),
    leverage=st.integers(2, 150),
    entry=st.floats(1e-6, 1e6),
    notional=notionals,
    inverse=st.booleans(),
)
def test_price_is_where_margin_balance_meets_maintenance_margin(
    brackets: Brackets | None,
    valuation: Valuation,
    side: Side,
    leverage: int,
    entry: float,
    notional: float,
    inverse: bool,
):
    if inverse:  # caps of inverse contracts are in base currency
        entry = 1.0
    rules = MarginRules(brackets, valuation, inverse=inverse)
    position = {"entry": entry, "notional": notional}
    allowed = allowed_leverage(rules, entry_price=np.array([entry]), notional=np.array([notional]))[0]
    if leverage > allowed:
        return
    assert price_of(rules, side, leverage, **position) == pytest.approx(
        slow_price(rules, side, leverage, **position), rel=1e-9
    )


@given(
    valuation=st.sampled_from([Valuation.ENTRY, Valuation.MARK]),
    side=st.sampled_from(Side),
    cap=st.sampled_from(CAPS[:-1]),
    leverage=st.integers(2, 10),
)
def test_price_does_not_jump_at_a_bracket_s_edge(valuation: Valuation, side: Side, cap: float, leverage: int):
    rules = MarginRules(BRACKETS, valuation)
    below, above = (price_of(rules, side, leverage, entry=100.0, notional=cap + step) for step in (0, 1e-6))
    assert below == pytest.approx(above, rel=1e-9)


@given(
    valuation=st.sampled_from([Valuation.ENTRY, Valuation.MARK]),
    leverage=st.integers(2, 125),
    notional=st.floats(10, 1e8),
    inverse=st.booleans(),
)
def test_level_lies_on_the_losing_side_and_nearer_than_the_simple_one(
    valuation: Valuation, leverage: int, notional: float, inverse: bool
):
    rules = MarginRules(BRACKETS, valuation, inverse=inverse)
    bare = MarginRules(inverse=inverse)
    if leverage > allowed_leverage(rules, entry_price=np.ones(1), notional=np.array([notional]))[0]:
        return
    position = {"entry": 1.0, "notional": notional}
    assert (
        price_of(bare, Side.BUY, leverage, **position) <= price_of(rules, Side.BUY, leverage, **position) < 1
    )
    assert (
        price_of(bare, Side.SELL, leverage, **position)
        >= price_of(rules, Side.SELL, leverage, **position)
        > 1
    )


LEVERAGES = (10, 25, 50, 100)


@given(weights=st.lists(st.floats(0.01, 100), min_size=4, max_size=4), notional=notionals)
def test_shares_follow_the_weights_over_the_allowed_leverages_and_sum_to_one(
    weights: list[float], notional: float
):
    rules = MarginRules(BRACKETS)
    entry = {"entry_price": np.ones(1), "notional": np.array([notional])}
    share = shares(rules, LEVERAGES, weights, **entry)[:, 0]
    highest = allowed_leverage(rules, **entry)[0]
    allowed = [leverage <= highest for leverage in LEVERAGES]
    assert ((share > 0) == allowed).all()
    assert share.sum() == pytest.approx(1.0 if any(allowed) else 0.0)
    if sum(allowed) > 1:
        assert share[1] / share[0] == pytest.approx(weights[1] / weights[0])


def test_seed_library_s_way_counts_a_trade_in_full_at_every_leverage():
    share = shares(SIMPLE, LEVERAGES, (1, 1, 1, 1), entry_price=np.ones(2), notional=np.array([1.0, 1e12]))
    assert share.tolist() == [[1.0, 1.0]] * 4


# Isolated linear positions at 100,000 with a fee of 0.05 %: of OKX's formula, recomputed by hand.
@pytest.mark.parametrize(
    ("rate", "leverage", "long", "short"),
    [
        (0.004, 100, 99_447.51, 100_547.54),
        (0.004, 25, 96_433.95, 103_534.10),
        (0.005, 50, 98_541.98, 101_442.07),
        (0.0075, 10, 90_725.81, 109_126.98),
    ],
)
def test_levels_with_tiers_of_sizes_count_the_fee_for_closing(
    rate: float, leverage: int, long: float, short: float
):
    rules = MarginRules(Brackets.of([(10, rate, 100)]), Valuation.SIZE, fee=0.0005)
    for side, expected in ((Side.BUY, long), (Side.SELL, short)):
        entry, notional = np.array([100_000.0]), np.array([100_000.0])
        level = liquidation_price(rules, side, leverage=leverage, entry_price=entry, notional=notional)
        assert level == pytest.approx(expected, abs=0.005)


def test_tier_of_a_size_does_not_move_with_the_price_and_its_rate_counts_in_full():
    # Of BTC-USDT in May 2026: up to 10 coins 0.4 % and 100x, up to 50 coins 0.5 % and 66.66x.
    rules = MarginRules(Brackets.of([(10, 0.004, 100), (50, 0.005, 66.66)]), Valuation.SIZE, fee=0.0005)
    for price in (20_000.0, 100_000.0):
        entry, notional = np.full(3, price), price * np.array([10, 10.01, 50.01])
        assert allowed_leverage(rules, entry_price=entry, notional=notional).tolist() == [100, 66.66, 0]
        levels = liquidation_price(rules, Side.BUY, leverage=25, entry_price=entry, notional=notional)
        # No deduction makes the two meet: the level jumps.
        expected = [price * 0.96 / (1 - rate - 0.0005) for rate in (0.004, 0.005, 0.005)]
        assert levels == pytest.approx(expected, rel=1e-9)
