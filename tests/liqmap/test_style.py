from itertools import pairwise

import pytest

from liqmap.model import Theme
from liqmap.style import PALETTES, leverage_colours, mixed


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
