from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from liqmap.simulator import SimulatedMarket
from liqmap.simulator.positions import PositionBook, standing_notional

DAY = date(2026, 9, 1)


def test_each_side_opens_less_than_it_closes_by_the_change_of_open_interest():
    market = SimulatedMarket(scale=0.002)
    book = None
    for day in (DAY, DAY + timedelta(days=1)):
        made = market.day("BTCUSDT", day)
        series = market.series_in(made)
        book = book or PositionBook(seed=1, interest=float(series.interest[0]))
        book.add(made, series)
        for steps in book.steps:
            change = [each.opened - each.closed - each.liquidated for each in steps]
            assert change == pytest.approx(np.diff(series.interest), abs=1e-6)
            assert min(min(each.opened, each.closed, each.liquidated) for each in steps) >= -1e-9
        for side in (book.longs, book.shorts):
            assert side.total == pytest.approx(series.interest[-1], rel=1e-6)
    assert book is not None
    # What still stands lies where the mark price has not been.
    assert (book.longs.level < series.close[-1]).all()
    assert (book.shorts.level > series.close[-1]).all()
    edges = np.array([0.0, 1e9])
    assert standing_notional(book.longs, edges)[0] == pytest.approx(
        (book.longs.size * book.longs.entry).sum()
    )
    assert sum(each.liquidated for steps in book.steps for each in steps) > 0
