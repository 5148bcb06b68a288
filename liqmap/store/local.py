"""The store: the folder that segments are kept in, shared by processes and kept below a size."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from liqmap.errors import DamagedSegment, StoreError, UnreadableStore
from liqmap.model.window import DAY, HOUR, missing, overlaps
from liqmap.store.bundles import DAYS, bundle_files, grows_until
from liqmap.store.damaged import remove_replaced, set_aside
from liqmap.store.leftovers import (
    HALF_WRITTEN_FOR,
    WORK_KEPT_FOR,
    order_folders,
    remove_abandoned_work,
    remove_half_written,
    remove_unread_orders,
)
from liqmap.store.moving import move_if
from liqmap.store.reading import check_belongs
from liqmap.store.segments import (
    Part,
    drop_all,
    is_segment,
    open_record,
    open_segment,
    segment_path,
    segment_paths,
    stored_windows,
    window_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from liqmap.model import Exchange
    from liqmap.model.window import TimeWindow
    from liqmap.store.bundles import Record
    from liqmap.store.segments import Segment

log = logging.getLogger(__name__)

_ONLY_READ: Final = {errno.EACCES, errno.EPERM, errno.EROFS}

IN_USE_FOR: Final = timedelta(minutes=10)
"""A segment is not evicted for this long after its last use, by whichever process: jobs end sooner."""


_LOOKS = 3  # at a segment of which each copy turns out to be damaged


class SegmentStore:
    """A folder of segments, least recently used ones evicted beyond `max_size` bytes.

    Several processes may share it: a segment appears whole, under its final name, or not at all.
    """

    def __init__(self, root: Path, *, max_size: int) -> None:
        self.root = root
        self.incoming = root / "incoming"
        """Where files and segments are written before they are renamed into place."""
        self._max_size = max_size
        self._unmovable: set[Path] = set()  # damaged, on a disk that is only read
        self._looked_at: datetime | None = None  # when half-written files were last looked for

    def open(self, *, now: datetime) -> None:
        """Make the folders and clear what killed processes left.

        A store that is there and can only be read serves what it holds. Raises StoreError.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.incoming.mkdir(exist_ok=True)
            remove_abandoned_work(self.incoming, before=now - WORK_KEPT_FOR)
        except OSError as error:
            if error.errno in _ONLY_READ and _can_be_read(self.root):
                log.warning("the store can only be read (%s): nothing new is stored", error.strerror)
                return
            raise StoreError(
                f"The store's folder cannot be used ({error.strerror}); check the setting storage.path."
            ) from error

    def get(self, exchange: Exchange, symbol: str, window: TimeWindow) -> Segment | None:
        """Return the segment of exactly `window`, or None; a damaged one is set aside.

        Asking for it counts as use, which keeps it from eviction for a while. Raises UnreadableStore.
        """
        return self._get(exchange, symbol, window)

    def _get(
        self, exchange: Exchange, symbol: str, window: TimeWindow, record: Record | None = None
    ) -> Segment | None:
        path = segment_path(self.root, exchange, symbol, window)
        for _ in range(_LOOKS):
            if path in self._unmovable:
                return None
            try:
                segment = _opened(path, record)
            except DamagedSegment:
                # Then there is none, or another: put there meanwhile, or bundled before.
                self.heal(path)
                record = None
                continue
            if segment is not None:
                with suppress(OSError):  # another user's, or a disk that is only read: neither is evicted
                    _note_use(segment)
            return segment
        return None

    def heal(self, path: Path) -> None:
        """Set the segment at `path` aside if a second look finds it damaged, too.

        Then it can be fetched again. Raises UnreadableStore.
        """
        name = " ".join(path.parts[-3:])
        try:
            damage = set_aside(self.root, path)
        except FileNotFoundError:
            return  # another process was faster
        except OSError as trouble:
            self._unmovable.add(path)
            log.warning("damaged and cannot be set aside (%s): %s", trouble.strerror, name)
            return
        if damage is not None:
            log.warning("damaged and set aside: %s, %s", name, damage)

    def parts(self, exchange: Exchange, symbol: str, window: TimeWindow) -> tuple[Part, ...]:
        """Return what the store has of `window`, oldest first, every moment of it once.

        A segment is complete for its own window, so where several overlap (minutes and the hour made of
        them, a recorded hour and the published day) any of them will do; the longest is taken. Damaged
        ones are set aside, and those that are used are kept from eviction for a while. Raises
        UnreadableStore if a segment that is needed cannot be read: what is there must not seem missing.
        """
        windows = stored_windows(self.root, exchange, symbol)
        found: list[Part] = []
        lacking = [window]
        troubles: list[tuple[TimeWindow, UnreadableStore]] = []
        for each in sorted(windows, key=lambda each: (-each.length, each.start)):
            wanted = overlaps(each, lacking)
            try:
                segment = self._get(exchange, symbol, each, windows[each]) if wanted else None
            except UnreadableStore as error:  # shorter ones may hold the same
                troubles.append((each, error))
                continue
            if segment is not None:
                found += (Part(segment, part) for part in wanted)
                lacking = [rest for part in lacking for rest in missing(part, [each])]
        for each, trouble in troubles:
            if any(map(each.overlap, lacking)):
                raise trouble
        return tuple(sorted(found, key=lambda part: part.window.start))

    def missing(self, exchange: Exchange, symbol: str, window: TimeWindow) -> list[TimeWindow]:
        """Return the parts of `window` that no segment covers, oldest first.

        What is there is looked at as by `parts`: not counted if damaged, else kept from eviction. Raises
        UnreadableStore.
        """
        return missing(window, (part.window for part in self.parts(exchange, symbol, window)))

    def evict(self, *, now: datetime) -> None:
        """Remove the least recently used segments until the store is below its size.

        Whole days go first, and orders made of fills: exchanges publish days, while what was recorded may
        exist nowhere else. What killed workers left, and damaged segments that are in the store again, are
        removed in any case. Trouble with the disk is logged: the next time will do.
        """
        try:
            self._evict(now)
        except OSError as error:
            log.warning("the store could not be kept below its size: %s", error.strerror)
        except StoreError as error:
            log.warning("the store could not be kept below its size: %s", error)

    def _evict(self, now: datetime) -> None:
        remove_replaced(self.root)
        with suppress(FileNotFoundError):  # nothing has been written yet
            # By the folder's own time, which is of one clock with its files': `now` may be far ahead of
            # it, and what is being written must not count as abandoned.
            newest = datetime.fromtimestamp(self.incoming.stat().st_mtime, UTC)
            remove_abandoned_work(self.incoming, before=newest - WORK_KEPT_FOR)
        if self._looked_at is None or now - self._looked_at >= HOUR:
            self._looked_at = now
            long_ago = datetime.now(UTC) - HALF_WRITTEN_FOR
            remove_half_written(self.root, self.incoming, before=long_ago)
            remove_unread_orders(self.root, before=long_ago)
        paths = [*segment_paths(self.root), *bundle_files(self.root), *order_folders(self.root)]
        used = sorted(use for path in paths if (use := _use(path)) is not None)
        excess = sum(size for *_, size in used) - self._max_size
        failed = False
        for was_recorded, last_use, path, size in used:
            # What may exist nowhere else does not go for a day that could not be removed just now.
            if excess <= 0 or (was_recorded and failed):
                return
            if last_use > (now - IN_USE_FOR).timestamp():
                continue
            if _use(path) != (was_recorded, last_use, path, size):
                continue  # used or removed since it was listed
            try:
                self.remove_files(path)
            except StoreError as error:  # of this one alone: another user's
                log.warning("%s %s could not be evicted: %s", path.parent.name, path.name, error)
                failed = failed or not was_recorded
                continue
            log.info("evicted %s %s", path.parent.name, path.name)
            excess -= size

    def remove(self, segment: Path) -> None:
        """Remove the segment that belongs at `segment`, at once for whoever looks. Raises StoreError."""
        self.remove_files(segment)
        try:
            drop_all(segment)
        except OSError as error:
            raise StoreError(f"Stored trades cannot be removed ({error.strerror}).") from error

    def remove_files(self, path: Path) -> None:
        """Remove a segment's folder or a file of bundles, at once for whoever looks. Raises StoreError."""
        self._remove_files(path, lambda _: True)

    def remove_folder(self, segment: Segment) -> None:
        """Remove a segment's folder, unless another process has replaced it. Raises StoreError."""

        def is_same(folder: Path) -> bool:
            found = open_segment(folder)
            return found is not None and replace(found, path=segment.path) == segment

        self._remove_files(segment.path, is_same)

    def _remove_files(self, path: Path, is_wanted: Callable[[Path], bool]) -> None:
        # Renamed first: a folder that is half gone must not be seen under a segment's name.
        doomed = self.incoming / uuid4().hex
        try:
            if not move_if(path, doomed, is_wanted):
                return
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not path.exists():
                return  # there is none, or another process was faster
            raise StoreError(f"Stored trades cannot be removed ({error.strerror}).") from error
        if doomed.is_dir():
            shutil.rmtree(doomed, ignore_errors=True)
        else:
            with suppress(OSError):  # it is removed later, as what a killed process leaves
                doomed.unlink()


