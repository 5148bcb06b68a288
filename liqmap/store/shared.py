"""The shared store: segments in a folder or a bucket that many machines reach, behind each one's own store.

A segment is read from the machine's own disk, always. This is where it is looked for before an exchange
is asked, and where it is put once it is made, so that one download serves every machine. It lies there as
in a store: v3/EXCHANGE/SYMBOL/WINDOW/, with the same files.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pyarrow as pa

from liqmap.errors import DamagedSegment, SettingsError, StoreError
from liqmap.store.segments import MANIFEST, TABLES, open_segment, segment_path, verify_segment
from liqmap.store.writer import move_into_place

if TYPE_CHECKING:
    from liqmap.store.segments import Segment

log = logging.getLogger(__name__)

_FILES: Final = tuple(f"{name}.arrow" for name in TABLES)
_CHUNK = 1 << 20
_NOT_A_STORE = "Setting storage.shared_url: must be a folder or s3://bucket/prefix that can be used."
_PATH_PARTS = 4  # of a segment's path: version, exchange, symbol, window


class SharedStore:
    """Segments below `url`: `s3://bucket/prefix`, `file:///folder` or a plain path.

    Credentials are the environment's. The query of an S3 URL takes `region`, `scheme` and
    `endpoint_override`, for stores that speak S3 elsewhere. All methods block. Raises SettingsError for a
    URL that is none of these.
    """

    def __init__(self, url: str) -> None:
        # Only who shares a store waits for this import.
        from pyarrow import fs  # noqa: PLC0415

        try:
            self._files, root = fs.FileSystem.from_uri(url if "://" in url else Path(url).absolute().as_uri())
        except (pa.ArrowInvalid, OSError) as error:
            raise SettingsError(_NOT_A_STORE) from error
        if not root:
            raise SettingsError(_NOT_A_STORE)
        self._is_local = isinstance(self._files, fs.LocalFileSystem)
        self._root = root.rstrip("/")
        self._published: set[Path] = set()
        self._damaged: set[Path] = set()  # found so there, and of the right size perhaps

    def publish(self, segment: Segment, *, replaces: bool = False) -> None:
        """Put a segment there if it is not: its tables first and its manifest last, so it is there whole.

        One that is damaged is replaced, as far as its files' sizes tell, and with `replaces` every one. What
        goes wrong is logged: the segment is on this machine all the same.
        """
        if segment.path in self._published and not replaces:
            return
        folder = self._folder(segment.path)
        try:
            if replaces or segment.path in self._damaged or not self._has(segment, folder):
                for name in (*_FILES, MANIFEST):
                    self._put(segment.path / name, f"{folder}/{name}")
            self._published.add(segment.path)
            self._damaged.discard(segment.path)
        except OSError as error:
            log.warning("a segment could not be put into the shared store: %s", error)

    def bring_in(self, path: Path, *, incoming: Path) -> Segment | None:
        """Copy the segment of the local folder `path` from there, whole; None if it is not to be had.

        It is written below `incoming` and renamed, as every segment is. Where another process came first,
        its copy is kept.
        """
        folder, temporary = self._folder(path), incoming / uuid4().hex
        try:
            manifest = self._read(f"{folder}/{MANIFEST}")
            temporary.mkdir(parents=True)
            for name in _FILES:
                self._get(f"{folder}/{name}", temporary / name)
            _write(temporary / MANIFEST, manifest)
            if not _is_of(temporary, path):
                log.warning("a segment in the shared store is damaged and is not used: %s", path.name)
                self._published.discard(path)
                self._damaged.add(path)
                return None
            path.parent.mkdir(parents=True, exist_ok=True)
            move_into_place(temporary, path)
        except FileNotFoundError:
            return None
        except (OSError, StoreError) as error:
            log.warning("the shared store cannot be read: %s", error)
            return None
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        self._published.add(path)
        return open_segment(path)

    def _folder(self, path: Path) -> str:
        return "/".join((self._root, *path.parts[-_PATH_PARTS:]))

    def _has(self, segment: Segment, folder: str) -> bool:
        names = (*_FILES, MANIFEST)
        there = self._files.get_file_info([f"{folder}/{name}" for name in names])
        sizes = [(segment.path / name).stat().st_size for name in names]
        return [each.size for each in there] == sizes

    def _put(self, source: Path, key: str) -> None:
        # An object appears when it is whole; a file grows before everybody's eyes, so it is renamed.
        target = f"{key}.{uuid4().hex}.part" if self._is_local else key
        if self._is_local:
            self._files.create_dir(key.rpartition("/")[0])
        with source.open("rb") as file, self._files.open_output_stream(target) as stream:
            shutil.copyfileobj(file, stream, _CHUNK)
        if target != key:
            _sync(Path(target))
            self._files.move(target, key)

    def _read(self, key: str) -> bytes:
        with self._files.open_input_stream(key) as stream:
            content: bytes = stream.read()
        return content

    def _get(self, key: str, target: Path) -> None:
        with self._files.open_input_stream(key) as stream, target.open("xb") as file:
            shutil.copyfileobj(stream, file, _CHUNK)
            file.flush()
            os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """Wait until the disk has a file: a name that outlives a power cut must not be that of half of it."""
    with path.open("r+b") as file:  # Windows syncs only what may be written
        os.fsync(file.fileno())


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _is_of(folder: Path, path: Path) -> bool:
    """Tell whether `folder` holds a whole segment, and the one that belongs at `path`."""
    try:
        found = open_segment(folder)
        if found is None:
            return False
        verify_segment(found)
    except DamagedSegment:
        return False
    origin = found.origin
    return segment_path(path.parents[_PATH_PARTS - 1], origin.exchange, origin.symbol, origin.window) == path
