from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from liqmap.model import Theme
from liqmap.render.accuracy import AccuracyPicture, Curve, DayMark, draw_accuracy
from liqmap.render.style import HEIGHT, PALETTES, WIDTH

EDGES = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0)
BINS = len(EDGES)
START = date(2026, 1, 1)


def picture(days: int, mark: DayMark = DayMark.SCORED) -> AccuracyPicture:
    value = np.linspace(0.01, -0.01, BINS)
    return AccuracyPicture(
        title="BTCUSDT, ETHUSDT",
        sentence="No edge shown: over 90 days, 16.0 % of liquidated USD fell into the marked zones.",
        foot="version 1",
        edges=EDGES,
        longs=Curve(value, value - 0.005, value + 0.005),
        shorts=Curve(-value, -value - 0.005, -value + 0.005),
        strip={START + timedelta(number): mark for number in range(days)},
        simulated=False,
    )


def colours(drawn: bytes, box: tuple[int, int, int, int]) -> set[str]:
    with Image.open(BytesIO(drawn)) as image:
        assert image.size == (WIDTH, HEIGHT)
        found = image.convert("RGB").crop(box).getcolors(1 << 20)
    assert found is not None
    return {f"#{r:02x}{g:02x}{b:02x}" for count, (r, g, b) in found if count > 20}  # type: ignore[misc]


STRIP = (125, HEIGHT - 170, 131, HEIGHT - 100)  # of the first day


@pytest.mark.parametrize("theme", Theme)
@pytest.mark.parametrize("days", [0, 1, 90, 91, 472])
def test_every_number_of_days_is_drawn(theme: Theme, days: int):
    assert len(draw_accuracy(replace(picture(days), theme=theme))) < 200_000


def test_void_days_are_hollow_and_scored_ones_filled():
    palette = PALETTES[Theme.DARK]
    (filled,) = colours(draw_accuracy(picture(3)), STRIP)
    (dim,) = colours(draw_accuracy(picture(3, DayMark.COUNTED)), STRIP)
    assert filled == palette.leverages[1]
    assert dim not in {filled, palette.background}
    assert palette.background in colours(draw_accuracy(picture(3, DayMark.VOID)), STRIP)


def test_a_day_without_a_map_keeps_its_cell_empty():
    drawn = picture(3)
    strip = {day: mark for day, mark in drawn.strip.items() if day != START + timedelta(1)}
    width = (WIDTH - 28 - 120) / 90
    second = (round(120 + width) + 3, HEIGHT - 170, round(120 + 2 * width) - 3, HEIGHT - 100)
    assert colours(draw_accuracy(drawn), second) == {PALETTES[Theme.DARK].leverages[1]}
    assert colours(draw_accuracy(replace(drawn, strip=strip)), second) == {PALETTES[Theme.DARK].panel}


def test_before_anything_is_scored_there_are_no_lines():
    drawn = draw_accuracy(replace(picture(2), longs=None, shorts=None))
    assert PALETTES[Theme.DARK].long not in colours(drawn, (0, 0, WIDTH, HEIGHT))


def test_simulated_data_is_marked():
    assert draw_accuracy(picture(2)) != draw_accuracy(replace(picture(2), simulated=True))
