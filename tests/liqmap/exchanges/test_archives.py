from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from liqmap.errors import DataError

TEXT = b"".join(b"%d,%d\n" % (number, number**3) for number in range(3000))
PACKED = gzip.compress(TEXT, mtime=0)


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


def test_gzip_file_of_which_any_byte_is_wrong_is_refused_or_unpacks_to_the_same(
    archives: ModuleType, tmp_path: Path
):
    rng = random.Random(1)
    for _ in range(200):
        damaged = bytearray(PACKED)
        damaged[rng.randrange(len(PACKED))] ^= 1 << rng.randrange(8)
        cut = PACKED[: rng.randrange(1, len(PACKED))]
        with pytest.raises(DataError, match="is not a valid gzip file"):
            unpacked(archives, tmp_path, cut)
        try:  # a header has bytes that say nothing of its content
            assert unpacked(archives, tmp_path, bytes(damaged)) == TEXT
        except DataError as error:
            assert "is not a valid gzip file" in str(error)  # noqa: PT017 - either outcome is right
