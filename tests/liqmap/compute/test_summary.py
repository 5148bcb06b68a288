import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.compute.summary import summarize
from liqmap.model import Side
from tests.liqmap.compute.test_levels import mapped, swept_map, trades


def test_summary_says_what_the_map_shows():
    buys, sells = trades(Side.BUY, (100.0, 10.0), (102.0, 5.0)), trades(Side.SELL, (100.0, 7.0))
    drawn = mapped(buys, sells, last=100.0)
    summary = summarize(drawn)
    assert summary.last_price == 100.0
    assert summary.trades == 1000
    assert (summary.selected_buy, summary.selected_sell) == (2, 1)
    assert (summary.selected_notional_buy, summary.selected_notional_sell) == (15.0, 7.0)
    # The long from 102 at 100x (100.98) has passed; the one at 50x stands at 99.96.
    assert summary.standing_long == pytest.approx(4 * 15 - 5)
    assert summary.standing_short == pytest.approx(28)
    assert summary.long_share == pytest.approx(55 / 83)


def test_named_clusters_are_the_map_s():
    drawn = mapped(trades(Side.BUY, (100.0, 10.0), (90.0, 90.0)), trades(Side.SELL), last=100.0)
    summary = summarize(drawn)
    assert summary.clusters == drawn.clusters
    assert summary.nearest_long == drawn.clusters[0]
    assert summary.largest_long == max(drawn.clusters, key=lambda each: each.notional)
    assert summary.nearest_short is None
    assert summary.largest_short is None


def test_bands_count_what_lies_within_their_distance():
    # Longs from 100 stand at 99 (1 %), 98, 96 and 90; shorts at 101, 102, 104 and 110.
    drawn = mapped(trades(Side.BUY, (100.0, 10.0)), trades(Side.SELL, (100.0, 7.0)), last=100.0)
    within = {band.distance: (band.long, band.short) for band in summarize(drawn).bands}
    assert within == {0.01: (10.0, 7.0), 0.02: (20.0, 14.0), 0.05: (30.0, 21.0)}


def test_nothing_standing_has_no_balance():
    drawn = mapped(trades(Side.BUY, (100.0, 1.0)), trades(Side.SELL), last=50.0)
    assert summarize(drawn).long_share is None


@given(seed=st.integers(0, 10_000))
def test_every_number_is_the_sum_of_its_levels(seed: int):
    found = swept_map(seed)
    drawn, summary = found.map, summarize(found.map)
    for side, levels, standing, swept in (
        (Side.BUY, found.longs, summary.standing_long, summary.swept_long),
        (Side.SELL, found.shorts, summary.standing_short, summary.swept_short),
    ):
        price, notional, stands = (
            np.concatenate([getattr(each, name) for each in levels])
            for name in ("price", "notional", "standing")
        )
        assert standing == pytest.approx(notional[stands].sum())
        assert swept == pytest.approx(notional[~stands].sum())
        for cluster in (each for each in drawn.clusters if each.side is side):
            inside = stands & (price >= cluster.low) & (price < cluster.high)
            assert cluster.notional == pytest.approx(notional[inside].sum())
            assert cluster.low <= cluster.price <= cluster.high
    assert (summary.nearest_long is None) == (summary.standing_long == 0)
