from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from liqmap.model import Cluster, Side
from liqmap.run.scan import _nearest_of


def cluster(distance: float, notional: float) -> Cluster:
    at = 100 * (1 + distance)
    return Cluster(Side.BUY if distance < 0 else Side.SELL, at, at, at, distance, distance, notional)


def test_clusters_below_the_least_size_are_passed_over_for_the_nearest_that_is_large_enough():
    clusters = [cluster(-0.001, 1e6), cluster(-0.004, 2e7), cluster(-0.003, 3e7), cluster(0.002, 1e6)]
    summary: Any = SimpleNamespace(clusters=clusters)
    below, above = _nearest_of(summary, 2e7)
    assert below == clusters[2]
    assert above is None
    assert _nearest_of(summary, 1e6) == (clusters[0], clusters[3])
