import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.margin import liquidation_price
from liqmap.model import MarginModel, Side


@pytest.mark.parametrize(
    ("leverage", "long", "short"),
    [(10, 26_100.0, 31_900.0), (25, 27_840.0, 30_160.0), (50, 28_420.0, 29_580.0), (100, 28_710.0, 29_290.0)],
)
def test_simple_model_is_the_seed_library_s_factor(leverage: int, long: float, short: float):
    entry = np.array([29_000.0])
    assert liquidation_price(
        MarginModel.SIMPLE, Side.BUY, leverage=leverage, entry_price=entry
    ) == pytest.approx(long)
    assert liquidation_price(
        MarginModel.SIMPLE, Side.SELL, leverage=leverage, entry_price=entry
    ) == pytest.approx(short)


@given(entry=st.floats(1e-8, 1e6), leverage=st.integers(2, 150))
def test_level_lies_on_the_losing_side_of_the_entry(entry: float, leverage: int):
    prices = np.array([entry])
    assert liquidation_price(MarginModel.SIMPLE, Side.BUY, leverage=leverage, entry_price=prices) < entry
    assert liquidation_price(MarginModel.SIMPLE, Side.SELL, leverage=leverage, entry_price=prices) > entry
