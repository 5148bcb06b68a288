from __future__ import annotations

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from liqmap.compute.clusters import find_clusters, labelled
from liqmap.compute.summary import summarize
from liqmap.compute.values import LevelBuckets, LiquidationMap
from liqmap.model import BAND_DISTANCES, Band, Cluster, Side
from liqmap.text import band_text, cluster_label, price_step, standing_text
from tests.liqmap.compute.test_levels import swept_map

LAST = 100.0


def buckets_of(side: Side, totals: list[float], *, first: float, size: float) -> LevelBuckets:
    """Return buckets of one side, `totals` going away from the last price, the nearest at `first`."""
    edges: NDArray[np.float64] = first + size * np.arange(len(totals) + 1.0)
    values = np.array(totals, np.float64)
    if side is Side.BUY:
        edges, values = (2 * LAST - edges)[::-1], values[::-1]
    nothing, middles = np.zeros_like(values), (edges[:-1] + edges[1:]) / 2
    long, short = (values, nothing) if side is Side.BUY else (nothing, values)
    of_long, of_short = (np.where(each > 0, middles, np.nan) for each in (long, short))
    return LevelBuckets(
        size,
        edges,
        (10,),
        long[np.newaxis],
        short[np.newaxis],
        long_price=of_long,
        short_price=of_short,
        long_near=of_long,
        short_near=of_short,
        swept=nothing,
    )


def found_in(
    totals: list[float], *, side: Side = Side.SELL, first: float = 101.0, size: float = 0.1
) -> tuple[Cluster, ...]:
    """Return the clusters of totals that stand in the middles of their buckets."""
    buckets = buckets_of(side, totals, first=first, size=size)
    away = np.abs((buckets.edges[:-1] + buckets.edges[1:]) / 2 / LAST - 1)
    bands = [
        Band(distance, *(float(each[0][away <= distance].sum()) for each in (buckets.long, buckets.short)))
        for distance in BAND_DISTANCES
    ]
    return find_clusters(buckets, bands, last_price=LAST)


def sums(clusters: tuple[Cluster, ...]) -> list[float]:
    return [each.notional for each in clusters]


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ([8, 6, 1, 0, 4, 0, 3.9, 0], [14, 4, 3.9]),  # however small beside the longest of all
        ([1, 0, 1000, 0, 1], [1, 1000, 1]),
        ([2, 5, 10, 6, 4, 1], [21]),  # a hump, without its ends
        ([10, 4.9, 9.7], [24.6]),  # fallen to less than half, but not risen to twice that again
        ([10, 4.9, 9.9], [10, 9.9]),
        ([10, 5, 10], [25]),
        ([3, 3, 3, 3], [12]),
        ([0, 0, 7, 0], [7]),
        ([0, 0], []),
    ],
)
def test_clusters_are_the_humps_of_the_bars(side: Side, totals: list[float], expected: list[float]):
    assert sums(found_in(totals, side=side)) == expected


def test_cluster_has_its_bounds_its_mean_price_and_its_side():
    for side, low, high, price in ((Side.SELL, 101.0, 101.2, 101.11), (Side.BUY, 98.8, 99.0, 98.89)):
        (cluster,) = found_in([2.0, 3.0, 0.0], side=side)
        assert cluster.side is side
        assert [cluster.low, cluster.high] == pytest.approx([low, high])
        assert cluster.price == pytest.approx(price)
        assert cluster.distance == pytest.approx(price / LAST - 1)
        assert (cluster.is_largest, cluster.is_nearest_large) == (True, True)
        assert abs(cluster.near) == pytest.approx(0.0105)


def test_equal_sums_are_ties_that_the_nearest_wins():
    noisy = 0.1 + 0.2
    assert noisy > 0.3
    for totals in ([0.3, 0, noisy, 0, 0.3], [noisy, 0, 0.3, 0, noisy], [0.1, 0.2, 0, noisy, 0, 0.3]):
        clusters = found_in(totals)
        assert {each.notional for each in clusters} == {0.3}
        assert [each.is_largest for each in clusters] == [True, False, False]
        assert labelled(clusters, buckets_of(Side.SELL, totals, first=101.0, size=0.1)) == clusters


def test_bar_of_exactly_half_the_length_belongs_however_its_sum_was_rounded():
    noisy = 0.7 + 0.1
    assert noisy < 0.8
    assert [each.notional for each in found_in([1.6, noisy])] == [2.4]
    assert [each.notional for each in found_in([1.6, 0.8])] == [2.4]


def test_nearest_large_cluster_is_judged_by_those_of_its_own_band():
    # Within 1 % are 1 and 5; the 100 at 6 % is no reason to pass over them.
    near = [0.0] * 60
    near[3], near[7], near[55] = 1.0, 5.0, 100.0
    clusters = found_in(near, first=100.0)
    assert [(each.notional, each.is_nearest_large, each.is_largest) for each in clusters] == [
        (1.0, False, False),
        (5.0, True, False),
        (100.0, False, True),
    ]
    # With nothing within 1 %, those within 2 % count, and so on.
    assert [each.notional for each in found_in(near, first=101.0) if each.is_nearest_large] == [5.0]
    assert [each.notional for each in found_in(near, first=107.0) if each.is_nearest_large] == [100.0]


def test_small_cluster_is_not_the_nearest_large_one_but_named_if_it_is_all_that_a_band_holds():
    totals = [0.0] * 60
    totals[3], totals[7], totals[14], totals[55] = 1.0, 4.0, 30.0, 100.0
    marks = [
        (each.notional, each.is_nearest_small, each.is_nearest_large, each.is_largest)
        for each in found_in(totals, first=100.0)
    ]
    # Less than a twentieth of the largest is small; of the small ones within 1 %, 4 is the largest.
    assert marks == [
        (1.0, False, False, False),
        (4.0, True, False, False),
        (30.0, False, True, False),
        (100.0, False, False, True),
    ]


