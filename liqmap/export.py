"""Export: the table of levels behind a map, as CSV."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from liqmap.model import LiquidationMap


def levels_csv(liquidation_map: LiquidationMap) -> bytes:
    """Return every level of the selected trades as tidy CSV, standing or swept.

    Columns: side, leverage, entry_time (UTC), entry_price, level, notional. Ordered by side (buy first),
    leverage, then as selected: largest notional first.
    """
    levels = (*liquidation_map.long_levels, *liquidation_map.short_levels)
    lengths = [len(each.price) for each in levels]

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(each, name) for each in levels])

    table = pa.table(
        {
            "side": np.repeat([each.side.value for each in levels], lengths),
            "leverage": np.repeat([each.leverage for each in levels], lengths),
            "entry_time": pa.array(column("entry_time")).cast(pa.timestamp("ms", "UTC")),
            "entry_price": column("entry_price"),
            "level": column("price"),
            "notional": column("notional"),
        }
    )
    file = io.BytesIO()
    # Arrow would quote the names of the columns.
    file.write((",".join(table.column_names) + "\n").encode())
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(table, file, options)
    return file.getvalue()
