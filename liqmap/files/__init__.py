"""Name the files of a drawn map, write files whole or not at all, and list those of the store."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from filelock import FileLock

from liqmap.errors import RequestError, UnreadableStore
from liqmap.model import (
    DEFAULT_EXCHANGE,
    LEVERAGES,
    LevelFilter,
    MarginModel,
    PositionModel,
    SweepPrice,
    Theme,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from liqmap.model import MapRequest


_FEW_COLOURS: Final = 64
ABANDONED_AFTER: Final = 86_400.0
"""Seconds after which a half-written file is abandoned: no write takes a day, so its process is gone."""

_PARTIAL: Final = f".{'[0-9a-f]' * 32}.part"
_LOCK_SECONDS = 10.0  # others only write a small file meanwhile
_BINARY = getattr(os, "O_BINARY", 0)  # Windows only
_DESCRIPTORS = Path("/proc/self/fd")
# What kernels and file systems answer that know no files without a name.
_NO_UNNAMED: Final = {errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL, errno.ENOSYS}


def file_stem(request: MapRequest) -> str:
    """Return the name that py-liquidation-map gives a map: BTCUSDT_<start>-<end>_top_n_100.

    Options that differ from their defaults are appended, so that different maps have different names.
    """
    start, end = (f"{moment:%Y-%m-%d_%H-%M-%S}" for moment in (request.window.start, request.window.end))
    name = f"{request.market.symbol}_{start}-{end}_{request.selection.mode}_{request.selection.value}"
    return "_".join([name, *_unusual(request)])


def _unusual(request: MapRequest) -> list[str]:
    parts = []
    exchanges = [each.exchange for each in request.markets]
    if exchanges != [DEFAULT_EXCHANGE]:
        parts += [each.value for each in exchanges]
    if request.model.value != request.market.exchange.value and request.model is not MarginModel.EXCHANGE:
        parts.append(request.model.value)
    if request.each:
        parts.append("each")
    if request.merge is not request.is_joint:
        parts.append("merged" if request.merge else "fills")
    if request.leverages != LEVERAGES or len(set(request.weights)) > 1:
        pairs = zip(request.leverages, request.weights, strict=True)
        parts += [f"{leverage}x{'' if weight == 1 else f'{weight:g}'}" for leverage, weight in pairs]
    if request.levels is not LevelFilter.STANDING:
        parts.append(f"{request.levels}-levels")
    if request.sweep is not SweepPrice.AUTO:
        parts.append(f"{request.sweep}-sweep")
    if request.positions is not PositionModel.TRADES:
        parts.append(f"{request.positions}{f'-{request.turnover:g}' if request.turnover else ''}")
    if request.theme is not Theme.DARK:
        parts.append(request.theme.value)
    return parts


def make_folder(folder: Path) -> None:
    """Make `folder` if it does not exist. Raises RequestError if no files can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Only writing shows it: permission bits say nothing about read-only disks, quotas or root.
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RequestError(
            f"No files can be written into the folder {folder} ({error.strerror}); choose another folder."
        ) from error


def half_size(png: bytes) -> bytes:
    """Return a picture at half its width and height, in few colours; it stays legible."""
    from PIL import Image  # noqa: PLC0415 - seldom needed, and slow to import

    with Image.open(BytesIO(png)) as image:
        size = max(1, image.width // 2), max(1, image.height // 2)
        small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS).quantize(_FEW_COLOURS)
    content = BytesIO()
    small.save(content, "PNG", optimize=True)
    return content.getvalue()


