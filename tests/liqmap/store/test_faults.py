"""A fault or the end of the process at any call to the disk: nothing that was recorded is lost or doubled.

`make test` takes a sample of the calls that change the disk; `make damage` one of all calls, and more faults.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from liqmap.errors import LiqmapError
from liqmap.model.window import TimeWindow
from liqmap.store import bundles, bundling
from liqmap.store.bundles import bundle_files
from liqmap.store.bundling import Journal
from liqmap.store.check import check_store
from liqmap.store.compact import compact
from liqmap.store.local import IN_USE_FOR, SegmentStore
from liqmap.store.segments import VIA_STREAM, Origin, segment_path, segment_paths
from liqmap.store.writer import recorded, write_segment
from tests.liqmap.store.bundled import BYBIT, NOW, TRADES, WHOLE, trades_in
from tests.liqmap.store.bundled import times as times_in

LATER = NOW + IN_USE_FOR + timedelta(hours=3)
SYMBOLS = ("BTCUSDT", "ETHUSDT")
QUIET = ("ADAUSDT", "XRPUSDT", "SOLUSDT")
ALL_CALLS = "LIQMAP_DAMAGE_TRIALS" in os.environ

_CHANGES = ("rename", "replace", "unlink", "mkdir", "rmdir", "fsync", "utime")
_READS = ("stat", "listdir", "scandir", "open") if ALL_CALLS else ()
_ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE) if ALL_CALLS else (errno.ENOSPC, errno.EACCES)


class Killed(BaseException):
    """Stands for the end of the process."""


class Fault(NamedTuple):
    """What goes wrong: an error, or the process ends (None); at one call, or at all from that one on."""

    error: int | None
    lasts: bool


FAULTS = [Fault(None, lasts=True)] + [Fault(each, lasts) for each in _ERRORS for lasts in (False, True)]


class Disk:
    """Counts calls to the disk, and lets the call of a number go wrong."""

    def __init__(self, fault: Fault, at: int) -> None:
        self._fault = fault
        self._left = at

    @property
    def was_reached(self) -> bool:
        """Whether any call went wrong."""
        return self._left < 0

    def step(self) -> None:
        """Count a call. Raises what goes wrong."""
        self._left -= 1
        if self._left == -1 or (self._left < 0 and self._fault.lasts):
            if self._fault.error is None:
                raise Killed
            raise OSError(self._fault.error, os.strerror(self._fault.error))

    def break_in(self, patch: pytest.MonkeyPatch) -> None:
        """Put itself in front of the calls."""
        plain_open, plain_write = io.open, bundling._write

        def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if ALL_CALLS or set(mode) & set("wxa+"):
                self.step()
            return plain_open(file, mode, *arguments, **options)

        def write(file: Any, record: bytes) -> None:
            try:
                self.step()
            except (OSError, Killed):
                file.write(record[: len(record) // 2])  # a part is on the disk
                raise
            plain_write(file, record)

        for name in (*_CHANGES, *_READS):
            patch.setattr(os, name, self._counted(getattr(os, name)))
        patch.setattr(io, "open", opened)
        patch.setattr(bundling, "_write", write)

    def _counted(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.step()
            return plain(*arguments, **options)

        return call


def minutes(first: int, last: int) -> TimeWindow:
    return TimeWindow(WHOLE.start + timedelta(minutes=first), WHOLE.start + timedelta(minutes=last))


def origin(symbol: str, window: TimeWindow) -> Origin:
    return Origin(BYBIT, symbol, window, "wss://example.org", "", via=(VIA_STREAM,))


def append(journal: Journal, root: Path, symbol: str, window: TimeWindow, *, now: datetime = NOW) -> None:
    path = segment_path(root, BYBIT, symbol, window)
    journal.append(recorded(path, origin(symbol, window), trades_in(window)), now=now)


def put(root: Path, symbol: str, window: TimeWindow) -> None:
    """Store a segment in a folder of its own, as all were before there were bundles."""
    path = segment_path(root, BYBIT, symbol, window)
    write_segment(path, origin(symbol, window), trades_in(window), incoming=root / "incoming")


def opened(root: Path) -> SegmentStore:
    store = SegmentStore(root, max_size=10**12)
    store.open(now=NOW)
    return store


def times(root: Path, symbol: str) -> list[int]:
    bundles._index.__init__()  # type: ignore[misc]  # another process remembers nothing
    return times_in(SegmentStore(root, max_size=10**12), symbol)


def until(minute: int) -> list[int]:
    return list(map(int, trades_in(minutes(0, minute)).time))


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store_of_all_ages(tmp_path_factory.mktemp("before"))


def store_of_all_ages(root: Path) -> Path:
    """Fill a store with folders of minutes, a bundle that holds some, journals and quiet days."""
    store, journal = opened(root), Journal(root, BYBIT)
    for symbol in SYMBOLS:
        for number in range(4):
            put(root, symbol, minutes(number, number + 1))
    compact(store, BYBIT, SYMBOLS, now=NOW)
    for symbol in SYMBOLS:
        for number in range(4, 7):
            append(journal, root, symbol, minutes(number, number + 1))
    compact(store, BYBIT, SYMBOLS, now=NOW)
    journal.close()
    for symbol in QUIET:
        put(root, symbol, WHOLE)
    return root


def work(root: Path, stored: list[int]) -> None:
    """Do all that recorders do; count in `stored` what they know to be stored."""
    store, journal = SegmentStore(root, max_size=10**12), Journal(root, BYBIT)
    for number in (7, 8, 9):
        with suppress(OSError, LiqmapError):
            append(journal, root, SYMBOLS[0], minutes(number, number + 1))
            stored.append(number)
    journal.close()
    for _ in range(2):
        with suppress(OSError, LiqmapError):
            compact(store, BYBIT, [*SYMBOLS, *QUIET], now=LATER)
    files = [*bundle_files(root), *(file for path in segment_paths(root) for file in path.rglob("*"))]
    SegmentStore(root, max_size=sum(file.stat().st_size for file in files) - 1).evict(now=LATER)


def broken(root: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Do the work on a disk that fails, and return the minutes that were said to be stored."""
    stored: list[int] = []
    with monkeypatch.context() as patch:
        disk.break_in(patch)
        with suppress(Killed, OSError, LiqmapError):
            work(root, stored)
    return stored


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a killed process closes nothing
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_fault_at_any_call_loses_and_doubles_nothing(
    before: Path, tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
):
    for at in range(FAULTS.index(fault), 10_000, 10 if ALL_CALLS else 15):
        root = tmp_path / str(at)
        shutil.copytree(before, root)
        disk = Disk(fault, at)
        stored = broken(root, disk, monkeypatch)
        verify(root, stored)
        for _ in range(3):
            compact(opened(root), BYBIT, [*SYMBOLS, *QUIET], now=LATER)
        verify(root, stored)
        assert [each.problem for each in check_store(root, deep=True) if each.problem] == []
        assert not (root / "damaged").exists()
        shutil.rmtree(root)
        if not disk.was_reached:
            assert at > 100
            return
    raise AssertionError("the work never ends")


def verify(root: Path, stored: list[int]) -> None:
    assert times(root, SYMBOLS[1]) == until(7)
    found = times(root, SYMBOLS[0])
    assert len(set(found)) == len(set(TRADES.time.tolist()) & set(found))
    sure = {time for number in stored for time in trades_in(minutes(number, number + 1)).time.tolist()}
    assert sure | set(until(7)) <= set(found)
    known = trades_in(WHOLE).time.tolist()
    assert all(found.count(time) == known.count(time) for time in set(found))
