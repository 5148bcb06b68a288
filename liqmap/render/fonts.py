"""Fonts: matplotlib's DejaVu Sans for nearly all text, and a system font for scripts that it lacks.

Exchanges list symbols in Chinese (币安人生USDT). The fonts of this machine are read when a process that draws
starts. Letters that none of them has, or not the one that has most of a line's, are written as code points,
never as empty boxes.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import matplotlib as mpl
from fontTools.ttLib import TTCollection, TTFont, TTLibError
from matplotlib.font_manager import findSystemFonts
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

_FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"
_REGULAR, _BOLD = _FONTS / "DejaVuSans.ttf", _FONTS / "DejaVuSans-Bold.ttf"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 $@.,_-")
_LISTED = frozenset("币安人生")
_FREETYPE_UNITS = 64  # a pixel
_SPACES = re.compile(r"\s+(?!%|pp\b)")  # those before a unit stay
_SHARES = (0.6, 0.7, 0.8, 0.9)  # of the width, that lines of equal length are tried with


def find_fonts() -> None:
    """Read the fonts of this machine until one has the Chinese letters of the symbols that exchanges list."""
    _fallback(_LISTED)


def drawable(text: str) -> str:
    """Return `text` with code points in place of the letters that its font does not have."""
    special = _special(text)
    if not special:
        return text
    found = _fallback(special)
    missing = _special(text, only_missing=True) if found is None else special - found.letters
    return "".join(f"U+{ord(each):04X} " if each in missing else each for each in text)


def text_width(text: str, *, size: int, bold: bool = False) -> float:
    """Return how many pixels a line of text takes."""
    text = drawable(text)
    return _width(text, font_of(text, size, bold=bold))


# A map, its depth and its heatmap have the same lines around them, and ask twice for each.
@lru_cache(maxsize=256)
def wrapped(text: str, width: float, *, size: int) -> tuple[str, ...]:
    """Return the lines of a text that are at most `width` pixels wide, as far as its words allow.

    They are about equally long. A number and its unit stay on one line.
    """
    if text_width(text, size=size) <= width:
        return (text,)
    words = [(word, text_width(f"{word} ", size=size)) for word in _SPACES.split(text.strip())]
    room = width + text_width(" ", size=size)  # behind the last word nothing follows
    lines = _filled(words, room)
    even = (_filled(words, share * room) for share in _SHARES)
    return next((each for each in even if len(each) == len(lines)), lines)


def _filled(words: Sequence[tuple[str, float]], width: float) -> tuple[str, ...]:
    """Return the lines of words, of the widths [px] beside them, each as long as it may be."""
    lines: list[list[str]] = [[]]
    taken = 0.0
    for word, its_width in words:
        if lines[-1] and taken + its_width > width:
            lines.append([])
            taken = 0.0
        if word != "·" or lines[-1]:
            lines[-1].append(word)
            taken += its_width
    # The end of a line separates two facts as well as a dot.
    return tuple(" ".join(line).removesuffix(" ·") for line in lines)


class Mask(NamedTuple):
    """How much each pixel is covered by letters, whose pen starts in pixel 0 of the row in their middle."""

    letters: Image.Image
    left: int
    top: int


# A map and its depth have 77 lines, and most of them are on every picture of a symbol.
@lru_cache(maxsize=512)
def text_mask(text: str, size: int, *, bold: bool, stroke: int = 0, opacity: float = 1.0) -> Mask:
    """Return the mask of a drawable text, with a `stroke` around it [px].

    A line with a number that no picture has had yet is put together of words that others have had.
    """
    font = font_of(text, size, bold=bold)
    words, pen = [], 0.0
    for word in text.split(" "):
        if word:
            column = math.floor(pen)
            units = math.floor((pen - column) * _FREETYPE_UNITS + 0.5)
            mask = _word_mask(word, font, rest=units, stroke=stroke)
            words.append(mask._replace(left=column + mask.left))
        pen += _width(word + " ", font)
    left, top = min(each.left for each in words), min(each.top for each in words)
    right = max(each.left + each.letters.width for each in words)
    bottom = max(each.top + each.letters.height for each in words)
    letters = Image.new("L", (right - left, bottom - top))
    for each in words:
        letters.paste(round(255 * opacity), (each.left - left, each.top - top), each.letters)
    return Mask(letters, left, top)


@lru_cache(maxsize=2048)
def _word_mask(word: str, font: ImageFont.FreeTypeFont, *, rest: int, stroke: int) -> Mask:
    left, top, right, bottom = font.getbbox(word, anchor="lm", stroke_width=stroke)
    place = math.floor(left), math.floor(top)
    # The pen can push the letters one pixel further.
    letters = Image.new("L", (math.ceil(right) - place[0] + 1, math.ceil(bottom) - place[1]))
    ImageDraw.Draw(letters).text(
        (rest / _FREETYPE_UNITS - place[0], -place[1]),
        word,
        255,
        font,
        anchor="lm",
        stroke_width=stroke,
        stroke_fill=255 if stroke else None,
    )
    return Mask(letters, *place)


@lru_cache(maxsize=4096)
def _width(text: str, font: ImageFont.FreeTypeFont) -> float:
    return font.getlength(text)


def font_of(text: str, size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font that a drawable text is written in, `size` pixels high."""
    special = _special(text)
    found = _fallback(special) if special else None
    if found is None:
        return _loaded(_BOLD if bold else _REGULAR, 0, size)
    return _loaded(found.path, found.face, size)


