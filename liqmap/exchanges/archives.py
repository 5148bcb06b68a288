"""Open a downloaded zip or gzip file as the stream of the one table in it."""

from __future__ import annotations

import struct
import zipfile
import zlib
from contextlib import closing, contextmanager
from errno import EINVAL
from os import SEEK_CUR
from typing import TYPE_CHECKING

from liqmap.errors import DataError
from liqmap.exchanges.columns import CappedReader, printable

try:
    # It inflates in a third of zlib's time.
    from isal import igzip as gzip
    from isal.igzip_lib import DECOMP_DEFLATE, IgzipDecompressor
    from isal.isal_zlib import crc32
    from isal.isal_zlib import error as gzip_error

    _HAS_ISAL = True
except ImportError:  # there is no package of it for every processor
    import gzip
    from zlib import error as gzip_error

    _HAS_ISAL = False

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # no exchange uses another
_ENCRYPTED = 1  # a bit of a member's flags
_LENGTHS_AT = 26  # where a member's header says how long its name is, and what follows that
_PACKED_AT_ONCE = 1 << 17
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
        with closing(_opened(archive, path, found)) as stream:
            yield CappedReader(stream, limit=max_unpacked_size, name=name)


class _Inflated:
    """A readable stream of a zip archive's member, which isal inflates.

    Layout: APPNOTE.TXT of PKWARE, 4.3.7. Raises BadZipFile, EOFError or isal's error for damaged ones.
    """

    def __init__(self, path: Path, member: zipfile.ZipInfo) -> None:
        self._member, self._left = member, member.compress_size
        self._inflater, self._crc, self._size = IgzipDecompressor(DECOMP_DEFLATE), 0, 0
        self._file = path.open("rb", buffering=0)
        self._file.seek(member.header_offset + _LENGTHS_AT)
        name, more = struct.unpack("<2H", self._file.read(4))
        self._file.seek(name + more, SEEK_CUR)

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, none at the end."""
        while size and not self._inflater.eof:
            packed = b""
            if self._inflater.needs_input:
                packed = self._file.read(min(self._left, _PACKED_AT_ONCE))
                if not packed:
                    raise EOFError("the member is cut off")
                self._left -= len(packed)
            found: bytes = self._inflater.decompress(packed, size)
            if found:
                self._crc, self._size = crc32(found, self._crc), self._size + len(found)
                return found
        if size and (self._crc, self._size) != (self._member.CRC, self._member.file_size):
            raise zipfile.BadZipFile("the member has another checksum")
        return b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _opened(archive: zipfile.ZipFile, path: Path, member: zipfile.ZipInfo) -> IO[bytes] | _Inflated:
    # zipfile checks what the archive and the member say of each other, which costs nothing.
    stream = archive.open(member)
    if not _HAS_ISAL or member.compress_type != zipfile.ZIP_DEFLATED:
        return stream
    stream.close()
    return _Inflated(path, member)


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
