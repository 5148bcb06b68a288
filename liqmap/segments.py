"""The day store's file format: an immutable span of one symbol's trades, written once, read by prefix.

A segment is a folder::

    manifest.json   what it is, where it came from, and the size of each file
    buy.arrow       taker buys, largest notional first, equal ones by earlier time: time, price, size
    sell.arrow      taker sells, likewise
    bars.arrow      one row a second that traded: second, low, high, close, per-side count and notional

The tables are Arrow IPC files (Feather V2, uncompressed), which any Arrow tool opens. `time` counts
milliseconds and `second` seconds from the segment's start. Prices and sizes are stored as whole
numbers of 10^-decimals (the field's metadata says how many) wherever that gives back exactly the
same floats: half the bytes of float64, and nothing is rounded.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.ipc

from liqmap.errors import DataError
from liqmap.model import Exchange, Side, SideTrades, TimeWindow, Trades

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from liqmap.selection import Cut

FORMAT_VERSION: Final = 1

_MANIFEST = "manifest.json"
_ROWS_PER_BATCH = 8192  # 96 KiB a read: few reads for long prefixes, little waste for short ones
_MAX_DECIMALS = 12
_NUMPY_TO_ARROW = {
    np.dtype(np.uint32): pa.uint32(),
    np.dtype(np.int64): pa.int64(),
    np.dtype(np.float64): pa.float64(),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """What a segment holds and where its trades came from."""

    exchange: Exchange
    symbol: str
    window: TimeWindow
    source: str
    sha256: str
    simulated: bool = False
    first_id: int | None = None
    last_id: int | None = None
    lost_ids: int = 0
    duplicates: int = 0
    inverse: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """A stored segment: its folder, its origin, the trades of each side, and its files' sizes [bytes]."""

    path: Path
    origin: Origin
    buys: int
    sells: int
    sizes: Mapping[str, int] = field(hash=False)

    @property
    def size(self) -> int:
        """Bytes of all its tables."""
        return sum(self.sizes.values())


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Second bars of a window: time int64 [ms, start of the second], prices, trade counts by side."""

    time: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    close: NDArray[np.float64]
    buys: int
    sells: int


def segment_path(root: Path, exchange: Exchange, symbol: str, window: TimeWindow) -> Path:
    """Return the folder in which the segment of `window` is kept below the store's `root`."""
    name = f"{window.start:%Y%m%dT%H%M%SZ}-{window.end:%Y%m%dT%H%M%SZ}"
    return root / f"v{FORMAT_VERSION}" / exchange / symbol / name


def segment_paths(root: Path) -> Iterator[Path]:
    """Yield the folders of all segments below the store's `root`, in no order."""
    yield from root.glob(f"v{FORMAT_VERSION}/*/*/*")