def write_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all. Raises RequestError if that is not possible."""
    make_folder(path.parent)
    try:
        replace_file(path, content)
        remove_abandoned(path.parent, before=path.stat().st_mtime - ABANDONED_AFTER)
    except OSError as error:
        raise RequestError(
            f"{path.name} cannot be written ({error.strerror}); choose another folder."
        ) from error


def replace_file(path: Path, content: bytes, *, mode: int = 0o666, sync: bool = False) -> None:
    """Put `content` in the place of the file `path`, whole or not at all.

    With `sync` it is on the disk then. A killed process leaves nothing behind where the file system can hold
    a file without a name, as Linux's own can; elsewhere, a file for `remove_abandoned`. Raises OSError.
    """
    # In the same folder, because a rename is atomic only within one file system.
    partial = path.with_name(f".{uuid4().hex}.part")
    try:
        descriptor = _open_unnamed(path.parent, mode)
        is_unnamed = descriptor is not None
        if descriptor is None:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if sync:
                os.fsync(descriptor)
            if is_unnamed:
                _give_name(descriptor, partial)
        partial.replace(path)
        if sync:
            sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Wait until the disk has the names in a folder, where a folder can be opened: not on Windows."""
    with open_folder(path) as folder:
        if folder is not None:
            os.fsync(folder)


@contextmanager
def open_folder(path: Path) -> Iterator[int | None]:
    """Open a folder, whose files can then be reached whatever its name becomes; None on Windows."""
    if not hasattr(os, "O_DIRECTORY"):
        yield None
        return
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield folder
    finally:
        os.close(folder)


def make_synced(folder: Path) -> None:
    """Make `folder`, and wait until the disk has the name of each folder that is new. Raises OSError."""
    if folder.is_dir():
        return
    make_synced(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


def remove_abandoned(folder: Path, *, before: float, below: bool = False) -> None:
    """Remove files that killed processes left half-written in `folder`, and `below` it if that is wanted.

    Ages are by the file system's clock.
    """
    for parent, _, names in os.walk(folder):  # which passes over what another process removes meanwhile
        for name in names:
            if fnmatchcase(name, _PARTIAL):
                path = Path(parent, name)
                with suppress(OSError):  # another process has removed it, or it belongs to another user
                    if path.stat().st_mtime < before:
                        path.unlink()
        if not below:
            return


def locked(folder: Path) -> FileLock:
    """Return the lock of a folder, for whoever writes a file of it anew from what the file holds.

    Taking it raises OSError, also after too long a wait for others.
    """
    return FileLock(folder / "lock", timeout=_LOCK_SECONDS)


def version_of(path: Path) -> tuple[int, int, int]:
    """Return what differs once a file has been replaced. Raises OSError."""
    stat = path.stat()
    # Two replacements can be of one time: clocks of file systems tick some milliseconds apart.
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def matching(folder: Path, pattern: str) -> list[Path]:
    """Return what lies below `folder` under names like `*/*.json`, in order. Raises UnreadableStore.

    A folder that is not there holds nothing. `Path.glob` passes over one that cannot be read, too.
    """
    paths = [folder]
    for part in pattern.split("/"):
        paths = [path / name for path in paths for name in sorted(names_in(path)) if fnmatchcase(name, part)]
    return paths


def names_in(folder: Path) -> list[str]:
    """Return the names of what is in `folder`, none if there is no such folder. Raises UnreadableStore."""
    try:
        return os.listdir(folder)  # noqa: PTH208 - names are all that is wanted of thousands
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(error) from error


def unreadable(error: OSError) -> UnreadableStore:
    """Return the error that says that the store cannot be read, and what to do."""
    if error.errno in {errno.EACCES, errno.EPERM}:
        advice = "check who owns the store's files"
    else:
        advice = "please try again in a moment"
    return UnreadableStore(f"The stored trades cannot be read ({error.strerror}); {advice}.")


def _open_unnamed(folder: Path, mode: int) -> int | None:
    """Open a new file in a folder without giving it a name; None where that is not possible."""
    unnamed = getattr(os, "O_TMPFILE", None)
    if unnamed is None or not _DESCRIPTORS.exists():
        return None
    try:
        return os.open(folder, os.O_WRONLY | unnamed, mode)
    except OSError as error:
        if error.errno in _NO_UNNAMED:
            return None
        raise


def _give_name(descriptor: int, path: Path) -> None:
    # With folders named by descriptors, os.link follows the link that stands for the open file.
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.link(_DESCRIPTORS / str(descriptor), path.name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        os.close(folder)
