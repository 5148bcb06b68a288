"""The surface that pictures are drawn on: shapes in pixels by matplotlib, text by Pillow.

A matplotlib Axes with its axis, ticks and text layout costs 200 ms a picture, the same shapes placed in
pixels a tenth of that, and Pillow sets a line of text ten times as fast as matplotlib. Pixels are
counted from the lower left corner, as matplotlib does.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import FigureImage
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.transforms import IdentityTransform
from PIL import Image, ImageDraw

from liqmap.render.fonts import drawable, font_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from numpy.typing import ArrayLike, NDArray

Anchor = Literal["l", "m", "r"]

_DPI = 100
_POINTS_A_PIXEL = 72 / _DPI
_PIXELS = IdentityTransform()
_COLOURS = 160


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels from bottom to top."""
        return self.top - self.bottom

    def widened(self, x: float, y: float) -> Box:
        """Return the box with `x` more at its left and right, and `y` more below and above."""
        return Box(self.left - x, self.bottom - y, self.right + x, self.top + y)

    def overlaps(self, other: Box) -> bool:
        """Return whether the two share any area."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def lies_in(self, other: Box) -> bool:
        """Return whether no part of it is outside of another."""
        return (
            other.left <= self.left
            and self.right <= other.right
            and other.bottom <= self.bottom
            and self.top <= other.top
        )


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text as it is placed."""

    text: str
    box: Box
    size: int
    colour: str
    bold: bool
    halo: str | None
    opacity: float


