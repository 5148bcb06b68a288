from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from liqmap.model import Theme
from liqmap.render.style import PALETTES, heat_colours, leverage_colours, mixed


def lightness(colour: str) -> float:
    """Return the relative luminance of WCAG 2.2, 0 for black and 1 for white."""
    channels = [value / 255 for value in bytes.fromhex(colour[1:])]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, light = sorted((lightness(one), lightness(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", Theme)
def test_text_is_legible_on_its_ground(theme: Theme):
    palette = PALETTES[theme]
    for colour in (palette.text, palette.muted, palette.warning):
        assert contrast(colour, palette.background) >= 4.5
    for colour in (palette.text, palette.muted, palette.long, palette.short):
        assert contrast(colour, palette.panel) >= 4.0


@pytest.mark.parametrize("theme", Theme)
def test_leverages_differ_in_lightness_alone(theme: Theme):
    steps = [lightness(colour) for colour in leverage_colours(PALETTES[theme], 4)]
    assert steps in (sorted(steps), sorted(steps, reverse=True))
    darker = sorted(steps)
    assert all(b / a > 1.25 for a, b in pairwise(darker))


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_any_number_of_leverages_has_as_many_colours(count: int):
    assert len(set(leverage_colours(PALETTES[Theme.DARK], count))) == count


def test_mixed_colour_lies_between():
    assert mixed("#000000", "#ffffff", 0.5) == "#808080"
    assert mixed("#123456", "#ffffff", 0) == "#123456"


# Machado, Oliveira & Fernandes (2009), severity 1: how linear RGB looks to eyes without one kind of cone.
DEFICIENCIES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
# The third kind is so rare that leverages, which climb in lightness, are told apart by that.
RED_GREEN = ("protanopia", "deuteranopia")
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, deficiency: str | None) -> NDArray[np.float64]:
    """Return a colour's CIE L*a*b* coordinates, as it looks to such eyes."""
    channels = np.array([value / 255 for value in bytes.fromhex(colour[1:])])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    if deficiency:
        linear = np.clip(np.array(DEFICIENCIES[deficiency]) @ linear, 0, 1)
    x, y, z = np.cbrt(TO_XYZ @ linear / (TO_XYZ @ np.ones(3)))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: str, other: str, deficiency: str | None) -> float:
    """Return the difference of two colours, ΔE*ab; 2.3 is just noticeable."""
    return float(np.linalg.norm(lab(one, deficiency) - lab(other, deficiency)))


@pytest.mark.parametrize("deficiency", [None, *RED_GREEN])
@pytest.mark.parametrize("theme", Theme)
def test_colours_differ_to_colour_blind_eyes(theme: Theme, deficiency: str | None):
    palette = PALETTES[theme]
    assert distance(palette.long, palette.short, deficiency) > 40
    leverages = leverage_colours(palette, 4)
    assert min(distance(one, other, deficiency) for one, other in combinations(leverages, 2)) > 20


@pytest.mark.parametrize("deficiency", [None, *DEFICIENCIES])
@pytest.mark.parametrize("theme", Theme)
def test_five_exchanges_differ_to_colour_blind_eyes(theme: Theme, deficiency: str | None):
    colours = PALETTES[theme].exchanges
    assert len(colours) == 5
    assert min(distance(one, other, deficiency) for one, other in combinations(colours, 2)) > 40
    assert min(contrast(each, PALETTES[theme].panel) for each in colours) > 3


@pytest.mark.parametrize("theme", Theme)
def test_heat_climbs_in_lightness_alone(theme: Theme):
    steps = [lab(colour, None)[0] for colour in heat_colours(PALETTES[theme], 20)]
    assert steps in (sorted(steps), sorted(steps, reverse=True))
    assert min(abs(b - a) for a, b in pairwise(steps)) > 1.5


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize("count", range(5, 9))
@pytest.mark.parametrize("deficiency", [None, *RED_GREEN])
def test_five_to_eight_leverages_differ_as_much_as_four(theme: Theme, count: int, deficiency: str | None):
    colours = leverage_colours(PALETTES[theme], count)
    assert min(distance(one, other, deficiency) for one, other in combinations(colours, 2)) > 20