def test_ends_of_a_hump_that_reach_into_a_band_are_named_if_nothing_else_is_there():
    # The hump begins at 1.2 %; of what stands before it, less than half as long, 1 % holds 1 and 2.
    totals = [0.0, 1.0, 2.0, 3.0, 3.0, 8.0, 10.0, 9.0]
    nearest, hump = found_in(totals, first=100.7)
    assert (nearest.notional, nearest.is_nearest_large) == (3.0, True)
    assert [nearest.low, nearest.high] == pytest.approx([100.8, 101.0])
    assert (hump.notional, hump.is_largest, hump.is_nearest_large) == (27.0, True, False)
    # Where the hump itself reaches in, its ends are not worth a word.
    assert sums(found_in(totals, first=100.3)) == [27.0]


def test_labels_are_for_named_clusters_first_and_for_the_largest_and_longest_then():
    totals = [1.0, 0, 2, 0, 30, 0, 7, 0, 9, 9, 9, 9, 9, 0, 20, 20, 0, 8, 0]
    buckets = buckets_of(Side.SELL, totals, first=101.2, size=0.1)
    clusters = found_in(totals, first=101.2)
    chosen = labelled(clusters, buckets)
    # Within 2 % are 1 to 7, of which 30 is large; 45 is the largest of all.
    assert [each.notional for each in chosen] == [45.0, 30.0, 40.0]
    assert [each.is_named for each in chosen] == [True, True, False]
    # Little beside the largest is not worth a label.
    few = [1000.0, 0, 40.0]
    chosen = labelled(found_in(few, first=110.0), buckets_of(Side.SELL, few, first=110.0, size=0.1))
    assert [each.notional for each in chosen] == [1000.0]
    longer = [*totals, 35.0]
    chosen = labelled(found_in(longer, first=101.2), buckets_of(Side.SELL, longer, first=101.2, size=0.1))
    assert [each.notional for each in chosen] == [45.0, 30.0, 40.0, 35.0]


bars = st.lists(
    st.one_of(st.just(0.0), st.floats(0.1, 1000).map(lambda value: round(value, 1))), min_size=1, max_size=60
)


@given(totals=bars, side=st.sampled_from(Side), first=st.sampled_from([100.0, 100.55, 101.0, 103.0, 120.0]))
def test_clusters_part_where_bars_are_short_beside_both(totals: list[float], side: Side, first: float):
    clusters = found_in(totals, side=side, first=first)
    assert bool(clusters) == any(totals)
    # What stands is in the middle of its bucket.
    starts = [round((abs(each.near) * LAST - (first - LAST)) / 0.1 - 0.5) for each in clusters]
    lengths = [round((each.high - each.low) / 0.1) for each in clusters]
    runs = [totals[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    for cluster, run in zip(clusters, runs, strict=True):
        assert cluster.notional == pytest.approx(sum(run))
        assert min(run[0], run[-1]) > 0
    assert all(one + length <= other for one, length, other in zip(starts, lengths, starts[1:], strict=False))
    # The nearest can be the end of a hump, and no hump itself.
    skipped = int(bool(runs) and min(runs[0][0], runs[0][-1]) < max(runs[0]) / 2)
    for run in runs[skipped:]:
        assert min(run[0], run[-1]) >= max(run) / 2
        for place, bar in enumerate(run):
            assert bar >= max(run[: place + 1]) / 2 or bar >= max(run[place:]) / 2
    for (start, run), (other, next_run) in pairwise([*zip(starts, runs, strict=True)][skipped:]):
        assert min(totals[start + len(run) : other]) < min(max(run), max(next_run)) / 2


def assert_words_agree_with_bands(drawn: LiquidationMap) -> None:
    """Where a band holds anything, the words beside it name something within it."""
    summary = summarize(drawn)
    step = price_step(summary.last_price, bucket_size=summary.bucket_size)
    for side, total, nearest, largest in (
        (Side.BUY, summary.standing_long, summary.nearest_long, summary.largest_long),
        (Side.SELL, summary.standing_short, summary.nearest_short, summary.largest_short),
    ):
        words = standing_text(total, nearest, largest, step=step)
        distances = [abs(float(each)) for each in re.findall(r"[-+]\d+\.\d\d", words)]
        for band in summary.bands:
            of_band = band_text(band, summary).split(", ")[side is Side.SELL]
            for small in drawn.clusters:
                if small.side is side and cluster_label(small, step=step) in of_band:
                    assert band.of(side) > 0
                    distances.append(abs(small.near) * 100)
            assert not band.of(side) or min(distances) <= band.distance * 100 + 0.005, (band, words, of_band)


@given(seed=st.integers(0, 10_000))
def test_words_never_contradict_the_bands(seed: int):
    assert_words_agree_with_bands(swept_map(seed).map)


@given(seed=st.integers(0, 10_000))
def test_named_clusters_are_labelled_and_all_labels_are_of_the_one_list(seed: int):
    drawn = swept_map(seed).map
    summary = summarize(drawn)
    in_words = {summary.nearest_long, summary.nearest_short, summary.largest_long, summary.largest_short}
    in_words |= {each for each in drawn.clusters if each.is_nearest_small}
    named = [each for each in drawn.labelled if each.is_named]
    assert set(named) == in_words - {None} == {each for each in drawn.clusters if each.is_named}
    assert set(drawn.labelled) <= set(drawn.clusters)
    assert list(drawn.labelled[: len(named)]) == named
