"""Binance COIN-M futures: the daily files of liquidations that were published from 2023-06-25 to 2024-10-14.

Source: data.binance.vision, data/futures/cm/daily/liquidationSnapshot. There are none of USDⓈ-M futures.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.archives import opened_zip
from liqmap.exchanges.binance.files import Binance
from liqmap.exchanges.columns import Column, check_columns, first_row, milliseconds, read_columns
from liqmap.exchanges.fields import LEAST_PRICE, MOST
from liqmap.exchanges.messages import Liquidation
from liqmap.exchanges.protocol import DayFile
from liqmap.model import Side
from liqmap.model.window import TimeWindow

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# A row, of which every file has two copies:
#   1687656471926,BUY,LIMIT,IOC,7,30741.3,30631.6,FILLED,6,7
# `side` is the closing order's, so that BUY closed a short. `price` is the bankruptcy price, and
# `average_price` the fill. `last_fill_quantity` is only the last part of what was filled [contracts].
FIRST_DAY: Final = date(2023, 6, 25)
LAST_DAY: Final = date(2024, 10, 14)
COLUMNS: Final = (
    "time",
    "side",
    "order_type",
    "time_in_force",
    "original_quantity",
    "price",
    "average_price",
    "order_status",
    "last_fill_quantity",
    "accumulated_fill_quantity",
)


def _from_sides(chunk: pa.Array) -> NDArray[np.bool_]:
    """Return whether each closing order bought. Raises ValueError for a side that is neither."""
    import pyarrow.compute as pc  # noqa: PLC0415 - 8 MiB that only workers need, which read files

    buys, sells = pc.equal(chunk, "BUY"), pc.equal(chunk, "SELL")
    if not pc.all(pc.or_(buys, sells)).as_py() and len(chunk):
        raise ValueError("a side is neither BUY nor SELL")
    return np.from_dlpack(buys.cast(pa.int8())).astype(np.bool_)


_READ = {
    "time": Column(pa.int64()),
    "side": Column(pa.string(), _from_sides),
    "price": Column(pa.float64()),
    "average_price": Column(pa.float64()),
    "accumulated_fill_quantity": Column(pa.float64()),
}


class BinanceLiquidationFiles:
    """The format of Binance's daily files of liquidations: at most one a second, the latest."""

    complete = False

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile | None:
        """Return where `symbol`'s liquidations of `day` are published, None where there are none."""
        if not Binance().contract(symbol).inverse or not FIRST_DAY <= day <= LAST_DAY:
            return None
        name = f"{symbol}-liquidationSnapshot-{day}.zip"
        url = f"{base_url}/data/futures/cm/daily/liquidationSnapshot/{symbol}/{name}"
        return DayFile(url, f"{url}.CHECKSUM")

    def read_day(
        self, path: Path, symbol: str, day: date, *, max_unpacked_size: int
    ) -> tuple[Liquidation, ...]:
        """Parse a day's zip and return its liquidations in time order, each once, at their fill prices.

        Sizes are in US dollars. Rows of another day and rows of which nothing was filled are left out.
        Raises DataError naming the file and what was found.
        """
        name = f"{symbol}-liquidationSnapshot-{day}.zip"
        with parser_door(f"{name} is not a file of liquidations; it may have been replaced, try again."):
            return self._read(path, name, symbol, day, max_unpacked_size)

    def _read(
        self, path: Path, name: str, symbol: str, day: date, max_unpacked_size: int
    ) -> tuple[Liquidation, ...]:
        member = f"{name.removesuffix('.zip')}.csv"
        with opened_zip(path, name=name, member=member, max_unpacked_size=max_unpacked_size) as reader:
            row = first_row(reader, name)
            if not row:
                return ()
            if not row[0].isdecimal():
                check_columns(name, row, _READ)
            elif len(row) != len(COLUMNS):
                raise DataError(f"{name} has {len(row)} columns where {len(COLUMNS)} are expected.")
            names = COLUMNS if row[0].isdecimal() else None
            column = read_columns(reader, _READ, names=names, name=name)
        return _liquidations(name, symbol, day, column)


def _liquidations(
    name: str, symbol: str, day: date, column: dict[str, NDArray[Any]]
) -> tuple[Liquidation, ...]:
    contracts = column["accumulated_fill_quantity"]
    _check(name, "quantity", contracts, least=0)
    window, time = TimeWindow.of_day(day), milliseconds(column["time"])
    inside = (time >= window.start_ms) & (time < window.end_ms)
    if len(time) and not inside.any():
        raise DataError(f"{name} holds liquidations of another day than {day}.")
    rows = np.flatnonzero(inside & (contracts > 0))
    fill = column["average_price"][rows]
    _check(name, "price", fill, least=LEAST_PRICE)
    dollars = contracts[rows] * Binance().contract(symbol).dollars
    # The whole row, because two liquidations of one second that differ in anything are two.
    every = zip(
        time[rows].tolist(),
        column["side"][rows].tolist(),
        fill.tolist(),
        dollars.tolist(),
        column["price"][rows].tolist(),
        strict=True,
    )
    return tuple(
        Liquidation(symbol, at, Side.SELL if bought else Side.BUY, price, size, bankruptcy)
        for at, bought, price, size, bankruptcy in sorted(dict.fromkeys(every), key=lambda each: each[0])
    )


def _check(name: str, column: str, values: NDArray[np.float64], *, least: float) -> None:
    right = (values >= least) & (values <= MOST)  # NaN is neither
    if not right.all():
        raise DataError(f"{name} holds a {column} of {values[np.argmin(right)]:g}.")
