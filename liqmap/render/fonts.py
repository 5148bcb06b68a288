"""Fonts: matplotlib's DejaVu Sans for nearly all text, and a system font for scripts that it lacks.

Exchanges list symbols in Chinese (币安人生USDT). A font of that script is looked for on this machine when the
first such text is drawn. Where there is none, the code points stand for the letters, never empty boxes.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
from fontTools.ttLib import TTCollection, TTFont, TTLibError
from matplotlib.font_manager import findSystemFonts
from PIL import ImageFont

_FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"


def drawable(text: str) -> str:
    """Return `text` with code points in place of the letters that no font of this machine has."""
    missing = _lacking(text)
    if not missing or _fallback(missing) is not None:
        return text
    return "".join(f"U+{ord(each):04X} " if each in missing else each for each in text)


def font_of(text: str, size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the font that a drawable text is written in, `size` pixels high."""
    missing = _lacking(text)
    fallback = _fallback(missing) if missing else None
    if fallback is None:
        return _loaded(_FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), 0, size)
    return _loaded(*fallback, size)


def _lacking(text: str) -> frozenset[str]:
    return frozenset() if text.isascii() else frozenset(text) - _letters(_FONTS / "DejaVuSans.ttf", 0)


@lru_cache
def _fallback(missing: frozenset[str]) -> tuple[Path, int] | None:
    """Return the first font of this machine, by name, that has all of `missing` and the digits."""
    needed = missing | frozenset("0123456789 $@.,")
    for path in sorted(Path(each) for each in findSystemFonts()):
        for index in range(_faces(path)):
            if needed <= _letters(path, index):
                return path, index
    return None


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
def _letters(path: Path, index: int) -> frozenset[str]:
    try:
        with path.open("rb") as file:
            return frozenset(map(chr, TTFont(file, fontNumber=index, lazy=True).getBestCmap() or ()))
    except (OSError, TTLibError):
        return frozenset()


@lru_cache(maxsize=64)
def _loaded(path: Path, index: int, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, index=index)
