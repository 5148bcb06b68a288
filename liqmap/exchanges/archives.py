"""Open a downloaded zip or gzip file as the stream of the one table in it."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import contextmanager
from errno import EINVAL
from typing import TYPE_CHECKING

from liqmap.errors import DataError
from liqmap.exchanges.columns import CappedReader, printable

try:
    from isal import igzip as gzip  # inflates in a third of zlib's time
    from isal.isal_zlib import error as gzip_error
except ImportError:  # there is no package of it for every processor
    import gzip
    from zlib import error as gzip_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # no exchange uses another
_ENCRYPTED = 1  # a bit of a member's flags
_ZIP_NAMES = "cp437"  # how zipfile reads names that do not say that they are UTF-8


@contextmanager
def opened_zip(
    path: Path, *, name: str, member: str | tuple[str, ...], max_unpacked_size: int
) -> Iterator[CappedReader]:
    """Open the only member of a zip file, which must be named `member`, or as one of several.

    Messages call the file `name`. Raises DataError for anything else, also while the stream is being read.
    """
    with _sound(name, "zip"), zipfile.ZipFile(path) as archive:
        found = _only_member(archive, name, (member,) if isinstance(member, str) else member)
        if found.compress_type not in _METHODS or found.flag_bits & _ENCRYPTED:
            raise DataError(f"{name} is packed in a way that cannot be read; it may have been replaced.")
        with archive.open(found) as stream:
            yield CappedReader(stream, limit=max_unpacked_size, name=name)


@contextmanager
def opened_gzip(path: Path, *, name: str, max_unpacked_size: int) -> Iterator[CappedReader]:
    """Open a gzip file. Raises DataError, also while the stream is being read."""
    with _sound(name, "gzip"), gzip.open(path) as stream:
        yield CappedReader(stream, limit=max_unpacked_size, name=name)


@contextmanager
def _sound(name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, gzip_error, EOFError) as error:
        raise _unsound(name, kind) from error
    except OSError as error:
        # What the bytes cause has no number of its own, or is a seek to before the start.
        if error.errno in {None, EINVAL}:
            raise _unsound(name, kind) from error
        raise DataError(f"{name} could not be read ({error.strerror}); try again.") from error


def _unsound(name: str, kind: str) -> DataError:
    return DataError(f"{name} is not a valid {kind} file; it may have been cut off or replaced, try again.")


def _only_member(archive: zipfile.ZipFile, name: str, expected: tuple[str, ...]) -> zipfile.ZipInfo:
    members = archive.infolist()
    # The name must match exactly, so a path in it, a second file or another market is refused.
    if len(members) != 1 or not any(_is_named(members[0], each) for each in expected):
        found = ", ".join(printable(member.filename) for member in members[:3]) or "nothing"
        raise DataError(f"{name} should hold {expected[0]} but holds {found}.")
    return members[0]


def _is_named(member: zipfile.ZipInfo, expected: str) -> bool:
    """Return whether a member has that name, also if its bytes are UTF-8 without the archive's saying so."""
    if member.filename == expected:
        return True
    with_bytes = member.orig_filename.encode(_ZIP_NAMES, "replace")
    return with_bytes == expected.encode()
