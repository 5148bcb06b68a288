"""What journals and compaction hold against: removal meanwhile, full disks, damage, clocks that are set."""

from __future__ import annotations

import errno
import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.errors import UnreadableStore
from liqmap.model import Exchange
from liqmap.model.window import TimeWindow
from liqmap.store import bundles, damaged
from liqmap.store.bundles import (
    JOURNAL,
    RECORDED,
    Contents,
    Record,
    bundle_files,
    drop,
    read_contents,
    records_of,
)
from liqmap.store.bundling import Journal
from liqmap.store.compact import compact
from liqmap.store.damaged import SetAside, damage_in, remove_replaced, set_aside
from liqmap.store.local import IN_USE_FOR, SegmentStore
from liqmap.store.segments import Origin, may_be_unread, segment_path, segment_paths, segment_windows
from liqmap.store.writer import write_segment
from tests.liqmap.store.bundled import (
    BYBIT,
    NOW,
    SYMBOLS,
    WHOLE,
    broken_disk,
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
    assert aside.stat().st_size == last.end - last.offset  # of the file, only what is damaged
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


@pytest.mark.parametrize("process", ["that has read it before", "that is new"])
def test_file_that_the_disk_does_not_give_costs_its_records_and_not_the_exchange_s(
    store: SegmentStore, journal: Journal, process: str
):
    recorded_minutes(store, journal, 2)
    (lost,) = bundle_files(store.root)
    with closing(Journal(store.root, BYBIT)) as other:
        recorded_minutes(store, other, 3, now=NOW + timedelta(hours=1))
    journal.append(record(store.root, "SOLUSDT", minute(0)), now=NOW)
    last = read_contents(lost).records["SOLUSDT"][minute(0)].offset
    if process == "that is new":
        bundles._index._known.clear()
    with broken_disk(lost, from_byte=last):
        assert times(store, "BTCUSDT") == first_minutes(3)  # another file has the same
        assert may_be_unread(store.root, BYBIT, minute(0))
        assert not may_be_unread(
            store.root, BYBIT, TimeWindow(NOW + timedelta(hours=1), NOW + timedelta(hours=2))
        )
        assert not may_be_unread(store.root, Exchange.OKX, minute(0))
        assert segment_windows(store.root, BYBIT, "SOLUSDT") == []
        assert [each for each in problems(store.root) if "could not be checked" in each]
        compact(store, BYBIT, [*SYMBOLS, "SOLUSDT"], now=NOW + timedelta(days=2))
        assert lost.exists()
    assert times(store, "SOLUSDT") == trades_in(minute(0)).time.tolist()
    assert not may_be_unread(store.root, BYBIT, minute(0))
    for symbol in SYMBOLS:
        assert times(store, symbol) == first_minutes(3)


def test_file_of_another_name_that_the_disk_does_not_give_may_hold_any_window(
    store: SegmentStore, journal: Journal
):
    recorded_minutes(store, journal, 1)
    (file,) = bundle_files(store.root)
    other = file.rename(file.with_name("copy.journal"))
    with broken_disk(other, from_byte=0):
        assert may_be_unread(store.root, BYBIT, TimeWindow(NOW, NOW + timedelta(days=9)))


def test_error_that_may_pass_is_raised_and_hides_no_record(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    def busy(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    recorded_minutes(store, journal, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", busy)
        with pytest.raises(UnreadableStore):
            times(store, "BTCUSDT")
    assert times(store, "BTCUSDT") == first_minutes(1)


def test_new_folders_are_on_the_disk_before_what_lies_in_them(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
):
    synced: list[Path] = []
    monkeypatch.setattr("liqmap.files.sync_folder", synced.append)
    monkeypatch.setattr("liqmap.store.bundling.sync_folder", synced.append)
    journal = Journal(store.root, BYBIT)
    journal.append(record(store.root, "BTCUSDT", minute(0)), now=NOW)
    journal.close()
    folder = store.root / "bundles" / BYBIT
    assert synced == [store.root, store.root / "bundles", folder]


def test_damaged_record_is_marked_when_its_copy_is_on_the_disk(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    recorded_minutes(store, journal, 1)
    (file,) = bundle_files(store.root)
    found = read_contents(file).records["BTCUSDT"][minute(0)]
    with file.open("r+b") as opened:
        opened.seek(found.tables_at)
        opened.write(b"?")
    synced, before_mark = list[Path](), list[Path]()
    monkeypatch.setattr("liqmap.files.sync_folder", synced.append)
    monkeypatch.setattr("liqmap.store.damaged.drop", lambda _: before_mark.extend(synced))
    set_aside(store.root, segment_path(store.root, BYBIT, "BTCUSDT", minute(0)))
    folder = store.root / "damaged"
    (copy,) = (folder / BYBIT / "BTCUSDT").iterdir()
    folders = [store.root, folder, folder / BYBIT, folder / BYBIT / "BTCUSDT"]
    assert before_mark == [*folders, copy, copy]


def spoil(store: SegmentStore) -> Path:
    """Damage the record of the first minute, and return where its segment belongs."""
    record = records_of(store.root, BYBIT, "BTCUSDT")[minute(0)]
    with record.file.open("r+b") as opened:
        opened.seek(record.tables_at)
        opened.write(b"?")
    return segment_path(store.root, BYBIT, "BTCUSDT", minute(0))


def test_damaged_record_is_kept_though_what_was_replaced_is_removed_before_it_is_marked(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    def marked(record: Record) -> None:
        remove_replaced(store.root)
        drop(record)

    recorded_minutes(store, journal, 1)
    monkeypatch.setattr("liqmap.store.damaged.drop", marked)
    store.heal(spoil(store))
    assert damage_in(store.root).count == 1


def test_damaged_record_is_kept_though_another_is_set_aside_when_it_was_found_to_be_replaced(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    recorded_minutes(store, journal, 1)
    store.heal(spoil(store))
    recorded_minutes(store, journal, 1)
    plain = damaged._is_lacking

    def is_lacking(root: Path, each: SetAside) -> bool:
        found = plain(root, each)
        monkeypatch.undo()
        store.heal(spoil(store))
        return found

    monkeypatch.setattr(damaged, "_is_lacking", is_lacking)
    remove_replaced(store.root)
    assert damage_in(store.root).count == 2
