"""Labels of whole maps, laid out by the code that draws them, without any pixels."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from liqmap.compute.buckets import band_bound
from liqmap.compute.clusters import find_clusters, labelled
from liqmap.compute.grid import PriceGrid
from liqmap.compute.heatmap import _grid as heatmap_grid
from liqmap.compute.values import Heatmap, LevelBuckets, LiquidationMap, PricePath
from liqmap.model import (
    BAND_DISTANCES,
    Band,
    Cluster,
    Coverage,
    Exchange,
    Gap,
    GapKind,
    LeftOut,
    LeftOutKind,
    Market,
    OpenInterest,
    Side,
)
from liqmap.model.window import TimeWindow
from liqmap.render.axes import step_of
from liqmap.render.bars import standing_totals
from liqmap.render.canvas import Box
from liqmap.render.heatmap import _label_column as heatmap_column
from liqmap.render.heatmap import _panel as heatmap_panel
from liqmap.render.labels import LabelColumn, Placed
from liqmap.render.map import _brackets, _label_column, _map_panels, _pill
from liqmap.render.panel import Panel
from liqmap.render.style import PALETTES, WIDTH
from tests.liqmap.test_render import VARIANTS

LEVELS, SURROUNDINGS = 1000, 5
PLAIN = VARIANTS["plain"]


def random_map(random: np.random.Generator) -> LiquidationMap:
    """Return a map of humps of any shape on both sides or one, near the last price or far from it."""
    last = float(10 ** random.uniform(-5, 5.2))
    reach = 10 ** random.uniform(-3, -0.2, 2)  # of the lowest and the highest level, from the last price
    grid = PriceGrid.over(last * (1 - reach[0]), last * (1 + reach[1]), buckets=100, least_span=last / 1000)
    middles = (grid.edges[:-1] + grid.edges[1:]) / 2
    total = np.zeros(len(grid))
    for _ in range(int(random.integers(1, 14))):
        centre, width = random.uniform(middles[0], middles[-1]), random.choice([0.4, 2, 8, 30]) * grid.size
        total += 10 ** random.uniform(3, 9) * np.exp(-(((middles - centre) / width) ** 2))
    total *= (total > 0.02 * total.max()) * random.choice([0, 1], len(grid), p=[0.2, 0.8])
    below, above = middles < last - grid.size / 2, middles > last + grid.size / 2
    one_sided = random.random()
    long, short = total * below * (one_sided > 0.1), total * above * (one_sided < 0.9)
    buckets = LevelBuckets(
        grid.size,
        grid.edges,
        (10,),
        long[np.newaxis],
        short[np.newaxis],
        long_price=np.where(long > 0, middles, np.nan),
        short_price=np.where(short > 0, middles, np.nan),
        long_near=np.where(long > 0, middles, np.nan),
        short_near=np.where(short > 0, middles, np.nan),
        swept=np.zeros(len(grid)),
    )
    bands = []
    for distance in BAND_DISTANCES:
        low, high = (band_bound(side, distance, last_price=last) for side in Side)
        bands.append(Band(distance, float(long[middles > low].sum()), float(short[middles <= high].sum())))
    clusters = find_clusters(buckets, bands, last_price=last)
    return replace(
        PLAIN,
        last_price=last,
        buckets=buckets,
        bands=tuple(bands),
        clusters=clusters,
        labelled=labelled(clusters, buckets),
    )


def surrounded(drawn: LiquidationMap, random: np.random.Generator) -> LiquidationMap:
    """Return the map with any price path, and with few or many words around the plots."""
    last = drawn.last_price
    low, high = last * (1 + random.uniform(0, 10 ** random.uniform(-3, -0.3), 2) * (-1, 1))
    path = PricePath(PLAIN.path.time[:2], *(np.array([last, price]) for price in (low, high, last)))
    return replace(
        drawn,
        path=path,
        coverage=random_coverage(random),
        left_out=LEFT_OUT * int(random.integers(0, 2)),
        unplaced=1e6 * int(random.integers(0, 2)),
        open_interest=None if random.random() < 0.5 else OpenInterest(None, 1e5, 1e9, 0.4, 1.7),
    )


LEFT_OUT = tuple(
    LeftOut(
        Market(each, "BTCUSDT"),
        LeftOutKind.FAILED,
        problem="it did not answer three times within ten seconds",
    )
    for each in (Exchange.BYBIT, Exchange.OKX)
)


def random_coverage(random: np.random.Generator) -> Coverage:
    """Return the coverage of a window that is whole, or lacks a part and has much to say about it."""
    window = PLAIN.request.window
    if random.random() < 0.5:
        return PLAIN.coverage
    start = window.start + timedelta(hours=int(random.integers(1, 4)))
    gap = TimeWindow(start, min(window.end, start + timedelta(hours=int(random.integers(1, 4)))))
    parts = tuple(
        TimeWindow(*each) for each in ((window.start, gap.start), (gap.end, window.end)) if each[0] < each[1]
    )
    since = datetime(2026, 11, 25, 2, 13, tzinfo=UTC)
    missing = (Gap(gap, GapKind.RECORDING_STARTED_LATER, Exchange.BYBIT, since=since),)
    last_trade = gap.start if gap.end == window.end else window.end
    return Coverage(window, parts, missing, ("Bybit linear daily files",), last_trade=last_trade)


class Layout(NamedTuple):
    """A panel of labelled prices, where its bars end, the last price's box, and the labels from below."""

    panel: Panel
    ends: NDArray[np.float64]
    pill: Box
    labels: list[Placed]


