"""OKX swaps: where the daily trades are published, and how to read them.

Source: the files below static.okx.com as published, and OKX's documentation of its historical data.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from liqmap.errors import DataError, parser_door
from liqmap.exchanges.archives import opened_zip
from liqmap.exchanges.columns import Column, first_rows, printable, read_columns
from liqmap.exchanges.okx.names import instrument_of
from liqmap.exchanges.protocol import Contract, DayFile, DayTrades
from liqmap.exchanges.rows import Rows, check_range, check_rows, no_trades, trades_of_day
from liqmap.model.window import DAY, TimeWindow

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

# A header and a row; some early files have a header in Chinese, or in both languages, and only since 2025 is
# there a source. The columns are taken by position, and headers known by their first field:
#   instrument_name,trade_id,side,price,size,created_time,source
#   BTC-USDT-SWAP,2802853319,sell,64927.5,0.2,1784822400188,0
# A row is one fill, its size in contracts, with an exponent at times (1E-2); side is the taker's.
COLUMNS: Final = ("instrument_name", "trade_id", "side", "price", "size", "created_time", "source")
_OLD_COLUMNS: Final = COLUMNS[:6]
_SIDES = ("sell", "buy")
_ALL: Final = "allswap"
_MOST_HEADERS = 2  # one in each language
_UTC_8: Final = timedelta(hours=8)  # the time zone by which OKX splits its files
_LATEST = 1e13  # in ms

_LINEAR = Contract("OKX swap", date(2021, 10, 1))
MARKETS: Final = (_LINEAR,)


class Okx:
    """The format of OKX's daily files of swaps. Sizes stay in contracts."""

    def contract(self, symbol: str) -> Contract:  # noqa: ARG002 - there is one kind
        """Return what kind of future `symbol` is: a linear swap."""
        return _LINEAR

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile:
        """Return where `symbol`'s trades of `day` are published below `base_url`; there are no checksums.

        Some days, such as 2023-03-01, have one file of all swaps and none of each.
        """
        folder = f"{base_url}/cdn/okex/traderecords/trades/daily/{day:%Y%m%d}"
        name, every = (f"{each}-trades-{day}.zip" for each in (instrument_of(symbol), _ALL))
        return DayFile(f"{folder}/{name}", None, instead=f"{folder}/{every}")

    def span(self, day: date) -> TimeWindow:
        """Return the day in UTC+8, which begins at 16:00 of the day before in UTC."""
        start = TimeWindow.of_day(day).start - _UTC_8
        return TimeWindow(start, start + DAY)

    def read_day(self, path: Path, symbol: str, day: date, *, max_unpacked_size: int) -> DayTrades:
        """Parse a day's zip: of 6 or 7 columns, with any header or none, with rows of other instruments.

        Fills of one order and price become one trade. Rows up to an hour outside the day are left to the
        neighbouring day's file, and rows of size 0 are left out. Raises DataError naming the file and what
        was found.
        """
        name = f"{instrument_of(symbol)}-trades-{day}.zip"
        with parser_door(f"{name} is not a file of trades; it may have been replaced, try again."):
            return self._read(path, name, symbol, day, max_unpacked_size)

    def _read(self, path: Path, name: str, symbol: str, day: date, max_unpacked_size: int) -> DayTrades:
        members = (f"{name.removesuffix('.zip')}.csv", f"{_ALL}-trades-{day}.csv")
        with opened_zip(path, name=name, member=members, max_unpacked_size=max_unpacked_size) as reader:
            lines = first_rows(reader, name, count=_MOST_HEADERS + 1)
            headers = _headers(lines, name)
            if headers == len(lines):
                _check_header(lines, name)
                return DayTrades(no_trades())
            names = _names(lines[headers], name)
            column = read_columns(
                reader,
                _columns(symbol, name),
                names=names,
                name=name,
                skipped=headers,
                kept="instrument_name",
            )
        if not len(column["trade_id"]):
            raise DataError(f"{name} holds no trades of {instrument_of(symbol)}.")
        # Popped, so that `rows` alone holds the columns.
        rows = Rows(
            time=_times(column.pop("created_time"), name),
            price=column.pop("price"),
            size=column.pop("size"),
            is_buy=column.pop("side"),
            ids=column.pop("trade_id"),
        )
        check_rows(name, rows)
        return trades_of_day(name, self.span(day), rows, are_fills=True)


def _headers(lines: Sequence[tuple[str, ...]], name: str) -> int:
    """Return how many of the first lines are headers: their first field names no instrument."""
    places = (place for place in count() if place == len(lines) or "-" in lines[place][0])
    headers = next(places)
    if headers > _MOST_HEADERS:
        raise DataError(f"{name} is not a file of trades: no line begins with an instrument.")
    return headers


def _check_header(lines: Sequence[tuple[str, ...]], name: str) -> None:
    """Raise DataError if a file without rows has no header either: it may be cut off, or of another kind."""
    if not any(len(line) in (len(COLUMNS), len(_OLD_COLUMNS)) for line in lines):
        raise DataError(f"{name} is not a file of trades: it has no row, and no header of 6 or 7 columns.")


def _names(row: tuple[str, ...], name: str) -> tuple[str, ...]:
    for names in (COLUMNS, _OLD_COLUMNS):
        if len(row) == len(names):
            return names
    raise DataError(f"{name} is not a file of trades: {len(row)} columns where 6 or 7 are expected.")


def _columns(symbol: str, name: str) -> dict[str, Column]:
    number, words = Column(pa.float64()), pa.dictionary(pa.int32(), pa.string())
    return {
        "instrument_name": Column(words, partial(_is, word=instrument_of(symbol))),
        "trade_id": Column(pa.int64()),
        "side": Column(words, partial(_is_buy, name=name)),
        "price": number,
        "size": number,
        "created_time": number,
    }


def _is(chunk: pa.Array, *, word: str) -> NDArray[np.bool_]:
    """Return which rows have a word."""
    found: NDArray[np.bool_] = np.array([each == word for each in chunk.dictionary.to_pylist()], np.bool_)
    return found[np.from_dlpack(chunk.indices).astype(np.intp)]


def _is_buy(chunk: pa.Array, *, name: str) -> NDArray[np.bool_]:
    """Return which rows are buys. Raises DataError for a side that is none."""
    sides = [each.lower() for each in chunk.dictionary.to_pylist()]
    strange = [side for side in sides if side not in _SIDES]
    if strange:
        raise DataError(f"{name} holds the side {printable(strange[0])}, not {' or '.join(_SIDES)}.")
    found: NDArray[np.bool_] = np.array([side == "buy" for side in sides], np.bool_)
    return found[np.from_dlpack(chunk.indices).astype(np.intp)]


def _times(time: NDArray[np.float64], name: str) -> NDArray[np.int64]:
    """Return times in ms, which are written with an exponent at times."""
    check_range(name, "time", time, least=0, most=_LATEST)
    return time.astype(np.int64)
