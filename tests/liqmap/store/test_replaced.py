"""A segment that is replaced or removed between two steps of whoever reads, copies, mends or removes it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from liqmap.errors import StoreError
from liqmap.model import Trades
from liqmap.store import check as checking
from liqmap.store import compact as compaction
from liqmap.store import damaged, local, moving, segments, writer
from liqmap.store.bundles import bundle_files
from liqmap.store.bundling import Journal
from liqmap.store.compact import compact
from liqmap.store.damaged import damage_in, set_aside
from liqmap.store.local import IN_USE_FOR, SegmentStore
from liqmap.store.segments import Origin, Segment, segment_path
from liqmap.store.writer import restate_origin, write_segment
from tests.liqmap.store.bundled import BYBIT, WHOLE, minute, problems, recorded_minutes, times, trades_in

OLD, NEW = trades_in(minute(0)), trades_in(minute(1))
ORIGIN = Origin(BYBIT, "BTCUSDT", WHOLE, "https://example.org", "ab" * 32)


def put(store: SegmentStore, trades: Trades, *, replaces: bool = False, unverified: bool = False) -> Segment:
    path = segment_path(store.root, BYBIT, "BTCUSDT", WHOLE)
    origin = replace(ORIGIN, unverified=unverified)
    return write_segment(path, origin, trades, incoming=store.incoming, replaces=replaces)


def meanwhile(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, change: Callable[[], object], *, after: bool
) -> None:
    """Let another process make a change before or after the first call of a function."""
    plain = getattr(where, name)

    def call(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(where, name, plain)
        if not after:
            change()
        found = plain(*arguments, **options)
        if after:
            change()
        return found

    monkeypatch.setattr(where, name, call)


def is_new(store: SegmentStore) -> bool:
    return times(SegmentStore(store.root, max_size=0), "BTCUSDT") == list(map(int, NEW.time))


def later() -> datetime:
    return datetime.now(UTC) + IN_USE_FOR + timedelta(minutes=1)


@pytest.fixture(autouse=True)
def nothing_damaged(tmp_path: Path) -> Iterator[None]:
    yield
    assert damage_in(tmp_path).count == 0


def test_day_that_is_replaced_is_there_until_the_new_one_is_whole(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
):
    old = put(store, OLD)
    seen: list[Segment | None] = []

    def look() -> None:
        seen.append(store.get(BYBIT, "BTCUSDT", WHOLE))

    meanwhile(monkeypatch, writer, "_write_manifest", look, after=True)
    put(store, NEW, replaces=True)
    assert seen == [old]
    assert is_new(store)
    assert list(store.incoming.iterdir()) == []


def test_day_whose_replacement_finds_the_disk_full_stays(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
):
    old = put(store, OLD)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer, "write_table", full)
    with pytest.raises(StoreError, match="No space left"):
        put(store, NEW, replaces=True)
    assert store.get(BYBIT, "BTCUSDT", WHOLE) == old


def test_replacement_wins_though_another_process_puts_the_old_day_back_meanwhile(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
):
    put(store, OLD)
    meanwhile(monkeypatch, moving, "move_into_place", lambda: put(store, OLD), after=False)
    put(store, NEW, replaces=True)
    assert is_new(store)
    assert list(store.incoming.iterdir()) == []


@pytest.mark.parametrize("name", ["_records", "names_in"])
@pytest.mark.parametrize("after", [False, True])
def test_bundled_day_that_is_replaced_while_the_store_is_listed_is_read(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch, name: str, *, after: bool
):
    put(store, OLD)
    compact(store, BYBIT, ["BTCUSDT"], now=datetime.now(UTC))
    compact(store, BYBIT, ["BTCUSDT"], now=later())
    assert not segment_path(store.root, BYBIT, "BTCUSDT", WHOLE).exists()
    meanwhile(monkeypatch, segments, name, lambda: put(store, NEW, replaces=True), after=after)
    assert is_new(store)


def test_what_is_restated_of_a_day_is_not_written_into_the_one_that_replaces_it(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
):
    old = put(store, OLD, unverified=True)
    meanwhile(monkeypatch, writer, "segment_from", lambda: put(store, NEW, replaces=True), after=True)
    restate_origin(old, ORIGIN, incoming=store.incoming)
    assert is_new(store)
    restate_origin(old, ORIGIN, incoming=store.incoming)
    assert is_new(store)


def test_day_that_is_replaced_while_it_is_bundled_stays_the_new_one(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
):
    put(store, OLD)
    meanwhile(monkeypatch, compaction, "copied", lambda: put(store, NEW, replaces=True), after=True)
    for now in (datetime.now(UTC), later(), later(), later() + 2 * IN_USE_FOR):
        compact(store, BYBIT, ["BTCUSDT"], now=now)
        assert is_new(store)
    assert not segment_path(store.root, BYBIT, "BTCUSDT", WHOLE).exists()


def test_day_that_is_replaced_when_its_copy_is_found_equal_is_not_removed(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
):
    put(store, OLD)
    compact(store, BYBIT, ["BTCUSDT"], now=datetime.now(UTC))
    meanwhile(monkeypatch, local, "move_if", lambda: put(store, NEW, replaces=True), after=False)
    compact(store, BYBIT, ["BTCUSDT"], now=later())
    assert is_new(store)


@pytest.mark.parametrize("name", ["verify_segment", "copied"])
def test_day_that_is_removed_while_it_is_bundled_keeps_no_other_from_being_bundled(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch, name: str
):
    day = put(store, OLD)
    recorded_minutes(store, journal, 2)
    meanwhile(monkeypatch, compaction, name, lambda: store.remove(day.path), after=False)
    compact(store, BYBIT, ["BTCUSDT", "ETHUSDT"], now=datetime.now(UTC))
    assert ".recorded" in {file.suffix for file in bundle_files(store.root)}


@pytest.mark.parametrize("after", [False, True])
def test_whole_day_that_comes_in_the_place_of_a_damaged_one_is_not_set_aside(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch, *, after: bool
):
    old = put(store, OLD)
    os.truncate(old.path / "buy.arrow", 10)
    meanwhile(monkeypatch, damaged, "_damage", lambda: put(store, NEW, replaces=True), after=after)
    found = store.get(BYBIT, "BTCUSDT", WHOLE)
    assert found is not None
    assert found.buys + found.sells == len(NEW)
    assert set_aside(store.root, found.path) is None
    assert is_new(store)


def test_day_that_is_replaced_while_it_is_verified_is_not_set_aside(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
):
    old = put(store, OLD)
    meanwhile(monkeypatch, damaged, "verify_segment", lambda: put(store, NEW, replaces=True), after=False)
    store.heal(old.path)
    assert is_new(store)


def test_older_copy_of_a_damaged_record_is_found_at_once(store: SegmentStore, journal: Journal):
    for _ in range(2):
        recorded_minutes(store, journal, 1)
        journal.close()
    newest = bundle_files(store.root)[-1]
    content = newest.read_bytes()
    place = content.index(b'"sizes"')
    newest.write_bytes(content[:place] + b"?" + content[place + 1 :])
    found = [each for each in ("BTCUSDT", "ETHUSDT", "币安人生USDT") if times(store, each)]
    assert len(found) == 3


def test_day_that_is_used_after_eviction_has_listed_it_stays(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
):
    day = put(store, OLD)
    os.utime(day.path, (0, 0))

    def use() -> None:
        assert store.get(BYBIT, "BTCUSDT", WHOLE) == day

    meanwhile(monkeypatch, local, "_use", use, after=True)
    SegmentStore(store.root, max_size=0).evict(now=datetime.now(UTC))
    assert store.get(BYBIT, "BTCUSDT", WHOLE) == day


@pytest.mark.parametrize("is_removed", [False, True])
def test_day_that_changes_while_it_is_checked_is_not_called_damaged(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch, *, is_removed: bool
):
    day = put(store, OLD)

    def change() -> None:
        if is_removed:
            store.remove(day.path)
        else:
            put(store, NEW, replaces=True)

    meanwhile(monkeypatch, checking, "verify_segment", change, after=False)
    assert problems(store.root) == []


def test_bundle_that_is_removed_while_it_is_checked_is_not_called_damaged(
    store: SegmentStore, journal: Journal, monkeypatch: pytest.MonkeyPatch
):
    recorded_minutes(store, journal, 1)
    (file,) = bundle_files(store.root)
    meanwhile(monkeypatch, checking, "verify_segment", file.unlink, after=False)
    assert problems(store.root) == []


def test_folder_that_goes_while_the_store_is_looked_through_keeps_nothing_from_being_evicted(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
):
    day, gone, plain = put(store, OLD), store.root / "orders" / "gone", os.scandir
    os.utime(day.path, (0, 0))
    gone.mkdir(parents=True)

    def listed(folder: Any = ".") -> Any:
        if folder in (gone, str(gone)) and gone.exists():
            gone.rmdir()
        return plain(folder)

    monkeypatch.setattr(os, "scandir", listed)
    SegmentStore(store.root, max_size=0).evict(now=datetime.now(UTC))
    assert not gone.exists()
    assert store.get(BYBIT, "BTCUSDT", WHOLE) is None
