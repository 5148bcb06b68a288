"""Binance futures: where the daily aggregate trades are published, and how to read them.

Source: github.com/binance/binance-public-data, README and issues #12, #246, #278, #339.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.archives import opened_zip
from liqmap.exchanges.columns import (
    Column,
    check_columns,
    first_row,
    from_booleans,
    milliseconds,
    read_columns,
)
from liqmap.exchanges.protocol import Contract, DayFile, DayTrades
from liqmap.exchanges.rows import Rows, check_rows, no_trades, trades_of_day
from liqmap.model.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# A row:
#   3474393766,84710.5,1.5,8143941190,8143941190,1791072000005,true
# is_buyer_maker true: the taker sold. Some files have a header; others of the same month do not.
COLUMNS: Final = (
    "agg_trade_id",
    "price",
    "quantity",
    "first_trade_id",
    "last_trade_id",
    "transact_time",
    "is_buyer_maker",
)
_READ = {
    "agg_trade_id": Column(pa.int64()),
    "price": Column(pa.float64()),
    "quantity": Column(pa.float64()),
    "transact_time": Column(pa.int64()),
    "is_buyer_maker": Column(pa.bool_(), from_booleans),
}
_SPOT_COLUMN = "is_best_match"
_SPOT_COLUMNS = 8


_LINEAR = Contract("Binance USD-M", date(2019, 12, 31))
# COIN-M contracts are 100 US dollars each for bitcoin and 10 for everything else.
_INVERSE_BITCOIN = Contract("Binance COIN-M", date(2020, 8, 1), inverse=True, dollars=100, has_brackets=False)
_INVERSE = Contract("Binance COIN-M", date(2020, 8, 1), inverse=True, dollars=10, has_brackets=False)
MARKETS: Final = (_LINEAR, _INVERSE_BITCOIN, _INVERSE)


class Binance:
    """The format of Binance's daily files of USDⓈ-M and COIN-M futures."""

    def contract(self, symbol: str) -> Contract:
        """Return what kind of future `symbol` is: COIN-M symbols are BTCUSD_PERP, BTCUSD_261225."""
        if "USD_" not in symbol:
            return _LINEAR
        return _INVERSE_BITCOIN if symbol.startswith("BTCUSD_") else _INVERSE

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile:
        """Return where `symbol`'s trades of `day` are published below `base_url`."""
        market = "cm" if self.contract(symbol).inverse else "um"
        url = f"{base_url}/data/futures/{market}/daily/aggTrades/{symbol}/{symbol}-aggTrades-{day}.zip"
        return DayFile(url, f"{url}.CHECKSUM")

    def span(self, day: date) -> TimeWindow:
        """Return the UTC day."""
        return TimeWindow.of_day(day)

    def read_day(self, path: Path, symbol: str, day: date, *, max_unpacked_size: int) -> DayTrades:
        """Parse a day's zip: rows in any order, ids repeated or skipped, with or without a header.

        Rows up to an hour outside the day are left to the neighbouring day's file, and rows of size 0 are
        left out. Raises DataError naming the file and what was found.
        """
        name = f"{symbol}-aggTrades-{day}.zip"
        with parser_door(f"{name} is not a file of trades; it may have been replaced, try again."):
            return self._read(path, name, symbol, day, max_unpacked_size)

    def _read(self, path: Path, name: str, symbol: str, day: date, max_unpacked_size: int) -> DayTrades:
        member = f"{name.removesuffix('.zip')}.csv"
        with opened_zip(path, name=name, member=member, max_unpacked_size=max_unpacked_size) as reader:
            row = first_row(reader, name)
            if not row:
                return DayTrades(no_trades())
            names = None if _is_header(row, name) else COLUMNS
            column = read_columns(reader, _READ, names=names, name=name)
        contract = self.contract(symbol)
        if contract.inverse:
            column["quantity"] *= contract.dollars
        np.logical_not(column["is_buyer_maker"], out=column["is_buyer_maker"])
        # Popped, so that `rows` alone holds the columns.
        rows = Rows(
            time=milliseconds(column.pop("transact_time")),
            price=column.pop("price"),
            size=column.pop("quantity"),
            is_buy=column.pop("is_buyer_maker"),
            ids=column.pop("agg_trade_id"),
            inverse=contract.inverse,
        )
        check_rows(name, rows)
        return trades_of_day(name, self.span(day), rows)


def _is_header(row: Sequence[str], name: str) -> bool:
    """Return whether the first row is a header, and check that the columns are those of a futures file."""
    if row[0].isdecimal():
        if len(row) != len(COLUMNS):
            kind = "a spot file" if len(row) == _SPOT_COLUMNS else "not a file of futures trades"
            raise DataError(f"{name} is {kind}: {len(row)} columns where 7 are expected.")
        return False
    check_columns(name, row, _READ)
    if _SPOT_COLUMN in row:
        raise DataError(f"{name} is a spot file: it has a column {_SPOT_COLUMN}.")
    return True
