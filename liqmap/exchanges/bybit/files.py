"""Bybit futures: where the daily trades are published, and how to read them.

Source: public.bybit.com/trading as published, and github.com/bybit-exchange/docs.
"""

from __future__ import annotations

import gzip
import re
import zlib
from contextlib import contextmanager
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from liqmap.errors import DataError
from liqmap.exchanges.columns import (
    CappedReader,
    Column,
    check_day,
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

# The header, a row of a linear contract and one of an inverse contract. RPI came in 2025, and the columns
# are read by name:
#   timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional,RPI
#   1788220800.1169,BTCUSDT,Sell,0.001,78541.70,MinusTick,555a5c11-...,7.854169999999999e+09,0.001,
#   78.54169999999999,0
#   1692748800.279,BTCUSD,Sell,641,26027.00,ZeroMinusTick,80253109-...,2.462827e+06,641,0.02462827
# side is the taker's. A linear contract's size is base currency, an inverse contract's is US dollars, and
# homeNotional equals it in both. foreignNotional is the other currency: size × price, or size / price.
_SIDES = ("Sell", "Buy")
_ROUNDING = 1e-6  # of foreignNotional, of which inverse files cut off what is below 1e-8
_ID_LENGTH = 36  # of a UUID
_ID_WORDS = _ID_LENGTH // 4
# Any fixed odd numbers will do: they spread an id's words over 64 bits.
_ID_WEIGHTS = np.random.default_rng(1).integers(0, 2**63, _ID_WORDS, dtype=np.uint64) * 2 + 1


_LINEAR = Contract("Bybit linear", date(2020, 3, 25))
_INVERSE = Contract("Bybit inverse", date(2019, 10, 1), inverse=True)
_INVERSE_SYMBOL = re.compile(r"\w+USD(?:[HMUZ]\d\d)?")


class Bybit:
    """The format of Bybit's daily files of linear and inverse contracts."""

    def contract(self, symbol: str) -> Contract:
        """Return what kind of future `symbol` is: inverse symbols are BTCUSD, BTCUSDZ26."""
        return _INVERSE if _INVERSE_SYMBOL.fullmatch(symbol) else _LINEAR

    def spelled(self, symbol: str) -> str:
        """Return `symbol` as Bybit spells it: BTCUSD for BTCUSD_PERP."""
        return symbol.removesuffix("_PERP")

    def day_file(self, base_url: str, symbol: str, day: date) -> DayFile:
        """Return where `symbol`'s trades of `day` are published below `base_url`; there are no checksums."""
        return DayFile(f"{base_url}/trading/{symbol}/{symbol}{day}.csv.gz", None)

    def read_day(self, path: Path, symbol: str, day: date, *, max_unpacked_size: int) -> DayTrades:
        """Parse a day's csv.gz: newest or oldest first, ids repeated, with or without newer columns.

        Rows up to a second outside the day are left to the neighbouring day's file. Raises DataError
        naming the file and what was found.
        """
        name = f"{symbol}{day}.csv.gz"
        with _opened(path, name) as stream:
            if not stream.peek(1):  # a day without trades is an empty gzip file
                return DayTrades(no_trades())
            reader = CappedReader(stream, limit=max_unpacked_size, name=name)
            column = read_columns(reader, _columns(symbol, name), names=None, name=name)
        time, price, size = _timestamps(column.pop("timestamp")), column["price"], column["size"]
        check_day(name, day, time=time, price=price, size=size)
        inverse = self.contract(symbol).inverse
        _check_kind(name, price, size, foreign=column.pop("foreignNotional"), inverse=inverse)
        order = _oldest_first(time, _each_once(column.pop("trdMatchID")))
        keep = in_time_order(time, inside_day(time, day, order))
        is_buy = column["side"] == _SIDES.index("Buy")
        return DayTrades(
            picked(Trades(time, price, size, is_buy, inverse), keep),
            duplicates=len(time) - len(order),
        )


@contextmanager
def _opened(path: Path, name: str) -> Iterator[gzip.GzipFile]:
    try:
        with gzip.open(path) as stream:
            yield stream
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name} is not a sound gzip file; it may have been cut off, try again.") from error


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
        "trdMatchID": Column(pa.string(), _fingerprints),
        "foreignNotional": number,
    }


def _codes(chunk: pa.Array, *, words: tuple[str, ...], complaint: str) -> NDArray[np.int8]:
    """Return each word's place in `words`. Raises DataError for any other word."""
    found = chunk.dictionary.to_pylist()
    strange = [word for word in found if word not in words]
    if strange:
        raise DataError(f"{complaint} {printable(strange[0])}, not {' or '.join(words)}.")
    places: NDArray[np.int8] = np.array([words.index(word) for word in found], np.int8)
    return places[np.from_dlpack(chunk.indices).astype(np.intp)]


def _fingerprints(chunk: pa.Array) -> NDArray[np.uint64]:
    """Return 64 bits for each id: a sixth of its memory, and equal where the ids are."""
    lengths = pc.min_max(pc.binary_length(chunk)).as_py()
    if set(lengths.values()) != {_ID_LENGTH}:
        return np.array([hash(each) for each in chunk.to_pylist()], np.int64).view(np.uint64)
    _, offsets, text = chunk.buffers()
    start = int(np.frombuffer(offsets, np.int32)[chunk.offset])
    words = np.frombuffer(text, np.uint32, count=len(chunk) * _ID_WORDS, offset=start)
    fingerprints: NDArray[np.uint64] = words.reshape(-1, _ID_WORDS).astype(np.uint64) @ _ID_WEIGHTS
    return fingerprints


def _check_kind(
    name: str,
    price: NDArray[np.float64],
    size: NDArray[np.float64],
    *,
    foreign: NDArray[np.float64],
    inverse: bool,
) -> None:
    """Check by foreignNotional that sizes are what the contract counts. Raises DataError."""

    def fits(worth: NDArray[np.float64]) -> bool:
        return np.allclose(foreign, worth, rtol=1e-3, atol=_ROUNDING)

    linear, inverted = size * price, size / price
    if fits(inverted if inverse else linear):
        return
    if fits(linear if inverse else inverted):
        kinds = ("a linear", "an inverse") if inverse else ("an inverse", "a linear")
        raise DataError(f"{name} holds trades of {kinds[0]} contract, not of {kinds[1]} one.")
    raise DataError(f"{name} is not a file of trades: its column foreignNotional contradicts its sizes.")


def _timestamps(time: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return times in ms, floored, given in seconds with decimals, in ms or in µs."""
    if time.max(initial=0) < 1e11:
        # A float of that size is off by up to 0.24 µs, which must not floor 0.117 s to 116 ms.
        return np.floor(time * 1000 + 4e-4).astype(np.int64)
    return milliseconds(time.astype(np.int64))


def _oldest_first(time: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `rows` turned round if the file begins with its newest, so that equal times come right too."""
    return rows[::-1] if len(rows) and time[rows[0]] > time[rows[-1]] else rows


def _each_once(ids: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the row numbers of each id's first row, in the order of the file."""
    first = np.unique(ids, return_index=True)[1]
    return np.sort(first)
