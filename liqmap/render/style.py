"""Colours and sizes of the pictures, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from liqmap.model import Theme

WIDTH: Final = 1200
HEIGHT: Final = 900


@dataclass(frozen=True, slots=True)
class TextSizes:
    """Heights of the letters [px]. Discord shows the pictures at half size or less on a phone."""

    title: int = 38
    subtitle: int = 24
    label: int = 22
    tick: int = 21
    foot: int = 20


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one theme, as #rrggbb."""

    background: str
    panel: str
    grid: str
    text: str
    muted: str
    price: str
    long: str
    short: str
    gap: str
    ghost: str
    warning: str
    heat: tuple[str, ...]
    """From nothing to the most, ever further in lightness from the panel."""
    leverages: tuple[str, ...]
    """From the lowest leverage to the highest, where there are at most four."""
    exchanges: tuple[str, ...]
    """Of up to five exchanges, found by search to differ most, to eyes without one kind of cone too."""
    many_leverages: tuple[str, ...]
    """The same for five to eight, found by search to differ as much as four do, to deficient eyes too."""


SIZES: Final = TextSizes()

PALETTES: Final = {
    # Buys and sells are the blue and orange of Okabe & Ito's colour-blind-safe set; the leverages climb
    # in lightness, so that they stay apart without any sense of hue.
    Theme.DARK: Palette(
        background="#16171b",
        panel="#1f2126",
        grid="#33363d",
        text="#f4f5f7",
        muted="#b3b7c0",
        price="#d7dae0",
        long="#56b4e9",
        short="#ff9f40",
        gap="#4a4d55",
        ghost="#6a6f7a",
        warning="#ffd166",
        heat=("#1b1d23", "#2b2a6b", "#5a2d91", "#b0357f", "#ee6a4c", "#fcb53c", "#fdf3a0"),
        leverages=("#4668e0", "#129fb4", "#57cf8a", "#fbe65a"),
        exchanges=("#dddd3c", "#6767e4", "#b25334", "#a2efe6", "#875d8a"),
        many_leverages=(
            *("#526dd3", "#3da200", "#1ba9aa", "#66b46e"),
            *("#5dc3ff", "#76f1ce", "#aaff18", "#fff78e"),
        ),
    ),
    Theme.LIGHT: Palette(
        background="#ffffff",
        panel="#edeff4",
        grid="#d3d7de",
        text="#14161a",
        muted="#5a606b",
        price="#3c424c",
        long="#0072b2",
        short="#bf4f00",
        gap="#b9bdc6",
        ghost="#a0a5af",
        warning="#8a5a00",
        heat=("#edeff4", "#c9d8f0", "#8db4de", "#5a82c8", "#5a4aa5", "#6b1f7c", "#3a0a3e"),
        leverages=("#8db4f2", "#2f9fae", "#28724a", "#4a1a5e"),
        exchanges=("#f05510", "#a331f0", "#25979f", "#101050", "#601110"),
        many_leverages=(
            *("#4ecfb7", "#26c96a", "#0699f2", "#2f88a3"),
            *("#347e57", "#506c00", "#1e4047", "#272876"),
        ),
    ),
}


def leverage_colours(palette: Palette, count: int) -> list[str]:
    """Return `count` colours from the lowest leverage's to the highest's."""
    if count == 1:
        return [palette.leverages[1]]
    if count <= len(palette.leverages):
        return _spread(palette.leverages, count)
    if count <= len(palette.many_leverages):
        last = len(palette.many_leverages) - 1
        return [palette.many_leverages[round(index * last / (count - 1))] for index in range(count)]
    return _spread(palette.many_leverages, count)


def heat_colours(palette: Palette, count: int) -> list[str]:
    """Return `count` colours of a scale from nothing to the most."""
    return _spread(palette.heat, count)


def _spread(anchors: tuple[str, ...], count: int) -> list[str]:
    colours = []
    for index in range(count):
        place = index * (len(anchors) - 1) / (count - 1)
        lower = min(int(place), len(anchors) - 2)
        colours.append(mixed(anchors[lower], anchors[lower + 1], place - lower))
    return colours


def mixed(first: str, second: str, share: float) -> str:
    """Return the colour between two, `share` of the way from the first to the second."""
    parts = zip(bytes.fromhex(first[1:]), bytes.fromhex(second[1:]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)
