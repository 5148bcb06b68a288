"""Objects: files by keys, in a folder or a bucket, written whole. All functions block."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from liqmap.files import ABANDONED_AFTER, remove_abandoned
from liqmap.store.places import open_place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pyarrow import fs

_CHUNK = 1 << 20
_PART = ".part"
_INCOMING = "incoming"  # the folder that files are written in before they are renamed


class Objects:
    """Objects below `url`, which is reached when it is first needed. Methods raise OSError."""

    def __init__(self, url: str, *, proxy_for: Callable[[str], str | None]) -> None:
        self._url = url
        self._proxy_for = proxy_for

    def read(self, key: str, *, progress: Callable[[], object]) -> bytes:
        """Return the content of an object."""
        chunks = []
        with self._files.open_input_stream(self._path(key)) as stream:
            while chunk := stream.read(_CHUNK):
                chunks.append(chunk)
                progress()
        return b"".join(chunks)

    def get(self, key: str, target: Path, *, progress: Callable[[], object]) -> None:
        """Copy an object into a new file, which is on the disk then."""
        with self._files.open_input_stream(self._path(key)) as stream, target.open("xb") as file:
            while chunk := stream.read(_CHUNK):
                file.write(chunk)
                progress()
            file.flush()
            os.fsync(file.fileno())

    def put(self, source: Path, key: str, *, progress: Callable[[], object]) -> None:
        """Copy a file into an object."""
        with source.open("rb") as file:
            self._write(key, lambda stream: _copy(file, stream, progress))

    def write(self, key: str, content: bytes) -> None:
        """Write an object."""
        self._write(key, lambda stream: stream.write(content))

    def remove(self, key: str) -> None:
        """Remove an object, if it is there."""
        with suppress(FileNotFoundError):
            self._files.delete_file(self._path(key))

    def remove_folder(self, key: str) -> None:
        """Remove all objects whose keys begin with `key/`."""
        with suppress(FileNotFoundError):
            self._files.delete_dir(self._path(key))

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the names and sizes of the objects in a folder, in one request for each thousand."""
        return {each.base_name: each.size for each in self._infos(folder)}

    def times(self, folder: str) -> dict[str, datetime]:
        """Return the names of the objects in a folder, and when each was written, by the store's clock."""
        return {each.base_name: each.mtime for each in self._infos(folder)}

    @cached_property
    def _place(self) -> tuple[fs.FileSystem, str]:
        files, root = open_place(self._url, proxy_for=self._proxy_for)
        return files, root.rstrip("/")

    @property
    def _files(self) -> fs.FileSystem:
        return self._place[0]

    def _path(self, key: str) -> str:
        return f"{self._place[1]}/{key}"

    def _infos(self, folder: str) -> Sequence[fs.FileInfo]:
        from pyarrow import fs  # noqa: PLC0415 - whoever shares no store need not wait for it

        found = self._files.get_file_info(fs.FileSelector(self._path(folder), allow_not_found=True))
        return [each for each in found if each.is_file and not each.base_name.endswith(_PART)]

    def _write(self, key: str, write: Callable[[Any], object]) -> None:
        # An object appears when it is whole; a file grows before everybody's eyes, so it is renamed.
        path, is_local = self._path(key), self._files.type_name == "local"
        target = self._path(f"{_INCOMING}/.{uuid4().hex}{_PART}") if is_local else path
        if is_local:
            for each in (target, path):
                self._files.create_dir(each.rpartition("/")[0])
        with self._files.open_output_stream(target) as stream:
            write(stream)
        if is_local:
            partial = Path(target)
            _sync(partial)
            written = partial.stat().st_mtime
            self._files.move(target, path)
            # All are in one folder, so that nobody has to look through the whole store for them.
            remove_abandoned(partial.parent, before=written - ABANDONED_AFTER)


def _copy(source: Any, target: Any, progress: Callable[[], object]) -> None:  # noqa: ANN401 - any two streams
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        progress()


def _sync(path: Path) -> None:
    """Wait until the disk has a file: a name that outlives a power cut must not be that of half of it."""
    with path.open("r+b") as file:  # Windows syncs only what may be written
        os.fsync(file.fileno())
