"""Bundles: files that hold many segments of one exchange, so that a store is not millions of small files.

A file's records follow each other, each a segment: a prefix that says of what market and window it is, the
manifest, and the tables in the order of `TABLES`. Manifest and tables are the bytes that a segment's folder
would have, with the same checksums. A record is found by the prefixes alone, and read as a slice::

    bundles/EXCHANGE/TIME-ID.journal     minutes as they are recorded: it grows, and its end may be torn
    bundles/EXCHANGE/TIME-ID.recorded    what compaction made of them, written whole
    bundles/EXCHANGE/TIME-ID.days        published days of quiet markets, likewise

A record that is no longer valid is marked in its place. Each file has one writer; whoever finds a record
damaged or of no use may mark it. What writes files is in `liqmap.store.bundling`.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

import xxhash

from liqmap.files import names_in
from liqmap.model.window import HOUR, TimeWindow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from io import FileIO
    from pathlib import Path

FOLDER: Final = "bundles"
JOURNAL: Final = ".journal"
RECORDED: Final = ".recorded"
DAYS: Final = ".days"
"""The suffixes of files: a journal grows, the others do not."""
_SUFFIXES = (JOURNAL, RECORDED, DAYS)

# Of one length, because a record is dropped by writing the one over the other.
_MAGIC, _DROPPED = b"LIQSEG1\n", b"LIQGONE\n"
_LONGEST_SYMBOL = 160  # bytes: the forty characters that a `Market` takes, of four bytes each at most
# Magic, symbol, start and end [s since 1970], bytes of the manifest and of the tables, xxh3 of all but magic.
_PREFIX = struct.Struct(f"<8s{_LONGEST_SYMBOL}sqqIQQ")
_FIELDS = slice(8, _PREFIX.size - 8)
_READ_AT_ONCE = 1 << 20  # bytes, where the next record is searched for
# The medium is at fault: what it does not give now, it will not give later.
_OF_THE_DISK: Final = {errno.EIO, errno.EBADMSG, getattr(errno, "EUCLEAN", errno.EIO)}
_STAMP = "%Y%m%dT%H%M%SZ"


class Record(NamedTuple):
    """Where a segment lies in a file: its prefix at `offset`, then the manifest, then the tables [bytes]."""

    file: Path
    offset: int
    manifest_size: int
    tables_size: int

    @property
    def tables_at(self) -> int:
        """Where in the file the first table begins."""
        return self.offset + _PREFIX.size + self.manifest_size

    @property
    def end(self) -> int:
        """Where in the file the next record begins."""
        return self.tables_at + self.tables_size

    def manifest(self) -> bytes:
        """Return the manifest as it is in the file. Raises OSError: FileNotFoundError if it was dropped."""
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.offset)
            content = file.read(_PREFIX.size + self.manifest_size)
        if content.startswith(_DROPPED):
            # Another process has dropped it since this one has read the file.
            _index.forget(self.file)
            raise FileNotFoundError(self.file)
        return content[_PREFIX.size :]

    def tables(self) -> bytes:
        """Return the bytes of all tables. Raises OSError."""
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.tables_at)
            return file.read(self.tables_size)


class Contents(NamedTuple):
    """What a file holds: records by symbol and window, how far it was read, and spans that are no record.

    `trouble` is the error of a disk that does not give what follows.
    """

    records: dict[str, dict[TimeWindow, Record]]
    end: int
    damaged: list[tuple[int, int]]
    trouble: OSError | None = None


def folder_of(root: Path, exchange: str) -> Path:
    """Return the folder of an exchange's bundles below the store's `root`."""
    return root / FOLDER / exchange


def records_of(root: Path, exchange: str, symbol: str) -> Mapping[TimeWindow, Record]:
    """Return a market's records, of equal windows the one in the newest file. Raises OSError.

    Records that the disk does not give are not among them (see `unread_until`).
    """
    return _index.records(folder_of(root, exchange), symbol)


def unread_until(root: Path, exchange: str) -> datetime | None:
    """Return a time before which all records begin that the disk does not give; None if it gives all.

    Raises OSError.
    """
    return max(map(_held_until, _index.troubled(folder_of(root, exchange))), default=None)


def bundle_files(root: Path) -> list[Path]:
    """Return the files of all bundles, the oldest of each exchange first. Raises UnreadableStore."""
    return [file for name in sorted(names_in(root / FOLDER)) for file in files_in(root / FOLDER / name)]


def files_in(folder: Path) -> list[Path]:
    """Return the files of bundles in the folder of an exchange, the oldest first. Raises UnreadableStore."""
    return [folder / name for name in sorted(names_in(folder)) if name.endswith(_SUFFIXES)]


def new_name(now: datetime, suffix: str) -> str:
    """Return a name that no other file of bundles has; names of later times sort behind it."""
    return f"{now:{_STAMP}}-{uuid4().hex[:12]}{suffix}"


def grows_until(file: Path) -> datetime | None:
    """Return until when a file may be appended to, by its name: None for all but journals.

    Raises ValueError for a journal whose name does not begin with a time.
    """
    return _written_until(file) if file.suffix == JOURNAL else None


def _held_until(file: Path) -> datetime:
    try:
        return _written_until(file)
    except ValueError:  # liqmap did not name the file, so its records may be of any time
        return datetime.max.replace(tzinfo=UTC)


def _written_until(file: Path) -> datetime:
    return datetime.strptime(file.name.partition("-")[0], _STAMP).replace(tzinfo=UTC) + HOUR


def read_contents(path: Path) -> Contents:
    """Read the prefixes of the file at `path`. Raises OSError."""
    contents = _read_on(path, Contents({}, 0, []), size=path.stat().st_size)
    if contents.trouble is not None:
        raise contents.trouble
    return contents


def drop(record: Record) -> None:
    """Mark a record as no longer valid; what has opened it already can still read it. Raises OSError."""
    with record.file.open("r+b", buffering=0) as file:
        file.seek(record.offset)
        if file.read(len(_MAGIC)) == _MAGIC:
            file.seek(record.offset)
            file.write(_DROPPED)
            os.fsync(file.fileno())
    _index.forget(record.file)


def encoded(symbol: str, window: TimeWindow, manifest: bytes, tables: Iterable[bytes]) -> bytes:
    """Return a record. Raises ValueError for a symbol that is too long."""
    name, body = symbol.encode(), b"".join(tables)
    if len(name) > _LONGEST_SYMBOL:
        raise ValueError(f"a symbol of more than {_LONGEST_SYMBOL} bytes")
    seconds = (moment // 1000 for moment in (window.start_ms, window.end_ms))
    prefix = _PREFIX.pack(_MAGIC, name, *seconds, len(manifest), len(body), 0)
    # Without the magic, which is written over when the record is dropped.
    check = xxhash.xxh3_64_intdigest(prefix[_FIELDS])
    return prefix[:-8] + check.to_bytes(8, "little") + manifest + body


class _Index:
    """Remembers what files hold: of one that has grown only what is new is read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Path, dict[str, tuple[int, int, Contents]]] = {}  # by folder and name: size, time

    def records(self, folder: Path, symbol: str) -> dict[TimeWindow, Record]:
        """Return the records of a symbol. Raises OSError."""
        with self._lock:
            found: dict[TimeWindow, Record] = {}
            for contents in self._look(folder):
                found |= contents.records.get(symbol, {})
            return found

    def troubled(self, folder: Path) -> list[Path]:
        """Return the files that the disk does not give completely. Raises OSError."""
        with self._lock:
            self._look(folder)
            return [
                folder / name
                for name, (_, _, contents) in self._known.get(folder, {}).items()
                if contents.trouble is not None
            ]

    def forget(self, file: Path) -> None:
        """Read a file anew the next time."""
        with self._lock:
            self._known.get(file.parent, {}).pop(file.name, None)

    def _look(self, folder: Path) -> list[Contents]:
        try:
            stats = _stats_in(folder)
        except (FileNotFoundError, NotADirectoryError):
            self._known.pop(folder, None)
            return []
        known, now = self._known.get(folder, {}), {}
        for name in sorted(stats):
            size, changed = stats[name].st_size, stats[name].st_mtime_ns
            before = known.get(name)
            if before is None or before[:2] != (size, changed) or before[2].trouble is not None:
                grows = before is not None and name.endswith(JOURNAL) and size > before[0]
                start = before[2] if before is not None and grows else Contents({}, 0, [])
                try:
                    before = size, changed, _read_on(folder / name, start, size=size)
                except FileNotFoundError:  # another process has removed it since
                    continue
            now[name] = before
        self._known[folder] = now
        return [contents for *_, contents in now.values()]


