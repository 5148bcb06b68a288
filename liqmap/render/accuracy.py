"""The accuracy: what fell into marked zones more than into equally distant ones, and the days behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from liqmap.model import Theme
from liqmap.render.canvas import Box, Canvas
from liqmap.render.fonts import text_width, wrapped
from liqmap.render.panel import Panel, round_ticks
from liqmap.render.style import HEIGHT, PALETTES, SIZES, WIDTH, Palette

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from liqmap.render.canvas import Anchor

_MARGIN = 28
_A_ROW: Final = 90  # days
_STRIP_TOP, _STRIP_BOTTOM = 176, 92
_LINE = 34
_LEAST_SPAN = 0.02  # so that noise around zero does not fill the panel


class DayMark(Enum):
    """What a day of the strip shows."""

    SCORED = auto()
    COUNTED = auto()
    VOID = auto()
    WAITING = auto()


class Curve(NamedTuple):
    """A line over the bins of distance, and its band: shares, arrays of one length."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AccuracyPicture:
    """What the picture shows. `edges` are where the bins of distance begin [sigmas]; the last has no end.

    `longs` and `shorts` are the difference of shares by bin, None before anything was scored. `strip` is
    the mark of each day on which a map was sealed.
    """

    title: str
    sentence: str
    foot: str
    edges: Sequence[float]
    longs: Curve | None
    shorts: Curve | None
    strip: Mapping[date, DayMark]
    simulated: bool
    theme: Theme = Theme.DARK


def draw_accuracy(picture: AccuracyPicture) -> bytes:
    """Draw what the ledger says so far, as PNG of WIDTH × HEIGHT pixels."""
    palette = PALETTES[picture.theme]
    canvas = Canvas(WIDTH, HEIGHT, background=palette.background)
    _draw_title(canvas, picture, palette)
    y = HEIGHT - 92
    for line in wrapped(picture.sentence, WIDTH - 2 * _MARGIN, size=SIZES.subtitle):
        canvas.text(_MARGIN, y, line, palette.text, size=SIZES.subtitle)
        y -= _LINE
    box = Box(_MARGIN + 92, _STRIP_TOP + 112, WIDTH - _MARGIN, y - 40)
    _draw_curves(canvas, box, picture, palette)
    _draw_strip(canvas, picture, palette)
    canvas.text(_MARGIN, 24, picture.foot, palette.muted, size=SIZES.foot)
    return canvas.png()


def _draw_title(canvas: Canvas, picture: AccuracyPicture, palette: Palette) -> None:
    y = HEIGHT - 42
    title = canvas.text(_MARGIN, y, picture.title, palette.text, size=SIZES.title, bold=True)
    canvas.text(title.right + 14, y, "accuracy", palette.text, size=SIZES.title)
    if picture.simulated:
        right = WIDTH - _MARGIN
        canvas.text(right, y, "SIMULATED DATA", palette.warning, size=SIZES.label, anchor="r", bold=True)


def _draw_curves(canvas: Canvas, box: Box, picture: AccuracyPicture, palette: Palette) -> None:
    canvas.rectangle(box, palette.panel)
    curves = [
        (curve, word, colour)
        for curve, word, colour in (
            (picture.longs, "longs below", palette.long),
            (picture.shorts, "shorts above", palette.short),
        )
        if curve is not None
    ]
    most = max((float(np.abs(np.r_[curve.low, curve.high]).max()) for curve, *_ in curves), default=0.0)
    span = max(most * 1.12, _LEAST_SPAN)
    bins = len(picture.edges)
    panel = Panel(box, (0.0, float(bins)), (-span, span))
    if picture.simulated:
        _draw_watermark(canvas, box, palette)
    _draw_axes(canvas, panel, picture, palette)
    if not curves:
        middle = (box.left + box.right) / 2, (box.bottom + box.top) / 2 + 30
        canvas.text(*middle, "nothing is scored yet", palette.muted, size=SIZES.subtitle, anchor="m")
    x = panel.x(np.arange(bins) + 0.5)
    for curve, _, colour in curves:
        outline = np.r_[panel.y(curve.high), panel.y(curve.low)[::-1]]
        canvas.area(np.r_[x, x[::-1]], outline, colour, opacity=0.22)
    left = box.left
    for curve, word, colour in curves:
        # A rim of the panel's colour keeps curves apart where they cross.
        canvas.line(x, panel.y(curve.value), palette.panel, width=7)
        canvas.line(x, panel.y(curve.value), colour, width=4)
        named = canvas.text(left, box.top + 24, word, colour, size=SIZES.label, bold=True)
        left = named.right + 28
    if curves:
        text = "marked minus equally distant zones, with the 95 % band"
        canvas.text(box.right, box.top + 24, text, palette.muted, size=SIZES.tick, anchor="r")


