"""Damaged files: set aside in the store's folder `damaged`, because they may exist nowhere else.

Segments lie there as EXCHANGE/SYMBOL/WINDOW.NUMBER (those of bundles in two files), other files below the
folder that they were found in, each as it was found.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

from liqmap.errors import DamagedSegment
from liqmap.files import make_synced, names_in, replace_file
from liqmap.model import Exchange
from liqmap.model.window import TimeWindow, missing
from liqmap.store.bundles import drop
from liqmap.store.moving import move_if
from liqmap.store.reading import check_belongs, verify_segment
from liqmap.store.segments import (
    MANIFEST,
    is_segment,
    open_record,
    open_segment,
    record_at,
    segment_windows,
    window_of,
)
from liqmap.text import damage_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from liqmap.store.bundles import Record
    from liqmap.store.segments import Segment

FOLDER: Final = "damaged"
OTHER_FOLDERS: Final = ("brackets", "bundles", "liquidations", "series")
"""The folders of a store whose damaged files are set aside one by one."""

TABLES_FILE: Final = "tables"
"""The tables of a segment that was a record, one after the other, as they were found."""

# Segments are named 20230801T…, other files 2023-08-01.
_DAY = re.compile(r"(\d{4})-?(\d\d)-?(\d\d)")


@dataclass(frozen=True, slots=True)
class Damage:
    """What lies set aside: how many segments and other files, their size [bytes], the day of the oldest."""

    count: int
    size: int
    oldest: date | None


class SetAside(NamedTuple):
    """A segment that was set aside: where it lies now, and what it was of."""

    path: Path
    exchange: Exchange
    symbol: str
    window: TimeWindow


def set_aside(root: Path, segment: Path) -> str | None:
    """Move the segment that belongs at `segment` out of the store at `root`; return what is wrong with it.

    One that is whole stays, and None is returned: another process may have put it there since the damage was
    seen. Raises OSError, and UnreadableStore.
    """
    symbol = segment.parent
    # With a number, because a window can be damaged more than once.
    target = root / FOLDER / symbol.parent.name / symbol.name / f"{segment.name}.{uuid4().hex[:8]}"
    record = None if segment.exists() else record_at(segment)
    if record is not None:
        damage = _damage(lambda: open_record(segment, record), segment)
        if damage is not None:
            _move_record(record, target)
        return damage
    damage = _damage(lambda: open_segment(segment), segment)
    if damage is None:
        return None
    target.parent.mkdir(parents=True, exist_ok=True)

    def is_damaged(folder: Path) -> bool:
        return _damage(lambda: open_segment(folder), segment) is not None

    return damage if move_if(segment, target, is_damaged) else None


def _damage(opened: Callable[[], Segment | None], path: Path) -> str | None:
    """Return what is wrong with the segment that belongs at `path`; None if nothing is, or there is none."""
    try:
        segment = opened()
        if segment is not None:
            check_belongs(segment, path)
            verify_segment(segment)
    except DamagedSegment as error:
        return error.damage
    return None


def _move_record(record: Record, target: Path) -> None:
    """Copy a record, which lies among others that are whole, to a folder, and mark it where it was."""
    contents = {MANIFEST: record.manifest(), TABLES_FILE: record.tables()}
    _write(target, contents)
    drop(record)
    if not target.is_dir():  # removed as one that is in the store again, which the record itself still was
        _write(target, contents)


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    make_synced(folder)
    for name, content in contents.items():
        replace_file(folder / name, content, sync=True)


def set_file_aside(root: Path, file: Path) -> None:
    """Move a damaged file that is no segment out of the store at `root`. Raises OSError."""
    target = root / FOLDER / file.relative_to(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    file.rename(target.with_name(f"{file.name}.{uuid4().hex[:8]}"))


def set_spans_aside(root: Path, file: Path, spans: Iterable[tuple[int, int]]) -> None:
    """Copy spans of a file of bundles that are no record: what they were may exist nowhere else.

    Raises OSError.
    """
    for start, end in spans:
        with file.open("rb") as opened:
            opened.seek(start)
            content = opened.read(end - start)
        target = root / FOLDER / file.relative_to(root)
        make_synced(target.parent)
        replace_file(target.with_name(f"{file.name}.{start}-{end}"), content, sync=True)


def files_aside(root: Path, file: Path) -> list[Path]:
    """Return what was set aside of a file of the store at `root`. Raises UnreadableStore."""
    folder = (root / FOLDER / file.relative_to(root)).parent
    return [folder / name for name in names_in(folder) if name.startswith(f"{file.name}.")]


def damage_in(root: Path) -> Damage:
    """Return what lies set aside in the store at `root` and is not in it again. Raises UnreadableStore."""
    segments = list(damaged_segments(root))
    files = [each.path for each in segments]
    files += [path for name in OTHER_FOLDERS for path in _files_below(root / FOLDER / name)]
    days = [each.window.start.date() for each in segments]
    days += [day for path in files for day in _day_of(path.name)]
    return Damage(len(files), sum(map(_size, files)), min(days, default=None))


def damage_warning(root: Path) -> str | None:
    """Return a sentence on what lies set aside, None if nothing does. Raises UnreadableStore."""
    found = damage_in(root)
    return damage_text(found.count, found.size, oldest=found.oldest) if found.count else None


def damaged_segments(root: Path) -> Iterator[SetAside]:
    """Yield the segments set aside of which the store still lacks something. Raises UnreadableStore."""
    for each in _all(root):
        if _is_lacking(root, each):
            yield each


def damaged_windows(root: Path, exchange: Exchange, symbol: str) -> list[TimeWindow]:
    """Return the windows of a symbol's segments that were set aside. Raises UnreadableStore."""
    return [each.window for each in _of_symbol(root, exchange, symbol)]


def remove_replaced(root: Path) -> None:
    """Remove what was set aside and is all in the store again. Raises UnreadableStore."""
    for each in _all(root):
        if not _is_lacking(root, each):
            _remove(root, each)


def _remove(root: Path, each: SetAside) -> None:
    doomed = root / "incoming" / uuid4().hex
    # Looked at once more where nobody else finds it: what the store had may just have been set aside.
    with suppress(OSError):  # another process's, and gone by now, or another user's
        if move_if(each.path, doomed, lambda _: not _is_lacking(root, each)):
            shutil.rmtree(doomed, ignore_errors=True)


def _is_lacking(root: Path, each: SetAside) -> bool:
    return bool(missing(each.window, segment_windows(root, each.exchange, each.symbol)))


def _all(root: Path) -> Iterator[SetAside]:
    for exchange in Exchange:
        for symbol in sorted(names_in(root / FOLDER / exchange)):
            yield from _of_symbol(root, exchange, symbol)


def _of_symbol(root: Path, exchange: Exchange, symbol: str) -> Iterator[SetAside]:
    folder = root / FOLDER / exchange / symbol
    for name in sorted(names_in(folder)):
        window = name.partition(".")[0]
        if is_segment(window):
            yield SetAside(folder / name, exchange, symbol, window_of(window))


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):  # which passes over what another process removes meanwhile
        yield from (Path(parent, name) for name in names)


def _day_of(name: str) -> Iterator[date]:
    """Yield the day that a file's name begins with, if it does."""
    if found := _DAY.match(name):
        with suppress(ValueError):
            yield date(*map(int, found.groups()))


def _size(path: Path) -> int:
    with suppress(OSError):  # another process has removed it
        return sum(each.stat().st_size for each in (_files_below(path) if path.is_dir() else (path,)))
    return 0