_index = _Index()


def _stats_in(folder: Path) -> dict[str, os.stat_result]:
    stats: dict[str, os.stat_result] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIXES):
                # Another process may have removed it since it was listed: that says nothing of the others.
                with suppress(FileNotFoundError):
                    stats[entry.name] = entry.stat()
    return stats


def _read_on(path: Path, contents: Contents, *, size: int) -> Contents:
    """Read prefixes from where `contents` ends, up to `size`."""
    reader, trouble = _Reader(path, contents, size), None
    try:
        with path.open("rb", buffering=0) as file:
            reader.read(file)
    except OSError as error:
        if error.errno not in _OF_THE_DISK:  # it may pass, and what is there must not seem missing
            raise
        trouble = error
    return Contents(reader.records, reader.at, reader.damaged, trouble)


class _Reader:
    """Reads on in a file of records from where `contents` ends, and keeps what it has found by then."""

    def __init__(self, path: Path, contents: Contents, size: int) -> None:
        self.records = {symbol: dict(each) for symbol, each in contents.records.items()}
        self.at = contents.end
        self.damaged = [span for span in contents.damaged if span[0] < self.at]
        self._path = path
        self._size = size
        # A record that was found may have lost a stretch, so the next one is searched from inside it on.
        self._searched_from = self.at

    def read(self, file: FileIO) -> None:
        """Read prefixes up to the end of what is known to be written. Raises OSError."""
        while self.at < self._size:
            file.seek(self.at)
            prefix = file.read(_PREFIX.size)
            found = _understood(prefix, self._path, self.at)
            if found is not None and found[2].end <= self._size:
                self._take(prefix, *found)
            elif not self._skip(file, prefix, is_record=found is not None):
                return

    def _take(self, prefix: bytes, symbol: str, window: TimeWindow, record: Record) -> None:
        if prefix.startswith(_MAGIC):
            self.records.setdefault(symbol, {})[window] = record
        self.at, self._searched_from = record.end, record.offset + _PREFIX.size

    def _skip(self, file: FileIO, prefix: bytes, *, is_record: bool) -> bool:
        """Go on to the next record, and note what lies before it as damaged; return whether there is one."""
        # Where a stretch is gone, the next record begins before this one's end.
        start = max(self._searched_from, self.at + 1 if is_record else 0)
        following = _next_record(file, self._path, start, self._size)
        if following is None:
            # The end of a journal may be torn or about to be written.
            may_grow = self._path.suffix == JOURNAL and (is_record or len(prefix) < _PREFIX.size)
            if not may_grow:
                self.damaged.append((self.at, self._size))
            return False
        if following > self.at:
            self.damaged.append((self.at, following))
        self.at = self._searched_from = following
        return True


