"""Export the numbers behind a map as Arrow tables, and its levels as CSV."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

from liqmap.model.exact import rounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from liqmap.compute.values import Heatmap, LevelBuckets, LiquidationLevels, PricePath
    from liqmap.model import Cluster

_CLUSTERS: Final = pa.schema(
    [
        ("side", pa.string()),
        *((name, pa.float64()) for name in ("low", "high", "price", "distance", "near", "notional")),
        *((name, pa.bool_()) for name in ("is_largest", "is_nearest_large", "is_nearest_small")),
    ]
)


_WEIGHED: Final = ("selected", "opened")


def levels_table(stretches: Iterable[tuple[LiquidationLevels, ...]]) -> pa.Table:
    """Return every level of the selected trades, standing or swept: one row a trade and leverage.

    Stretches come newest first. Columns: side (of the trade: a buy opens a long), leverage, entry_time
    (timestamp[ms, UTC]), entry_price, level (quote currency), notional (quote currency, the part of the
    trade that counts at this leverage) and state (standing or swept); by open interest also selected (the
    part of the trade at this leverage) and opened (what of it opened a position, of which notional is left).
    Ordered by side (buy first), leverage, and then as the trades were made, where their turns are known, else
    the largest notional first, equal ones by earlier time.
    """
    groups = [_ordered(parts) for parts in zip(*stretches, strict=True)]
    lengths = [len(each["price"]) for each in groups]

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([each[name] for each in groups])

    columns: dict[str, Any] = {
        "side": np.repeat([each["side"] for each in groups], lengths),
        "leverage": np.repeat([each["leverage"] for each in groups], lengths),
        "entry_time": _moments(column("entry_time")),
        "entry_price": column("entry_price"),
        "level": column("price"),
        # A third of 57 is 19, and not 18.999999999999996.
        "notional": rounded(column("notional")),
        "state": np.where(column("standing"), "standing", "swept"),
    }
    weighed = {name: rounded(column(name)) for name in _WEIGHED if name in groups[0]}
    return pa.table(columns | weighed)


def joint_table(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Return tables of levels as one, with their names as a first column `exchange`.

    The only table of a map of one exchange has no name, and no such column. One of several has it even if all
    others were left out, so that programs find the same columns every time.
    """
    if "" in tables:
        return tables[""]
    parts = [
        each.add_column(0, "exchange", pa.array([exchange] * each.num_rows, pa.string()))
        for exchange, each in tables.items()
    ]
    return pa.concat_tables(parts).combine_chunks()


def csv_of(table: pa.Table) -> bytes:
    """Return a table as tidy CSV. Numbers are written as short as gives back the same float."""
    file = io.BytesIO()
    # Arrow would quote the names of the columns.
    file.write((",".join(table.column_names) + "\n").encode())
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(table, file, options)
    return file.getvalue()


def buckets_table(buckets: LevelBuckets) -> pa.Table:
    """Return the standing notional by price: one row for each bucket and leverage, prices ascending.

    Columns: low, high (quote currency; the bucket is [low, high)), leverage, long and short (standing
    notional in quote currency: longs are liquidated below the last price, shorts above it).
    """
    leverages = len(buckets.leverages)
    return pa.table(
        {
            "low": np.repeat(buckets.edges[:-1], leverages),
            "high": np.repeat(buckets.edges[1:], leverages),
            "leverage": np.tile(np.asarray(buckets.leverages, np.int64), buckets.long.shape[1]),
            "long": buckets.long.T.ravel(),
            "short": buckets.short.T.ravel(),
        }
    )


def path_table(path: PricePath) -> pa.Table:
    """Return the price path, one row a bin: time (timestamp[ms, UTC], its start), low, high and close."""
    return pa.table({"time": _moments(path.time), "low": path.low, "high": path.high, "close": path.close})


def clusters_table(clusters: Sequence[Cluster]) -> pa.Table:
    """Return the clusters, the longs' before the shorts', each side's nearest first; one row each.

    Columns: side (of the trades: buys opened longs), low, high, price (the mean of what stands there),
    distance and near (of the price and of the nearest level from the last price, relative, negative below
    it), notional (quote currency), and whether it is its side's largest, nearest large or nearest small.
    """
    return pa.Table.from_pylist([asdict(each) for each in clusters], schema=_CLUSTERS)


def heatmap_table(heatmap: Heatmap) -> pa.Table:
    """Return the heatmap's cells in which something stands: one row each, by time and then price, ascending.

    Columns: time (timestamp[ms, UTC], start of the column's bin), low, high (quote currency; the cell is
    [low, high)) and notional (quote currency, standing at the end of the bin).
    """
    # Transposed, so that the cells come by time and then by price.
    column, row = np.nonzero(heatmap.value.T)
    return pa.table(
        {
            "time": _moments(heatmap.time[column]),
            "low": heatmap.edges[row],
            "high": heatmap.edges[row + 1],
            "notional": heatmap.value[row, column],
        }
    )


def _moments(milliseconds: NDArray[np.int64]) -> pa.Array:
    return pa.array(milliseconds).cast(pa.timestamp("ms", "UTC"))


def _ordered(parts: tuple[LiquidationLevels, ...]) -> dict[str, Any]:
    """Return one side's levels at one leverage as columns; `parts` come newest first."""
    weighed = _WEIGHED if all(part.opened is not None for part in parts) else ()
    columns = {
        name: np.concatenate([getattr(part, name) for part in reversed(parts)])
        for name in ("price", "notional", "entry_time", "entry_price", "standing", *weighed)
    }
    turns = [part.turn for part in reversed(parts) if part.turn is not None]
    if len(turns) == len(parts):
        order = np.lexsort((np.concatenate(turns), columns["entry_time"]))
    else:
        order = np.argsort(-columns["notional"], kind="stable")
    ordered: dict[str, Any] = {name: values[order] for name, values in columns.items()}
    return {"side": parts[0].side.value, "leverage": parts[0].leverage, **ordered}
