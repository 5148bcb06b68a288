"""What journals and compaction hold against: removal meanwhile, full disks, damage, clocks that are set."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.store.bundles import JOURNAL, RECORDED, Contents, bundle_files, read_contents
from liqmap.store.bundling import Journal
from liqmap.store.compact import compact
from liqmap.store.local import IN_USE_FOR, SegmentStore
from liqmap.store.segments import Origin, segment_path, segment_paths, segment_windows
from liqmap.store.writer import write_segment
from tests.liqmap.store.bundled import (
    BYBIT,
    NOW,
    SYMBOLS,
    WHOLE,
    first_minutes,
    minute,
    problems,
    record,
    recorded_minutes,
    times,
    trades_in,
)
from tests.liqmap.store.old import as_of_before


def test_journal_that_is_removed_while_it_grows_takes_nothing_with_it(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 2)
    (file,) = bundle_files(store.root)
    store.remove_files(file)
    journal.append(record(store.root, "BTCUSDT", minute(2)), now=NOW)
    assert times(store, "BTCUSDT") == trades_in(minute(2)).time.tolist()


def test_journal_is_not_evicted_before_its_hour_is_over(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 2)
    (file,) = bundle_files(store.root)
    quiet = NOW + timedelta(minutes=3)
    os.utime(file, (quiet.timestamp(), quiet.timestamp()))
    small = SegmentStore(store.root, max_size=1)
    small.evict(now=NOW + timedelta(minutes=50))
    journal.append(record(store.root, "BTCUSDT", minute(2)), now=NOW + timedelta(minutes=51))
    assert times(store, "BTCUSDT") == first_minutes(3)
    small.evict(now=datetime.now(UTC) + timedelta(hours=3))
    assert bundle_files(store.root) == []


def test_last_record_whose_prefix_is_damaged_is_set_aside_and_not_removed(
    store: SegmentStore, journal: Journal
):
    recorded_minutes(store, journal, 3)
    compact(store, BYBIT, SYMBOLS, now=NOW)
    (file,) = (each for each in bundle_files(store.root) if each.suffix == JOURNAL)
    last = read_contents(file).records[SYMBOLS[-1]][minute(2)]
    with file.open("r+b") as opened:
        opened.seek(last.offset + 20)
        opened.write(b"?")
    assert [problem for problem in problems(store.root) if "are no segment" in problem]
    compact(store, BYBIT, SYMBOLS, now=datetime.now(UTC) + IN_USE_FOR + timedelta(hours=2))
    (aside,) = (store.root / "damaged" / "bundles" / BYBIT).iterdir()
    assert aside.stat().st_size == last.end
    for symbol in SYMBOLS:
        assert times(store, symbol) == first_minutes(3)


def test_clock_that_was_set_makes_no_growing_journal_look_complete(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    recorded_minutes(store, journal, 2)
    compact(store, BYBIT, SYMBOLS, now=NOW)

    def appended_meanwhile(file: Path) -> Contents:
        contents = read_contents(file)
        if file.suffix == JOURNAL and len(contents.records[SYMBOLS[0]]) == 2:
            journal.append(record(store.root, SYMBOLS[0], minute(2)), now=NOW)
        return contents

    monkeypatch.setattr("liqmap.store.held.read_contents", appended_meanwhile)
    compact(store, BYBIT, SYMBOLS, now=NOW + timedelta(days=1))
    assert times(store, SYMBOLS[0]) == first_minutes(3)


def test_clock_set_back_begins_a_file_and_loses_and_doubles_nothing(store: SegmentStore, journal: Journal):
    clock = [NOW, NOW - timedelta(hours=5), NOW - timedelta(days=400), NOW + timedelta(days=30), NOW]
    for number, now in enumerate(clock):
        journal.append(record(store.root, "BTCUSDT", minute(number)), now=now)
        compact(store, BYBIT, SYMBOLS, now=now)
        store.evict(now=now)
        assert times(store, "BTCUSDT") == first_minutes(number + 1)
    for days in (0, 1, 60):
        compact(store, BYBIT, SYMBOLS, now=NOW + timedelta(days=days))
        assert times(store, "BTCUSDT") == first_minutes(len(clock))
    (hours,) = bundle_files(store.root)
    assert len(read_contents(hours).records["BTCUSDT"]) == 1


def test_folders_of_an_earlier_version_are_read_compacted_and_evicted(store: SegmentStore):
    for number in range(3):
        path = segment_path(store.root, BYBIT, "BTCUSDT", minute(number))
        origin = Origin(BYBIT, "BTCUSDT", minute(number), "wss://example.org", "")
        as_of_before(write_segment(path, origin, trades_in(minute(number)), incoming=store.incoming))
    later = datetime.now(UTC) + IN_USE_FOR + timedelta(hours=1)
    for _ in range(3):
        assert times(store, "BTCUSDT") == first_minutes(3)
        compact(store, BYBIT, SYMBOLS, now=later)
    assert list(segment_paths(store.root)) == []
    assert [file.suffix for file in bundle_files(store.root)] == [RECORDED]
    SegmentStore(store.root, max_size=0).evict(now=later)
    assert bundle_files(store.root) == []


def test_nothing_recorded_is_evicted_for_a_day_that_cannot_be_removed_now(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    def busy(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    recorded_minutes(store, journal, 2)
    path = segment_path(store.root, BYBIT, "BTCUSDT", WHOLE)
    origin = Origin(BYBIT, "BTCUSDT", WHOLE, "https://example.org", "")
    day = write_segment(path, origin, trades_in(minute(7)), incoming=store.incoming)
    plain = Path.rename
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda it, to: busy() if it == day.path else plain(it, to))
        SegmentStore(store.root, max_size=0).evict(now=datetime.now(UTC) + timedelta(hours=3))
    assert times(store, "ETHUSDT") == first_minutes(2)


@pytest.mark.parametrize("failing", ["fsync", "rename"])
def test_compaction_on_a_full_disk_leaves_nothing_half_written(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch, failing: str
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    recorded_minutes(store, journal, 3)
    monkeypatch.setattr(os, failing, full)
    compact(store, BYBIT, SYMBOLS, now=NOW)
    assert list(store.incoming.iterdir()) == []
    assert times(store, "BTCUSDT") == first_minutes(3)


def test_market_whose_folder_cannot_be_read_keeps_no_other_from_being_compacted(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    recorded_minutes(store, journal, 3)
    plain = os.listdir

    def listed(folder: Path) -> list[str]:
        if Path(folder).name == SYMBOLS[0]:
            raise PermissionError(errno.EACCES, "Permission denied")
        return plain(folder)

    monkeypatch.setattr(os, "listdir", listed)
    compact(store, BYBIT, SYMBOLS, now=NOW)
    assert len(segment_windows(store.root, BYBIT, SYMBOLS[1])) == 4
