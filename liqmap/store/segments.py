"""The day store's file format: an immutable span of one symbol's trades, written once, read by prefix.

A segment is a folder::

    manifest.json   what it is, where it came from, and each file's size and checksums; sealed itself
    buy.arrow       taker buys, largest notional first, equal ones by earlier time: time, price, size,
                    extreme (the lowest price of the seconds after its own; sells': the highest; 0 if none),
                    turn (its place among the buys of its millisecond)
    sell.arrow      taker sells, likewise
    bars.arrow      one row a second that traded: second, low, high, close, count of each side, volume
    minutes.arrow   the same of each minute, for long windows

What is read of a file is verified. Segments of before there were checksums are read as they are.

The tables are Arrow IPC files (Feather V2, uncompressed), which any Arrow tool opens. `time` counts
milliseconds and `second` seconds from the segment's start. Prices and sizes are stored as whole
numbers of 10^-decimals (the field's metadata says how many) wherever that gives back exactly the
same floats: half the bytes of float64, and nothing is rounded. Extremes follow from the bars; they are
stored with each trade because a map asks for them of every trade that it reads.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from liqmap.compute.values import PricePath, SideTrades
from liqmap.errors import DamagedSegment, LiqmapError, UnreadableStore
from liqmap.exact import DIGITS
from liqmap.model import Exchange, Hole, Side, notional_of
from liqmap.seals import BrokenSeal, unsealed_json
from liqmap.store.tables import BrokenTable, Table, open_table, verify_table
from liqmap.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from liqmap.compute.selection import Cut

FORMAT_VERSION: Final = 3
MANIFEST: Final = "manifest.json"
TABLES: Final = ("bars", "minutes", "buy", "sell")
"""The names of a segment's tables, whose files end in .arrow."""

VIA_FILES: Final = "daily files"
VIA_REST: Final = "REST"
VIA_STREAM: Final = "live stream"
"""How trades came from the exchange, in words that fit into a list of sources."""

BAR_COLUMNS: Final = ("low", "high", "close", "buy_count", "sell_count")
"""Columns of a table of bars, besides the second."""

VOLUME: Final = "volume"
"""Column of the sizes of all trades of a bar; segments of earlier versions lack it."""

BATCH_SECONDS: Final = b"batch_seconds"
"""Key in the metadata of a table of bars: how many seconds each of its batches covers, traded or not."""

_TRADE_COLUMNS = ("price", "size", "extreme")  # besides the time, and all perhaps scaled
_PATH_COLUMNS = ("second", "low", "high", "close")
_EXACT_POWERS = 22  # of ten are floats
_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"\d{8}T\d{6}Z-\d{8}T\d{6}Z")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a segment holds and where its trades came from; `via` is how, one or several of `VIA_...`.

    `holes` are the longest stretches in which ids are skipped. `zero_sizes` rows of size 0 were left out.
    `unverified` is a file whose checksum was not published yet. Where a file reaches into the days beside,
    `last_before` is the last id of the day before that it has, `first_after` the first of the day after.
    `contract_size` is the base currency of one contract if the exchange counts those; stored sizes are in
    base currency always.
    """

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
    zero_sizes: int = 0
    holes: tuple[Hole, ...] = ()
    unverified: bool = False
    last_before: int | None = None
    first_after: int | None = None
    inverse: bool = False
    via: tuple[str, ...] = (VIA_FILES,)
    contract_size: float = 1.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A stored segment: its folder, its origin, the trades of each side, and its tables' sizes [bytes].

    `checks` are the tables' checksums, none where the segment is of before there were any. `first_ms` and
    `last_ms` are the times of its first and last trade [ms since 1970], None where there is none or the
    segment is of a version that did not keep them.
    """

    path: Path
    origin: Origin
    buys: int
    sells: int
    sizes: Mapping[str, int] = field(hash=False)
    checks: Mapping[str, str] = field(hash=False, repr=False)
    first_ms: int | None = None
    last_ms: int | None = None

    @property
    def size(self) -> int:
        """Bytes of all its tables."""
        return sum(self.sizes.values())


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a segment that a map reads: segments may overlap, the parts of a map never do."""

    segment: Segment
    window: TimeWindow


@dataclass(frozen=True, slots=True, eq=False)
class Bars:
    """Bars of a window: time int64 [ms, start of the second or minute], prices, trade counts by side."""

    time: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    close: NDArray[np.float64]
    buy_count: NDArray[np.uint32]
    sell_count: NDArray[np.uint32]

    @property
    def buys(self) -> int:
        """Buys of the window."""
        return int(self.buy_count.sum(dtype=np.int64))

    @property
    def sells(self) -> int:
        """Sells of the window."""
        return int(self.sell_count.sum(dtype=np.int64))


def symbol_folder(root: Path, exchange: Exchange, symbol: str) -> Path:
    """Return the folder in which all segments of a symbol are kept below the store's `root`."""
    return root / f"v{FORMAT_VERSION}" / exchange / symbol


