"""Processes that share a store: at each change that one makes, another reads, appends and compacts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from liqmap.errors import LiqmapError
from liqmap.model import Exchange
from liqmap.model.window import TimeWindow
from liqmap.store.bundles import Record
from liqmap.store.bundling import Journal
from liqmap.store.check import check_store
from liqmap.store.compact import compact
from liqmap.store.segments import segment_paths, segment_windows, stored_windows
from tests.liqmap.store.bundled import BYBIT, NOW
from tests.liqmap.store.test_faults import (
    FAULTS,
    LATER,
    QUIET,
    SYMBOLS,
    Disk,
    append,
    minutes,
    opened,
    store_of_all_ages,
    times,
    until,
    verify,
)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_of_all_ages(tmp_path_factory.mktemp("before"))


class Watched(Disk):
    """Calls `other` at the change of a number, or at each change where there is none."""

    def __init__(self, other: Callable[[], None], at: int | None = None) -> None:
        super().__init__(FAULTS[0], 0)
        self._other = other
        self._at = at
        self._inside = False
        self.count = 0

    def step(self) -> None:
        if not self._inside:
            self.count += 1
            if self._at in (None, self.count):
                self._inside = True
                self._other()
                self._inside = False


def compacted(root: Path, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        watched.break_in(patch)
        for _ in range(2):
            compact(opened(root), BYBIT, [*SYMBOLS, *QUIET], now=LATER)


def test_reader_sees_no_hole_at_any_change_of_compaction(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = tmp_path / "store"
    shutil.copytree(before, root)

    def read() -> None:
        for symbol in SYMBOLS:
            assert times(root, symbol) == until(7)

    watched = Watched(read)
    compacted(root, watched, monkeypatch)
    assert watched.count > 50
    assert not [path for path in segment_paths(root) if path.parent.name in SYMBOLS]
    assert len(segment_windows(root, BYBIT, SYMBOLS[0])) == 1


def test_reader_that_has_listed_a_store_outlasts_a_compaction(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = tmp_path / "store"
    shutil.copytree(before, root)

    def listed(folder: Path, exchange: Exchange, symbol: str) -> Mapping[TimeWindow, Record | None]:
        found = stored_windows(folder, exchange, symbol)
        for _ in range(2):
            compact(opened(root), BYBIT, SYMBOLS, now=datetime.now(UTC))
        return found

    monkeypatch.setattr("liqmap.store.local.stored_windows", listed)
    assert times(root, SYMBOLS[0]) == until(7)


def test_file_that_is_removed_while_a_folder_is_listed_hides_no_other(
    before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    root = tmp_path / "store"
    shutil.copytree(before, root)
    expected, plain = times(root, SYMBOLS[0]), os.scandir
    doomed = root / "bundles" / BYBIT / "20230101T000000Z-000000000000.recorded"
    doomed.touch()

    def listed(folder: Any) -> Any:
        if folder != doomed.parent:
            return plain(folder)
        with plain(folder) as found:
            entries = list(found)
        doomed.unlink(missing_ok=True)
        return nullcontext(entries)

    monkeypatch.setattr(os, "scandir", listed)
    assert times(root, SYMBOLS[0]) == expected
    assert not doomed.exists()


@pytest.mark.parametrize("at", range(1, 110, 27))
def test_two_recorders_append_and_compact_at_once(
    before: Path, tmp_path: Path, at: int, monkeypatch: pytest.MonkeyPatch
):
    root = tmp_path / "store"
    shutil.copytree(before, root)
    mine, others = Journal(root, BYBIT), Journal(root, BYBIT)
    stored: list[int] = []

    def other() -> None:
        with suppress(LiqmapError, OSError):
            append(others, root, SYMBOLS[0], minutes(7, 8), now=LATER)
            append(others, root, SYMBOLS[0], minutes(8, 9), now=LATER)
            stored.extend((7, 8))
        for _ in range(2):
            compact(opened(root), BYBIT, [*SYMBOLS, *QUIET], now=LATER)
        assert times(root, SYMBOLS[1]) == until(7)

    append(mine, root, SYMBOLS[0], minutes(7, 8), now=NOW)
    compacted(root, Watched(other, at), monkeypatch)
    append(mine, root, SYMBOLS[0], minutes(8, 9), now=LATER)
    mine.close()
    others.close()
    verify(root, [*stored, 7, 8])
    for _ in range(3):
        compact(opened(root), BYBIT, [*SYMBOLS, *QUIET], now=LATER)
    verify(root, [7, 8])
    assert [each.problem for each in check_store(root, deep=True) if each.problem] == []
