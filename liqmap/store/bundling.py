"""Write files of bundles: journals that grow, and files that are written whole."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from liqmap.files import make_synced, sync_folder
from liqmap.store.bundles import JOURNAL, folder_of, new_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from io import FileIO

    from liqmap.model import Exchange


class Journal:
    """A file that grows record by record, each on the disk before `append` returns.

    Another file begins with each hour of the clock, and after a failure; older journals are complete.
    """

    def __init__(self, root: Path, exchange: Exchange) -> None:
        self._folder = folder_of(root, exchange)
        self._file: FileIO | None = None
        self._hour: datetime | None = None

    def append(self, record: bytes, *, now: datetime) -> None:
        """Append a record. Raises OSError; then nothing was appended."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        if hour != self._hour:
            self.close()
        while not self._append(record, hour):
            self.close()

    def _append(self, record: bytes, hour: datetime) -> bool:
        """Append a record; return False if the file has been removed meanwhile, and the record with it."""
        if self._file is None:
            self._file, self._hour = _created(self._folder, hour), hour
        size = self._file.seek(0, os.SEEK_END)
        try:
            _write(self._file, record)
            os.fsync(self._file.fileno())
            return Path(self._file.name).exists()
        except OSError:
            with suppress(OSError):  # else its torn end is passed over
                self._file.truncate(size)
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file; the next record begins another."""
        if self._file is not None:
            self._file.close()
        self._file = None


class Bundle:
    """A file of records that is being written at `path`; it begins with the first record."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: FileIO | None = None

    def add(self, record: bytes) -> None:
        """Add a record. Raises OSError."""
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("xb", buffering=0)
        _write(self._file, record)

    def move(self, folder: Path, name: str) -> None:
        """Move the file, if there is one, to where it belongs once it is on the disk. Raises OSError."""
        if self._file is None:
            return
        os.fsync(self._file.fileno())
        self._file.close()
        make_synced(folder)
        self.path.rename(folder / name)
        sync_folder(folder)

    def discard(self) -> None:
        """Remove what has been written and not moved."""
        if self._file is not None:
            self._file.close()
            with suppress(OSError):  # it is removed later, as what a killed process leaves
                self.path.unlink()


@contextmanager
def bundling(
    root: Path, exchange: Exchange, suffix: str, *, incoming: Path, now: datetime
) -> Iterator[Bundle]:
    """Write a file of records by way of the folder `incoming`; where there are none, there is no file.

    Nothing of it is visible before all is on the disk. Raises OSError.
    """
    bundle = Bundle(incoming / f"{uuid4().hex}{suffix}")
    try:
        yield bundle
        bundle.move(folder_of(root, exchange), new_name(now, suffix))
    finally:
        bundle.discard()


def _write(file: FileIO, record: bytes) -> None:
    if file.write(record) != len(record):  # a disk that is full takes a part
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _created(folder: Path, hour: datetime) -> FileIO:
    make_synced(folder)
    path = folder / new_name(hour, JOURNAL)
    file = path.open("xb", buffering=0)
    try:
        sync_folder(folder)
    except OSError:
        file.close()
        path.unlink(missing_ok=True)
        raise
    return file
