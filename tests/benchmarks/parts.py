"""Where the time of a warm map goes, in one process; and what a picture costs in each form."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from liqmap import Coverage, GrossValue, MapRequest
from liqmap.compute.buckets import LevelSums
from liqmap.compute.levels import all_levels
from liqmap.compute.values import LiquidationMap
from liqmap.model import Side
from liqmap.render import draw_depth, draw_map
from liqmap.render.png import png_of
from liqmap.run.job import MapJob, compute_map, load_job, margin_of
from liqmap.store.segments import Part, open_segment, segment_path, segment_windows
from tests.benchmarks.maps import request
from tests.benchmarks.table import Table

RUNS = 9


def measure_parts(store: Path, table: Table) -> None:
    """Time each step of two maps, and encode one picture in several ways."""
    for wanted in (request(6), request(2160, GrossValue(1e5))):
        drawn = _measure_steps(job_of(store, wanted), table)
    _measure_forms(draw_map(drawn, label="Binance USD-M"), table)


def _measure_steps(job: MapJob, table: Table) -> LiquidationMap:
    wanted, loaded, rules = job.request, load_job(job), margin_of(job)[0]
    days = len(wanted.window.days)
    table.heading(f"Parts of {wanted.selection.mode} {wanted.selection.value:g} over {days} days' files")
    drawn = compute_map(job, loaded)
    last, edges = drawn.last_price, drawn.buckets.edges
    entries = list(loaded.entries())
    levels = list(all_levels(entries, wanted, rules, last_price=last))
    steps: dict[str, Callable[[], Any]] = {
        "load: price path, and how far each day's trades are selected": lambda: load_job(job),
        "select: read the trades, and what the price did after them": lambda: list(loaded.entries()),
        "levels": lambda: list(all_levels(entries, wanted, rules, last_price=last)),
        "buckets": lambda: _summed(levels, wanted, edges[0] / 2, edges[-1] * 2, last),
        "map image": lambda: draw_map(drawn, label="Binance USD-M"),
        "depth image": lambda: draw_depth(drawn, label="Binance USD-M"),
    }
    for step, run in steps.items():
        table.row(step, [_clocked(run) for _ in range(RUNS)])
    return drawn


def job_of(store: Path, wanted: MapRequest) -> MapJob:
    """Return the job of a request whose days are all in the store."""
    parts, market = [], wanted.market
    for window in sorted(segment_windows(store, market.exchange, market.symbol), key=lambda each: each.start):
        overlap = window.overlap(wanted.window)
        segment = (
            open_segment(segment_path(store, market.exchange, market.symbol, window)) if overlap else None
        )
        if overlap and segment:
            parts.append(Part(segment, overlap))
    return MapJob(wanted, tuple(parts), Coverage(wanted.window, (wanted.window,), simulated=True))


def _summed(levels: list[Any], wanted: MapRequest, lowest: float, highest: float, last: float) -> None:
    sums = LevelSums(lowest, highest, leverages=wanted.leverages, last_price=last)
    for stretch in levels:
        for side in Side:
            sums.add([each for each in stretch if each.side is side])
    sums.buckets()


def _measure_forms(png: bytes, table: Table) -> None:
    """Encode the map's pixels as what it could be sent as."""
    table.heading("One map image, encoded")
    full = Image.open(io.BytesIO(png)).convert("RGB")
    palette = Image.open(io.BytesIO(png))
    forms: list[tuple[str, Callable[[], bytes]]] = [
        *(
            (
                f"PNG, full colours, by Pillow, level {level}",
                partial(_encoded, full, "PNG", compress_level=level),
            )
            for level in (1, 6)
        ),
        *(
            (
                f"PNG, palette, by Pillow, level {level}",
                partial(_encoded, palette, "PNG", compress_level=level),
            )
            for level in (1, 3, 6, 9)
        ),
        ("PNG, palette, as maps are sent", partial(png_of, palette)),
        ("WebP, lossless, by Pillow", partial(_encoded, full, "WEBP", lossless=True)),
    ]
    for name, encoded in forms:
        table.row(f"{name}: {len(encoded()) / 1024:.0f} KiB", [_clocked(encoded) for _ in range(RUNS)])


def _encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _clocked(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1000
