from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from liqmap.compute.scan import ScanResult
from liqmap.model import Theme
from liqmap.render.scan import scan_canvas
from liqmap.render.style import PALETTES, WIDTH
from tests.liqmap.compute.test_scan import REQUEST, market


@pytest.mark.parametrize("theme", Theme)
def test_every_label_of_a_scan_lies_inside_its_picture(theme: Theme):
    found = tuple(
        market(f"{'LONGNAME' * 2}{index}", -distance, distance * 0.9)
        for index, distance in enumerate([0.0001, 0.002, 0.0099, 0.01, 0.03, 0.05])
    )
    canvas = scan_canvas(ScanResult(replace(REQUEST, theme=theme), found, 6))
    assert all(label.box.lies_in(canvas.box) for label in canvas.labels)
    assert canvas.box.width == WIDTH


def test_picture_of_a_scan_that_found_nothing_says_so():
    canvas = scan_canvas(ScanResult(REQUEST, (), 3))
    assert any("No large cluster" in label.text for label in canvas.labels)


def test_scan_says_at_the_top_how_far_it_looks_back():
    canvas = scan_canvas(ScanResult(REQUEST, (replace(market("BTCUSDT", -0.01, 0.01), simulated=True),), 1))
    words = {label.text: label for label in canvas.labels}
    span, warning = words["last 24 h"], words["SIMULATED DATA"]
    assert span.box.bottom > canvas.box.top - 80
    assert span.box.right < warning.box.left


def test_age_of_a_price_stands_beside_its_exchange_and_warns_where_it_is_not_current():
    quiet = replace(market("A", -0.01, None), price_age=timedelta(hours=2))
    stopped = replace(market("B", -0.01, None), price_age=timedelta(hours=18), unknown=timedelta(hours=18))
    canvas = scan_canvas(ScanResult(REQUEST, (quiet, stopped, market("C", -0.01, None)), 3))
    ages = {label.text: label for label in canvas.labels if label.text.endswith(" old")}
    palette = PALETTES[REQUEST.theme]
    assert {text: label.colour for text, label in ages.items()} == {
        "2 h old": palette.muted,
        "18 h old": palette.warning,
    }


@pytest.mark.parametrize("age", [timedelta(seconds=86_399), timedelta(seconds=3599)])
def test_age_of_a_price_lies_beside_the_rows(age: timedelta):
    canvas = scan_canvas(ScanResult(REQUEST, (replace(market("A", -0.01, None), price_age=age),), 1))
    (label,) = [label for label in canvas.labels if label.text.endswith(" old")]
    assert label.box.right < 250