def write_segment(path: Path, origin: Origin, trades: Trades, *, incoming: Path) -> Segment:
    """Store `trades`, ordered in time, as a segment at `path`.

    It is written below `incoming` (same file system) and renamed when it is whole and on disk. Where
    another process came first, its segment is kept. Raises DataError if the disk is full.
    """
    temporary = incoming / uuid4().hex
    buys = int(np.count_nonzero(trades.is_buy))
    try:
        temporary.mkdir(parents=True)
        # One table after the other, because each takes as much memory again as its trades.
        sizes = {
            name: _write_table(temporary / f"{name}.arrow", table(trades, origin.window))
            for name, table in _TABLES.items()
        }
        _write_manifest(temporary, Segment(path, origin, buys, len(trades) - buys, sizes))
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            _rename_folder(temporary, path)
    except OSError as error:
        raise DataError(
            f"The trades could not be stored ({error.strerror or 'write error'}); check the store's disk."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    stored = open_segment(path)
    if stored is None:
        raise DataError("The stored trades cannot be read back; please ask again.")
    return stored


def open_segment(path: Path) -> Segment | None:
    """Return the segment at `path`, or None where there is none or its files are not as written."""
    try:
        manifest = json.loads((path / _MANIFEST).read_bytes())
        segment = _segment_from(manifest, path)
        whole = all((path / f"{name}.arrow").stat().st_size == size for name, size in segment.sizes.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    # A shortened file must be caught here: reading a mapped page behind its end kills the process.
    return segment if whole else None


def read_bars(segment: Segment, window: TimeWindow) -> Bars:
    """Return the second bars of `segment` inside `window`. Raises DataError if its files are unreadable."""
    start_ms = segment.origin.window.start_ms
    with _reading(segment, "bars") as table:
        batch = table.get_batch(0)
        second = np.from_dlpack(batch.column("second"))
        first, last = np.searchsorted(
            second, [(window.start_ms - start_ms) // 1000, (window.end_ms - start_ms) // 1000]
        )
        column: dict[str, NDArray[Any]] = {
            name: np.from_dlpack(batch.column(name))[first:last] for name in batch.schema.names
        }
        return Bars(
            start_ms + column["second"].astype(np.int64) * 1000,
            column["low"].copy(),
            column["high"].copy(),
            column["close"].copy(),
            int(column["buy_count"].sum(dtype=np.int64)),
            int(column["sell_count"].sum(dtype=np.int64)),
        )


def read_largest(segment: Segment, side: Side, *, window: TimeWindow, cut: Cut) -> SideTrades:
    """Return the trades of `side` inside `window`, largest first, as far as `cut` reaches.

    Reads batches from the front of the file and stops as soon as the cut is met. Raises DataError if
    the files are unreadable.
    """
    start_ms = segment.origin.window.start_ms
    whole = segment.origin.window.overlap(window) == segment.origin.window
    bounds = (window.start_ms - start_ms, window.end_ms - start_ms)
    parts, found = [_no_rows()], 0
    with _reading(segment, side.value) as table:
        decimals = [_decimals(table.schema.field(name)) for name in ("price", "size")]
        for index in range(table.num_record_batches):
            if cut.count is not None and found >= cut.count:
                break
            batch = _opened(table.get_batch(index), decimals, inverse=segment.origin.inverse)
            rows, ended = _cut_batch(batch, None if whole else bounds, cut)
            parts.append(rows)
            found += len(rows[0])
            if ended:
                break
    time, price, notional = (np.concatenate(columns)[: cut.count] for columns in zip(*parts, strict=True))
    return SideTrades(side, time + start_ms, price, notional)


Rows = tuple["NDArray[np.int64]", "NDArray[np.float64]", "NDArray[np.float64]"]


def _no_rows() -> Rows:
    return np.empty(0, np.int64), np.empty(0), np.empty(0)


def _opened(batch: pa.RecordBatch, decimals: list[int | None], *, inverse: bool) -> Rows:
    price, size = (
        _unscaled(np.from_dlpack(batch.column(name)), places)
        for name, places in zip(("price", "size"), decimals, strict=True)
    )
    return np.from_dlpack(batch.column("time")).astype(np.int64), price, size if inverse else price * size


def _cut_batch(batch: Rows, bounds: tuple[int, int] | None, cut: Cut) -> tuple[Rows, bool]:
    time, price, notional = batch
    ended = bool(notional[-1] < cut.minimum or notional[-1] <= cut.above)
    keep = np.ones(len(time), bool)
    if ended:
        keep &= (notional >= cut.minimum) & (notional > cut.above)
    if bounds is not None:
        keep &= (time >= bounds[0]) & (time < bounds[1])
    return (time[keep], price[keep], notional[keep]), ended


@contextmanager
def _reading(segment: Segment, name: str) -> Iterator[Any]:
    try:
        with pa.memory_map(str(segment.path / f"{name}.arrow")) as file:
            yield pa.ipc.open_file(file)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise DataError("The stored trades could not be read any more; please ask again.") from error


def _side_table(trades: Trades, chosen: NDArray[np.bool_], window: TimeWindow) -> pa.RecordBatch:
    rows = np.flatnonzero(chosen)
    price, size = trades.price[rows], trades.size[rows]
    order = np.argsort(-(size if trades.inverse else price * size), kind="stable")
    return _batch(
        time=((trades.time[rows] - window.start_ms).astype(np.uint32)[order], None),
        price=_scaled(price[order]),
        size=_scaled(size[order]),
    )


def _bars_table(trades: Trades, window: TimeWindow) -> pa.RecordBatch:
    second = ((trades.time - window.start_ms) // 1000).astype(np.uint32)
    first = np.flatnonzero(np.r_[True, second[1:] != second[:-1]]) if len(second) else np.empty(0, np.int64)
    last = np.r_[first[1:], len(second)] - 1 if len(second) else first
    bought, notional = trades.is_buy, trades.notional

    def total(values: NDArray[Any]) -> NDArray[Any]:
        return np.add.reduceat(values, first, dtype=values.dtype) if len(first) else values

    return _batch(
        second=(second[first], None),
        low=(np.minimum.reduceat(trades.price, first) if len(first) else np.empty(0), None),
        high=(np.maximum.reduceat(trades.price, first) if len(first) else np.empty(0), None),
        close=(trades.price[last], None),
        buy_count=(total(bought.astype(np.uint32)), None),
        sell_count=(total((~bought).astype(np.uint32)), None),
        buy_notional=(total(np.where(bought, notional, 0.0)), None),
        sell_notional=(total(np.where(bought, 0.0, notional)), None),
    )


_TABLES: dict[str, Callable[[Trades, TimeWindow], pa.RecordBatch]] = {
    "bars": _bars_table,
    "buy": lambda trades, window: _side_table(trades, trades.is_buy, window),
    "sell": lambda trades, window: _side_table(trades, ~trades.is_buy, window),
}


def _batch(**columns: tuple[NDArray[Any], int | None]) -> pa.RecordBatch:
    fields, arrays = [], []
    for name, (values, decimals) in columns.items():
        metadata = None if decimals is None else {"decimals": str(decimals)}
        fields.append(pa.field(name, _NUMPY_TO_ARROW[values.dtype], nullable=False, metadata=metadata))
        # pa.array() would import pandas, which costs every worker a third of a second.
        arrays.append(
            pa.Array.from_buffers(
                fields[-1].type, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))]
            )
        )
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _scaled(values: NDArray[np.float64]) -> tuple[NDArray[Any], int | None]:
    largest = values.max(initial=0.0)
    for scale in 10.0 ** np.arange(_MAX_DECIMALS + 1):
        if largest * scale >= 2**53:  # more digits than a float has
            break
        # A look at the head rules most scales out before the whole column is tried.
        if all(np.array_equal(np.rint(part * scale) / scale, part) for part in (values[:1000], values)):
            width = np.uint32 if largest * scale < 2**32 - 1 else np.int64
            return np.rint(values * scale).astype(width), round(math.log10(scale))
    return values, None


def _unscaled(values: NDArray[Any], decimals: int | None) -> NDArray[np.float64]:
    return values.astype(np.float64) if decimals is None else values / 10.0**decimals


def _decimals(column: pa.Field) -> int | None:
    return int(column.metadata[b"decimals"]) if column.metadata else None


def _write_table(path: Path, batch: pa.RecordBatch) -> int:
    with path.open("xb") as file:
        with pa.ipc.new_file(file, batch.schema) as writer:
            if path.stem == "bars":  # always read as a whole; the sides are read from their front
                writer.write_batch(batch)
            else:
                for start in range(0, len(batch), _ROWS_PER_BATCH):
                    writer.write_batch(batch.slice(start, _ROWS_PER_BATCH))
        file.flush()
        os.fsync(file.fileno())
    return path.stat().st_size


def _write_manifest(folder: Path, segment: Segment) -> None:
    origin = asdict(segment.origin)
    window = segment.origin.window
    origin["window"] = [window.start.isoformat(), window.end.isoformat()]
    manifest = {
        "format": FORMAT_VERSION,
        "origin": origin,
        "buys": segment.buys,
        "sells": segment.sells,
        "sizes": dict(segment.sizes),
    }
    with (folder / _MANIFEST).open("x", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _segment_from(manifest: dict[str, Any], path: Path) -> Segment:
    origin = dict(manifest["origin"])
    start, end = (datetime.fromisoformat(text) for text in origin.pop("window"))
    return Segment(
        path,
        Origin(
            exchange=Exchange(origin.pop("exchange")),
            window=TimeWindow(start, end),
            **origin,
        ),
        manifest["buys"],
        manifest["sells"],
        manifest["sizes"],
    )


def _rename_folder(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        # A folder that is not empty stands there already: the other writer's segment is as good.
        raise (FileExistsError() if target.is_dir() else error) from error
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
