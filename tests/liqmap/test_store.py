from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.errors import DataError
from liqmap.model import Exchange, TimeWindow
from liqmap.segments import Segment
from liqmap.store import ABANDONED_AFTER, IN_USE_FOR, Store
from tests.liqmap.conftest import START_MS, Stored, random_trades

NOW = datetime.now(UTC)
LATER = NOW + IN_USE_FOR + timedelta(minutes=1)
DAYS = [date(2023, 8, day) for day in (1, 2, 3)]


def days_of(stored: Stored) -> list[Segment]:
    return [
        stored(random_trades(500, start_ms=START_MS + index * 86_400_000), day)
        for index, day in enumerate(DAYS)
    ]


def get(store: Store, day: date) -> Segment | None:
    return store.get(Exchange.BINANCE, "BTCUSDT", TimeWindow.of_day(day))


def opened(root: Path, *, max_size: int = 10**9) -> Store:
    store = Store(root, max_size=max_size)
    store.open(now=NOW)
    return store


def size_of(segment: Segment) -> int:
    return sum(file.stat().st_size for file in segment.path.iterdir())


def test_get_returns_what_is_stored_and_nothing_else(stored: Stored, tmp_path: Path):
    segment = stored(random_trades(10))
    store = opened(tmp_path)
    assert get(store, DAYS[0]) == segment
    assert get(store, DAYS[1]) is None
    assert store.get(Exchange.BYBIT, "BTCUSDT", TimeWindow.of_day(DAYS[0])) is None


def test_damaged_segment_is_removed_so_that_it_can_be_fetched_again(stored: Stored, tmp_path: Path):
    segment = stored(random_trades(10))
    os.truncate(segment.path / "buy.arrow", 10)
    store = opened(tmp_path)
    assert get(store, DAYS[0]) is None
    assert not segment.path.exists()
    assert stored(random_trades(10)).path.exists()


def test_evict_removes_the_least_recently_used_beyond_the_size(stored: Stored, tmp_path: Path):
    segments = days_of(stored)
    store = opened(tmp_path, max_size=2 * size_of(segments[0]) + 100)
    for age, segment in zip((1, 3, 2), segments, strict=True):
        moment = (NOW - timedelta(hours=age)).timestamp()
        os.utime(segment.path, (moment, moment))
    store.evict(now=LATER)
    assert [segment.path.exists() for segment in segments] == [True, False, True]
    assert list(store.incoming.iterdir()) == []


def test_evict_leaves_alone_what_has_just_been_used(stored: Stored, tmp_path: Path):
    segments = days_of(stored)
    store = opened(tmp_path, max_size=0)
    old = (NOW - timedelta(hours=1)).timestamp()
    for segment in segments:
        os.utime(segment.path, (old, old))
    assert get(store, DAYS[1]) is not None
    store.evict(now=NOW)
    assert [segment.path.exists() for segment in segments] == [False, True, False]


def test_evict_keeps_everything_below_the_size(stored: Stored, tmp_path: Path):
    segments = days_of(stored)
    opened(tmp_path).evict(now=LATER)
    assert all(segment.path.exists() for segment in segments)


def test_open_clears_only_what_was_abandoned_long_ago(tmp_path: Path):
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    (incoming / "old").mkdir()
    (incoming / "old" / "buy.arrow").write_bytes(b"half")
    (incoming / "old.download").write_bytes(b"half")
    (incoming / "fresh.download").write_bytes(b"half")
    long_ago = (NOW - ABANDONED_AFTER - timedelta(hours=1)).timestamp()
    for name in ("old", "old.download"):
        os.utime(incoming / name, (long_ago, long_ago))
    opened(tmp_path)
    assert [path.name for path in incoming.iterdir()] == ["fresh.download"]


def test_folder_of_the_store_is_private(tmp_path: Path):
    store = opened(tmp_path / "store")
    assert store.root.stat().st_mode & 0o077 == 0


def test_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"check the setting storage\.path"):
        opened(tmp_path / "file" / "store")
