"""The same six hours drawn otherwise: by pandas and pyplot as scripts do it, and by DuckDB over Parquet."""

from __future__ import annotations

import asyncio
import io
import statistics
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import matplotlib as mpl
import numpy as np
import pandas as pd

from liqmap import Engine, GrossValue, MapRequest, Settings, TopN
from liqmap.compute.aftermath import aftermath
from liqmap.compute.map import build_map
from liqmap.compute.path import coarsened, path_bin_seconds
from liqmap.compute.values import Entries, PricePath, SideTrades
from liqmap.exchanges import EXCHANGES
from liqmap.model import Coverage, Side
from liqmap.render import draw_depth, draw_map
from liqmap.run.job import PATH_BINS, MapJob, margin_of
from tests.benchmarks.maps import clocked, request
from tests.benchmarks.market import END, SYMBOL
from tests.benchmarks.queries import selected_by_duckdb, within
from tests.benchmarks.table import Table

RUNS = 5
LEVERAGES = (10, 25, 50, 100)


async def measure_rivals(files: Path, folder: Path, settings: Settings, table: Table) -> None:
    """Draw in turn with each, and tell how many times as long the others take."""
    table.heading("The same six hours, done otherwise (medians of runs in turn)")
    day = EXCHANGES[request(6).market.exchange].files.day_file("", SYMBOL, END.date())
    csv, parquet = folder / "day.csv", folder / "day.parquet"
    with zipfile.ZipFile(files / "binance" / day.url.lstrip("/")) as archive:
        csv.write_bytes(archive.read(archive.namelist()[0]))
    _store_parquet(csv, parquet)
    async with Engine(settings) as engine:
        for selection in (TopN(100), GrossValue(1e5)):
            wanted = request(6, selection)
            draws = {
                "pandas and pyplot": partial(by_pandas, csv, wanted),
                "DuckDB, and the same drawing": partial(by_duckdb, parquet, wanted),
            }
            laps = []
            for _ in range(RUNS + 1):
                _, this = await clocked(engine, wanted)
                laps.append([this, *[await asyncio.to_thread(_clocked, draw) for draw in draws.values()]])
            ours, *others = (list(times) for times in zip(*laps[1:], strict=True))
            name = f"6 h {selection.mode} {selection.value:g}"
            table.row(f"{name}: this", ours)
            for who, times in zip(draws, others, strict=True):
                table.row(f"{name}: {who}", times)
                ratio = statistics.median(times) / statistics.median(ours)
                table.value(f"{name}: {who}, compared with this", ratio, unit="×")


def by_pandas(csv: Path, wanted: MapRequest) -> list[bytes]:
    """Do it the plain way: read the day, filter, compute each leverage, plot all with pyplot."""
    frame = pd.read_csv(csv)
    frame = frame[
        (frame.transact_time >= wanted.window.start_ms) & (frame.transact_time < wanted.window.end_ms)
    ]
    frame["time"] = pd.to_datetime(frame.transact_time, unit="ms")
    frame["notional"] = frame.price * frame.quantity
    last = frame.price.iloc[-1]
    sides = {}
    for side, maker in (("buy", False), ("sell", True)):
        rows = frame[frame.is_buyer_maker == maker]
        rows = (
            rows.nlargest(100, "notional")
            if isinstance(wanted.selection, TopN)
            else rows[rows.notional >= wanted.selection.value]
        )
        sides[side] = rows
    levels = [
        (leverage, prices[prices < last] if sign < 0 else prices[prices > last], rows.notional)
        for side, sign in (("buy", -1), ("sell", 1))
        for rows in (sides[side],)
        for leverage in LEVERAGES
        for prices in (rows.price * (1 + sign / leverage),)
    ]
    return _plot(frame, sides, levels, last)


def _plot(
    frame: pd.DataFrame,
    sides: dict[str, pd.DataFrame],
    levels: list[tuple[int, pd.Series[float], pd.Series[float]]],
    last: float,
) -> list[bytes]:
    mpl.use("agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415, TID251 - this is what is compared with

    pictures = []
    bins = np.linspace(
        min(level.min() for _, level, _ in levels), max(level.max() for _, level, _ in levels), 200
    )
    figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(12, 9))
    left.plot(frame.time, frame.price)
    for rows in sides.values():
        left.scatter(rows.time, rows.price, s=rows.notional / 1e4)
    for leverage, level, notional in levels:
        right.hist(
            level, bins=bins, weights=notional[level.index], orientation="horizontal", label=f"{leverage}x"
        )
    right.legend(loc="best")
    depth, axis = plt.subplots(figsize=(12, 9))
    both = pd.concat(
        [pd.Series(notional[level.index].to_numpy(), level.to_numpy()) for _, level, notional in levels]
    )
    for part in (both[both.index < last].sort_index(ascending=False), both[both.index > last].sort_index()):
        axis.fill_between(part.index, part.cumsum())
    for each in (figure, depth):
        each.tight_layout()
        file = io.BytesIO()
        each.savefig(file, format="png")
        plt.close(each)
        pictures.append(file.getvalue())
    return pictures


def _store_parquet(csv: Path, parquet: Path) -> None:
    duckdb.sql(
        f"""COPY (SELECT transact_time AS time, price, quantity AS size, NOT is_buyer_maker AS is_buy
                  FROM read_csv('{csv}') ORDER BY time)
            TO '{parquet}' (FORMAT parquet, COMPRESSION zstd)"""  # noqa: S608 - our own paths
    )


def by_duckdb(parquet: Path, wanted: MapRequest) -> list[bytes]:
    """Query trades in time order, and draw with what this project draws with."""
    with duckdb.connect() as connection:
        bars = connection.sql(
            f"""SELECT time // 1000 * 1000 AS second, min(price) AS low, max(price) AS high,
                       arg_max(price, time) AS close, count(*) AS trades
                FROM '{parquet}' WHERE {within(wanted)} GROUP BY second ORDER BY second"""  # noqa: S608
        ).fetchnumpy()
        found = {side: selected_by_duckdb(connection, [str(parquet)], wanted, side) for side in Side}
    trades = {
        side: SideTrades(side, *(np.asarray(its[name]) for name in ("time", "price", "notional")))
        for side, its in found.items()
    }
    path = PricePath(bars["second"], bars["low"], bars["high"], bars["close"])
    seconds = path_bin_seconds(int(wanted.window.length.total_seconds()), bins=PATH_BINS)
    after = {
        side: aftermath(path, of, bin_seconds=seconds, later=np.inf if side is Side.BUY else -np.inf)
        for side, of in trades.items()
    }
    coverage = Coverage(wanted.window, (wanted.window,), simulated=True)
    rules, basis = margin_of(MapJob(wanted, (), coverage))
    drawn = build_map(
        wanted,
        coverage,
        path=coarsened(path, seconds),
        trade_count=int(bars["trades"].sum()),
        entries=[Entries(trades, after)],
        rules=rules,
        basis=basis,
    )
    return [draw_map(drawn, label="Binance USD-M"), draw_depth(drawn, label="Binance USD-M")]


def _clocked(draw: Callable[[], list[bytes]]) -> float:
    started = time.perf_counter()
    pictures = draw()
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    return (time.perf_counter() - started) * 1000
