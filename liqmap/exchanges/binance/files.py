"""Binance futures: where the daily aggregate trades are published, and how to read them.

Source: github.com/binance/binance-public-data, README and issues #12, #246, #278, #339.
"""

from __future__ import annotations

import zipfile
import zlib
from contextlib import contextmanager
from datetime import date
from typing import IO, TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from liqmap.errors import DataError
from liqmap.exchanges.columns import (
    CappedReader,
    Column,
    check_day,
    from_booleans,
    in_time_order,
    inside_day,
    milliseconds,
    no_trades,
    picked,
    printable,
    read_columns,
)
from liqmap.exchanges.protocol import Contract, DayFile, DayTrades
from liqmap.model import Trades

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

# A row:
#   3474393766,84710.5,1.5,8143941190,8143941190,1791072000005,true
# is_buyer_maker true: the taker sold. Some files have a header, others of the same month have not.
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


class Binance:
    """The format of Binance's daily files of USDⓈ-M and COIN-M futures."""

    def contract(self, symbol: str) -> Contract:
        """Return what kind of future `symbol` is: COIN-M symbols are BTCUSD_PERP, BTCUSD_261225."""
        if "USD_" not in symbol:
            return _LINEAR
        return _INVERSE_BITCOIN if symbol.startswith("BTCUSD_") else _INVERSE

    def spelled(self, symbol: str) -> str:
        """Return `symbol` as Binance spells it: BTCUSD_PERP for BTCUSD."""
        return f"{symbol}_PERP" if symbol.endswith("USD") else symbol

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile:
        """Return where `symbol`'s trades of `day` are published below `base_url`."""
        market = "cm" if self.contract(symbol).inverse else "um"
        url = f"{base_url}/data/futures/{market}/daily/aggTrades/{symbol}/{symbol}-aggTrades-{day}.zip"
        return DayFile(url, f"{url}.CHECKSUM")

    def read_day(self, path: Path, symbol: str, day: date, *, max_unpacked_size: int) -> DayTrades:
        """Parse a day's zip: rows in any order, ids repeated or skipped, with or without a header.

        Rows up to a second outside the day are left to the neighbouring day's file. Raises DataError
        naming the file and what was found.
        """
        name = f"{symbol}-aggTrades-{day}.zip"
        with _opened(path, name) as archive:
            member = _only_member(archive, name)
            with archive.open(member) as stream:
                header = _sniff_header(stream, name)
                if (header or not stream.tell()) and not stream.read(1):
                    return DayTrades(no_trades())
            with archive.open(member) as stream:
                reader = CappedReader(stream, limit=max_unpacked_size, name=name)
                column = read_columns(reader, _READ, names=None if header else COLUMNS, name=name)
        ids, price, size = column["agg_trade_id"], column["price"], column["quantity"]
        time, is_buy = milliseconds(column["transact_time"]), ~column["is_buyer_maker"]
        check_day(name, day, time=time, price=price, size=size)
        order = _each_once(ids)
        lost = int(ids[order[-1]] - ids[order[0]]) + 1 - len(order) if len(order) else 0
        keep = in_time_order(time, inside_day(time, day, order))
        contract = self.contract(symbol)
        if contract.inverse:
            size = size * contract.dollars
        return DayTrades(
            picked(Trades(time, price, size, is_buy, contract.inverse), keep),
            first_id=int(ids[keep].min()) if len(keep) else None,
            last_id=int(ids[keep].max()) if len(keep) else None,
            lost_ids=lost,
            duplicates=len(ids) - len(order),
        )


@contextmanager
def _opened(path: Path, name: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        # RuntimeError is how zipfile says that a member is encrypted.
        raise DataError(f"{name} is not a sound zip file; it may have been replaced, try again.") from error


def _only_member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    expected = name.removesuffix(".zip") + ".csv"
    members = archive.infolist()
    # The name must match to the letter, so a path in it, a second file or another market is refused.
    if len(members) != 1 or members[0].filename != expected:
        found = ", ".join(printable(member.filename) for member in members[:3]) or "nothing"
        raise DataError(f"{name} should hold {expected} but holds {found}.")
    return members[0]


def _sniff_header(stream: IO[bytes], name: str) -> bool:
    """Read the header, if there is one, and tell so; check that the columns are a futures file's."""
    line = stream.readline(1000)
    fields = line.decode("ascii", "replace").strip().split(",")
    header = bool(line) and not fields[0].isdigit()
    if header:
        missing = [column for column in _READ if column not in fields]
        if missing:
            raise DataError(f"{name} is not a file of trades: it has no column {missing[0]}.")
    elif line and len(fields) != len(COLUMNS):
        kind = "a spot file" if len(fields) == _SPOT_COLUMNS else "not a file of futures trades"
        raise DataError(f"{name} is {kind}: {len(fields)} columns where 7 are expected.")
    if header and _SPOT_COLUMN in fields:
        raise DataError(f"{name} is a spot file: it has a column {_SPOT_COLUMN}.")
    return header


def _each_once(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return row numbers in the order of the ids, each id's first row only."""
    if (ids[1:] > ids[:-1]).all():
        return np.arange(len(ids))
    return np.unique(ids, return_index=True)[1]
