"""The surface that pictures are drawn on: shapes in pixels by Agg, text by Pillow.

A matplotlib Axes with its axis, ticks and text layout costs 200 ms a picture, the same shapes placed in
pixels by Agg 5 ms, and Pillow sets a line of text ten times as fast as matplotlib. Pixels are counted from
the lower left corner, as Agg does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib.path import Path as Outline
from PIL import Image

from liqmap.render.fonts import drawable, text_mask, text_width
from liqmap.render.png import png_of
from liqmap.render.shapes import Area, Line, Pixels, Rings, drawn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from liqmap.render.shapes import Shape

Anchor = Literal["l", "m", "r"]

_COLOURS = 160
_HALO = 3  # around letters [px]


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
    """A picture in the making: `shapes`, later ones above earlier ones, and `labels` above all shapes."""

    def __init__(self, width: int, height: int, *, background: str) -> None:
        self.box = Box(0, 0, width, height)
        self.shapes: list[Shape] = []
        self.labels: list[Label] = []
        self.rectangle(self.box, background)

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
        self.shapes.append(Line(np.asarray(x, np.float64), np.asarray(y, np.float64), colour, width, dashes))

    def area(
        self,
        x: ArrayLike,
        y: ArrayLike,
        colour: str,
        *,
        opacity: float = 1.0,
        hatch: tuple[str, str] | None = None,
        smooth: bool = True,
    ) -> None:
        """Fill the polygon of the points; `hatch` is a pattern and its colour."""
        outline = Outline(np.column_stack([np.asarray(x), np.asarray(y)]))
        self.shapes.append(Area(outline, colour, opacity, hatch, smooth))

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
        self.shapes.append(Area(outline, colour, smooth=False))

    def boxes(self, boxes: Sequence[Box], colour: str) -> None:
        """Fill some rectangles of one colour."""
        edges = np.array([(each.left, each.bottom, each.right, each.top) for each in boxes])
        self.rectangles(edges[:, 0], edges[:, 1], edges[:, 2], edges[:, 3], colour)

    def pixels(self, box: Box, colours: NDArray[np.uint8]) -> None:
        """Lay an image of shape (height, width, 3) over `box`, rows from the bottom up."""
        self.shapes.append(Pixels(round(box.left), round(box.bottom), colours))

    def circles(
        self,
        x: NDArray[np.float64],
        y: NDArray[np.float64],
        colour: str,
        *,
        radius: float,
        width: float = 1.5,
    ) -> None:
        """Draw rings of one radius."""
        self.shapes.append(Rings(x, y, colour, radius, width))

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
        if text.strip():
            self.labels.append(Label(text, box, size, colour, bold, halo, opacity))
        return box

    def png(self) -> bytes:
        """Return the picture as PNG, in a palette of a few colours: a third of the bytes of full ones."""
        pixels = drawn(self.shapes, width=round(self.box.width), height=round(self.box.height))
        # Nothing is transparent. Skipping the fourth byte takes a third of the time of a conversion.
        image = Image.frombytes("RGB", pixels.shape[1::-1], pixels.tobytes(), "raw", "RGBX")
        for label in self.labels:
            _write(image, label)
        # Choosing the colours takes longest by far, and every ninth pixel knows them as well.
        sample = image.resize((image.width // 3, image.height // 3), Image.Resampling.NEAREST)
        palette = sample.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE)
        return png_of(image.quantize(palette=palette, dither=Image.Dither.NONE))


def text_box(x: float, y: float, text: str, *, size: int, anchor: Anchor = "l", bold: bool = False) -> Box:
    """Return the box that a line of text takes, `x` at its left, middle or right and `y` at its middle."""
    width = text_width(text, size=size, bold=bold)
    left = x - {"l": 0.0, "m": width / 2, "r": width}[anchor]
    return Box(left, y - size / 2, left + width, y + size / 2)


def _write(image: Image.Image, label: Label) -> None:
    box = label.box
    # As FreeType does: it counts in 64ths of a pixel, and a half belongs to the row above.
    row = math.ceil(round(64 * (image.height - (box.bottom + box.top) / 2)) / 64 - 0.5)
    # Letters begin at whole pixels: they are sharp there, and those that are kept can be used again.
    column = round(box.left)
    if label.halo:
        halo = text_mask(label.text, label.size, bold=label.bold, stroke=_HALO)
        image.paste(label.halo, (column + halo.left, row + halo.top), halo.letters)
    mask = text_mask(label.text, label.size, bold=label.bold, opacity=label.opacity)
    image.paste(label.colour, (column + mask.left, row + mask.top), mask.letters)
