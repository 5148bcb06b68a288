"""Read a segment's tables, and tell damage from what only keeps them from being read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from liqmap.errors import DamagedSegment, UnreadableStore
from liqmap.files import unreadable
from liqmap.store.segments import TABLES, is_segment, segment_name
from liqmap.store.tables import BrokenTable, Table, open_table, verify_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from liqmap.store.segments import Segment


@contextmanager
def reading(segment: Segment, name: str) -> Iterator[Table]:
    """Open a segment's table `name`. Raises DamagedSegment or UnreadableStore, also while it is read."""
    place, at = segment.place(name)
    with explained(segment, f"{name}.arrow"), open_table(place, segment.checks.get(name, ""), at=at) as table:
        yield table


@contextmanager
def explained(segment: Segment, file: str) -> Iterator[None]:
    """Tell damage to a segment's file from what only keeps it from being read."""
    try:
        yield
    except BrokenTable as error:
        raise DamagedSegment(segment.path, f"{file} has another checksum, {error}") from error
    except FileNotFoundError as error:
        raise DamagedSegment(segment.path, f"{file} is missing") from error
    except MemoryError as error:  # which Arrow raises as one of its own, too
        raise UnreadableStore(
            "There is not enough memory to read the stored trades; please try again in a moment."
        ) from error
    except OSError as error:
        # Arrow's own complaints about what a file holds have no number.
        if error.errno is not None:
            raise unreadable(error) from error
        raise DamagedSegment(segment.path, f"{file} is no table") from error
    except (pa.ArrowException, ArithmeticError, BufferError, LookupError, TypeError, ValueError) as error:
        raise DamagedSegment(segment.path, f"{file} is no table") from error


def read_table(segment: Segment, name: str) -> dict[str, NDArray[Any]]:
    """Return the whole of a segment's table `name`, column by column, with prices and sizes as floats.

    Raises DamagedSegment or UnreadableStore.
    """
    with reading(segment, name) as table:
        batches = list(table.batches(0, None))
        return {column.name: column_of(batches, column) for column in table.schema}


def verify_segment(segment: Segment) -> None:
    """Verify all of a segment's tables. Raises DamagedSegment or UnreadableStore."""
    for name in TABLES:
        with explained(segment, f"{name}.arrow"):
            place, at = segment.place(name)
            verify_table(place, segment.checks.get(name, ""), at=at)


def check_belongs(segment: Segment, path: Path) -> None:
    """Raise DamagedSegment if a segment's manifest is of other trades than belong at `path`."""
    origin = segment.origin
    its = (origin.exchange, origin.symbol, segment_name(origin.window))
    if is_segment(path.name) and its != path.parts[-len(its) :]:  # orders have other names
        raise DamagedSegment(path, "its manifest is of other trades")


def column_of(batches: Sequence[pa.RecordBatch], column: pa.Field) -> NDArray[Any]:
    """Return a column of batches, with prices and sizes as floats."""
    whole, decimals = stored(batches, column), decimals_of(column)
    return whole if decimals is None else unscaled(whole, decimals)


def stored(batches: Sequence[pa.RecordBatch], column: pa.Field) -> NDArray[Any]:
    """Return a column of batches as it is stored."""
    # A table without rows may have no batch either; pa.array() would import pandas.
    chunks = [batch.column(column.name) for batch in batches] or [pa.nulls(0, column.type)]
    parts = [np.from_dlpack(chunk) for chunk in chunks]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def unscaled(values: NDArray[Any], decimals: int | None) -> NDArray[np.float64]:
    """Return stored values as floats; `decimals` is None where they are floats already."""
    return values.astype(np.float64) if decimals is None else values / 10.0**decimals


def decimals_of(column: pa.Field) -> int | None:
    """Return how many decimals the whole numbers of a column stand for, None if it holds floats."""
    return int(column.metadata[b"decimals"]) if column.metadata else None
