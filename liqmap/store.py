"""The store: the folder that segments are kept in, shared by processes and kept below a size."""

from __future__ import annotations

import logging
import os
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from liqmap.errors import DataError
from liqmap.segments import open_segment, segment_path, segment_paths

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from liqmap.model import Exchange, TimeWindow
    from liqmap.segments import Segment

log = logging.getLogger(__name__)

ABANDONED_AFTER: Final = timedelta(hours=6)
"""What a killed process left half-written is removed after this time; nobody writes one file that long."""

IN_USE_FOR: Final = timedelta(minutes=10)
"""A segment is not evicted for this long after its last use, by whichever process: jobs end sooner."""


class Store:
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
            self._remove(path)
        return segment

    def evict(self, *, now: datetime) -> None:
        """Remove the least recently used segments until the store is below its size."""
        used = sorted(
            (path.stat().st_mtime, path, sum(file.stat().st_size for file in path.iterdir()))
            for path in segment_paths(self.root)
        )
        excess = sum(size for _, _, size in used) - self._max_size
        for last_use, path, size in used:
            if excess <= 0 or last_use > (now - IN_USE_FOR).timestamp():
                return
            log.info("evicted %s %s", path.parent.name, path.name)
            self._remove(path)
            excess -= size

    def _remove(self, segment: Path) -> None:
        # Renamed first: a folder that is half gone must not be seen under a segment's name.
        doomed = self.incoming / uuid4().hex
        try:
            segment.rename(doomed)
        except FileNotFoundError:
            return  # another process was faster
        shutil.rmtree(doomed, ignore_errors=True)

    def _remove_abandoned(self, *, before: datetime) -> None:
        for path in self.incoming.iterdir():
            if path.stat().st_mtime >= before.timestamp():
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
