"""Export: the table of levels behind a map, as CSV."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from liqmap.exact import rounded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from liqmap.compute.values import LiquidationLevels


def levels_csv(stretches: Iterable[tuple[LiquidationLevels, ...]]) -> bytes:
    """Return every level of the selected trades as tidy CSV, standing or swept.

    Stretches come newest first. Columns: side (of the trade: a buy opens a long), leverage, entry_time
    (UTC), entry_price, level, notional, state (standing or swept). Numbers are written as short as gives
    back the same float. Ordered by side (buy first), leverage, and then as the trades were made, where
    their turns are known, else the largest notional first, equal ones by earlier time.
    """
    groups = [_ordered(parts) for parts in zip(*stretches, strict=True)]
    lengths = [len(each["price"]) for each in groups]

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([each[name] for each in groups])

    table = pa.table(
        {
            "side": np.repeat([each["side"] for each in groups], lengths),
            "leverage": np.repeat([each["leverage"] for each in groups], lengths),
            "entry_time": pa.array(column("entry_time")).cast(pa.timestamp("ms", "UTC")),
            "entry_price": column("entry_price"),
            "level": column("price"),
            # A third of 57 is 19, and not 18.999999999999996.
            "notional": rounded(column("notional")),
            "state": np.where(column("standing"), "standing", "swept"),
        }
    )
    file = io.BytesIO()
    # Arrow would quote the names of the columns.
    file.write((",".join(table.column_names) + "\n").encode())
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(table, file, options)
    return file.getvalue()


def _ordered(parts: tuple[LiquidationLevels, ...]) -> dict[str, Any]:
    """Return one side's levels at one leverage as columns; `parts` come newest first."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in reversed(parts)])
        for name in ("price", "notional", "entry_time", "entry_price", "standing")
    }
    turns = [part.turn for part in reversed(parts) if part.turn is not None]
    if len(turns) == len(parts):
        order = np.lexsort((np.concatenate(turns), columns["entry_time"]))
    else:
        order = np.argsort(-columns["notional"], kind="stable")
    ordered: dict[str, Any] = {name: values[order] for name, values in columns.items()}
    return {"side": parts[0].side.value, "leverage": parts[0].leverage, **ordered}