def _draw_axes(canvas: Canvas, panel: Panel, picture: AccuracyPicture, palette: Palette) -> None:
    box = panel.box
    ticks, step = round_ticks(*panel.y_range, count=6)
    digits = 0 if step >= 0.01 else 1
    for tick, y in zip(ticks.tolist(), panel.y(ticks).tolist(), strict=True):
        is_zero = abs(tick) < step / 2
        colour = palette.muted if is_zero else palette.grid
        canvas.line([box.left, box.right], [y, y], colour, width=2.4 if is_zero else 1.0)
        # With a minus sign, which is as wide as a plus.
        words = "0" if is_zero else f"{tick * 100:+.{digits}f} pp".replace("-", "−")
        canvas.text(box.left - 10, y, words, palette.muted, size=SIZES.tick, anchor="r")
    for place, edge in enumerate(picture.edges):
        last = place + 1 == len(picture.edges)
        words = f"{edge:g}+" if last else f"{edge:g}–{picture.edges[place + 1]:g}"
        x = float(panel.x(place + 0.5))
        canvas.text(x, box.bottom - 20, words, palette.muted, size=SIZES.tick, anchor="m")
    middle = (box.left + box.right) / 2
    words = "distance from the price when sealed, in σ of eight hours"
    canvas.text(middle, box.bottom - 50, words, palette.muted, size=SIZES.tick, anchor="m")


def _draw_strip(canvas: Canvas, picture: AccuracyPicture, palette: Palette) -> None:
    """Draw a cell a day in rows of ninety: filled if scored, dim if only counted, hollow if void.

    A day without any map keeps its empty cell, so that a pause in the measuring is seen.
    """
    first, last = min(picture.strip, default=date.min), max(picture.strip, default=date.min)
    left, right = _MARGIN + 92, WIDTH - _MARGIN
    rows = 1 + (last - first).days // _A_ROW
    height, width = (_STRIP_TOP - _STRIP_BOTTOM) / rows, (right - left) / _A_ROW
    canvas.text(
        left - 10, (_STRIP_TOP + _STRIP_BOTTOM) / 2, "days", palette.muted, size=SIZES.tick, anchor="r"
    )
    for place in range(rows * _A_ROW):
        row, column = divmod(place, _A_ROW)
        top = _STRIP_TOP - row * height
        cell = Box(left + column * width + 1, top - height + 2, left + (column + 1) * width - 1, top - 2)
        mark = picture.strip.get(first + timedelta(place))
        canvas.rectangle(cell, _cell_colour(mark, palette))
        if mark in {DayMark.VOID, DayMark.WAITING}:
            canvas.rectangle(cell.widened(-2, -2), palette.background)
    if picture.strip:
        _write(canvas, left, 66, f"{first} to {last}", palette, anchor="l")
    legend = "filled: scored · dim: counted · hollow: void, not over · empty: no map"
    _write(canvas, right, 66, legend, palette, anchor="r")


def _write(canvas: Canvas, x: float, y: float, text: str, palette: Palette, *, anchor: Anchor) -> None:
    canvas.text(x, y, text, palette.muted, size=SIZES.tick, anchor=anchor)


def _cell_colour(mark: DayMark | None, palette: Palette) -> str:
    match mark:
        case DayMark.SCORED:
            return palette.leverages[1]
        case DayMark.COUNTED:
            return palette.ghost
        case DayMark.VOID:
            return palette.warning
        case DayMark.WAITING:
            return palette.muted
        case None:
            return palette.panel


def _draw_watermark(canvas: Canvas, box: Box, palette: Palette) -> None:
    words = "SIMULATED DATA"
    size = int(85 * box.width / text_width(words, size=100, bold=True))
    x, y = (box.left + box.right) / 2, (box.bottom + box.top) / 2
    canvas.text(x, y, words, palette.text, size=size, anchor="m", bold=True, opacity=0.1)
