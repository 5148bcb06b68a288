from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from liqmap.errors import LiqmapError, RequestError, StoreError
from liqmap.ledger import file as ledger_file
from liqmap.ledger.book import opened
from liqmap.ledger.file import FIRST, BrokenLedger, read_ledger, verify_ledger, writing
from liqmap.ledger.lines import LedgerOrigin, windows_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger" / "one.jsonl"
    with writing(path) as writer:
        for number in range(3):
            writer.append({"kind": "seal", "number": number, "map": [0.25, 0.75]})
    return path


def test_lines_name_the_hash_of_the_line_before(path: Path):
    content = verify_ledger(path)
    hashes = [line["sha256"] for line in content.lines]
    assert [line["previous"] for line in content.lines] == [FIRST, *hashes[:-1]]
    assert content.last_hash == hashes[-1]
    assert [line["number"] for line in content.lines] == [0, 1, 2]
    assert path.stat().st_mode & 0o777 == 0o600


def test_lines_go_on_from_the_last_hash_of_another_writer(path: Path):
    before = read_ledger(path).last_hash
    with writing(path) as writer:
        assert writer.append({"kind": "outcome"})["previous"] == before
    assert verify_ledger(path).size == 4


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found_in_its_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    path = tmp_path_factory.mktemp("ledger") / "one.jsonl"
    with writing(path) as writer:
        for number in range(3):
            writer.append({"kind": "seal", "number": number})
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with pytest.raises(BrokenLedger) as caught:
        verify_ledger(path)
    assert caught.value.number == 1 + bytes(content[:place]).count(b"\n")
    assert str(caught.value).startswith(f"Line {caught.value.number} of one.jsonl")


def test_a_line_that_is_taken_out_is_missed(path: Path):
    first, _, last = path.read_text().splitlines(keepends=True)
    path.write_text(first + last)
    with pytest.raises(BrokenLedger, match=r"Line 2 of one\.jsonl does not follow"):
        verify_ledger(path)


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_a_line_cut_off_by_a_kill_is_found_and_its_repair_is_written_down(path: Path, kept: int):
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole.removesuffix(last) + last[:kept])
    with pytest.raises(BrokenLedger, match=r"Line 3 of one\.jsonl was cut off"):
        verify_ledger(path)
    with writing(path) as writer:
        writer.append({"kind": "seal", "number": 3})
    lines = verify_ledger(path).lines
    assert [line["kind"] for line in lines] == ["seal", "seal", "repair", "seal"]
    assert lines[2]["removed_bytes"] == len(last[:kept])


def test_a_ledger_killed_in_its_first_line_is_begun_after_the_repair(tmp_path: Path):
    path = tmp_path / "one.jsonl"
    path.write_bytes(b'{"kind":"begin","format":')
    for _ in range(2):
        with opened(path) as book:
            book.begin(origin=LedgerOrigin.LIVE, version="1", terms={}, now=NOW)
    assert [line["kind"] for line in verify_ledger(path).lines] == ["repair", "begin"]
    with opened(path) as book, pytest.raises(RequestError, match="begun with another version"):
        book.begin(origin=LedgerOrigin.LIVE, version="2", terms={}, now=NOW)


def test_two_processes_that_write_at_once_make_one_chain(path: Path):
    code = (
        "import sys; from pathlib import Path; from liqmap.ledger.file import writing\n"
        "for number in range(20):\n"
        "    with writing(Path(sys.argv[1])) as writer:\n"
        "        writer.append({'kind': 'seal', 'number': number})\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(2)]  # noqa: S603
    assert [each.wait() for each in writers] == [0, 0]
    assert verify_ledger(path).size == 3 + 40


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            {"kind": "begin", "format": 1, "version": "0.0.9"},
            "written by version 0.0.9, whose lines this version does not read",
        ),
        ({"kind": "seal", "time": "soon"}, "lines that no version of liqmap writes"),
        ({"kind": "begin"}, "lines that no version of liqmap writes"),
    ],
)
def test_lines_that_are_whole_but_not_known_are_refused_in_a_sentence(
    tmp_path: Path, line: dict[str, Any], sentence: str
):
    path = tmp_path / "one.jsonl"
    with writing(path) as writer:
        writer.append(line)
    with pytest.raises(LiqmapError, match=sentence):
        windows_of(verify_ledger(path).lines)
    with pytest.raises(LiqmapError, match=sentence), opened(path):
        pass


def test_a_second_writer_is_asked_to_wait(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger_file, "_PATIENCE", 0)
    with (
        FileLock(f"{path}.lock"),
        pytest.raises(RequestError, match="Another process is writing"),
        writing(path),
    ):
        pass


def test_a_full_disk_leaves_the_ledger_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch):
    before = path.read_bytes()
    fsync = OSError(28, "No space left on device")

    def fail(_: int) -> None:
        raise fsync

    with writing(path) as writer:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="No space left"):
            writer.append({"kind": "seal"})
    assert path.read_bytes() == before


def test_a_ledger_that_is_not_there_is_named(tmp_path: Path):
    assert read_ledger(tmp_path / "none.jsonl").lines == []
    with pytest.raises(RequestError, match=r"There is no ledger .*none\.jsonl"):
        verify_ledger(tmp_path / "none.jsonl")


def test_lines_hold_no_number_that_json_lacks(path: Path):
    with writing(path) as writer, pytest.raises(ValueError, match="JSON"):
        writer.append({"kind": "seal", "sigma": float("nan")})
    assert all(json.loads(line) for line in path.read_text().splitlines())
