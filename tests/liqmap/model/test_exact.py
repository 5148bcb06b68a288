from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from liqmap.model.exact import DIGITS, rounded

DECADES = [float(f"1e{power}") for power in range(-11, 13)]


def slowly_rounded(value: float) -> float:
    """Return the float nearest to the first twelve digits, by decimal arithmetic."""
    return float(Context(prec=DIGITS, rounding=ROUND_HALF_EVEN).create_decimal(Decimal(value)))


def is_halfway(value: float) -> bool:
    """Return whether a value lies between two numbers of twelve digits, up to a float's noise."""
    scaled = Decimal(value).scaleb(DIGITS - 1 - Decimal(value).adjusted())
    return abs(scaled % 1 - Decimal("0.5")) < Decimal("0.001")


@pytest.mark.parametrize(
    ("noisy", "exact"),
    [
        (142.5 * (1 - 1 / 25), 136.8),
        (0.57 * 100, 57.0),
        (0.1 + 0.2, 0.3),
        (1.1 * 1.1, 1.21),
        (2.3 * 1e6, 2_300_000.0),
        (9.999_999_999_999_6, 10.0),
        (0.0, 0.0),
    ],
)
def test_noise_of_floats_is_rounded_away(noisy: float, exact: float):
    # Beside a value of another decade, and alone.
    assert rounded(np.array([noisy]))[0] == exact
    assert rounded(np.array([noisy, 1e7, 1e-7])).tolist() == [exact, 1e7, 1e-7]


@given(values=st.lists(st.floats(1e-11, 9.99e11) | st.sampled_from(DECADES), min_size=1, max_size=20))
def test_every_value_is_the_float_of_its_first_twelve_digits(values: list[float]):
    assume(not any(is_halfway(value) for value in values))
    assert rounded(np.array(values)).tolist() == [slowly_rounded(value) for value in values]


@given(
    digits=st.integers(1, 10**DIGITS - 1),
    decimals=st.integers(0, 18),
    noise=st.integers(-40, 40),
    beside=st.floats(1e-11, 1e12),
)
def test_decimal_number_survives_the_noise_of_forty_operations(
    digits: int, decimals: int, noise: int, beside: float
):
    number = float(Decimal(digits).scaleb(-decimals))
    assume(1e-11 <= number < 1e12)
    noisy = number + noise * np.spacing(number)
    assert rounded(np.array([noisy]))[0] == number
    assert rounded(np.array([beside, noisy]))[1] == number


@given(values=st.lists(st.floats(0, 1e300), min_size=2, max_size=20).map(sorted))
def test_order_is_kept_at_any_scale(values: list[float]):
    assert (np.diff(rounded(np.array(values))) >= 0).all()


@given(values=st.lists(st.floats(1e-11, 1e15), max_size=20))
def test_rounding_twice_changes_nothing_and_leaves_the_argument_alone(values: list[float]):
    given_ = np.array(values, np.float64)
    once = rounded(given_)
    assert rounded(once).tolist() == once.tolist()
    assert given_.tolist() == values


def test_beyond_the_decades_there_are_22_decimals_or_whole_numbers():
    assert rounded(np.array([3e-15 + 1e-30, 1.5e12 + 0.25])).tolist() == [3e-15, 1.5e12]
    assert rounded(np.array([np.inf, 1.0])).tolist() == [np.inf, 1.0]


def test_every_other_value_of_an_array_is_rounded_likewise():
    values = np.array([0.57 * 100, 9.0, 136.8 - 3e-14, 9.0])[::2]
    assert rounded(values).tolist() == [57.0, 136.8]
