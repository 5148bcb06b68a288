from __future__ import annotations

import numpy as np
import pytest
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import FigureImage
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.transforms import IdentityTransform

from liqmap.render.shapes import Area, Line, Pixels, Rings, Shape, drawn

WIDTH, HEIGHT = 400, 300
WAVE_X = np.linspace(3.3, 390.7, 1000)
WAVE_Y = 150 + 90 * np.sin(WAVE_X / 9) + 20 * np.cos(WAVE_X * 3)
BROKEN = np.where(np.arange(1000) % 97 == 0, np.nan, WAVE_Y)
WAVE = Outline(np.column_stack([np.r_[WAVE_X, 390.0], np.r_[WAVE_Y, 5.5]]))
COLOURS = np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8)
PIXELS = IdentityTransform()


def line(shape: Line) -> Line2D:
    made = Line2D(shape.x, shape.y, color=shape.colour, linewidth=shape.width * 0.72, transform=PIXELS)
    made.set_solid_joinstyle("round")
    if shape.dashes:
        made.set_dashes([each / shape.width for each in shape.dashes])
    return made


def patch(shape: Area) -> PathPatch:
    made = PathPatch(
        shape.outline,
        facecolor=shape.colour,
        alpha=shape.opacity,
        linewidth=0,
        antialiased=shape.smooth,
        transform=PIXELS,
    )
    if shape.hatch:
        made.set_hatch(shape.hatch[0])
        made.set_edgecolor(shape.hatch[1])
    return made


def markers(shape: Rings) -> Line2D:
    return Line2D(
        shape.x,
        shape.y,
        linestyle="none",
        marker="o",
        markersize=2 * shape.radius * 0.72,
        markerfacecolor="none",
        markeredgecolor=shape.colour,
        markeredgewidth=shape.width * 0.72,
        transform=PIXELS,
    )


def by_matplotlib(shape: Shape) -> np.ndarray:
    """Return the pixels that matplotlib's own artist draws."""
    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor="#102030")
    artist: Artist
    match shape:
        case Line():
            artist = line(shape)
        case Area():
            artist = patch(shape)
        case Rings():
            artist = markers(shape)
        case Pixels():
            artist = FigureImage(figure, offsetx=shape.left, offsety=shape.bottom, origin="lower")
            artist.set_data(shape.colours)
            artist.set_transform(PIXELS)
    figure.add_artist(artist)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize(
    "shape",
    [
        Line(WAVE_X, WAVE_Y, "#ff8800", 2.0, None),
        Line(WAVE_X, BROKEN, "#ff8800", 1.5, None),
        Line(np.array([20.0, 380.0]), np.array([100.25, 100.25]), "#ffffff", 1.0, None),
        Line(np.array([20.0, 380.0]), np.array([100.25, 140.0]), "#ffffff", 1.6, (7, 5)),
        Area(WAVE, "#33aa77", 0.45),
        Area(WAVE, "#33aa77", smooth=False),
        Area(Outline([(30, 30), (30, 250), (300, 250), (300, 30)]), "#222222", hatch=("//", "#888888")),
        Rings(WAVE_X[::50], WAVE_Y[::50], "#56b4e9", 8.0, 1.6),
        Rings(WAVE_X[::50], WAVE_Y[::50], "#56b4e9", 2.5, 2.5),
        Pixels(37, 52, COLOURS),
    ],
    ids=["line", "broken", "level", "dashed", "faint", "bars", "hatched", "rings", "small rings", "image"],
)
def test_shape_has_the_pixels_of_matplotlibs_artist(shape: Shape):
    ground = Area(Outline([(0, 0), (0, HEIGHT), (WIDTH, HEIGHT), (WIDTH, 0)]), "#102030")
    found = drawn([ground, shape], width=WIDTH, height=HEIGHT)
    assert np.array_equal(found, by_matplotlib(shape))
    assert not np.array_equal(found, drawn([ground], width=WIDTH, height=HEIGHT))
