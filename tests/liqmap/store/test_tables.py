from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liqmap.store.tables import BrokenTable, open_table, verify_table, write_table

VALUES = np.arange(1000, dtype=np.uint32) * 7
BOUNDS = [0, 100, 600, 600, 1000]


def written(folder: Path) -> tuple[Path, str]:
    """Write a table of one column in four batches, one of them empty; return its path and checks."""
    array = pa.Array.from_buffers(pa.uint32(), len(VALUES), [None, pa.py_buffer(VALUES)])
    path = folder / f"{os.urandom(8).hex()}.arrow"
    size, checks = write_table(path, pa.RecordBatch.from_arrays([array], names=["value"]), BOUNDS)
    assert size == path.stat().st_size
    return path, checks


def values(path: Path, checks: str, first: int = 0, end: int | None = None) -> list[list[int]]:
    with open_table(path, checks) as table:
        return [np.from_dlpack(batch.column(0)).tolist() for batch in table.batches(first, end)]


def test_batches_come_back_by_number(tmp_path: Path):
    path, checks = written(tmp_path)
    whole = [VALUES[first:last].tolist() for first, last in pairwise(BOUNDS)]
    assert values(path, checks) == whole
    assert values(path, checks, 1, 2) == whole[1:2]
    assert values(path, checks, 3, 99) == whole[3:]
    assert values(path, checks, 4) == []


def test_file_is_one_that_any_arrow_tool_opens(tmp_path: Path):
    path, checks = written(tmp_path)
    with pa.OSFile(str(path)) as file:
        assert pa.ipc.open_file(file).read_all().column("value").to_pylist() == VALUES.tolist()
    assert len(checks) == 26 * (len(BOUNDS) - 1 + 2)


def test_damage_to_one_batch_leaves_the_others_readable(tmp_path: Path):
    path, checks = written(tmp_path)
    content = bytearray(path.read_bytes())
    at = content.index(VALUES[300:400].tobytes())
    content[at : at + 400] = bytes(400)
    path.write_bytes(content)
    assert values(path, checks, 0, 1) == [VALUES[:100].tolist()]
    assert values(path, checks, 2) == [[], VALUES[600:].tolist()]
    with pytest.raises(BrokenTable, match=r"^bytes \d+ to \d+$"):
        values(path, checks, 1, 2)
    with pytest.raises(BrokenTable):
        verify_table(path, checks)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_every_byte_of_a_file_is_covered(tmp_path: Path, where: float, mask: int):
    path, checks = written(tmp_path)
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] ^= mask
    path.write_bytes(content)
    with pytest.raises(BrokenTable):
        verify_table(path, checks)


def test_file_cut_short_while_it_is_read_is_an_error_and_no_signal(tmp_path: Path):
    path, checks = written(tmp_path)
    with open_table(path, checks) as table:
        batches = table.batches(0, None)
        next(batches)
        os.truncate(path, 500)
        with pytest.raises(BrokenTable):
            list(batches)


def test_file_without_checks_is_read_unverified(tmp_path: Path):
    path, _ = written(tmp_path)
    assert [value for batch in values(path, "") for value in batch] == VALUES.tolist()
    verify_table(path, "")
    os.truncate(path, 1000)
    with pytest.raises((OSError, pa.ArrowException)):
        verify_table(path, "")
