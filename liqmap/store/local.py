"""The store: the folder that segments are kept in, shared by processes and kept below a size."""

from __future__ import annotations

import logging
import os
import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from liqmap.errors import DataError
from liqmap.store.segments import Part, open_segment, segment_path, segment_paths, segment_windows, window_of
from liqmap.window import DAY, missing

if TYPE_CHECKING:
    from pathlib import Path

    from liqmap.model import Exchange
    from liqmap.store.segments import Segment
    from liqmap.window import TimeWindow

log = logging.getLogger(__name__)

ABANDONED_AFTER: Final = timedelta(hours=6)
"""What a killed process left half-written is removed after this time; nobody writes one file that long."""

IN_USE_FOR: Final = timedelta(minutes=10)
"""A segment is not evicted for this long after its last use, by whichever process: jobs end sooner."""


class SegmentStore:
    """A folder of segments, least recently used ones evicted beyond `max_size` bytes.

    Several processes may share it: a segment appears whole, under its final name, or not at all.
    """

    def __init__(self, root: Path, *, max_size: int) -> None:
        self.root = root
        self.incoming = root / "incoming"
        """Where files and segments are written before they are renamed into place."""
        self._max_size = max_size

    def open(self, *, now: datetime) -> None:
        """Make the folders and clear what killed processes left. Raises DataError."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.incoming.mkdir(exist_ok=True)
            self._remove_abandoned(before=now - ABANDONED_AFTER)
        except OSError as error:
            raise DataError(
                f"The store's folder cannot be used ({error.strerror}); check the setting storage.path."
            ) from error

    def get(self, exchange: Exchange, symbol: str, window: TimeWindow) -> Segment | None:
        """Return the segment of exactly `window`, or None; a damaged one is removed.

        Asking for it counts as use, which keeps it from eviction for a while.
        """
        path = segment_path(self.root, exchange, symbol, window)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        segment = open_segment(path)
        if segment is None:
            log.warning("a stored segment is damaged and is removed: %s %s", symbol, path.name)
            self.remove(path)
        return segment

    def parts(self, exchange: Exchange, symbol: str, window: TimeWindow) -> tuple[Part, ...]:
        """Return what the store has of `window`, oldest first, every moment of it once.

        A segment is complete for its own window, so where several overlap (minutes and the hour made of
        them, a recorded hour and the published day) any of them will do; the longest is taken. Damaged
        ones are removed, and those that are used are kept from eviction for a while.
        """
        windows = segment_windows(self.root, exchange, symbol)
        found: list[Part] = []
        lacking = [window]
        for each in sorted(windows, key=lambda each: (-each.length, each.start)):
            wanted = [part for part in map(each.overlap, lacking) if part is not None]
            segment = self.get(exchange, symbol, each) if wanted else None
            if segment is not None:
                found += (Part(segment, part) for part in wanted)
                lacking = [rest for part in lacking for rest in missing(part, [each])]
        return tuple(sorted(found, key=lambda part: part.window.start))

    def missing(self, exchange: Exchange, symbol: str, window: TimeWindow) -> list[TimeWindow]:
        """Return the parts of `window` that no segment covers, oldest first.

        What is there is looked at as by `parts`: not counted if damaged, else kept from eviction.
        """
        return missing(window, (part.window for part in self.parts(exchange, symbol, window)))

    def evict(self, *, now: datetime) -> None:
        """Remove the least recently used segments until the store is below its size.

        Whole days go first: exchanges publish them, while what was recorded may be had nowhere else.
        What killed workers left is removed in any case.
        """
        with suppress(FileNotFoundError):  # nothing has been written yet
            # By the folder's own time, which is of one clock with its files': `now` may be far ahead of
            # it, and what is being written must not count as abandoned.
            newest = datetime.fromtimestamp(self.incoming.stat().st_mtime, UTC)
            self._remove_abandoned(before=newest - ABANDONED_AFTER)
        used = sorted(use for path in segment_paths(self.root) if (use := _use(path)) is not None)
        excess = sum(size for *_, size in used) - self._max_size
        for _, last_use, path, size in used:
            if excess <= 0:
                return
            if last_use > (now - IN_USE_FOR).timestamp():
                continue
            log.info("evicted %s %s", path.parent.name, path.name)
            self.remove(path)
            excess -= size

    def remove(self, segment: Path) -> None:
        """Remove the segment whose folder is `segment`, at once for whoever looks."""
        # Renamed first: a folder that is half gone must not be seen under a segment's name.
        doomed = self.incoming / uuid4().hex
        try:
            segment.rename(doomed)
        except FileNotFoundError:
            return  # another process was faster
        shutil.rmtree(doomed, ignore_errors=True)

    def _remove_abandoned(self, *, before: datetime) -> None:
        for path in self.incoming.iterdir():
            with suppress(OSError):  # another process's, and gone by now, or another user's
                _remove_older(path, than=before)


def _remove_older(path: Path, *, than: datetime) -> None:
    if path.stat().st_mtime >= than.timestamp():
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _use(segment: Path) -> tuple[bool, float, Path, int] | None:
    # What eviction goes by; None if another process has just removed it.
    try:
        size = sum(file.stat().st_size for file in segment.iterdir())
        return window_of(segment).length < DAY, segment.stat().st_mtime, segment, size
    except FileNotFoundError:
        return None