def _can_be_read(folder: Path) -> bool:
    try:
        return bool(os.listdir(folder))  # noqa: PTH208 - that names come is all
    except OSError:
        return False


def _opened(path: Path, record: Record | None) -> Segment | None:
    segment = None if record is None else open_record(path, record)
    # A folder may have come in the place of the record.
    segment = segment or open_segment(path)
    if segment is not None:
        check_belongs(segment, path)
    return segment


def _note_use(segment: Segment) -> None:
    if segment.record is None:
        os.utime(segment.path)
        return
    # The time of a bundle's last change is its age; only that of its last reading says when it was used.
    file = segment.record.file
    times = file.stat()
    os.utime(file, ns=(max(time.time_ns(), times.st_atime_ns), times.st_mtime_ns))


def _use(path: Path) -> tuple[bool, float, Path, int] | None:
    # What eviction goes by; None if another process has just removed it, or it cannot be looked at. What was
    # recorded goes last.
    try:
        times = path.stat()
        if not path.is_dir():
            grows = grows_until(path)  # a recorder has it open until then
            last = max(times.st_atime, times.st_mtime, grows.timestamp() if grows is not None else 0.0)
            return path.suffix != DAYS, last, path, times.st_size
        size = sum(file.stat().st_size for file in path.rglob("*"))
        return _is_recorded(path.name), times.st_mtime, path, size
    except (OSError, ValueError):  # ValueError: liqmap gave no such name
        return None


def _is_recorded(name: str) -> bool:
    return is_segment(name) and window_of(name).length < DAY
