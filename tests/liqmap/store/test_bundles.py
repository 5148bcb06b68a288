from __future__ import annotations

import errno
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.errors import DamagedSegment
from liqmap.model import Exchange, Market
from liqmap.model.window import TimeWindow
from liqmap.store.bundles import JOURNAL, bundle_files, read_contents
from liqmap.store.bundling import Journal
from liqmap.store.compact import compact
from liqmap.store.local import IN_USE_FOR, SegmentStore
from liqmap.store.merged import merged_parts
from liqmap.store.packs import pack, unpack
from liqmap.store.reading import verify_segment
from liqmap.store.segments import (
    Origin,
    Part,
    open_segment,
    segment_path,
    segment_windows,
)
from liqmap.store.shared import SharedStore
from liqmap.store.writer import write_segment
from tests.liqmap.store.bundled import (
    BYBIT,
    NOW,
    SYMBOLS,
    WHOLE,
    first_minutes,
    minute,
    moved,
    problems,
    record,
    recorded_minutes,
    times,
    trades_in,
)

LONGEST = "𠀀" * 36 + "USDT"  # as many characters as a market's symbol may have, most of four bytes


def test_minutes_of_many_markets_are_one_file_and_read_alone(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 5)
    assert len(bundle_files(store.root)) == 1
    for symbol in SYMBOLS:
        assert sorted(segment_windows(store.root, BYBIT, symbol), key=lambda each: each.start) == [
            minute(number) for number in range(5)
        ]
        assert times(store, symbol) == first_minutes(5)
    assert segment_windows(store.root, BYBIT, "SOLUSDT") == []
    assert segment_windows(store.root, Exchange.OKX, "BTCUSDT") == []


def test_record_of_the_longest_symbol_is_found_by_it(store: SegmentStore, journal: Journal):
    symbol = Market(BYBIT, LONGEST).symbol
    journal.append(record(store.root, symbol, minute(0)), now=NOW)
    assert times(store, symbol) == first_minutes(1)


def test_what_is_appended_later_is_found_and_each_hour_begins_a_file(store: SegmentStore, journal: Journal):
    for number in range(4):
        journal.append(
            record(store.root, "BTCUSDT", minute(number)), now=NOW + timedelta(minutes=30 * number)
        )
        assert times(store, "BTCUSDT") == first_minutes(number + 1)
    assert len(bundle_files(store.root)) == 2


def test_compaction_makes_hours_of_minutes_and_the_journal_goes(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 60)
    compact(store, BYBIT, SYMBOLS, now=NOW)
    assert [file.suffix for file in bundle_files(store.root)].count(JOURNAL) == 1
    later = datetime.now(UTC) + IN_USE_FOR + timedelta(hours=2)
    compact(store, BYBIT, SYMBOLS, now=later)
    (hours,) = bundle_files(store.root)
    assert hours.suffix == ".recorded"
    for symbol in SYMBOLS:
        assert segment_windows(store.root, BYBIT, symbol) == [
            TimeWindow(WHOLE.start, WHOLE.start + timedelta(hours=1))
        ]
        assert times(store, symbol) == first_minutes(60)
    assert problems(store.root) == []


def test_journal_that_grows_is_never_removed(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 3)
    compact(store, BYBIT, SYMBOLS, now=NOW)
    compact(store, BYBIT, SYMBOLS, now=NOW + timedelta(minutes=65))
    journal.append(record(store.root, "BTCUSDT", minute(3)), now=NOW + timedelta(minutes=59))
    assert times(store, "BTCUSDT") == first_minutes(4)


@pytest.mark.parametrize("cut", [1, 50, 200, 5000])
def test_torn_end_of_a_killed_process_costs_only_what_was_being_written(
    store: SegmentStore, journal: Journal, cut: int
):
    recorded_minutes(store, journal, 3)
    (file,) = bundle_files(store.root)
    os.truncate(file, file.stat().st_size - cut)
    assert times(store, "BTCUSDT") == times(store, "ETHUSDT") == first_minutes(3)
    assert times(store, SYMBOLS[-1]) == first_minutes(2)
    assert problems(store.root) == []
    again = Journal(store.root, BYBIT)
    again.append(record(store.root, SYMBOLS[-1], minute(2)), now=NOW)
    again.close()
    assert times(store, SYMBOLS[-1]) == first_minutes(3)


