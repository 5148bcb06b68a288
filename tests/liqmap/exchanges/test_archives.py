from __future__ import annotations

import gzip
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from liqmap.errors import DataError

TEXT = b"".join(b"%d,%d\n" % (number, number**3) for number in range(3000))
PACKED = gzip.compress(TEXT, mtime=0)


def zipped(
    text: bytes, method: int = zipfile.ZIP_DEFLATED, *, level: int = 6, streamed: bool = False
) -> bytes:
    """Return a zip archive of one file; one that was `streamed` has its sizes behind its content."""
    file = io.BytesIO()
    target = Streamed(file) if streamed else file
    with zipfile.ZipFile(target, "w", method, compresslevel=level) as archive:
        archive.writestr("day.csv", text)
    return file.getvalue()


class Streamed(io.RawIOBase):
    """A file that can only be written from front to back."""

    def __init__(self, file: io.BytesIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        return self._file.write(content)  # type: ignore[arg-type]


@pytest.fixture
def archives(loaded_anew: Callable[[str], ModuleType]) -> ModuleType:
    return loaded_anew("liqmap.exchanges.archives")


def unpacked(archives: ModuleType, folder: Path, content: bytes) -> bytes:
    path = folder / "day.csv.gz"
    path.write_bytes(content)
    with archives.opened_gzip(path, name=path.name, max_unpacked_size=1 << 20) as reader:
        return b"".join(iter(lambda: reader.read(10_000), b""))


@pytest.mark.parametrize("content", [PACKED, PACKED + bytes(20), gzip.compress(b"") + PACKED])
def test_gzip_file_is_unpacked_whole(archives: ModuleType, tmp_path: Path, content: bytes):
    assert unpacked(archives, tmp_path, content) == TEXT


def damage(packed: bytes, unpack: Callable[[bytes], bytes]) -> None:
    """Check that a file is refused if it is cut off, and if a bit is wrong, unless it unpacks to the same."""
    rng = random.Random(1)
    for _ in range(300):
        damaged = bytearray(packed)
        damaged[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
        with pytest.raises(DataError, match="is not a valid"):
            unpack(packed[: rng.randrange(1, len(packed))])
        try:  # a header has bytes that say nothing of its content
            assert unpack(bytes(damaged)) == TEXT
        except DataError as error:
            assert str(error).startswith("day.")  # noqa: PT017 - either outcome is right


def test_gzip_file_of_which_any_byte_is_wrong_is_refused_or_unpacks_to_the_same(
    archives: ModuleType, tmp_path: Path
):
    damage(PACKED, lambda content: unpacked(archives, tmp_path, content))


def unzipped(archives: ModuleType, folder: Path, content: bytes, *, at_once: int = 10_000) -> bytes:
    path = folder / "day.zip"
    path.write_bytes(content)
    with archives.opened_zip(path, name=path.name, member="day.csv", max_unpacked_size=1 << 24) as reader:
        # What is looked at before it is read comes once more.
        first: bytes = reader.first_bytes()
        assert reader.read(len(first)) == first
        return b"".join([first, *iter(lambda: reader.read(at_once), b"")])


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("text", [b"", b"x", TEXT, bytes(1 << 20), random.Random(1).randbytes(1 << 19)])
@pytest.mark.parametrize(
    ("method", "level"), [(zipfile.ZIP_STORED, 0), *[(zipfile.ZIP_DEFLATED, n) for n in (0, 1, 9)]]
)
def test_zip_file_is_unpacked_whole(
    archives: ModuleType, tmp_path: Path, text: bytes, method: int, level: int, *, streamed: bool
):
    packed = zipped(text, method, level=level, streamed=streamed)
    for at_once in (1000, 1 << 20):
        assert unzipped(archives, tmp_path, packed, at_once=at_once) == text
    # With something in front of it, as of archives that unpack themselves.
    assert unzipped(archives, tmp_path, bytes(100) + packed) == text


def test_zip_file_of_which_any_byte_is_wrong_is_refused_or_unpacks_to_the_same(
    archives: ModuleType, tmp_path: Path
):
    damage(zipped(TEXT), lambda content: unzipped(archives, tmp_path, content))


def test_zip_file_with_another_checksum_or_size_is_refused(archives: ModuleType, tmp_path: Path):
    packed = zipped(TEXT)
    central = packed.index(b"PK\x01\x02")
    for place in (central + 16, central + 24):  # of the checksum, and of the size
        wrong = bytearray(packed)
        wrong[place] ^= 1
        with pytest.raises(DataError, match="is not a valid zip file"):
            unzipped(archives, tmp_path, bytes(wrong))
