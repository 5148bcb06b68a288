"""Shapes in pixels, and how Agg draws them.

Agg is matplotlib's rasteriser. It is called without matplotlib's artists, which take longer to make and to
draw themselves than Agg takes for the pixels. Pixels are counted from the lower left corner, as Agg does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.path import Path as Outline
from matplotlib.transforms import Affine2D, IdentityTransform

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.backend_bases import RendererBase
    from numpy.typing import NDArray

_DPI: Final = 100
_POINTS_A_PIXEL: Final = 72 / _DPI  # Agg counts the widths of lines in points
_PIXELS: Final = IdentityTransform()
_CIRCLE: Final = Outline.unit_circle()


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A line through the points, broken where one is not a number; `width` and `dashes` in pixels."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    colour: str
    width: float
    dashes: tuple[float, float] | None

    def draw(self, renderer: RendererBase) -> None:
        """Draw it on Agg's `renderer`."""
        gc = renderer.new_gc()
        gc.set_foreground(self.colour)
        gc.set_linewidth(self.width * _POINTS_A_PIXEL)
        gc.set_joinstyle("round")
        gc.set_capstyle("butt" if self.dashes else "projecting")
        if self.dashes:
            gc.set_dashes(0, [each * _POINTS_A_PIXEL for each in self.dashes])
        renderer.draw_path(gc, Outline(np.column_stack([self.x, self.y])), _PIXELS)


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """A filled outline; `hatch` is a pattern and its colour. Without `smooth`, pixels are filled or not."""

    outline: Outline
    colour: str
    opacity: float = 1.0
    hatch: tuple[str, str] | None = None
    smooth: bool = True

    def draw(self, renderer: RendererBase) -> None:
        """Draw it on Agg's `renderer`."""
        gc = renderer.new_gc()
        gc.set_linewidth(0)
        gc.set_joinstyle("miter")
        gc.set_antialiased(self.smooth)
        if self.hatch:
            gc.set_hatch(self.hatch[0])
            gc.set_hatch_color(to_rgba(self.hatch[1]))
        renderer.draw_path(gc, self.outline, _PIXELS, to_rgba(self.colour, self.opacity))


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """Circles of one `radius` around the points, their lines of `width`, in pixels."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    colour: str
    radius: float
    width: float

    def draw(self, renderer: RendererBase) -> None:
        """Draw it on Agg's `renderer`, which draws the circle once and copies it."""
        gc = renderer.new_gc()
        gc.set_foreground(self.colour)
        gc.set_linewidth(self.width * _POINTS_A_PIXEL)
        gc.set_joinstyle("round")
        gc.set_snap(False)
        centres = Outline(np.column_stack([self.x, self.y]))
        renderer.draw_markers(gc, _CIRCLE, Affine2D().scale(self.radius), centres, _PIXELS)


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """An image from (`left`, `bottom`) on: uint8 (height, width, 3), rows from the bottom up."""

    left: int
    bottom: int
    colours: NDArray[np.uint8]

    def draw(self, renderer: RendererBase) -> None:
        """Draw it on Agg's `renderer`."""
        # Agg takes images with an opacity only.
        opaque = np.full(self.colours.shape[:2], 255, np.uint8)
        renderer.draw_image(renderer.new_gc(), self.left, self.bottom, np.dstack([self.colours, opaque]))


Shape = Line | Area | Rings | Pixels


def drawn(shapes: Iterable[Shape], *, width: int, height: int) -> NDArray[np.uint8]:
    """Return the pixels of shapes, later ones above earlier ones: RGBA, rows from the top down."""
    # matplotlib ships no types for Agg.
    renderer = RendererAgg(width, height, _DPI)  # type: ignore[no-untyped-call]
    for shape in shapes:
        shape.draw(renderer)
    pixels: NDArray[np.uint8] = np.asarray(renderer.buffer_rgba())  # type: ignore[no-untyped-call]
    return pixels