def test_full_disk_leaves_the_journal_as_it_was(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    recorded_minutes(store, journal, 2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            journal.append(record(store.root, "BTCUSDT", minute(2)), now=NOW)
    assert times(store, "BTCUSDT") == first_minutes(2)
    journal.append(record(store.root, "BTCUSDT", minute(2)), now=NOW)
    assert times(store, "BTCUSDT") == first_minutes(3)


def test_damage_in_one_record_leaves_the_others_and_is_set_aside(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 2)
    (file,) = bundle_files(store.root)
    contents = read_contents(file)
    broken = contents.records["ETHUSDT"][minute(0)]
    with file.open("r+b") as opened:
        opened.seek(broken.tables_at + broken.tables_size // 2)
        opened.write(b"\xff" * 40)
    path = segment_path(store.root, BYBIT, "ETHUSDT", minute(0))
    assert any("ETHUSDT" in problem for problem in problems(store.root))
    segment = open_segment(path)
    assert segment is not None
    with pytest.raises(DamagedSegment):
        verify_segment(segment)
    store.heal(path)
    assert segment_windows(store.root, BYBIT, "ETHUSDT") == [minute(1)]
    assert store.missing(BYBIT, "ETHUSDT", minute(0)) == [minute(0)]
    assert times(store, "BTCUSDT") == times(store, SYMBOLS[-1]) == first_minutes(2)
    (aside,) = (store.root / "damaged" / BYBIT / "ETHUSDT").iterdir()
    assert sum(each.stat().st_size for each in aside.iterdir()) == broken.manifest_size + broken.tables_size
    assert problems(store.root) == []


def test_damage_anywhere_gives_the_clean_trades_or_fewer_of_one_market(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 2)
    (file,) = bundle_files(store.root)
    clean, chance = file.read_bytes(), random.Random(20261128)
    for _ in range(60):
        at, length = chance.randrange(len(clean)), chance.choice([1, 8, 300])
        file.write_bytes(clean[:at] + chance.randbytes(length) + clean[at + length :])
        whole = 0
        for symbol in SYMBOLS:
            minutes = 0
            for number in range(2):
                try:
                    found = times(store, symbol, minute(number))
                except DamagedSegment as error:
                    store.heal(error.path)
                    found = times(store, symbol, minute(number))
                expected = trades_in(minute(number)).time.tolist()
                assert found in ([], expected)
                minutes += found == expected
            whole += minutes == 2
        assert whole >= len(SYMBOLS) - 2  # one, or two that are beside each other


def test_removed_record_is_gone_for_all_and_can_be_stored_anew(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 2)
    path = segment_path(store.root, BYBIT, "BTCUSDT", minute(0))
    store.remove(path)
    assert open_segment(path) is None
    assert segment_windows(store.root, BYBIT, "BTCUSDT") == [minute(1)]
    assert times(SegmentStore(store.root, max_size=0), "ETHUSDT") == first_minutes(2)
    origin = Origin(BYBIT, "BTCUSDT", minute(0), "https://example.org", "")
    write_segment(path, origin, trades_in(minute(0)), incoming=store.incoming)
    assert times(store, "BTCUSDT") == first_minutes(2)


def test_segment_that_is_stored_twice_is_gone_once_it_is_removed(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 1)
    recorded_minutes(store, journal, 1)  # as after a disk that failed to confirm them
    journal.close()
    recorded_minutes(store, journal, 1)  # in another file
    store.remove(segment_path(store.root, BYBIT, "BTCUSDT", minute(0)))
    assert segment_windows(store.root, BYBIT, "BTCUSDT") == []
    assert times(store, "ETHUSDT") == first_minutes(1)


def test_published_days_go_before_what_was_recorded(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 2)
    origin = Origin(BYBIT, "BTCUSDT", WHOLE, "https://example.org", "")
    path = segment_path(store.root, BYBIT, "BTCUSDT", WHOLE)
    quiet = write_segment(path, origin, trades_in(minute(7)), incoming=store.incoming)
    compact(store, BYBIT, ["BTCUSDT"], now=NOW)
    later = datetime.now(UTC) + IN_USE_FOR + timedelta(minutes=1)
    compact(store, BYBIT, ["BTCUSDT"], now=later)
    assert not quiet.path.exists()  # its day is in a file of days now
    assert {file.suffix for file in bundle_files(store.root)} >= {".days", JOURNAL}
    full = sum(file.stat().st_size for file in bundle_files(store.root))
    SegmentStore(store.root, max_size=full - 1).evict(now=later)
    assert ".days" not in {file.suffix for file in bundle_files(store.root)}
    assert times(store, "ETHUSDT") == first_minutes(2)


def test_records_reach_another_machine_through_the_shared_store(
    store: SegmentStore, journal: Journal, tmp_path: Path
):
    recorded_minutes(store, journal, 2)
    parts = store.parts(BYBIT, "BTCUSDT", minute(1))
    content = pack([part.segment for part in parts])
    unpack(content, [part.segment.path.name for part in parts], into=tmp_path / "other")
    found = open_segment(tmp_path / "other" / parts[0].segment.path.name)
    assert found is not None
    assert found.checks == parts[0].segment.checks
    shared = SharedStore(str(tmp_path / "shared"))
    day = segment_path(store.root, BYBIT, "BTCUSDT", WHOLE)
    origin = Origin(BYBIT, "BTCUSDT", WHOLE, "https://example.org", "")
    packed = moved(write_segment(day, origin, trades_in(minute(7)), incoming=store.incoming))
    assert packed.record is not None
    shared.publish([packed])
    elsewhere = segment_path(tmp_path / "elsewhere", BYBIT, "BTCUSDT", WHOLE)
    assert SharedStore(str(tmp_path / "shared")).bring_in_day(elsewhere, incoming=tmp_path / "in") is not None


def test_orders_of_bundled_fills_are_kept_beside_the_bundles(store: SegmentStore, journal: Journal):
    recorded_minutes(store, journal, 1)
    parts = store.parts(BYBIT, "BTCUSDT", minute(0))
    first = merged_parts(parts)
    assert [each.segment.path for each in merged_parts(parts)] == [each.segment.path for each in first]
    assert first[0].segment.path.is_relative_to(store.root / "orders")
    assert isinstance(first[0], Part)
    assert store.parts(BYBIT, "BTCUSDT", minute(0)) == parts
