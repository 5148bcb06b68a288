"""How much more stands when the mark price sweeps the levels instead of traded prices."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from liqmap.compute.values import LiquidationMap
from liqmap.model import Exchange, GrossValue, MapRequest, Market, SweepPrice
from liqmap.run.job import MapJob, compute_map, load_job
from liqmap.simulator import SimulatedMarket
from tests.studies.market import FIRST, Days, window

WINDOWS = 20


def marks_table(root: Path, *, symbol: str = "BTCUSDT") -> str:
    """Return a table of twenty windows of each length, as Markdown."""
    days = Days(root, SimulatedMarket(scale=0.2), symbol)
    rows = []
    for hours in (6, 24):
        more, near = [], []
        for place in range(WINDOWS):
            wanted = MapRequest(
                (Market(Exchange.BINANCE, symbol),),
                window(FIRST + timedelta(days=1 + place), hours),
                GrossValue(10_000),
            )
            job = days.job(wanted)
            by_marks, by_trades = _drawn(job), _drawn(replace(job, request=_traded(wanted)))
            more.append(_standing(by_marks) / _standing(by_trades) - 1)
            near.append(_within(by_marks) / _within(by_trades) - 1)
        for what, values in (("in all", more), ("within 1 %", near)):
            shares = " | ".join(f"{value:+.1%}".replace("%", " %") for value in _summary(values))
            rows.append(f"| {hours} h, standing {what} | {shares} |")
    return "\n".join(["| window | median | least | most |", "|---|---:|---:|---:|", *rows])


def _traded(request: MapRequest) -> MapRequest:
    return replace(request, sweep=SweepPrice.TRADED)


def _drawn(job: MapJob) -> LiquidationMap:
    return compute_map(job, load_job(job))


def _standing(drawn: LiquidationMap) -> float:
    return float(drawn.buckets.long.sum() + drawn.buckets.short.sum())


def _within(drawn: LiquidationMap) -> float:
    return max(drawn.bands[0].long + drawn.bands[0].short, 1.0)


def _summary(values: list[float]) -> tuple[float, float, float]:
    return float(np.median(values)), min(values), max(values)