def segment_path(root: Path, exchange: Exchange, symbol: str, window: TimeWindow) -> Path:
    """Return the folder in which the segment of `window` is kept below the store's `root`."""
    name = f"{window.start:{_STAMP}}-{window.end:{_STAMP}}"
    return symbol_folder(root, exchange, symbol) / name


def segment_windows(root: Path, exchange: Exchange, symbol: str) -> list[TimeWindow]:
    """Return the windows of a symbol's segments below `root`, by the names of their folders, in no order.

    Raises UnreadableStore.
    """
    folder = symbol_folder(root, exchange, symbol)
    return [window_of(name) for name in names_in(folder) if is_segment(name)]


def names_in(folder: Path) -> list[str]:
    """Return the names of what is in `folder`, none if there is no such folder. Raises UnreadableStore."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are all that is wanted of thousands
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(error) from error


def is_segment(name: str) -> bool:
    """Return whether a folder's name is that of a segment."""
    return _NAME.fullmatch(name) is not None


def window_of(name: str) -> TimeWindow:
    """Return the window that the name of a segment's folder tells."""
    return TimeWindow(*(_moment(text) for text in name.split("-")))


@lru_cache(maxsize=1 << 16)  # the same names are read for every map, and strptime is slow
def _moment(text: str) -> datetime:
    return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)


def segment_paths(root: Path) -> Iterator[Path]:
    """Yield the folders of all segments below the store's `root`, in no order."""
    yield from (path for path in root.glob(f"v{FORMAT_VERSION}/*/*/*") if is_segment(path.name))


def open_segment(path: Path) -> Segment | None:
    """Return the segment at `path`, or None where there is none.

    Raises DamagedSegment if its files are not as they were written, as far as the manifest and the files'
    sizes show that, and UnreadableStore if they cannot be read.
    """
    try:
        manifest = (path / MANIFEST).read_bytes()
        segment = _segment_from(manifest, path)
        for name, size in segment.sizes.items():
            found = (path / f"{name}.arrow").stat().st_size
            if found != size:
                raise DamagedSegment(path, f"{name}.arrow has {found} bytes instead of {size}")
    except (FileNotFoundError, NotADirectoryError) as error:
        if not path.exists():
            return None
        raise DamagedSegment(path, f"{Path(error.filename).name} is missing") from error
    except OSError as error:
        raise unreadable(error) from error
    return segment


