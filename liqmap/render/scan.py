"""The scan: a row per market, its last price in the middle, the nearest large clusters at their distance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.exchanges import EXCHANGES
from liqmap.model.window import HOUR
from liqmap.render.canvas import Box, Canvas
from liqmap.render.style import PALETTES, SIZES, WIDTH, Palette
from liqmap.text import age_of_price, counted, money, percent

if TYPE_CHECKING:
    from liqmap.compute.scan import NearCluster, ScannedMarket, ScanResult
    from liqmap.render.canvas import Anchor

_MARGIN = 28
_TOP = 132  # above the rows: title and the scale
_ROW = 64
_FOOT = 56
_NAMES = 250.0  # width of the column of symbols
_LABEL = 205.0  # what the text beside a disc takes at most
_LARGEST_RADIUS = 24.0
_SMALLEST_RADIUS = 4.0
_SCALES: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_TURN = np.linspace(0, 2 * np.pi, 49)


def scan_canvas(result: ScanResult) -> Canvas:
    """Return the picture of a scan: distances to scale, areas of the discs as the notional."""
    palette = PALETTES[result.request.theme]
    height = _TOP + _ROW * max(len(result.markets), 3) + _FOOT
    canvas = Canvas(WIDTH, height, background=palette.background)
    hours = result.request.window.length // HOUR
    _draw_title(canvas, height - 40, f"last {hours} h", palette)
    if any(each.simulated for each in result.markets):
        right = WIDTH - _MARGIN
        canvas.text(right, height - 40, "SIMULATED DATA", palette.warning, size=SIZES.subtitle, anchor="r")
    box = Box(_NAMES, _FOOT, WIDTH - _MARGIN, height - _TOP)
    canvas.rectangle(box, palette.panel)
    foot = (
        f"{counted(result.scanned, 'market')}, the {hours} hours until"
        f" {result.request.end:%Y-%m-%d %H:%M} UTC. Estimated from trades; not financial advice."
    )
    canvas.text(_MARGIN, _FOOT / 2, foot, palette.muted, size=SIZES.foot)
    if result.markets:
        _draw_rows(canvas, box, result, palette)
    else:
        middle = (box.left + box.right) / 2, (box.bottom + box.top) / 2
        text = "No large cluster is that near."
        canvas.text(*middle, text, palette.muted, size=SIZES.subtitle, anchor="m")
    return canvas


def _draw_title(canvas: Canvas, y: float, span: str, palette: Palette) -> None:
    title = canvas.text(_MARGIN, y, "Nearest large clusters", palette.text, size=SIZES.title, bold=True)
    canvas.text(title.right + 14, y, span, palette.text, size=SIZES.title)


def _draw_rows(canvas: Canvas, box: Box, result: ScanResult, palette: Palette) -> None:
    side = result.request.side
    shown = [each.clusters(side) for each in result.markets]
    furthest = max(abs(cluster.distance) for clusters in shown for cluster in clusters[:1])
    scale = next((each for each in _SCALES if each >= furthest), 1.0)
    largest = max(cluster.notional for clusters in shown for cluster in clusters)
    centre = (box.left + box.right) / 2
    pixels = (box.width / 2 - _LABEL) / scale
    _draw_scale(canvas, box, scale, pixels, palette)
    canvas.line([centre, centre], [box.bottom, box.top], palette.price, width=2)
    for index, (each, clusters) in enumerate(zip(result.markets, shown, strict=True)):
        y = box.top - _ROW * (index + 0.5)
        _draw_name(canvas, y, each, palette)
        for cluster in clusters:
            is_long = cluster is each.long
            colour = palette.long if is_long else palette.short
            if abs(cluster.distance) > scale:
                x = box.left + 14 if is_long else box.right - 14
                text = f"{money(cluster.notional)} {percent(cluster.distance)}"
                text = f"← {text}" if is_long else f"{text} →"
                anchor: Anchor = "l" if is_long else "r"
                canvas.text(x, y, text, palette.muted, size=SIZES.tick, anchor=anchor)
            else:
                _draw_cluster(
                    canvas, centre + cluster.distance * pixels, y, cluster, largest, colour, palette
                )


def _draw_scale(canvas: Canvas, box: Box, scale: float, pixels: float, palette: Palette) -> None:
    centre = (box.left + box.right) / 2
    for share in (-1.0, -0.5, 0.0, 0.5, 1.0):
        x = centre + share * scale * pixels
        text = percent(share * scale) if share else "last price"
        canvas.line([x, x], [box.bottom, box.top], palette.grid)
        canvas.text(x, box.top + 18, text, palette.muted, size=SIZES.tick, anchor="m")
    canvas.text(box.left, box.top + 50, "longs below", palette.long, size=SIZES.label)
    canvas.text(box.right, box.top + 50, "shorts above", palette.short, size=SIZES.label, anchor="r")


def _draw_name(canvas: Canvas, y: float, each: ScannedMarket, palette: Palette) -> None:
    canvas.text(_MARGIN, y + 11, each.market.symbol, palette.text, size=SIZES.label, bold=True)
    label, age = EXCHANGES[each.market.exchange].label, age_of_price(each)
    exchange = canvas.text(_MARGIN, y - 13, label, palette.muted, size=SIZES.foot)
    if age:
        colour = palette.muted if each.is_current else palette.warning
        canvas.text(exchange.right + 10, y - 13, age, colour, size=SIZES.foot)


def _draw_cluster(
    canvas: Canvas, x: float, y: float, cluster: NearCluster, largest: float, colour: str, palette: Palette
) -> None:
    radius = max(_SMALLEST_RADIUS, _LARGEST_RADIUS * float(np.sqrt(cluster.notional / largest)))
    canvas.area(x + radius * np.cos(_TURN), y + radius * np.sin(_TURN), colour, opacity=0.85)
    left = cluster.distance < 0
    place = x - radius - 8 if left else x + radius + 8
    text = f"{money(cluster.notional)} {percent(cluster.distance)}"
    canvas.text(
        place, y, text, palette.text, size=SIZES.tick, anchor="r" if left else "l", halo=palette.panel
    )
