"""Export: the table of levels behind a map, as CSV."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from liqmap.model import LiquidationLevels

_DIGITS: Final = 8  # finer than any exchange's tick, coarser than a float's noise


def levels_csv(stretches: Iterable[tuple[LiquidationLevels, ...]]) -> bytes:
    """Return every level of the selected trades as tidy CSV, standing or swept.

    Stretches come newest first. Columns: side (of the trade: a buy opens a long), leverage, entry_time
    (UTC), entry_price, level, notional, state (standing or swept). Levels and notional are rounded to
    eight significant digits, though not coarser than a cent. Ordered by side (buy first), leverage, then
    largest notional first, equal ones by earlier time.
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
            "level": _rounded(column("price")),
            "notional": _rounded(column("notional")),
            "state": np.where(column("standing"), "standing", "swept"),
        }
    )
    file = io.BytesIO()
    # Arrow would quote the names of the columns.
    file.write((",".join(table.column_names) + "\n").encode())
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none")
    pyarrow.csv.write_csv(table, file, options)
    return file.getvalue()


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    decimals = np.clip(_DIGITS - 1 - np.floor(np.log10(values)), 2, 22)
    scale: NDArray[np.float64] = 10.0**decimals
    return np.round(values * scale) / scale


def _ordered(parts: tuple[LiquidationLevels, ...]) -> dict[str, Any]:
    """Return one side's levels at one leverage as columns; `parts` come newest first."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in reversed(parts)])
        for name in ("price", "notional", "entry_time", "entry_price", "standing")
    }
    order = np.argsort(-columns["notional"], kind="stable")
    ordered: dict[str, Any] = {name: values[order] for name, values in columns.items()}
    return {"side": parts[0].side.value, "leverage": parts[0].leverage, **ordered}
