"""Bybit futures: where the daily trades are published, and how to read them.

Source: public.bybit.com/trading as published, and github.com/bybit-exchange/docs.
"""

from __future__ import annotations

import re
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.archives import opened_gzip
from liqmap.exchanges.bybit.ids import all_differ, fingerprints
from liqmap.exchanges.columns import (
    Column,
    check_columns,
    first_row,
    milliseconds,
    printable,
    read_columns,
)
from liqmap.exchanges.fills import parts
from liqmap.exchanges.protocol import Contract, DayFile, DayTrades
from liqmap.exchanges.rows import Rows, check_range, check_rows, each_once, no_trades, trades_of_day
from liqmap.model.window import TimeWindow

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# The header, a row of a linear contract and one of an inverse contract. RPI came in 2025, and the columns
# are read by name:
#   timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional,RPI
#   1788220800.1169,BTCUSDT,Sell,0.001,78541.70,MinusTick,555a5c11-...,7.854169999999999e+09,0.001,
#   78.54169999999999,0
#   1692748800.279,BTCUSD,Sell,641,26027.00,ZeroMinusTick,80253109-...,2.462827e+06,641,0.02462827
# side is the taker's. A linear contract's size is base currency, an inverse contract's is US dollars, and
# homeNotional equals it in both. foreignNotional is the other currency: size × price, or size / price.
_SIDES = ("Sell", "Buy")
_ID = "trdMatchID"
_LATEST = 1e16  # in µs, the unit with the largest numbers
_ROUNDING = 1e-6  # tolerance for foreignNotional, which inverse files truncate at 1e-8


_LINEAR = Contract("Bybit linear", date(2020, 3, 25))
_INVERSE = Contract("Bybit inverse", date(2019, 10, 1), inverse=True)
MARKETS: Final = (_LINEAR, _INVERSE)
_INVERSE_SYMBOL = re.compile(r"\w+USD(?:[HMUZ]\d\d)?")


class Bybit:
    """The format of Bybit's daily files of linear and inverse contracts."""

    def contract(self, symbol: str) -> Contract:
        """Return what kind of future `symbol` is: inverse symbols are BTCUSD, BTCUSDZ26."""
        return _INVERSE if _INVERSE_SYMBOL.fullmatch(symbol) else _LINEAR

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile:
        """Return where `symbol`'s trades of `day` are published below `base_url`; there are no checksums."""
        return DayFile(f"{base_url}/trading/{symbol}/{symbol}{day}.csv.gz", None)

    def span(self, day: date) -> TimeWindow:
        """Return the UTC day."""
        return TimeWindow.of_day(day)

    def read_day(self, path: Path, symbol: str, day: date, *, max_unpacked_size: int) -> DayTrades:
        """Parse a day's csv.gz: newest or oldest first, ids repeated or absent, of any year's columns.

        Rows up to an hour outside the day are left to the neighbouring day's file, and rows of size 0 are
        left out. Raises DataError naming the file and what was found.
        """
        name = f"{symbol}{day}.csv.gz"
        with parser_door(f"{name} is not a file of trades; it may have been replaced, try again."):
            return self._read(path, name, symbol, day, max_unpacked_size)

    def _read(self, path: Path, name: str, symbol: str, day: date, max_unpacked_size: int) -> DayTrades:
        wanted = _columns(symbol, name)
        with opened_gzip(path, name=name, max_unpacked_size=max_unpacked_size) as reader:
            header = first_row(reader, name)
            if not header:  # a day without trades is an empty gzip file
                return DayTrades(no_trades())
            if _ID not in header:
                del wanted[_ID]
            check_columns(name, header, wanted)
            column = read_columns(reader, wanted, names=None, name=name)
        once = _once(column.pop(_ID, None))
        # Popped, so that `rows` alone holds the columns.
        rows = Rows(
            time=_timestamps(column.pop("timestamp"), name),
            price=column.pop("price"),
            size=column.pop("size"),
            is_buy=column.pop("side") == _SIDES.index("Buy"),
            inverse=self.contract(symbol).inverse,
        )
        check_rows(name, rows)
        _check_kind(name, rows, column.pop("foreignNotional"))
        count = len(rows)
        if once is not None:
            rows.pick(once)
        if len(rows) and rows.time[0] > rows.time[-1]:  # newest first: views, so nothing is copied
            rows.pick(slice(None, None, -1))
        return trades_of_day(name, self.span(day), rows, duplicates=count - len(rows))


def _once(ids: NDArray[np.uint64] | None) -> NDArray[np.bool_] | None:
    """Return which rows are the first of their id or without one, None if all are."""
    return None if ids is None or all_differ(ids) else each_once(ids)


def _columns(symbol: str, name: str) -> dict[str, Column]:
    number, words = Column(pa.float64()), pa.dictionary(pa.int32(), pa.string())
    symbols = partial(_codes, words=(symbol,), complaint=f"{name} holds trades of")
    sides = partial(_codes, words=_SIDES, complaint=f"{name} holds the side")
    return {
        "timestamp": number,
        "symbol": Column(words, symbols),
        "side": Column(words, sides),
        "size": number,
        "price": number,
        _ID: Column(pa.string(), fingerprints),
        "foreignNotional": Column(pa.float32()),  # exact enough to tell two kinds of contract apart
    }


def _codes(chunk: pa.Array, *, words: tuple[str, ...], complaint: str) -> NDArray[np.int8]:
    """Return the index of each word in `words`. Raises DataError for any other word."""
    found = chunk.dictionary.to_pylist()
    strange = [word for word in found if word not in words]
    if strange:
        raise DataError(f"{complaint} {printable(strange[0])}, not {' or '.join(words)}.")
    places: NDArray[np.int8] = np.array([words.index(word) for word in found], np.int8)
    return places[np.from_dlpack(chunk.indices).astype(np.intp)]


def _check_kind(name: str, rows: Rows, foreign: NDArray[np.float64]) -> None:
    """Check by foreignNotional that sizes are what the contract counts. Raises DataError."""
    real = rows.real()

    def fits(worth: np.ufunc) -> bool:
        # Part by part: in one go, this would take more memory than everything else.
        for part in parts(len(rows)):
            its = real[part]
            expected = worth(rows.size[part][its], rows.price[part][its])
            if not np.allclose(foreign[part][its], expected, rtol=1e-3, atol=_ROUNDING):
                return False
        return True

    if fits(np.divide if rows.inverse else np.multiply):
        return
    if fits(np.multiply if rows.inverse else np.divide):
        kinds = ("a linear", "an inverse") if rows.inverse else ("an inverse", "a linear")
        raise DataError(f"{name} holds trades of {kinds[0]} contract, not of {kinds[1]} one.")
    raise DataError(f"{name} is not a file of trades: its column foreignNotional contradicts its sizes.")


def _timestamps(time: NDArray[np.float64], name: str) -> NDArray[np.int64]:
    """Return times in ms, floored, given in seconds with decimals, in ms or in µs."""
    check_range(name, "timestamp", time, least=0, most=_LATEST)
    if time.max(initial=0) < 1e11:
        # A float of that size is off by up to 0.24 µs, which must not floor 0.117 s to 116 ms.
        return np.floor(time * 1000 + 4e-4).astype(np.int64)
    return milliseconds(time.astype(np.int64))
