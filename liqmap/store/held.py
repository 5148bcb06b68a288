"""Remove from a store what is held twice: by a longer segment, or by a newer file of bundles."""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from liqmap.errors import DamagedSegment, StoreError
from liqmap.files import names_in
from liqmap.model.window import DAY, TimeWindow
from liqmap.store.bars import read_bars
from liqmap.store.bundles import drop, files_in, folder_of, grows_until, read_contents, records_of
from liqmap.store.damaged import set_spans_aside
from liqmap.store.local import IN_USE_FOR
from liqmap.store.reading import verify_segment
from liqmap.store.segments import (
    MANIFEST,
    is_segment,
    open_record,
    segment_path,
    segment_windows,
    symbol_folder,
    window_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.model import Exchange
    from liqmap.store.bundles import Record
    from liqmap.store.local import SegmentStore
    from liqmap.store.segments import Segment

log = logging.getLogger(__name__)


class Holders:
    """Finds the longest of some windows that holds another one."""

    def __init__(self, windows: Iterable[TimeWindow]) -> None:
        self._longest_first = sorted(windows, key=lambda each: (-each.length, each.start))

    def of(self, window: TimeWindow) -> TimeWindow | None:
        """Return the longest window that holds `window` and more, None if there is none."""
        for each in self._longest_first:
            if each.length <= window.length:
                return None
            if each.start <= window.start and window.end <= each.end:
                return each
        return None


def remove_held(store: SegmentStore, exchange: Exchange, symbols: Sequence[str], *, now: datetime) -> None:
    """Remove folders of `symbols`, and files of bundles, all of which is held elsewhere.

    What holds it must have been there for a while, and be whole to the last byte. Trouble with one market or
    file is logged, and what is damaged set aside. Raises UnreadableStore.
    """
    removal = _Removal(store, exchange, now)
    for symbol in symbols:
        removal.try_folders(symbol)
    for file in files_in(folder_of(store.root, exchange)):
        removal.try_file(file)


class _Removal:
    """One look through what an exchange's markets have, of which each holder is verified once."""

    def __init__(self, store: SegmentStore, exchange: Exchange, now: datetime) -> None:
        self._store = store
        self._exchange = exchange
        self._now = now
        self._holders: dict[str, Holders] = {}
        self._records: dict[str, Mapping[TimeWindow, Record]] = {}
        self._whole: set[tuple[Path, Record | None]] = set()

    def try_folders(self, symbol: str) -> None:
        """Remove those folders of a market's segments that are held."""
        folder = symbol_folder(self._store.root, self._exchange, symbol)
        with self._going_on(folder):
            for name in filter(is_segment, names_in(folder)):
                self._try_folder(symbol, window_of(name))

    def _try_folder(self, symbol: str, window: TimeWindow) -> None:
        path = self._path(symbol, window)
        with self._going_on(path):
            longer = self._longer(symbol, window)
            if longer is None:
                self._try_copied(symbol, window)
            elif self._holds(longer):
                shorter = self._store.get(self._exchange, symbol, window)
                if shorter is not None:
                    if _is_of_day(window, longer):
                        _compare(shorter, longer)
                    self._store.remove_files(path)

    def _try_copied(self, symbol: str, window: TimeWindow) -> None:
        """Remove a folder that has been copied into a file of bundles."""
        record = self._record(symbol, window)
        folder = None if record is None else self._store.get(self._exchange, symbol, window)
        if record is None or folder is None or folder.record is not None:
            return
        copy = _opened(folder.path, record)
        if copy is None or replace(copy, record=None) != folder:
            # The folder has been replaced since it was copied: it is the newer one.
            verify_segment(folder)
            with suppress(FileNotFoundError):  # another process was faster
                drop(record)
        elif self._holds(copy):
            self._store.remove_folder(folder)

    def try_file(self, file: Path) -> None:
        """Remove a file of bundles if each of its records is held."""
        with suppress(ValueError), self._going_on(file):  # files that liqmap did not name stay
            grows = grows_until(file)
            if grows is not None and self._now - grows < IN_USE_FOR:
                return
            contents = read_contents(file)
            records = [
                (symbol, window, record)
                for symbol, each in contents.records.items()
                for window, record in each.items()
            ]
            held = self._held(records)
            if held is None:
                return
            for symbol, window, record in records:
                longer = held[symbol, window]
                if longer is not None and _is_of_day(window, longer):
                    shorter = open_record(self._path(symbol, window), record)
                    if shorter is not None:
                        _compare(shorter, longer)
            if read_contents(file) != contents:  # a clock that was set has made it look complete
                return
            set_spans_aside(self._store.root, file, contents.damaged)
            self._store.remove_files(file)

    def _held(
        self, records: Iterable[tuple[str, TimeWindow, Record]]
    ) -> dict[tuple[str, TimeWindow], Segment | None] | None:
        """Return what holds each of a file's records, None for a copy elsewhere; None if one is not held."""
        # Each holder is opened once: a file has all the minutes of an hour.
        opened: dict[tuple[str, TimeWindow], Segment | None] = {}
        held: dict[tuple[str, TimeWindow], Segment | None] = {}
        for symbol, window, record in records:
            holder = self._holder(symbol, window)
            if holder is None:
                held[symbol, window] = None
                if not self._is_copied(symbol, window, outside=record.file):
                    return None
                continue
            if (symbol, holder) not in opened:
                opened[symbol, holder] = self._store.get(self._exchange, symbol, holder)
            longer = held[symbol, window] = opened[symbol, holder]
            if longer is None or not self._holds(longer):
                return None
        return held

    def _is_copied(self, symbol: str, window: TimeWindow, *, outside: Path) -> bool:
        """Return whether the newest record of a segment lies outside a file and holds it."""
        newest = self._record(symbol, window)
        if newest is None or newest.file == outside:
            return False
        copy = open_record(self._path(symbol, window), newest)
        return copy is not None and self._holds(copy)

    def _path(self, symbol: str, window: TimeWindow) -> Path:
        return segment_path(self._store.root, self._exchange, symbol, window)

    def _record(self, symbol: str, window: TimeWindow) -> Record | None:
        # Looked up once for each market: a store may have a year's folders of each.
        if symbol not in self._records:
            self._records[symbol] = records_of(self._store.root, self._exchange, symbol)
        return self._records[symbol].get(window)

    def _longer(self, symbol: str, window: TimeWindow) -> Segment | None:
        holder = self._holder(symbol, window)
        return None if holder is None else self._store.get(self._exchange, symbol, holder)

    def _holder(self, symbol: str, window: TimeWindow) -> TimeWindow | None:
        if symbol not in self._holders:
            windows = segment_windows(self._store.root, self._exchange, symbol)
            self._holders[symbol] = Holders(windows)
        return self._holders[symbol].of(window)

    def _holds(self, segment: Segment) -> bool:
        """Return whether a segment has been there for a while and is whole. Raises DamagedSegment."""
        if self._age(segment) < IN_USE_FOR.total_seconds():
            return False
        if (segment.path, segment.record) not in self._whole:
            verify_segment(segment)
            self._whole.add((segment.path, segment.record))
        return True

    def _age(self, segment: Segment) -> float:
        # A folder's own time, and that of a file's last reading, are those of their last use.
        file = segment.path / MANIFEST if segment.record is None else segment.record.file
        try:
            return self._now.timestamp() - file.stat().st_mtime
        except FileNotFoundError:  # another process has removed it: it holds nothing any more
            return 0.0

    @contextmanager
    def _going_on(self, path: Path) -> Iterator[None]:
        """Set aside what turns out to be damaged, and log what else goes wrong."""
        try:
            yield
        except DamagedSegment as error:
            self._store.heal(error.path)
        except FileNotFoundError:
            pass  # another process has removed it meanwhile
        except StoreError as error:
            log.warning("%s %s could not be compacted: %s", path.parent.name, path.name, error)
        except OSError as error:
            log.warning("%s %s could not be compacted: %s", path.parent.name, path.name, error.strerror)


def _opened(path: Path, record: Record) -> Segment | None:
    """Return the segment of a record; None if it is no longer valid, or damaged."""
    try:
        return open_record(path, record)
    except DamagedSegment:
        return None


def _is_of_day(window: TimeWindow, longer: Segment) -> bool:
    return longer.origin.window.length >= DAY > window.length


def _compare(shorter: Segment, longer: Segment) -> None:
    """Say so if the published day does not have the trades that were recorded: it is kept all the same."""
    bars = read_bars(longer, shorter.origin.window)
    difference = shorter.buys + shorter.sells - bars.buys - bars.sells
    if difference:
        log.warning(
            "%s %s: the published day has %d trades less than were recorded from %s on",
            shorter.origin.exchange,
            shorter.origin.symbol,
            difference,
            shorter.origin.window.start,
        )
