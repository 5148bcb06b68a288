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

A segment that was recorded, or is of a quiet market's day, is the same bytes in a file with many others
(`liqmap.store.bundles`), and has the same path, at which there is no folder then.

The tables are Arrow IPC files (Feather V2, uncompressed), which any Arrow tool opens. `time` counts
milliseconds and `second` seconds from the segment's start. Prices and sizes are stored as whole
numbers of 10^-decimals (the field's metadata says how many) wherever that gives back exactly the
same floats: half the bytes of float64, and nothing is rounded. Extremes follow from the bars; they are
stored with each trade because a map asks for them of every trade that it reads.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from liqmap.errors import DamagedSegment, LiqmapError
from liqmap.files import matching, names_in, unreadable
from liqmap.files.seals import BrokenSeal, unsealed_json
from liqmap.model import Exchange, Hole
from liqmap.model.window import TimeWindow
from liqmap.store.bundles import drop, records_of, unread_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from liqmap.store.bundles import Record


# In the paths of segments, so that a version finds only what it can read.
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

_STAMP = "%Y%m%dT%H%M%SZ"  # without colons, which Windows does not take in names
_NAME = re.compile(r"\d{8}T\d{6}Z-\d{8}T\d{6}Z")


@dataclass(frozen=True, slots=True)
class Origin:
    """What a segment holds and where its trades came from; `via` is how, one or several of `VIA_...`.

    `holes` are the longest stretches in which ids are skipped. `zero_sizes` rows of size 0 were left out.
    `unverified` is a file whose checksum was not published yet, and `differs` one that does not match the
    checksum that has been published since. Where a file reaches into the days beside, `last_before` is the
    last id of the day before that it has, `first_after` the first of the day after.
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
    differs: bool = False
    last_before: int | None = None
    first_after: int | None = None
    inverse: bool = False
    via: tuple[str, ...] = (VIA_FILES,)
    contract_size: float = 1.0


@dataclass(frozen=True, slots=True)
class Segment:
    """A stored segment: its path, its origin, the trades of each side, and its tables' sizes [bytes].

    At `path` is its folder, or nothing where it is a `record` of a bundle. `checks` are the tables'
    checksums, none where the segment is of before there were any. `first_ms` and `last_ms` are the times of
    its first and last trade [ms since 1970], None where there is none or the segment is of a version that
    did not keep them.
    """

    path: Path
    origin: Origin
    buys: int
    sells: int
    sizes: Mapping[str, int] = field(hash=False)  # a mapping has no hash
    checks: Mapping[str, str] = field(hash=False, repr=False)
    first_ms: int | None = None
    last_ms: int | None = None
    record: Record | None = None

    @property
    def size(self) -> int:
        """Bytes of all its tables."""
        return sum(self.sizes.values())

    def place(self, table: str) -> tuple[Path, int]:
        """Return the file that holds a table, and where in it the table begins."""
        if self.record is None:
            return self.path / f"{table}.arrow", 0
        before = TABLES[: TABLES.index(table)]
        return self.record.file, self.record.tables_at + sum(self.sizes[each] for each in before)

    def file(self, name: str) -> bytes:
        """Return the bytes of one of its files, `MANIFEST` or `buy.arrow`. Raises OSError."""
        if self.record is None:
            return (self.path / name).read_bytes()
        if name == MANIFEST:
            return self.record.manifest()
        table = name.removesuffix(".arrow")
        file, start = self.place(table)
        with file.open("rb") as opened:
            opened.seek(start)
            return opened.read(self.sizes[table])


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a segment that a map reads: segments may overlap, the parts of a map never do."""

    segment: Segment
    window: TimeWindow


def symbol_folder(root: Path, exchange: Exchange, symbol: str) -> Path:
    """Return the folder in which all segments of a symbol are kept below the store's `root`."""
    return root / f"v{FORMAT_VERSION}" / exchange / symbol


def segment_path(root: Path, exchange: Exchange, symbol: str, window: TimeWindow) -> Path:
    """Return the folder in which the segment of `window` is kept below the store's `root`."""
    return symbol_folder(root, exchange, symbol) / segment_name(window)


def segment_name(window: TimeWindow) -> str:
    """Return the name of the folder of the segment of `window`."""
    return f"{window.start:{_STAMP}}-{window.end:{_STAMP}}"


def segment_windows(root: Path, exchange: Exchange, symbol: str) -> list[TimeWindow]:
    """Return the windows of a symbol's segments below `root`, each once, in no order.

    Raises UnreadableStore.
    """
    return list(stored_windows(root, exchange, symbol))


def stored_windows(root: Path, exchange: Exchange, symbol: str) -> dict[TimeWindow, Record | None]:
    """Return the windows of a symbol's segments below `root`, with the record of each that has no folder.

    They are known by the names of folders and the prefixes of records. Raises UnreadableStore.
    """
    # First the records: a folder that replaces one is there before the record is dropped. A record that
    # replaces a folder stands beside it for a while.
    records = _records(root, exchange, symbol)
    names = names_in(symbol_folder(root, exchange, symbol))
    return {**records, **dict.fromkeys(window_of(name) for name in names if is_segment(name))}


def _records(root: Path, exchange: str, symbol: str) -> Mapping[TimeWindow, Record]:
    try:
        return records_of(root, exchange, symbol)
    except OSError as error:
        raise unreadable(error) from error


def may_be_unread(root: Path, exchange: Exchange, window: TimeWindow) -> bool:
    """Return whether what is missing of `window` may lie in a file that the disk does not give.

    Raises UnreadableStore.
    """
    try:
        until = unread_until(root, exchange)
    except OSError as error:
        raise unreadable(error) from error
    return until is not None and window.start < until


def is_segment(name: str) -> bool:
    """Return whether a folder's name is that of a segment."""
    return _NAME.fullmatch(name) is not None


def window_of(name: str) -> TimeWindow:
    """Return the window that the name of a segment's folder gives."""
    return TimeWindow(*(_moment(text) for text in name.split("-")))


@lru_cache(maxsize=1 << 16)  # the same names are read for every map, and strptime is slow
def _moment(text: str) -> datetime:
    return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)


