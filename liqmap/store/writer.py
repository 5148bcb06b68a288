"""Segment files: trades, or segments that follow each other -> a segment, written whole or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np

from liqmap.errors import StoreError
from liqmap.files import open_folder
from liqmap.files.seals import sealed_json
from liqmap.model import Side
from liqmap.model.window import TimeWindow
from liqmap.store.borders import holes_between
from liqmap.store.bundles import encoded
from liqmap.store.columns import bars_of, bars_table, minutes_of, ordered_side, side_table
from liqmap.store.moving import move_into_place, put_in_place_of
from liqmap.store.reading import explained, read_table
from liqmap.store.segments import (
    BAR_COLUMNS,
    BATCH_SECONDS,
    FORMAT_VERSION,
    MANIFEST,
    TABLES,
    VOLUME,
    Origin,
    Part,
    Segment,
    open_segment,
    segment_from,
)
from liqmap.store.tables import put_table, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from liqmap.model import Trades
    from liqmap.store.columns import Columns
    from liqmap.store.tables import Written

    _Tables = Mapping[str, Callable[[], pa.RecordBatch]]


# A batch is read as a whole. The first ones are few rows, for windows of many days that take little of each.
_FIRST_ROWS, _ROWS = 1024, 8192
_BAR_SECONDS = 3 * 3600  # of a batch of bars: a short window reads few of a day's


def write_segment(
    path: Path, origin: Origin, trades: Trades, *, incoming: Path, replaces: bool = False
) -> Segment:
    """Store `trades`, ordered in time, as a segment at `path`.

    It is written below `incoming` (same file system) and renamed when it is whole and on disk. What is there
    already is kept, unless it `replaces` that; then it stays until this is whole. Raises StoreError if the
    disk is full.
    """
    segment, tables = _planned(path, origin, trades)
    return _write(segment, tables, incoming=incoming, replaces=replaces)


def recorded(path: Path, origin: Origin, trades: Trades) -> bytes:
    """Return `trades`, ordered in time, as the record of the segment that belongs at `path`."""
    return _encoded(*_planned(path, origin, trades))


def copied(segment: Segment) -> bytes:
    """Return a segment as a record, byte by byte. Raises DamagedSegment or UnreadableStore."""
    with explained(segment, MANIFEST):
        manifest = segment.file(MANIFEST)
    tables = []
    for name in TABLES:
        with explained(segment, f"{name}.arrow"):
            tables.append(segment.file(f"{name}.arrow"))
    return encoded(segment.origin.symbol, segment.origin.window, manifest, tables)


def _planned(path: Path, origin: Origin, trades: Trades) -> tuple[Segment, _Tables]:
    buys = int(np.count_nonzero(trades.is_buy))
    bars = bars_of(trades, origin.window)
    tables = _tables_of(bars, lambda side: side_table(trades, side, origin.window, bars))
    first, last = map(int, trades.time[[0, -1]]) if len(trades) else (None, None)
    return Segment(path, origin, buys, len(trades) - buys, {}, {}, first, last), tables


def merged_record(path: Path, segments: Sequence[Segment]) -> bytes:
    """Return the segments of one symbol, each following the one before, as the record of the one at `path`.

    Nothing is computed anew, so the result equals what all their trades would have been stored as. Raises
    DamagedSegment or UnreadableStore if a segment cannot be read.
    """
    origins = [segment.origin for segment in segments]
    window = TimeWindow(origins[0].window.start, origins[-1].window.end)
    borders = holes_between([Part(segment, segment.origin.window) for segment in segments])
    ids = [each for origin in origins for each in (origin.first_id, origin.last_id) if each is not None]
    origin = replace(
        origins[0],
        window=window,
        source=" + ".join(dict.fromkeys(origin.source for origin in origins)),
        # There is no file any more that has this checksum.
        sha256="",
        simulated=any(origin.simulated for origin in origins),
        unverified=any(origin.unverified for origin in origins),
        differs=any(origin.differs for origin in origins),
        first_id=min(ids, default=None),
        last_id=max(ids, default=None),
        lost_ids=sum(origin.lost_ids for origin in origins) + sum(hole.lost for hole in borders),
        duplicates=sum(origin.duplicates for origin in origins),
        zero_sizes=sum(origin.zero_sizes for origin in origins),
        # Only the outer ends have days beside them.
        last_before=origins[0].last_before,
        first_after=origins[-1].first_after,
        holes=tuple(
            sorted(
                [hole for origin in origins for hole in origin.holes]
                + [hole for hole in borders if hole.is_gap]
            )
        ),
        via=tuple(dict.fromkeys(via for origin in origins for via in origin.via)),
    )
    joined = _joined(segments, "bars", "second", window, units_per_ms=1 / 1000)
    bars: Columns = {name: joined[name] for name in ("second", *BAR_COLUMNS, VOLUME) if name in joined}
    tables = _tables_of(bars, lambda side: _merged_side(segments, side, window, bars))
    counts = (sum(segment.buys for segment in segments), sum(segment.sells for segment in segments))
    traded = [segment for segment in segments if segment.buys + segment.sells]
    bounds = (traded[0].first_ms, traded[-1].last_ms) if traded else (None, None)
    return _encoded(Segment(path, origin, *counts, {}, {}, *bounds), tables)


def _tables_of(bars: Columns, side_of: Callable[[Side], pa.RecordBatch]) -> _Tables:
    """Return what makes each table of a segment: one is made at a time, because each is large."""
    return {
        "bars": lambda: bars_table(bars),
        "minutes": lambda: bars_table(minutes_of(bars)),
        "buy": lambda: side_of(Side.BUY),
        "sell": lambda: side_of(Side.SELL),
    }


def _encoded(segment: Segment, tables: _Tables) -> bytes:
    origin, contents, written = segment.origin, [], {}
    for name in TABLES:
        content = BytesIO()
        batch, bounds = _divided(name, tables[name](), origin.window)
        written[name] = put_table(content, batch, bounds)
        contents.append(content.getvalue())
    manifest = _manifest(_with_tables(segment, written))
    return encoded(origin.symbol, origin.window, manifest, contents)


def _with_tables(segment: Segment, written: Mapping[str, Written]) -> Segment:
    sizes = {name: each.size for name, each in written.items()}
    return replace(segment, sizes=sizes, checks={name: each.checks for name, each in written.items()})


def restate_origin(segment: Segment, origin: Origin, *, incoming: Path) -> None:
    """Write what is known of a segment's origin into its manifest; its tables stay as they are.

    One that has been removed or replaced meanwhile stays so. Raises StoreError.
    """
    temporary = incoming / uuid4().hex
    try:
        temporary.mkdir(parents=True)
        _write_manifest(temporary, replace(segment, origin=origin))
        with suppress(FileNotFoundError), open_folder(segment.path) as folder:
            # By the open folder: one that replaces it now must not get the manifest of other tables.
            manifest = segment.path / MANIFEST if folder is None else MANIFEST
            with open(manifest, "rb", opener=partial(os.open, dir_fd=folder)) as file:
                found = segment_from(file.read(), segment.path)
            if found == segment:
                os.replace(temporary / MANIFEST, manifest, dst_dir_fd=folder)
    except OSError as error:
        raise StoreError(
            f"The trades could not be stored ({error.strerror or 'write error'}); check the store's disk."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(segment: Segment, tables: _Tables, *, incoming: Path, replaces: bool) -> Segment:
    temporary = incoming / uuid4().hex
    try:
        temporary.mkdir(parents=True)
        # One table after the other, because each takes as much memory again as its trades.
        written = {
            name: write_table(temporary / f"{name}.arrow", *_divided(name, table(), segment.origin.window))
            for name, table in tables.items()
        }
        # Last, because the manifest vouches for the tables.
        _write_manifest(temporary, _with_tables(segment, written))
        if replaces:
            put_in_place_of(segment.path, temporary, incoming=incoming)
        else:
            move_into_place(temporary, segment.path)
    except OSError as error:
        raise StoreError(
            f"The trades could not be stored ({error.strerror or 'write error'}); check the store's disk."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    # Opened, because where another process came first, its segment is what is there.
    stored = open_segment(segment.path)
    if stored is None:
        raise StoreError("The stored trades were removed again at once; please ask again.")
    return stored


def _merged_side(
    segments: Sequence[Segment], side: Side, window: TimeWindow, bars: Columns
) -> pa.RecordBatch:
    columns = _joined(segments, side.value, "time", window, units_per_ms=1)
    return ordered_side(side, columns, bars, inverse=segments[0].origin.inverse)


def _joined(
    segments: Sequence[Segment], table: str, clock: str, window: TimeWindow, *, units_per_ms: float
) -> Columns:
    """Return the segments' tables one after the other, their column `clock` counted from `window`'s start."""
    parts = []
    for segment in segments:
        part = read_table(segment, table)
        offset = round((segment.origin.window.start_ms - window.start_ms) * units_per_ms)
        parts.append(part | {clock: part[clock].astype(np.uint32) + np.uint32(offset)})
    # Segments of earlier versions lack a column, or have more.
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _divided(name: str, batch: pa.RecordBatch, window: TimeWindow) -> tuple[pa.RecordBatch, list[int]]:
    """Return the table `name` and the bounds of its record batches."""
    match name:
        case "minutes":
            bounds = [0, len(batch)]
        case "bars":
            hours = range(0, int(window.length.total_seconds()), _BAR_SECONDS)
            bounds = [*np.searchsorted(np.from_dlpack(batch.column("second")), hours).tolist(), len(batch)]
            batch = batch.replace_schema_metadata({BATCH_SECONDS: str(_BAR_SECONDS)})
        case _:
            bounds = [0, *range(_FIRST_ROWS, len(batch), _ROWS), len(batch)]
    return batch, bounds


def _write_manifest(folder: Path, segment: Segment) -> None:
    with (folder / MANIFEST).open("xb") as file:
        file.write(_manifest(segment))
        file.flush()
        os.fsync(file.fileno())


def _manifest(segment: Segment) -> bytes:
    origin = asdict(segment.origin)
    window = segment.origin.window
    origin["window"] = [window.start.isoformat(), window.end.isoformat()]
    manifest = {
        "format": FORMAT_VERSION,
        "origin": origin,
        "buys": segment.buys,
        "sells": segment.sells,
        "sizes": dict(segment.sizes),
        "checks": dict(segment.checks),
        "first_ms": segment.first_ms,
        "last_ms": segment.last_ms,
    }
    return sealed_json(manifest)
