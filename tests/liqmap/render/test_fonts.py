from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw

from liqmap.render import fonts
from liqmap.render.fonts import drawable, font_of, text_mask, text_width, wrapped

CHINESE = "币安人生USDT"


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    fonts._fallback.cache_clear()
    fonts._system_fonts.cache_clear()


def test_latin_text_is_written_in_the_usual_font():
    assert drawable("BTCUSDT → $4.5M") == "BTCUSDT → $4.5M"
    assert font_of("BTCUSDT → $4.5M", 20).getname() == ("DejaVu Sans", "Book")
    assert font_of("BTCUSDT", 20, bold=True).getname() == ("DejaVu Sans", "Bold")


@pytest.mark.parametrize("path", [fonts._REGULAR, fonts._BOLD])
def test_letters_of_a_font_are_those_that_its_table_names(path: Path):
    with TTFont(path) as font:
        assert sorted(fonts._letters(path, 0)) == sorted(map(chr, font.getBestCmap()))


def test_script_without_a_font_is_written_as_code_points(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fonts, "findSystemFonts", list)
    assert drawable(CHINESE) == "U+5E01 U+5B89 U+4EBA U+751F USDT"
    assert font_of(drawable(CHINESE), 20).getname() == ("DejaVu Sans", "Book")


def test_broken_font_files_of_the_system_are_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("broken.ttf", "broken.ttc", "empty.otf"):
        (tmp_path / name).write_bytes(b"\0\1" if name != "empty.otf" else b"")
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: [str(each) for each in tmp_path.iterdir()])
    assert drawable(CHINESE).startswith("U+5E01 ")


CHINESE_FONT, OTHER_FONT = Path("chinese.ttf"), Path("other.ttf")


@pytest.fixture
def two_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a font with Chinese and one with Thai and Greek on this machine."""
    real = fonts._letters
    letters = {CHINESE_FONT: "币安人生", OTHER_FONT: "ไทยΩ"}

    def letters_of(path: Path, index: int) -> str:
        return "".join(fonts._PLAIN) + letters[path] if path in letters else real(path, index)

    monkeypatch.setattr(fonts, "findSystemFonts", lambda: [str(path) for path in letters])
    monkeypatch.setattr(fonts, "_letters", letters_of)


@pytest.mark.usefixtures("two_fonts")
def test_symbol_of_two_scripts_is_drawn_in_the_font_that_has_most_of_it():
    assert drawable("币安ไทยUSDT") == "U+5E01 U+5B89 ไทยUSDT"
    assert fonts._fallback(frozenset("币安ไทย")) == (OTHER_FONT, 0, frozenset("ไทย"))
    # Letters that only the usual font has are not left to the other one as boxes either.
    assert drawable("⚠ 币安 is left out") == "U+26A0  币安 is left out"
    assert drawable("⚠ USDT") == "⚠ USDT"


@pytest.mark.usefixtures("two_fonts")
def test_fonts_that_are_found_at_the_start_are_not_looked_for_again(monkeypatch: pytest.MonkeyPatch):
    fonts.find_fonts()
    monkeypatch.setattr(fonts, "findSystemFonts", None)
    assert drawable("人生USDT") == "人生USDT"


def test_script_with_a_font_on_this_machine_is_drawn_in_it():
    if not fonts._fallback(frozenset("币安人生")):
        pytest.skip("no font on this machine has Chinese letters (Debian: fonts-noto-cjk)")
    assert drawable(CHINESE) == CHINESE
    assert font_of(CHINESE, 20).getname() != ("DejaVu Sans", "Book")


@pytest.mark.parametrize("text", ["last 29,123.40", "  ·  AVATo, $4.5M @ 29,100 (−2.31 %) ", "WAR Y  Te"])
@pytest.mark.parametrize(("size", "bold"), [(20, False), (22, True), (38, True), (11, False)])
@pytest.mark.parametrize("stroke", [0, 3])
def test_text_is_put_together_of_words_as_pillow_sets_it_at_once(
    text: str, size: int, bold: bool, stroke: int
):
    font, ground = (
        font_of(text, size, bold=bold),
        (math.ceil(text_width(text, size=size, bold=bold)) + 40, 99),
    )
    expected = Image.new("L", ground)
    ImageDraw.Draw(expected).text(
        (20, 50),
        text,
        255,
        font,
        anchor="lm",
        stroke_width=stroke,
        stroke_fill=255 if stroke else None,
    )
    mask, found = text_mask(text, size, bold=bold, stroke=stroke), Image.new("L", ground)
    found.paste(255, (20 + mask.left, 50 + mask.top), mask.letters)
    # Where the letters of neighbouring words touch, they cover a little less than both together.
    assert np.abs(np.asarray(found, int) - np.asarray(expected, int)).max() <= (64 if stroke else 0)


def test_faint_text_covers_a_share_of_its_pixels():
    full, faint = (text_mask("██", 20, bold=False, opacity=opacity).letters for opacity in (1.0, 0.5))
    assert np.asarray(full).max() == 255
    assert np.asarray(faint).max() == 128


def test_wrapped_text_has_even_lines_that_fit_and_end_in_no_separator():
    words = "100 % covered  ·  selected from 1,234,567 trades  ·  standing $1M, open interest $2M each side"
    assert wrapped(words, 2000, size=20) == (words,)
    lines = wrapped(words, 700, size=20)
    assert lines == (
        "100 % covered · selected from 1,234,567 trades",
        "standing $1M, open interest $2M each side",
    )
    for width in range(60, 700, 20):
        assert not any(
            each.startswith(("%", "pp")) for each in wrapped("of 16 % and 6 pp more " * 3, width, size=20)
        )
    widths = [text_width(line, size=20) for line in wrapped("some words " * 30, 700, size=20)]
    assert max(widths) <= 700
    assert not any(
        line.endswith("·") or line.startswith("·") for line in wrapped("a · " * 80 + "b", 300, size=20)
    )
    assert wrapped("unbreakable" * 20, 100, size=20) == ("unbreakable" * 20,)
