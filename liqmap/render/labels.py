"""Labels in a column: each as close to what it names as its neighbours allow, in the same order.

A picture labels clusters of prices. Their labels stand one above the other in a column beside the bars, so a
label never lies on a bar, and because order is kept, straight leaders from clusters to labels never cross.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model import Side
from liqmap.render.style import SIZES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from liqmap.model import Cluster
    from liqmap.render.canvas import Box
    from liqmap.render.panel import Panel

LABEL_SPACING: Final = SIZES.label + 6
"""From the middle of one label to that of the next, at least [px]."""

_OFF_PILL = 3  # from the last price to the nearest label [px]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of the column that labels of one side may fill, from `low` to `high` [px]."""

    low: float
    high: float

    def capacity(self, *, spacing: float) -> int:
        """Return how many labels of the height `spacing` fit."""
        return max(0, math.floor((self.high - self.low) / spacing + 1e-9))


def cluster_heights(
    clusters: Sequence[Cluster], *, panel: Panel, pill: Box, strip: float
) -> dict[Cluster, float]:
    """Return the heights [px] of the labels of the clusters that have room for one.

    Clusters below the last price are labelled below its `pill`, those above it above. The panel's ends are
    kept free by `strip` pixels. Those that words name are dropped last, then the largest.
    """
    stretches = {
        Side.BUY: Stretch(panel.box.bottom + strip, pill.bottom - _OFF_PILL),
        Side.SELL: Stretch(pill.top + _OFF_PILL, panel.box.top - strip),
    }
    heights: dict[Cluster, float] = {}
    for side, stretch in stretches.items():
        mine = [each for each in clusters if each.side is side]
        middles = [float(panel.y(each.price)) for each in mine]
        importance = [math.inf if each.is_named else each.notional for each in mine]
        found = laid_out(middles, importance, stretch, spacing=LABEL_SPACING)
        heights |= {mine[index]: height for index, height in found.items()}
    return heights


def laid_out(
    middles: Sequence[float], importance: Sequence[float], stretch: Stretch, *, spacing: float
) -> dict[int, float]:
    """Return the heights [px] of the labels' middles, by index; those without room are left out.

    `middles` are the heights of what the labels name, in any order. Where there are more labels than fit into
    `stretch`, those of least `importance` are dropped; of equal ones the later. The others keep the order of
    their `middles`, lie at least `spacing` apart, and are shifted as little as that takes, by the sum of the
    squared shifts.
    """
    kept = sorted(range(len(middles)), key=lambda index: -importance[index])
    kept = sorted(kept[: stretch.capacity(spacing=spacing)], key=lambda index: middles[index])
    if not kept:
        return {}
    # Without the room that the labels below take, order is all that is asked of the heights.
    rooms = np.arange(len(kept)) * spacing
    wanted = np.array([middles[index] for index in kept]) - rooms
    lowest, highest = stretch.low + spacing / 2, stretch.high - spacing / 2 - rooms[-1]
    heights = np.clip(_ordered(wanted), lowest, max(lowest, highest)) + rooms
    return dict(zip(kept, heights.tolist(), strict=True))


def _ordered(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values that never fall and are closest to `values`, by the sum of squares.

    Pool adjacent violators: Barlow and others, Statistical Inference under Order Restrictions (1972).
    """
    sums: list[float] = []
    counts: list[int] = []
    for value in values:
        sums.append(float(value))
        counts.append(1)
        while len(sums) > 1 and sums[-2] / counts[-2] > sums[-1] / counts[-1]:
            last_sum, last_count = sums.pop(), counts.pop()
            sums[-1] += last_sum
            counts[-1] += last_count
    return np.repeat(np.array(sums) / np.array(counts), counts)
