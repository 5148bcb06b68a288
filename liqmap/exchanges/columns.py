"""Columns: CSV streams -> arrays, batch by batch, and the checks that every exchange's rows must pass."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from liqmap.errors import DataError
from liqmap.memory import give_back_memory
from liqmap.model import Trades
from liqmap.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date
    from gzip import GzipFile

    from numpy.typing import NDArray

BLOCK_SIZE: Final = 1 << 20
"""Bytes of text that are parsed at once: small, because several are under way."""

_OUTSIDE_TOLERANCE = timedelta(seconds=1)


class CappedReader:
    """A readable binary stream that refuses to hand out more than `limit` bytes.

    What an archive declares about its size may be a lie, so what comes out is counted.
    """

    def __init__(self, stream: IO[bytes] | GzipFile, *, limit: int, name: str) -> None:
        self._stream = stream
        self._left = limit
        self._name = name
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes. Raises DataError beyond the limit."""
        data = self._stream.read(size if size >= 0 else BLOCK_SIZE)
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                f"{self._name} unpacks to more than is allowed; if that is right, raise the setting"
                " download.max_unpacked_size."
            )
        return data

    def readable(self) -> bool:
        """Tell that this is a stream to read from."""
        return True

    def close(self) -> None:
        """Close the stream."""
        self.closed = True
        self._stream.close()


@dataclass(frozen=True, slots=True)
class Column:
    """How a column of text is read: as which Arrow type, and how a chunk of that becomes an array."""

    type: pa.DataType
    convert: Callable[[pa.Array], NDArray[Any]] = np.from_dlpack


def read_columns(
    stream: CappedReader, columns: Mapping[str, Column], *, names: Sequence[str] | None, name: str
) -> dict[str, NDArray[Any]]:
    """Return the columns of a CSV stream that `columns` names, as arrays in the order of the rows.

    `names` are those of all columns where the file has no header. Text is parsed on one thread while
    Arrow's reader thread already inflates what follows. Raises DataError if a column is missing or a
    value is not of its type.
    """
    chunks: dict[str, list[NDArray[Any]]] = {column: [] for column in columns}
    try:
        with pyarrow.csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=pyarrow.csv.ReadOptions(block_size=BLOCK_SIZE, column_names=names),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(columns),
                column_types={column: how.type for column, how in columns.items()},
                null_values=[],
                true_values=["true", "True", "TRUE"],
                false_values=["false", "False", "FALSE"],
            ),
        ) as reader:
            for batch in reader:
                # Copied, so that the next batch takes this one's memory over.
                for column, how in columns.items():
                    chunks[column].append(np.array(how.convert(batch.column(column))))
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise DataError(f"{name} is not a file of trades: {_found(error)}.") from error
    pa.default_memory_pool().release_unused()
    # One column after the other, each one's chunks freed as it is joined; a header alone has none.
    joined = {
        column: np.concatenate(chunks.pop(column) or [how.convert(pa.array([], how.type))])
        for column, how in columns.items()
    }
    give_back_memory()
    return joined


def from_booleans(chunk: pa.Array) -> NDArray[np.bool_]:
    """Return a bool chunk as an array; DLPack knows no bit-packed booleans."""
    return np.from_dlpack(pc.cast(chunk, pa.int8())).astype(np.bool_)


def milliseconds(time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return whole timestamps in ms since 1970, given in seconds, ms or µs: their magnitude tells which."""
    largest = int(time.max(initial=0))
    if largest < 10**11:
        return time * 1000
    return time if largest < 10**14 else time // 1000


def check_day(
    name: str, day: date, *, time: NDArray[np.int64], price: NDArray[np.float64], size: NDArray[np.float64]
) -> None:
    """Check that trades are those of one UTC day, give or take a second, with sensible numbers.

    Raises DataError naming the file and what was found.
    """
    for column, values in (("price", price), ("size", size)):
        if not (np.isfinite(values) & (values > 0)).all():
            raise DataError(f"{name} is not a file of trades: it holds a {column} that is not above 0.")
    window = TimeWindow.of_day(day)
    slack = int(_OUTSIDE_TOLERANCE.total_seconds() * 1000)
    if len(time) and (time.min() < window.start_ms - slack or time.max() >= window.end_ms + slack):
        raise DataError(f"{name} holds trades of another day than {day}.")


def inside_day(time: NDArray[np.int64], day: date, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of `rows` that lie inside the day; the others belong to its neighbours' files."""
    window = TimeWindow.of_day(day)
    inside = (time >= window.start_ms) & (time < window.end_ms)
    return rows if inside.all() else rows[inside[rows]]


def in_time_order(time: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return `rows` ordered by time, rows of equal time as they stand."""
    ordered = time[rows]
    if (ordered[1:] >= ordered[:-1]).all():
        return rows
    return rows[np.argsort(ordered, kind="stable")]


def picked(trades: Trades, rows: NDArray[np.int64]) -> Trades:
    """Return the trades at `rows`, uncopied where those are all of them in order, as in most files."""
    if len(rows) == len(trades) and (rows[1:] > rows[:-1]).all():
        return trades
    return Trades(
        trades.time[rows], trades.price[rows], trades.size[rows], trades.is_buy[rows], trades.inverse
    )


def no_trades() -> Trades:
    """Return the trades of a day without any."""
    return Trades(np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0, np.bool_))


def printable(text: str) -> str:
    """Return text out of a file so that it can stand in a sentence: one line, not too long."""
    return "".join(char if char.isprintable() else " " for char in text)[:100]


def _found(error: Exception) -> str:
    # Arrow's complaint without its own vocabulary.
    text = str(error).replace("CSV parse error: ", "").replace("CSV conversion error to ", "expected ")
    return printable(text.rstrip("."))
