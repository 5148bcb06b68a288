"""Read CSV streams into arrays, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv

from liqmap.errors import DataError
from liqmap.memory import give_back_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

BLOCK_SIZE: Final = 1 << 20
"""Bytes of text that are parsed at once: small, because several are under way."""

# Small chunks come from the heap, which keeps what is freed; so large ones go back to the system at once.
_JOINED_AT_ONCE = 128
_FIRST_BYTES = 1 << 16
_BYTE_ORDER_MARK = "\ufeff"


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class CappedReader:
    """A readable binary stream that refuses to hand out more than `limit` bytes.

    The size that an archive declares may be false, so the bytes that come out are counted.
    """

    def __init__(self, stream: _Readable, *, limit: int, name: str) -> None:
        self._stream = stream
        self._left = limit
        self._name = name
        self._first = b""
        self.closed = False

    def first_bytes(self) -> bytes:
        """Return the first 64 KiB of the stream; `read` returns them again. Call it before `read`."""
        self._first = self._stream.read(_FIRST_BYTES)
        return self._first

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes. Raises DataError beyond the limit."""
        wanted = size if size >= 0 else BLOCK_SIZE
        data, self._first = self._first[:wanted], self._first[wanted:]
        data += self._stream.read(wanted - len(data))
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                f"{self._name} unpacks to more than is allowed; if that is right, raise the setting"
                " download.max_unpacked_size."
            )
        return data

    def readable(self) -> bool:
        """Return that this stream can be read."""
        return True

    def close(self) -> None:
        """Close the stream."""
        self.closed = True
        self._stream.close()


@dataclass(frozen=True, slots=True)
class Column:
    """How a column of text is read: its Arrow type, and how a chunk of that becomes an array."""

    type: pa.DataType
    convert: Callable[[pa.Array], NDArray[Any]] = np.from_dlpack


def first_row(reader: CappedReader, name: str) -> tuple[str, ...]:
    """Return the fields of the first line that is not blank, as `first_rows` does; () if there is none."""
    rows = first_rows(reader, name, count=1)
    return rows[0] if rows else ()


def first_rows(reader: CappedReader, name: str, *, count: int) -> list[tuple[str, ...]]:
    """Return the fields of up to `count` first lines that are not blank. Nothing is read yet.

    A byte order mark and quotes are left out, as Arrow does. Raises DataError for blanks without end.
    """
    text = reader.first_bytes().decode("utf-8", "replace").removeprefix(_BYTE_ORDER_MARK)
    lines = [line for line in text.replace("\r", "\n").split("\n") if line.strip()][:count]
    if not lines and len(text) >= _FIRST_BYTES:
        raise DataError(f"{name} is not a file of trades: it begins with {_FIRST_BYTES:,} blanks.")
    return [tuple(field.strip().strip('"') for field in line.split(",")) for line in lines]


def check_columns(name: str, found: Sequence[str], expected: Iterable[str]) -> None:
    """Check that a header has all expected columns. Raises DataError that names one that it lacks."""
    missing = [column for column in expected if column not in found]
    if missing:
        raise DataError(f"{name} is not a file of trades: it has no column {missing[0]}.")


def read_columns(
    stream: CappedReader,
    columns: Mapping[str, Column],
    *,
    names: Sequence[str] | None,
    name: str,
    skipped: int = 0,
    kept: str | None = None,
) -> dict[str, NDArray[Any]]:
    """Return the columns of a CSV stream that `columns` names, as arrays in the order of the rows.

    `names` are those of all columns where the file has no header; `skipped` lines before the rows are not
    read. Only rows are returned for which the column `kept`, if one is named, is true. Text is parsed on one
    thread while Arrow's reader thread already inflates what follows. Raises DataError if a column is missing
    or a value is not of its type.
    """
    chunks: dict[str, list[NDArray[Any]]] = {column: [] for column in columns}
    try:
        with pyarrow.csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=pyarrow.csv.ReadOptions(
                block_size=BLOCK_SIZE, column_names=names, skip_rows=skipped
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=list(columns),
                column_types={column: how.type for column, how in columns.items()},
                # An empty field is an error, and not a missing value.
                null_values=[],
                true_values=["true", "True", "TRUE"],
                false_values=["false", "False", "FALSE"],
            ),
        ) as reader:
            for count, batch in enumerate(reader, 1):
                rows = _kept_rows(batch, columns, kept)
                # Copied, so that the next batch takes this one's memory over.
                for column, how in columns.items():
                    its = chunks[column]
                    its.append(np.array(how.convert(batch.column(column))[rows]))
                    if count % _JOINED_AT_ONCE == 0:
                        its[-_JOINED_AT_ONCE:] = [np.concatenate(its[-_JOINED_AT_ONCE:])]
    except pa.ArrowMemoryError:
        raise  # the machine is short of memory; this says nothing about the file
    except pa.ArrowException as error:
        raise DataError(f"{name} is not a file of trades: {_found(error)}.") from error
    pa.default_memory_pool().release_unused()
    # One column after the other, each one's chunks freed as it is joined; a header alone has none.
    joined = {
        column: np.concatenate(chunks.pop(column) or [how.convert(pa.array([], how.type))])
        for column, how in columns.items()
    }
    give_back_memory()
    return joined


def _kept_rows(
    batch: pa.RecordBatch, columns: Mapping[str, Column], kept: str | None
) -> slice | NDArray[np.bool_]:
    """Return which rows of a batch are kept."""
    mine = None if kept is None else columns[kept].convert(batch.column(kept))
    return slice(None) if mine is None or mine.all() else mine


def from_booleans(chunk: pa.Array) -> NDArray[np.bool_]:
    """Return a bool chunk as an array; DLPack knows no bit-packed booleans."""
    # Arrow could cast it, but only with pyarrow.compute: 8 MiB, and a tenth of a second of every worker.
    bits = np.frombuffer(chunk.buffers()[1], np.uint8)
    booleans = np.unpackbits(bits, count=chunk.offset + len(chunk), bitorder="little")
    return booleans[chunk.offset :].view(np.bool_)


def milliseconds(time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return whole timestamps in ms since 1970. Their magnitude shows whether they are in s, ms or µs."""
    largest, least = int(time.max(initial=0)), int(time.min(initial=0))
    if least < 0:
        return time  # of no day that is published, in any unit
    if largest < 10**11:
        return time * 1000
    return time if largest < 10**14 else time // 1000


def printable(text: str) -> str:
    """Return text out of a file in a form that fits into a sentence: one line, not too long."""
    return "".join(char if char.isprintable() else " " for char in text)[:100]


def _found(error: Exception) -> str:
    # Arrow's complaint without its own vocabulary.
    text = str(error).replace("CSV parse error: ", "").replace("CSV conversion error to ", "expected ")
    return printable(text.rstrip("."))
