"""The query alone: reading a window's price path and selected trades, beside DuckDB and Polars over Parquet.

`python -m tests.benchmarks.queries STORE` measures this alone, over a store of ninety days. The Parquet files
hold all trades of a day in the order of time, as exchanges publish them; the store holds each day's trades by
side, the largest first.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from liqmap import Exchange, GrossValue, MapRequest, Selection, TopN
from liqmap.compute.path import path_bin_seconds
from liqmap.model import Side
from liqmap.run.job import PATH_BINS, load_job
from liqmap.store.reading import read_table
from liqmap.store.segments import open_segment, segment_path, segment_windows
from tests.benchmarks.maps import LENGTHS, request
from tests.benchmarks.market import SYMBOL
from tests.benchmarks.parts import job_of
from tests.benchmarks.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RUNS = 5


def measure_queries(store: Path, folder: Path, table: Table) -> None:
    """Query each length of window in turn with each, and tell how many times as long the others take."""
    table.heading("The query alone: price path and selected trades, without levels and drawing")
    store_parquet(store, folder)
    for name, hours in LENGTHS.items():
        for selection in (TopN(100), GrossValue(1e5)):
            wanted = request(hours, selection)
            files = [str(folder / f"{day}.parquet") for day in wanted.window.days]
            queries: dict[str, Callable[[], tuple[int, int]]] = {
                "this": partial(by_store, store, wanted),
                "DuckDB": partial(by_duckdb, files, wanted),
                "Polars": partial(by_polars, files, wanted),
            }
            answers = {who: query() for who, query in queries.items()}
            assert len({*answers.values()}) == 1, answers
            times: dict[str, list[float]] = {who: [] for who in queries}
            for _ in range(RUNS):
                for who, query in queries.items():
                    started = time.perf_counter()
                    query()
                    times[who].append((time.perf_counter() - started) * 1000)
            _report(table, f"{name} {selection.mode} {selection.value:g}", times)


def _report(table: Table, name: str, times: dict[str, list[float]]) -> None:
    ours = statistics.median(times["this"])
    table.row(f"{name}: this", times["this"])
    for who in ("DuckDB", "Polars"):
        table.value(f"{name}: {who}, compared with this", statistics.median(times[who]) / ours, unit="×")


def store_parquet(store: Path, folder: Path) -> None:
    """Write each stored day as Parquet, in the order of time."""
    folder.mkdir(exist_ok=True)
    for window in segment_windows(store, Exchange.BINANCE, SYMBOL):
        segment = open_segment(segment_path(store, Exchange.BINANCE, SYMBOL, window))
        assert segment is not None
        sides = [read_table(segment, side.value) for side in Side]
        columns: dict[str, Any] = {
            name: np.concatenate([side[name] for side in sides]) for name in ("time", "price", "size")
        }
        columns["time"] = columns["time"].astype(np.int64) + window.start_ms
        columns["is_buy"] = np.repeat([True, False], [len(side["time"]) for side in sides])
        order = np.argsort(columns["time"], kind="stable")
        rows = pa.table({name: values[order] for name, values in columns.items()})
        pq.write_table(rows, folder / f"{window.start:%Y-%m-%d}.parquet", compression="zstd")


def by_store(store: Path, wanted: MapRequest) -> tuple[int, int]:
    """Return how many bins the path has and how many trades are selected; what came after is read, too."""
    loaded = load_job(job_of(store, wanted))
    selected = sum(len(trades) for each in loaded.entries() for trades in each.trades.values())
    return len(loaded.path.time), selected


def by_duckdb(files: list[str], wanted: MapRequest) -> tuple[int, int]:
    """Return the same by DuckDB."""
    with duckdb.connect() as connection:
        bars = connection.sql(
            f"""SELECT time // {_bin_ms(wanted)} AS bin, min(price), max(price), arg_max(price, time)
                FROM read_parquet({files}) WHERE {within(wanted)} GROUP BY bin ORDER BY bin"""  # noqa: S608 - ours
        ).fetchnumpy()
        sides = [selected_by_duckdb(connection, files, wanted, side) for side in Side]
    return len(bars["bin"]), sum(len(side["time"]) for side in sides)


def selected_by_duckdb(
    connection: duckdb.DuckDBPyConnection, files: list[str], wanted: MapRequest, side: Side
) -> dict[str, NDArray[Any]]:
    """Return time, price and notional of a side's selected trades, the largest first."""
    limit, minimum = _terms(wanted.selection)
    return connection.sql(
        f"""SELECT time, price, price * size AS notional FROM read_parquet({files})
            WHERE {within(wanted)} AND is_buy = {side is Side.BUY} AND price * size >= {minimum}
            ORDER BY notional DESC, time {f"LIMIT {limit}" if limit else ""}"""  # noqa: S608
    ).fetchnumpy()


def within(wanted: MapRequest) -> str:
    """Return the condition of SQL for the trades of a window."""
    return f"time >= {wanted.window.start_ms} AND time < {wanted.window.end_ms}"


def by_polars(files: list[str], wanted: MapRequest) -> tuple[int, int]:
    """Return the same by Polars, its two sides and its path in one plan."""
    limit, minimum = _terms(wanted.selection)
    inside = pl.col("time").is_between(wanted.window.start_ms, wanted.window.end_ms, closed="left")
    trades = pl.scan_parquet(files).filter(inside)
    price = pl.col("price")
    bars = trades.group_by((pl.col("time") // _bin_ms(wanted)).alias("bin")).agg(
        price.min().alias("low"), price.max().alias("high"), price.last().alias("close")
    )
    valued = trades.with_columns((price * pl.col("size")).alias("notional"))
    sides = [
        valued.filter((pl.col("is_buy") == (side is Side.BUY)) & (pl.col("notional") >= minimum)).sort(
            "notional", "time", descending=[True, False]
        )
        for side in Side
    ]
    found = pl.collect_all([bars.sort("bin"), *(side.head(limit) if limit else side for side in sides)])
    return len(found[0]), sum(map(len, found[1:]))


def _bin_ms(wanted: MapRequest) -> int:
    return 1000 * path_bin_seconds(int(wanted.window.length.total_seconds()), bins=PATH_BINS)


def _terms(selection: Selection) -> tuple[int | None, float]:
    """Return the most trades of a side, and the least notional."""
    if isinstance(selection, TopN):
        return selection.count, 0.0
    return None, float(selection.value)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        measure_queries(Path(sys.argv[1]), Path(temporary), Table())