def unreadable(error: OSError) -> UnreadableStore:
    """Return the error that says that the store cannot be read, and what to do."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        advice = "check who owns the store's files"
    else:
        advice = "please try again in a moment"
    return UnreadableStore(f"The stored trades cannot be read ({error.strerror}); {advice}.")


def read_bars(segment: Segment, window: TimeWindow, *, bin_seconds: int = 1) -> Bars:
    """Return the bars of `segment` inside `window`, of seconds or, where bins need no finer ones, of minutes.

    Bins are of `bin_seconds`, aligned to UTC. Raises DamagedSegment or UnreadableStore.
    """
    start_ms = segment.origin.window.start_ms
    bounds = [(moment - start_ms) // 1000 for moment in (window.start_ms, window.end_ms)]
    in_minutes = all(number % 60 == 0 for number in (bin_seconds, start_ms // 1000, *bounds))
    with _reading(segment, "minutes" if in_minutes else "bars") as table:
        span = _batch_seconds(table)
        batches = list(table.batches(*((bounds[0] // span, -(-bounds[1] // span)) if span else (0, None))))
        second, *columns = (_column(batches, table.schema.field(name)) for name in ("second", *BAR_COLUMNS))
    first, last = np.searchsorted(second, bounds)
    time = start_ms + second[first:last].astype(np.int64) * 1000
    return Bars(time, *(column[first:last] for column in columns))


def read_volume(segment: Segment, window: TimeWindow) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the minutes of `window` that traded [ms, start] and the size of all their trades.

    Of segments without volumes all trades are read. Raises DamagedSegment or UnreadableStore.
    """
    start_ms = segment.origin.window.start_ms
    with _reading(segment, "minutes") as table:
        known = VOLUME in table.schema.names
        if known:
            batches = list(table.batches(0, None))
            second, volume = (_column(batches, table.schema.field(name)) for name in ("second", VOLUME))
            time = start_ms + second.astype(np.int64) * 1000
    if not known:
        sides = [read_table(segment, side.value) for side in Side]
        minute = np.concatenate([each["time"] for each in sides]).astype(np.int64) // 60_000
        total = np.bincount(minute, weights=np.concatenate([each["size"] for each in sides]))
        (traded,) = np.nonzero(total)
        time, volume = start_ms + traded * 60_000, total[traded]
    inside = slice(*np.searchsorted(time, (window.start_ms, window.end_ms)).tolist())
    return time[inside], volume[inside]