def _understood(prefix: bytes, path: Path, at: int) -> tuple[str, TimeWindow, Record] | None:
    """Return what a prefix says, None if it is none."""
    if len(prefix) < _PREFIX.size or not prefix.startswith((_MAGIC, _DROPPED)):
        return None
    _, name, start, end, manifest_size, tables_size, check = _PREFIX.unpack(prefix)
    if xxhash.xxh3_64_intdigest(prefix[_FIELDS]) != check:
        return None
    return name.rstrip(b"\0").decode(), _window(start, end), Record(path, at, manifest_size, tables_size)


def _next_record(file: FileIO, path: Path, start: int, size: int) -> int | None:
    """Return where the first record from `start` on begins, None if there is none."""
    while start < size:
        file.seek(start)
        content = file.read(_READ_AT_ONCE)
        places = sorted(
            place for magic in (_MAGIC, _DROPPED) for place in _places(content, magic, start=start)
        )
        for place in places:
            file.seek(place)
            if _understood(file.read(_PREFIX.size), path, place) is not None:
                return place
        # A magic may lie across the end of what was read.
        start += max(1, len(content) - len(_MAGIC) + 1) if content else size
    return None


def _places(content: bytes, magic: bytes, *, start: int) -> Iterator[int]:
    place = content.find(magic)
    while place >= 0:
        yield start + place
        place = content.find(magic, place + 1)


@lru_cache(maxsize=1 << 14)  # the markets of a file share their windows
def _window(start: int, end: int) -> TimeWindow:
    return TimeWindow(*(datetime.fromtimestamp(each, UTC) for each in (start, end)))