def of_map(drawn: LiquidationMap) -> Layout:
    _, panel = _map_panels(drawn)
    pill, _ = _pill(panel, drawn)
    column = _label_column(panel, drawn, PALETTES[drawn.request.theme], pill=pill)
    starts = {cluster: bracket.right for cluster, bracket in _brackets(panel, drawn).items()}
    return Layout(panel, panel.x(standing_totals(drawn)), pill, ordered(column, starts, drawn))


def of_heatmap(drawn: LiquidationMap) -> Layout:
    edges = heatmap_grid(drawn).edges
    window = drawn.request.window
    time, value = np.array([window.start_ms, window.end_ms]), np.zeros((len(edges) - 1, 1))
    panel = heatmap_panel(drawn, Heatmap(edges, time, value, below=0.0, above=0.0))
    column = heatmap_column(panel, drawn, PALETTES[drawn.request.theme])
    starts = dict.fromkeys(drawn.labelled, panel.box.right)
    return Layout(
        panel, np.full(len(drawn.buckets.swept), panel.box.right), column.pill, ordered(column, starts, drawn)
    )


def ordered(column: LabelColumn, starts: dict[Cluster, float], drawn: LiquidationMap) -> list[Placed]:
    return sorted(column.placed(starts, step=step_of(drawn)), key=lambda each: each.box.bottom)


def check(drawn: LiquidationMap, layout: Layout) -> int:
    """Check what must be so of the labels of any picture, and return their number."""
    panel, ends, pill, labels = layout
    edges, last = panel.y(drawn.buckets.edges), float(panel.y(drawn.last_price))
    assert [each.cluster.price for each in labels] == sorted(each.cluster.price for each in labels)
    for each in labels:
        assert (each.box.bottom > last) == (each.cluster.side is Side.SELL)
        assert each.box.lies_in(Box(panel.box.left, panel.box.bottom, WIDTH, panel.box.top))
        # Right of all bars, so never beside the bars of others, and off the last price.
        assert each.box.left > ends.max()
        assert not each.box.overlaps(pill)
        (start, y), (elbow, same), (tip, height) = each.leader
        assert y == same
        assert ends.max() < elbow < tip < each.box.left
        assert each.box.bottom < height < each.box.top
        # Where it is level, only shorter bars lie beside it: those of its cluster end left of the bracket.
        assert not ((edges[:-1] <= y) & (y < edges[1:]) & (ends > start)).any()
        assert elbow <= pill.left or not pill.bottom < y < pill.top
    for lower, higher in pairwise(labels):
        assert not lower.box.overlaps(higher.box)
        # Level and aslant in the same columns and in the same order: they cannot cross.
        assert lower.leader[1] < higher.leader[1]
        assert lower.leader[2] < higher.leader[2]
    named = {each.cluster for each in labels}
    assert all(one in named for one in drawn.clusters if one.is_largest or one.is_nearest_large)
    return len(labels)


def test_labels_of_any_map_keep_order_side_and_distance_and_the_most_important_are_there():
    random = np.random.default_rng(20261128)
    counts = []
    for _ in range(LEVELS):
        drawn = random_map(random)
        for _ in range(SURROUNDINGS):
            around = surrounded(drawn, random)
            counts.append(check(around, of_map(around)))
        check(around, of_heatmap(around))
    # They are maps of many kinds: of no label, and of as many as there can be.
    assert len(counts) == 5000
    assert min(counts) == 0
    assert max(counts) >= 8