def segment_paths(root: Path) -> Iterator[Path]:
    """Yield the folders of all segments that have one of their own below the store's `root`.

    Raises UnreadableStore.
    """
    yield from (path for path in matching(root, f"v{FORMAT_VERSION}/*/*/*") if is_segment(path.name))


def open_segment(path: Path) -> Segment | None:
    """Return the segment at `path`, or None where there is none.

    Raises DamagedSegment if its files are not as they were written, as far as the manifest and the files'
    sizes show that, and UnreadableStore if they cannot be read.
    """
    try:
        found = _opened(path)
    except DamagedSegment:
        found = None
    # Another process may have put a new segment into its place meanwhile: files of both were seen, or none.
    return found or _opened(path)


def _opened(path: Path) -> Segment | None:
    try:
        manifest = (path / MANIFEST).read_bytes()
        segment = segment_from(manifest, path)
        for name, size in segment.sizes.items():
            found = (path / f"{name}.arrow").stat().st_size
            if found != size:
                raise DamagedSegment(path, f"{name}.arrow has {found} bytes instead of {size}")
    except (FileNotFoundError, NotADirectoryError) as error:
        if not path.exists():
            return open_record(path)
        raise DamagedSegment(path, f"{Path(error.filename).name} is missing") from error
    except IsADirectoryError as error:  # no passing trouble: reading it again would never help
        raise DamagedSegment(path, f"{MANIFEST} is a folder") from error
    except OSError as error:
        raise unreadable(error) from error
    return segment


def open_record(path: Path, record: Record | None = None) -> Segment | None:
    """Return the segment of the record that belongs at `path`, or of the given one; None if there is none.

    Raises as `open_segment`.
    """
    if record is None:
        record = record_at(path)
        if record is None:
            return None
    try:
        segment = replace(segment_from(record.manifest(), path), record=record)
    except FileNotFoundError:  # dropped or removed since
        return None
    except OSError as error:
        raise unreadable(error) from error
    if segment.size != record.tables_size or min(segment.sizes.values()) < 0:
        raise DamagedSegment(path, f"its tables have {record.tables_size} bytes instead of {segment.size}")
    return segment


def record_at(path: Path) -> Record | None:
    """Return the record of the segment that belongs at `path`, None if there is none.

    Raises UnreadableStore.
    """
    if not is_segment(path.name):  # such as the orders that are made of fills
        return None
    root, exchange, symbol = path.parents[3], path.parts[-3], path.parts[-2]
    return _records(root, exchange, symbol).get(window_of(path.name))


def drop_all(path: Path) -> None:
    """Drop all records of the segment that belongs at `path`. Raises OSError and UnreadableStore."""
    # Each that is dropped may uncover another: two processes may have bundled the same.
    while (record := record_at(path)) is not None:
        with suppress(FileNotFoundError):  # another process was faster
            drop(record)


def segment_from(content: bytes, path: Path) -> Segment:
    """Return the segment in the folder `path` whose manifest has `content`. Raises DamagedSegment."""
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
