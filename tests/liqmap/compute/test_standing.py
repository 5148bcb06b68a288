from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.open_shares import Volume, open_shares
from liqmap.compute.standing import Positions
from liqmap.compute.sweep import SweepPath
from liqmap.compute.values import PricePath
from liqmap.model import Side
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import TimeWindow

START = datetime(2023, 8, 1, tzinfo=UTC)
KIND = SeriesKind.OPEN_INTEREST


@given(st.lists(st.integers(90, 110).map(float), min_size=60, max_size=60), st.integers(0, 3_599_999))
def test_interval_in_which_a_level_was_swept_is_that_of_the_first_minute_that_reached_it(
    prices: list[float], offset: int
):
    window = TimeWindow(START, START + timedelta(hours=1))
    times, low = window.start_ms + 60_000 * np.arange(60), np.array(prices)
    traded = PricePath(times, low, low, low)
    path = SweepPath.of(window, traded, None, bin_seconds=60, timed=False)
    interest = Series.of(
        KIND, [window.start_ms + each * KIND.step_ms for each in range(-1, 12)], [(100.0,)] * 13
    )
    volume = Volume(times, np.ones(60))
    found = open_shares(window, interest, volume, covered=[window], turnover=0.0)
    levels, positions = np.arange(90.0, 111.0), Positions.of(found, path, traded)
    minute = offset // 60_000
    own = np.full(21, prices[minute])
    entries = positions.entries(Side.BUY, np.full(21, window.start_ms + offset), own)
    interval = positions.swept_in(Side.BUY, levels, interval=entries.interval, rest=entries.rest)
    for level, place in zip(levels, interval, strict=True):
        reached = [each for each in range(minute, 60) if prices[each] <= level]
        assert place == (reached[0] // 15 if reached else 3)  # what nothing reaches, the last price sweeps