class Canvas:
    """A picture in the making. Shapes land on `figure`, text in `labels`; `png` puts one over the other."""

    def __init__(self, width: int, height: int, *, background: str) -> None:
        self.box = Box(0, 0, width, height)
        self.figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=background)
        self.labels: list[Label] = []
        self._surface = FigureCanvasAgg(self.figure)

    def line(
        self,
        x: ArrayLike,
        y: ArrayLike,
        colour: str,
        *,
        width: float = 1.0,
        dashes: tuple[float, float] | None = None,
    ) -> None:
        """Draw a line through the points, `width` and `dashes` in pixels."""
        line = Line2D(np.asarray(x), np.asarray(y), color=colour, transform=_PIXELS)
        line.set_linewidth(width * _POINTS_A_PIXEL)
        line.set_solid_joinstyle("round")
        if dashes:
            line.set_dashes((dashes[0] / width, dashes[1] / width))
        self._add(line)

    def area(
        self,
        x: ArrayLike,
        y: ArrayLike,
        colour: str,
        *,
        opacity: float = 1.0,
        hatch: tuple[str, str] | None = None,
    ) -> None:
        """Fill the polygon of the points; `hatch` is a pattern and its colour."""
        outline = Outline(np.column_stack([np.asarray(x), np.asarray(y)]))
        patch = PathPatch(outline, facecolor=colour, alpha=opacity, linewidth=0, transform=_PIXELS)
        if hatch:
            patch.set_hatch(hatch[0])
            patch.set_edgecolor(hatch[1])
        self._add(patch)

    def rectangle(
        self, box: Box, colour: str, *, opacity: float = 1.0, hatch: tuple[str, str] | None = None
    ) -> None:
        """Fill a rectangle."""
        corners_x = [box.left, box.right, box.right, box.left]
        corners_y = [box.bottom, box.bottom, box.top, box.top]
        self.area(corners_x, corners_y, colour, opacity=opacity, hatch=hatch)

    def rectangles(
        self,
        left: NDArray[np.float64],
        bottom: NDArray[np.float64],
        right: NDArray[np.float64],
        top: NDArray[np.float64],
        colour: str,
    ) -> None:
        """Fill many rectangles of one colour, snapped to whole pixels so that neighbours leave no seam."""
        left, bottom, right, top = (np.rint(edge) for edge in (left, bottom, right, top))
        corners = np.stack([[left, right, right, left, left], [bottom, bottom, top, top, bottom]], axis=-1)
        codes = np.tile(
            np.array([Outline.MOVETO, *[Outline.LINETO] * 3, Outline.CLOSEPOLY], np.uint8), len(left)
        )
        outline = Outline(corners.transpose(1, 0, 2).reshape(-1, 2), codes)
        self._add(PathPatch(outline, facecolor=colour, linewidth=0, antialiased=False, transform=_PIXELS))

    def boxes(self, boxes: Sequence[Box], colour: str) -> None:
        """Fill some rectangles of one colour, as one artist: one each would take a millisecond."""
        edges = np.array([(each.left, each.bottom, each.right, each.top) for each in boxes])
        self.rectangles(edges[:, 0], edges[:, 1], edges[:, 2], edges[:, 3], colour)

    def pixels(self, box: Box, colours: NDArray[np.uint8]) -> None:
        """Lay an image of shape (height, width, 3) over `box`, rows from the bottom up."""
        image = FigureImage(self.figure, offsetx=round(box.left), offsety=round(box.bottom), origin="lower")
        image.set_data(colours)
        image.set_transform(_PIXELS)  # or the figure would set its own, which scales
        self._add(image)

    def circles(
        self,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        colour: str,
        *,
        radius: float,
        width: float = 1.5,
    ) -> None:
        """Draw rings of one radius, as one artist: a collection would take ten times as long."""
        marks = Line2D(x, y, linestyle="none", marker="o", transform=_PIXELS, markerfacecolor="none")
        marks.set_markeredgecolor(colour)
        marks.set_markersize(2 * radius * _POINTS_A_PIXEL)
        marks.set_markeredgewidth(width * _POINTS_A_PIXEL)
        self._add(marks)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        colour: str,
        *,
        size: int,
        anchor: Anchor = "l",
        bold: bool = False,
        halo: str | None = None,
        opacity: float = 1.0,
    ) -> Box:
        """Write a line of text whose middle is at height `y`; return the box that it takes."""
        text = drawable(text)
        box = text_box(x, y, text, size=size, anchor=anchor, bold=bold)
        self.labels.append(Label(text, box, size, colour, bold, halo, opacity))
        return box

    def _add(self, artist: Artist) -> None:
        # What is drawn later lies above; matplotlib would put every line above every patch.
        artist.set_zorder(len(self.figure.get_children()))
        self.figure.add_artist(artist)

    def png(self) -> bytes:
        """Return the picture as PNG, in a palette of a few colours: a third of the bytes of full ones."""
        self._surface.draw()  # type: ignore[no-untyped-call] # matplotlib ships no types for Agg
        pixels = np.asarray(self._surface.buffer_rgba())  # type: ignore[no-untyped-call]
        image = Image.fromarray(pixels).convert("RGB")
        for label in self.labels:
            _write(image, label)
        # Choosing the colours takes longest by far, and every ninth pixel knows them as well.
        sample = image.resize((image.width // 3, image.height // 3), Image.Resampling.NEAREST)
        palette = sample.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE)
        reduced = image.quantize(palette=palette, dither=Image.Dither.NONE)
        file = io.BytesIO()
        # Level 6 makes a tenth fewer bytes in twice the time.
        reduced.save(file, "PNG", compress_level=3)
        return file.getvalue()


def text_width(text: str, *, size: int, bold: bool = False) -> float:
    """Return how many pixels a line of text takes."""
    text = drawable(text)
    return font_of(text, size, bold=bold).getlength(text)


def text_box(x: float, y: float, text: str, *, size: int, anchor: Anchor = "l", bold: bool = False) -> Box:
    """Return the box that a line of text takes, `x` at its left, middle or right and `y` at its middle."""
    width = text_width(text, size=size, bold=bold)
    left = x - {"l": 0.0, "m": width / 2, "r": width}[anchor]
    return Box(left, y - size / 2, left + width, y + size / 2)


def _write(image: Image.Image, label: Label) -> None:
    box = label.box
    place = (box.left, image.height - (box.bottom + box.top) / 2)
    font = font_of(label.text, label.size, bold=label.bold)
    if label.opacity == 1:
        halo = 3 if label.halo else 0
        ImageDraw.Draw(image).text(
            place, label.text, label.colour, font, anchor="lm", stroke_width=halo, stroke_fill=label.halo
        )
        return
    # Only as large as the text: a mask of the whole picture takes ten times as long.
    left, top, right, bottom = (round(edge) for edge in font.getbbox(label.text, anchor="lm"))
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), label.text, round(255 * label.opacity), font, anchor="lm")
    image.paste(label.colour, (round(place[0]) + left, round(place[1]) + top), mask)
