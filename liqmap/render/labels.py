"""Labels in a column, each as close to what it names as its neighbours allow, and the last price's pill.

A picture labels clusters of prices. Their labels stand one above the other in a column beside the bars, so a
label never lies on a bar. Their order is kept, so leaders from clusters to labels never cross.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model import Side
from liqmap.render.fonts import text_width
from liqmap.render.frame import fitting_size
from liqmap.render.style import SIZES, WIDTH, Palette
from liqmap.text import cluster_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from liqmap.model import Cluster
    from liqmap.render.canvas import Box, Canvas
    from liqmap.render.panel import Panel

PILL_HEIGHT: Final = 34

LABEL_SPACING: Final = SIZES.label + 6
"""From the middle of one label to that of the next, at least [px]."""

_OFF_PILL = 3  # from the last price to the nearest label [px]
_ASLANT = 20  # the width in which a leader climbs to its label [px]
_BESIDE = 6  # from a leader to its label [px]

LABEL_INDENT: Final = _ASLANT + _BESIDE
"""From where leaders leave the bars to where labels begin [px]."""


@dataclass(frozen=True, slots=True)
class LabelColumn:
    """Where the labels of a picture stand: beside `panel`, off the last price's `pill`.

    Leaders are level up to `elbow` and aslant from there. The panel's ends are kept free by `strip` pixels.
    Labels have letters of `size` at most, on the colour `ground`.
    """

    panel: Panel
    pill: Box
    elbow: float
    strip: float
    size: int
    ground: str

    def draw(self, canvas: Canvas, starts: Mapping[Cluster, float], *, step: float, palette: Palette) -> None:
        """Label the clusters that have room, by leaders from `starts` [px]; prices are as exact as `step`."""
        heights = cluster_heights(list(starts), panel=self.panel, pill=self.pill, strip=self.strip)
        if not heights:
            return
        # One line with breaks: a line each would take a millisecond.
        middles = self.panel.y([cluster.price for cluster in heights])
        x = [(starts[cluster], self.elbow, self.elbow + _ASLANT, np.nan) for cluster in heights]
        y = [(level, level, end, np.nan) for level, end in zip(middles, heights.values(), strict=True)]
        canvas.line(np.ravel(x), np.ravel(y), palette.muted, width=1.5)
        left, boxes = self.elbow + LABEL_INDENT, []
        for cluster, height in heights.items():
            text = cluster_label(cluster, step=step)
            size = fitting_size(text, self.size, left=left, right=WIDTH - 4)
            boxes.append(canvas.text(left, height, text, palette.text, size=size))
        # Letters lie over all shapes. Their ground hides what would show between them, such as outlines.
        canvas.boxes([box.widened(3, 2) for box in boxes], self.ground)


def pill_width(text: str) -> float:
    """Return the width of the box that the last price is written on [px]."""
    return text_width(text, size=SIZES.label, bold=True) + 20


def draw_pill(canvas: Canvas, pill: Box, text: str, palette: Palette) -> None:
    """Write the last price on its box."""
    canvas.rectangle(pill, palette.text)
    y = (pill.bottom + pill.top) / 2
    canvas.text(pill.left + 10, y, text, palette.background, size=SIZES.label, bold=True)


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
