from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import liqmap.compute.aftermath
from liqmap.compute.aftermath import aftermath
from liqmap.model import Side
from tests.liqmap.compute.test_levels import entered, path, trades, walk


@pytest.mark.parametrize(
    ("few", "some"), [(0, 0), (0, 10**6), (10**6, 0)], ids=["tabulated", "searched", "looked through"]
)
@given(seed=st.integers(0, 10_000), bin_seconds=st.sampled_from([1, 7, 60, 300]), side=st.sampled_from(Side))
def test_aftermath_is_the_worst_of_the_seconds_after_the_entry_s(
    few: int, some: int, seed: int, bin_seconds: int, side: Side
):
    bars = walk(seed)
    selected = entered(side, bars, seed)
    never = np.inf if side is Side.BUY else -np.inf
    adverse, worst = (bars.low, np.min) if side is Side.BUY else (bars.high, np.max)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(liqmap.compute.aftermath, "_FEW", few)
        patch.setattr(liqmap.compute.aftermath, "_SOME", some)
        found = aftermath(bars, selected, bin_seconds=bin_seconds, later=never)
    assert found.soon is not None
    for row, time in enumerate(selected.time):
        next_second, next_bin = ((time // width + 1) * width for width in (1000, 1000 * bin_seconds))
        later = bars.time >= next_second
        soon = later & (bars.time < next_bin)
        for rows, value in ((later, found.extreme[row]), (soon, found.soon[row])):
            assert value == (worst(adverse[rows]) if rows.any() else never)


def test_aftermath_includes_prices_after_the_segment():
    bars = path(100.0, 99.0)
    selected = trades(Side.BUY, (100.0, 1.0), (99.0, 1.0))
    assert aftermath(bars, selected, bin_seconds=60, later=98.0).extreme.tolist() == [98.0, 98.0]
    assert aftermath(bars, selected, bin_seconds=60, later=np.inf).extreme.tolist() == [99.0, np.inf]
