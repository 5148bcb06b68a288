"""Tables on disk: Arrow IPC files with a checksum of each part, verified for what is read.

A file's parts are its head (magic and schema), each record batch, and its end (Arrow's own index). Its
`checks` are 26 hex digits for each part, in this order: where the part ends [bytes], and the xxh3 of it.
Nothing is mapped into memory: what the disk cannot give is an error then, and not a signal.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import pyarrow as pa
import pyarrow.ipc
import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from io import FileIO
    from pathlib import Path
    from typing import BinaryIO

ARROW_MAGIC: Final = b"ARROW1\0\0"
_END_DIGITS = 10
_HASH_DIGITS = 16  # hexadecimal, of 64 bits
_ENTRY = _END_DIGITS + _HASH_DIGITS


class BrokenTable(Exception):
    """A part of a table is not as it was written; the text says which."""


class Table(NamedTuple):
    """An open table: its schema, and its record batches from `first` to before `end`, as they are needed."""

    schema: pa.Schema
    batches: Callable[[int, int | None], Iterator[pa.RecordBatch]]


class Written(NamedTuple):
    """A file's size [bytes] and its checks."""

    size: int
    checks: str


def write_table(path: Path, batch: pa.RecordBatch, bounds: Sequence[int]) -> Written:
    """Write `batch` to a new file, as record batches of the rows between `bounds`, and sync it to the disk.

    Raises OSError.
    """
    with path.open("x+b") as file:
        written = put_table(file, batch, bounds)
        file.flush()
        os.fsync(file.fileno())
        return written


def put_table(file: BinaryIO, batch: pa.RecordBatch, bounds: Sequence[int]) -> Written:
    """Put the bytes of a table into an empty file, or into memory. Raises OSError."""
    ends = [len(ARROW_MAGIC) + len(batch.schema.serialize())]
    with pa.ipc.new_file(file, batch.schema) as writer:
        for start, end in pairwise(bounds):
            writer.write_batch(batch.slice(start, end - start))
            ends.append(file.tell())
    ends.append(file.tell())
    file.seek(0)
    entries = (_entry(end, file.read(end - start)) for start, end in pairwise((0, *ends)))
    return Written(ends[-1], "".join(entries))


@contextmanager
def open_table(path: Path, checks: str, *, at: int = 0) -> Iterator[Table]:
    """Open the table that begins `at` a byte of `path`.

    Those of before there were `checks` ("") are read unverified. Raises OSError, and BrokenTable for what is
    not as written; where there are no checks, whatever Arrow makes of it.
    """
    if not checks:
        with pa.OSFile(str(path)) as file:
            # An Arrow file is a stream between two marks. Read as that, its front needs nothing of its end.
            file.seek(at + len(ARROW_MAGIC))
            reader = pa.ipc.open_stream(file)
            yield Table(reader.schema, lambda _first, _end: iter(reader))
        return
    with path.open("rb", buffering=0) as file:
        schema = _schema(read_part(file, checks, 0, at=at))
        yield Table(schema, lambda first, end: _batches(file, checks, schema, first, end, at=at))


def verify_table(path: Path, checks: str, *, at: int = 0) -> None:
    """Read all of the table that begins `at` a byte of `path`. Raises as `open_table`."""
    if checks:
        with path.open("rb", buffering=0) as file:
            for number in range(len(checks) // _ENTRY):
                read_part(file, checks, number, at=at)
    else:
        with open_table(path, checks, at=at) as table:
            for _ in table.batches(0, None):
                pass


@lru_cache(maxsize=64)  # most tables have one of a few
def _schema(head: bytes) -> pa.Schema:
    return pa.ipc.read_schema(pa.py_buffer(head[len(ARROW_MAGIC) :]))


def _batches(
    file: FileIO, checks: str, schema: pa.Schema, first: int, end: int | None, *, at: int
) -> Iterator[pa.RecordBatch]:
    count = len(checks) // _ENTRY - 2  # besides the head and the end
    for number in range(first, count if end is None else min(end, count)):
        yield pa.ipc.read_record_batch(pa.py_buffer(read_part(file, checks, number + 1, at=at)), schema)


def read_part(file: FileIO, checks: str, number: int, *, at: int = 0) -> bytes:
    """Return the bytes of a part of the table that begins `at` a byte of the file. Raises BrokenTable."""
    start, (end, expected) = _end(checks, number - 1), (_end(checks, number), _hash(checks, number))
    file.seek(at + start)
    content = file.read(end - start)
    if xxhash.xxh3_64_hexdigest(content) != expected:
        raise BrokenTable(f"bytes {start} to {end}")
    return content


def _entry(end: int, content: bytes) -> str:
    return f"{end:0{_END_DIGITS}x}{xxhash.xxh3_64_hexdigest(content)}"


def _end(checks: str, number: int) -> int:
    at = number * _ENTRY
    return int(checks[at : at + _END_DIGITS], 16) if number >= 0 else 0


def _hash(checks: str, number: int) -> str:
    return checks[number * _ENTRY + _END_DIGITS : (number + 1) * _ENTRY]
