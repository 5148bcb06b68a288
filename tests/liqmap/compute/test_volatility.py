from __future__ import annotations

import math

import numpy as np
import pytest

from liqmap.compute.values import PricePath
from liqmap.compute.volatility import hourly_volatility


def path(minutes: list[int], close: list[float]) -> PricePath:
    prices = np.array(close)
    return PricePath(np.array(minutes, np.int64) * 60_000, prices, prices, prices)


def test_volatility_of_two_hours_is_the_root_of_half_the_squared_returns():
    # Up and down by 1 % in each half hour: four squared returns in two hours.
    close = [100.0, 101.0, 100.0, 101.0, 100.0]
    step = math.log(1.01)
    assert hourly_volatility(path([0, 30, 60, 90, 120], close)) == pytest.approx(math.sqrt(4 * step**2 / 2))


@pytest.mark.parametrize(("minutes", "close"), [([], []), ([0], [100.0]), ([0, 60], [100.0, 100.0])])
def test_volatility_of_a_price_that_never_moved_is_unknown(minutes: list[int], close: list[float]):
    assert hourly_volatility(path(minutes, close)) is None