def _special(text: str, *, only_missing: bool = False) -> frozenset[str]:
    """Return the letters of a text that are not ASCII if the usual font lacks one of them, else none.

    With `only_missing`, return only those that the usual font lacks.
    """
    if text.isascii():
        return frozenset()
    missing = frozenset(text) - _usual_letters()
    return missing if only_missing or not missing else frozenset(each for each in text if not each.isascii())


@lru_cache
def _usual_letters() -> frozenset[str]:
    return frozenset(_letters(_REGULAR, 0))


class _Found(NamedTuple):
    """A font of this machine, and which of the letters that it was looked for it has."""

    path: Path
    face: int
    letters: frozenset[str]


@lru_cache
def _fallback(special: frozenset[str]) -> _Found | None:
    """Return the font of this machine that has most of the letters, the first by name of several.

    It also has all that is written beside symbols, such as digits.
    """
    best = None
    for path, index in _system_fonts():
        letters = _letters(path, index)
        held = frozenset(each for each in special if each in letters)
        if (
            held
            and all(each in letters for each in _PLAIN)
            and (best is None or len(held) > len(best.letters))
        ):
            best = _Found(path, index, held)
            if held == special:
                break
    return best


@lru_cache
def _system_fonts() -> tuple[tuple[Path, int], ...]:
    """Return the files of all fonts of this machine, each with the index in its file, by name."""
    paths = sorted(Path(each) for each in findSystemFonts())
    return tuple((path, index) for path in paths for index in range(_faces(path)))


def _faces(path: Path) -> int:
    """Return how many fonts a file holds: 0 if it is broken, as a system's may be."""
    if path.suffix.lower() != ".ttc":
        return 1
    try:
        with path.open("rb") as file:
            return len(TTCollection(file, lazy=True).fonts)
    except (OSError, TTLibError):
        return 0


@lru_cache(maxsize=64)
def _letters(path: Path, index: int) -> str:
    """Return all letters of a font, as a text: a set of them would take fifty times the memory."""
    try:
        with path.open("rb") as file:
            font = TTFont(file, fontNumber=index, lazy=True)
            # Without this, the names of all glyphs are read, for which a Chinese font is read as a whole.
            font.setGlyphOrder([])
            return "".join(map(chr, font.getBestCmap() or ()))
    except (OSError, TTLibError):
        return ""


@lru_cache(maxsize=64)
def _loaded(path: Path, index: int, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, index=index)
