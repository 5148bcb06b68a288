"""Labels in a column, each as close to what it names as its neighbours allow, and the last price's pill.

A picture labels clusters of prices. Their labels stand one above the other in a column beside the bars, so a
label never lies on a bar. Their order is kept, so leaders from clusters to labels never cross.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from liqmap.model import Side
from liqmap.render.canvas import text_box
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


class Placed(NamedTuple):
    """A label as it is placed: its letters, the box that they take, and the points of its leader [px]."""

    cluster: Cluster
    text: str
    size: int
    box: Box
    leader: tuple[tuple[float, float], ...]


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

    def placed(self, starts: Mapping[Cluster, float], *, step: float) -> list[Placed]:
        """Place the labels of the clusters that have room; leaders begin at `starts` [px].

        Prices are as exact as `step`.
        """
        heights = cluster_heights(list(starts), panel=self.panel, pill=self.pill, strip=self.strip)
        left, found = self.elbow + LABEL_INDENT, []
        for cluster, height in heights.items():
            text, level = cluster_label(cluster, step=step), float(self.panel.y(cluster.price))
            size = fitting_size(text, self.size, left=left, right=WIDTH - 4)
            box = text_box(left, height, text, size=size)
            leader = ((starts[cluster], level), (self.elbow, level), (self.elbow + _ASLANT, height))
            found.append(Placed(cluster, text, size, box, leader))
        return found

    def draw(self, canvas: Canvas, placed: Sequence[Placed], palette: Palette) -> None:
        """Write placed labels, and draw their leaders."""
        if not placed:
            return
        # One line with breaks: a line each would take a millisecond.
        points = np.array([[*each.leader, (np.nan, np.nan)] for each in placed]).reshape(-1, 2)
        canvas.line(points[:, 0], points[:, 1], palette.muted, width=1.5)
        for each in placed:
            y = (each.box.bottom + each.box.top) / 2
            canvas.text(each.box.left, y, each.text, palette.text, size=each.size)
        # Letters lie over all shapes. Their ground hides what would show between them, such as outlines.
        canvas.boxes([each.box.widened(3, 3) for each in placed], self.ground)


def pill_width(text: str) -> float:
    """Return the width of the box that the last price is written on [px]."""
    return text_width(text, size=SIZES.label, bold=True) + 20


def draw_pill(canvas: Canvas, pill: Box, text: str, palette: Palette) -> None:
    """Write the last price on its box, in letters that fit into it."""
    canvas.rectangle(pill, palette.text)
    left, y = pill.left + 10, (pill.bottom + pill.top) / 2
    size = fitting_size(text, SIZES.label, left=left, right=pill.right - 9, bold=True)
    canvas.text(left, y, text, palette.background, size=size, bold=True)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The part of the column that labels of one side may fill, from `low` to `high` [px]."""

    low: float
    high: float

    def capacity(self, *, spacing: float) -> int:
        """Return how many labels of the height `spacing` fit."""
        # Against a float's noise where the labels fit exactly.
        return max(0, math.floor((self.high - self.low) / spacing + 1e-9))


def label_room(clusters: Sequence[Cluster], side: Side, *, strip: float) -> float:
    """Return how far the last price must lie from a panel's end for all named clusters to have room [px]."""
    named = sum(each.is_named for each in clusters if each.side is side)
    return strip + PILL_HEIGHT / 2 + _OFF_PILL + named * LABEL_SPACING + 1


def cluster_heights(
    clusters: Sequence[Cluster], *, panel: Panel, pill: Box, strip: float
) -> dict[Cluster, float]:
    """Return the heights [px] of the labels of the clusters that have room for one.

    Clusters below the last price are labelled below its `pill`, those above it above. The panel's ends are
    kept free by `strip` pixels. A side's largest and nearest large ones are dropped last, then those that
    words name, then the largest.
    """
    stretches = {
        Side.BUY: Stretch(panel.box.bottom + strip, pill.bottom - _OFF_PILL),
        Side.SELL: Stretch(pill.top + _OFF_PILL, panel.box.top - strip),
    }
    heights: dict[Cluster, float] = {}
    for side, stretch in stretches.items():
        mine = sorted((each for each in clusters if each.side is side), key=_importance)
        middles = [float(panel.y(each.price)) for each in mine]
        found = laid_out(middles, range(len(mine)), stretch, spacing=LABEL_SPACING)
        heights |= {mine[index]: height for index, height in found.items()}
    return heights


def _importance(cluster: Cluster) -> tuple[bool, bool, float]:
    """Return a sort key: the least important cluster first."""
    return cluster.is_largest or cluster.is_nearest_large, cluster.is_named, cluster.notional


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