def read_path_around(
    segment: Segment, window: TimeWindow, times: NDArray[np.int64], *, minutes: PricePath | None = None
) -> PricePath:
    """Return the price path of a window: of seconds near the `times` [ms], of minutes where none is near.

    Where the two cannot be told apart, or some is near most of the time, all is of seconds. `minutes` is the
    window's path in minutes, where it has been read before. Raises DamagedSegment or UnreadableStore.
    """
    start_ms, end_ms = segment.origin.window.start_ms, segment.origin.window.end_ms
    with _reading(segment, "bars") as table:
        span_ms = 1000 * _batch_seconds(table)
        if not span_ms or any(each % 60_000 for each in (span_ms, start_ms, window.start_ms, window.end_ms)):
            return path_of(read_bars(segment, window))
        near = np.unique((times - start_ms) // span_ms)
        if 2 * len(near) * span_ms > end_ms - start_ms:
            return path_of(read_bars(segment, window))
        batches = [batch for number in near.tolist() for batch in table.batches(number, number + 1)]
        second, *prices = (_column(batches, table.schema.field(name)) for name in _PATH_COLUMNS)
    if minutes is None:
        minutes = path_of(read_bars(segment, window, bin_seconds=60))
    far = np.isin((minutes.time - start_ms) // span_ms, near, invert=True)
    time = np.append(minutes.time[far], start_ms + second.astype(np.int64) * 1000)
    order = np.argsort(time, kind="stable")
    order = order[slice(*np.searchsorted(time[order], (window.start_ms, window.end_ms)))]
    low, high, close = (
        np.append(values[far], seconds)[order]
        for values, seconds in zip((minutes.low, minutes.high, minutes.close), prices, strict=True)
    )
    return PricePath(time[order], low, high, close)


def path_of(bars: Bars) -> PricePath:
    """Return bars' prices as a price path."""
    return PricePath(bars.time, bars.low, bars.high, bars.close)


def _batch_seconds(table: Table) -> int:
    return int((table.schema.metadata or {}).get(BATCH_SECONDS, 0))


class Largest(NamedTuple):
    """Trades read from a segment, and what the price did after each until the segment's end.

    `extreme` is the lowest price (after buys) or the highest (after sells) of all seconds after the
    entry's, infinite where there are none.
    """

    trades: SideTrades
    extreme: NDArray[np.float64]

    def first(self, count: int | None) -> Largest:
        """Return the `count` largest, or all."""
        return Largest(self.trades.chosen(slice(count)), self.extreme[:count])


def read_largest(
    segment: Segment, side: Side, *, window: TimeWindow, cut: Cut, turns: bool = False
) -> Largest:
    """Return the trades of `side` inside `window`, largest first, as far as `cut` reaches.

    With `turns`, they know their places within their milliseconds; segments of earlier versions did not
    keep those, and there the largest comes first. Reads batches from the front of the file and stops as
    soon as the cut is met. Raises DamagedSegment or UnreadableStore.
    """
    start_ms = segment.origin.window.start_ms
    whole = segment.origin.window.overlap(window) == segment.origin.window
    bounds = None if whole else (window.start_ms - start_ms, window.end_ms - start_ms)
    parts, wanted = [_no_rows(turns=turns)], cut.count
    with _reading(segment, side.value) as table:
        decimals = [_decimals(table.schema.field(name)) for name in _TRADE_COLUMNS]
        for batch in table.batches(0, None) if wanted != 0 else ():
            head = batch.slice(0, wanted) if whole and wanted is not None else batch
            opened = _opened(head, decimals, inverse=segment.origin.inverse, turns=turns)
            rows, ended = _cut_batch(opened, bounds, cut)
            parts.append(rows)
            if wanted is not None:
                wanted = max(0, wanted - len(rows[0]))
            if ended or wanted == 0:
                break
    time, price, notional, extreme, *turn = (
        np.concatenate(columns)[: cut.count] for columns in zip(*parts, strict=True)
    )
    extreme[extreme == 0] = np.inf if side is Side.BUY else -np.inf
    return Largest(SideTrades(side, time + start_ms, price, notional, *turn), extreme)


def read_table(segment: Segment, name: str) -> dict[str, NDArray[Any]]:
    """Return the whole of a segment's table `name`, column by column, with prices and sizes as floats.

    Raises DamagedSegment or UnreadableStore.
    """
    with _reading(segment, name) as table:
        batches = list(table.batches(0, None))
        return {column.name: _column(batches, column) for column in table.schema}


def verify_segment(segment: Segment) -> None:
    """Verify all of a segment's tables. Raises DamagedSegment or UnreadableStore."""
    for name in TABLES:
        with _explained(segment, name):
            verify_table(segment.path / f"{name}.arrow", segment.checks.get(name, ""))


Rows = tuple["NDArray[Any]", ...]
"""Time, price, notional and extreme of trades, and their turns where those are asked for."""


def _no_rows(*, turns: bool) -> Rows:
    rows = np.empty(0, np.int64), np.empty(0), np.empty(0), np.empty(0)
    return (*rows, np.empty(0, np.int64)) if turns else rows


def _opened(batch: pa.RecordBatch, decimals: list[int | None], *, inverse: bool, turns: bool) -> Rows:
    stored = [np.from_dlpack(batch.column(name)) for name in _TRADE_COLUMNS]
    price, extreme = _unscaled(stored[0], decimals[0]), _unscaled(stored[2], decimals[2])
    time = np.from_dlpack(batch.column("time")).astype(np.int64)
    rows = time, price, _notional(stored, price, decimals, inverse=inverse), extreme
    if not turns:
        return rows
    known = "turn" in batch.schema.names
    turn = np.from_dlpack(batch.column("turn")).astype(np.int64) if known else np.zeros_like(time)
    return (*rows, turn)


def _notional(
    stored: Sequence[NDArray[Any]],
    price: NDArray[np.float64],
    decimals: Sequence[int | None],
    *,
    inverse: bool,
) -> NDArray[np.float64]:
    """Return what `notional_of` returns of a batch, faster where prices and sizes are whole numbers."""
    if not inverse and decimals[0] is not None and decimals[1] is not None:
        places = decimals[0] + decimals[1]
        product: NDArray[np.float64] = stored[0] * stored[1].astype(np.float64)
        # Of twelve digits at most, it is exact, and the division rounds once: that is the float sought.
        if places <= _EXACT_POWERS and product.max(initial=0.0) < 10.0**DIGITS:
            product /= 10.0**places
            return product
    return notional_of(price, _unscaled(stored[1], decimals[1]), inverse=inverse)


def _cut_batch(batch: Rows, bounds: tuple[int, int] | None, cut: Cut) -> tuple[Rows, bool]:
    time, _, notional, *_ = batch
    # Largest first, so the cut is a place; a batch that it leaves whole is not copied.
    reached = len(notional) - int(np.searchsorted(notional[::-1], cut.minimum))
    beaten = len(notional) - int(np.searchsorted(notional[::-1], cut.above, side="right"))
    end = min(reached, beaten)
    kept: slice | NDArray[np.bool_] = slice(end)
    if bounds is not None:
        kept = (time >= bounds[0]) & (time < bounds[1])
        kept[end:] = False
    return tuple(column[kept] for column in batch), end < len(notional)


@contextmanager
def _reading(segment: Segment, name: str) -> Iterator[Table]:
    with (
        _explained(segment, name),
        open_table(segment.path / f"{name}.arrow", segment.checks.get(name, "")) as table,
    ):
        yield table


@contextmanager
def _explained(segment: Segment, name: str) -> Iterator[None]:
    """Tell damage to a table from what only keeps it from being read."""
    try:
        yield
    except BrokenTable as error:
        raise DamagedSegment(segment.path, f"{name}.arrow has another checksum, {error}") from error
    except FileNotFoundError as error:
        raise DamagedSegment(segment.path, f"{name}.arrow is missing") from error
    except MemoryError as error:  # which Arrow raises as one of its own, too
        raise UnreadableStore(
            "There is not enough memory to read the stored trades; please try again in a moment."
        ) from error
    except OSError as error:
        # Arrow's own complaints about what a file holds have no number.
        if error.errno is not None:
            raise unreadable(error) from error
        raise DamagedSegment(segment.path, f"{name}.arrow is no table") from error
    except (pa.ArrowException, ArithmeticError, BufferError, LookupError, TypeError, ValueError) as error:
        raise DamagedSegment(segment.path, f"{name}.arrow is no table") from error


def _column(batches: Sequence[pa.RecordBatch], column: pa.Field) -> NDArray[Any]:
    """Return a column of batches, with prices and sizes as floats."""
    # A table without rows may have no batch either; pa.array() would import pandas.
    chunks = [batch.column(column.name) for batch in batches] or [pa.nulls(0, column.type)]
    parts = [np.from_dlpack(chunk) for chunk in chunks]
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    decimals = _decimals(column)
    return whole if decimals is None else _unscaled(whole, decimals)


def _unscaled(values: NDArray[Any], decimals: int | None) -> NDArray[np.float64]:
    return values.astype(np.float64) if decimals is None else values / 10.0**decimals


def _decimals(column: pa.Field) -> int | None:
    return int(column.metadata[b"decimals"]) if column.metadata else None


def _segment_from(content: bytes, path: Path) -> Segment:
    try:
        manifest = unsealed_json(content)
        origin = dict(manifest["origin"])
        start, end = (datetime.fromisoformat(text) for text in origin.pop("window"))
        return Segment(
            path,
            Origin(
                exchange=Exchange(origin.pop("exchange")),
                window=TimeWindow(start, end),
                via=tuple(origin.pop("via", (VIA_FILES,))),
                holes=tuple(Hole(*map(int, each)) for each in origin.pop("holes", ())),
                **origin,
            ),
            manifest["buys"],
            manifest["sells"],
            {name: manifest["sizes"][name] for name in TABLES},
            manifest.get("checks", {}),
            manifest.get("first_ms"),
            manifest.get("last_ms"),
        )
    except BrokenSeal as error:
        raise DamagedSegment(path, f"{MANIFEST} has {error}") from error
    except (AttributeError, LiqmapError, LookupError, TypeError, ValueError) as error:
        raise DamagedSegment(path, f"{MANIFEST} cannot be understood") from error
