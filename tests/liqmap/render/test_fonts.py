from __future__ import annotations

from pathlib import Path

import pytest

from liqmap.render import fonts
from liqmap.render.fonts import drawable, font_of

CHINESE = "币安人生USDT"


@pytest.fixture(autouse=True)
def _forgotten() -> None:
    fonts._fallback.cache_clear()


def test_latin_text_is_written_in_the_usual_font():
    assert drawable("BTCUSDT → $4.5M") == "BTCUSDT → $4.5M"
    assert font_of("BTCUSDT → $4.5M", 20).getname() == ("DejaVu Sans", "Book")
    assert font_of("BTCUSDT", 20, bold=True).getname() == ("DejaVu Sans", "Bold")


def test_script_without_a_font_is_written_as_code_points(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fonts, "findSystemFonts", list)
    assert drawable(CHINESE) == "U+5E01 U+5B89 U+4EBA U+751F USDT"
    assert font_of(drawable(CHINESE), 20).getname() == ("DejaVu Sans", "Book")


def test_broken_font_files_of_the_system_are_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("broken.ttf", "broken.ttc", "empty.otf"):
        (tmp_path / name).write_bytes(b"\0\1" if name != "empty.otf" else b"")
    monkeypatch.setattr(fonts, "findSystemFonts", lambda: [str(each) for each in tmp_path.iterdir()])
    assert drawable(CHINESE).startswith("U+5E01 ")


def test_script_with_a_font_on_this_machine_is_drawn_in_it():
    if not fonts._fallback(frozenset("币安人生")):
        pytest.skip("no font on this machine has Chinese letters (Debian: fonts-noto-cjk)")
    assert drawable(CHINESE) == CHINESE
    assert font_of(CHINESE, 20).getname() != ("DejaVu Sans", "Book")
