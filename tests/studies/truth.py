"""How far maps are from the truth of the simulated market, by trades and by open interest."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from liqmap.compute.values import LiquidationMap
from liqmap.model import Exchange, MapRequest, Market, Portion, PositionModel
from liqmap.run.job import MapJob, compute_map, load_job
from liqmap.simulator import SimulatedMarket
from liqmap.simulator.positions import PositionBook, standing_notional
from tests.studies.market import FIRST, Days, interest_of, window

DAYS = 30
SYMBOL = "BTCUSDT"
MODELS = (
    ("trades", PositionModel.TRADES, 0.0),
    ("open interest", PositionModel.OPEN_INTEREST, 0.0),
    ("open interest, turnover 0.5", PositionModel.OPEN_INTEREST, 0.5),
    ("open interest, turnover 1", PositionModel.OPEN_INTEREST, 1.0),
)


def truth_table(root: Path) -> str:
    """Return a table of all trades of thirty days, of which the truth knows every position, as Markdown."""
    market = SimulatedMarket(scale=0.004)
    days = Days(root, market, SYMBOL)
    book: PositionBook | None = None
    interest = []
    for place in range(DAYS):
        day = FIRST + timedelta(days=place)
        made = days.made(day)
        days.prepare(day, made)
        series = days.series(day)
        book = book or PositionBook(seed=market.seed, interest=float(series.interest[0]))
        book.add(made, series)
        interest.append(series)
    assert book is not None
    wanted = MapRequest(
        (Market(Exchange.BINANCE, SYMBOL),), window(FIRST + timedelta(days=DAYS), 24 * DAYS), Portion(1.0)
    )
    job = replace(days.job(wanted), interest=interest_of(interest))
    rows = []
    for name, positions, turnover in MODELS:
        request = replace(wanted, positions=positions, turnover=turnover)
        rows.append(_row(name, _drawn(replace(job, request=request)), book))
    head = "| model | standing longs, of the truth | shorts | within 5 % | wrong place |"
    return "\n".join([head, "|---|---:|---:|---:|---:|", *rows])


def _row(name: str, drawn: LiquidationMap, book: PositionBook) -> str:
    buckets, last = drawn.buckets, drawn.last_price
    edges = buckets.edges
    truth = [standing_notional(side, edges) for side in (book.longs, book.shorts)]
    model = [each.sum(axis=0) for each in (buckets.long, buckets.short)]
    near = (edges[:-1] >= 0.95 * last) & (edges[1:] <= 1.05 * last)
    shares = [one.sum() / other.sum() for one, other in zip(model, truth, strict=True)]
    within = sum(each[near].sum() for each in model) / sum(each[near].sum() for each in truth)
    wrong = np.mean([_misplaced(one, other) for one, other in zip(model, truth, strict=True)])
    return f"| {name} | {shares[0]:.3g} × | {shares[1]:.3g} × | {within:.3g} × | {wrong:.0%} |".replace(
        "%", " %"
    )


def _misplaced(model: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    """Return which part of a map's notional lies in other buckets of 1 % than the truth's, scale apart."""
    one, other = (np.add.reduceat(each, np.arange(0, len(each), 5)) for each in (model, truth))
    return float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)


def _drawn(job: MapJob) -> LiquidationMap:
    return compute_map(job, load_job(job))
