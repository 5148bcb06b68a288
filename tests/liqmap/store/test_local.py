from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liqmap.compute.selection import Cut
from liqmap.errors import DataError, UnreadableStore
from liqmap.model import Exchange, Side, Trades
from liqmap.model.window import TimeWindow, missing
from liqmap.store.bars import read_bars
from liqmap.store.compact import compact
from liqmap.store.damaged import (
    Damage,
    damage_in,
    damage_warning,
    damaged_segments,
    files_aside,
    set_file_aside,
)
from liqmap.store.largest import read_largest
from liqmap.store.leftovers import WORK_KEPT_FOR
from liqmap.store.local import IN_USE_FOR, SegmentStore
from liqmap.store.segments import MANIFEST, TABLES, Origin, Segment, segment_path, segment_paths
from liqmap.store.writer import write_segment
from tests.liqmap.conftest import START_MS, Stored, random_trades

NOW = datetime.now(UTC)
LATER = NOW + IN_USE_FOR + timedelta(hours=1)  # the tests themselves take their time
DAYS = [date(2023, 8, day) for day in (1, 2, 3)]


def days_of(stored: Stored) -> list[Segment]:
    return [
        stored(random_trades(500, start_ms=START_MS + index * 86_400_000), day)
        for index, day in enumerate(DAYS)
    ]


def get(store: SegmentStore, day: date) -> Segment | None:
    return store.get(Exchange.BINANCE, "BTCUSDT", TimeWindow.of_day(day))


def opened(root: Path, *, max_size: int = 10**9) -> SegmentStore:
    store = SegmentStore(root, max_size=max_size)
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


def test_damaged_segment_is_set_aside_so_that_it_can_be_fetched_again(
    stored: Stored, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    segment = stored(random_trades(10))
    os.truncate(segment.path / "buy.arrow", 10)
    store = opened(tmp_path)
    assert get(store, DAYS[0]) is None
    assert not segment.path.exists()
    assert "damaged and set aside: binance BTCUSDT" in caplog.text
    (aside,) = damaged_segments(tmp_path)
    assert (aside.exchange, aside.symbol, aside.window) == (
        Exchange.BINANCE,
        "BTCUSDT",
        TimeWindow.of_day(DAYS[0]),
    )
    assert {file.name for file in aside.path.iterdir()} == {MANIFEST, *(f"{name}.arrow" for name in TABLES)}
    assert stored(random_trades(10)).path.exists()


@pytest.mark.parametrize("reads_before", [False, True])
def test_segment_that_is_replaced_while_it_is_opened_is_not_taken_for_damaged(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, reads_before: bool
):
    store, segment = opened(tmp_path), stored(random_trades(10))
    reading = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        monkeypatch.undo()
        found = reading(path) if reads_before else None
        store.remove(segment.path)
        try:
            return reading(path) if found is None else found
        finally:
            stored(random_trades(20))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    found = get(store, DAYS[0])
    assert found is not None
    assert found.buys + found.sells == 20
    assert not list(damaged_segments(tmp_path))


@pytest.mark.parametrize("name", [MANIFEST, "buy.arrow"])
def test_segment_with_a_folder_in_place_of_a_file_is_set_aside(stored: Stored, tmp_path: Path, name: str):
    segment = stored(random_trades(10))
    (segment.path / name).unlink()
    (segment.path / name).mkdir()
    assert get(opened(tmp_path), DAYS[0]) is None
    assert not segment.path.exists()
    assert len(list(damaged_segments(tmp_path))) == 1


def test_damaged_segments_are_counted_with_their_size_and_oldest_day(stored: Stored, tmp_path: Path):
    assert damage_warning(tmp_path) is None
    size = 0
    for day in DAYS:
        segment = stored(random_trades(10, start_ms=TimeWindow.of_day(day).start_ms), day)
        (segment.path / "bars.arrow").unlink()
        size += sum(file.stat().st_size for file in segment.path.iterdir())
        assert get(opened(tmp_path), day) is None
    table = tmp_path / "liquidations" / "binance" / "BTCUSDT" / "2023-07-30.csv"
    table.parent.mkdir(parents=True)
    table.write_bytes(bytes(2_000_000))
    set_file_aside(tmp_path, table)
    assert [path.parent.name for path in files_aside(tmp_path, table)] == ["BTCUSDT"]
    assert damage_in(tmp_path) == Damage(len(DAYS) + 1, size + 2_000_000, date(2023, 7, 30))
    warning = damage_warning(tmp_path) or ""
    assert warning.startswith(
        f"{len(DAYS) + 1} damaged files are set aside in the store's folder `damaged`"
        " (1.9 MiB, the oldest of 2023-07-30)."
    )


def test_segment_set_aside_is_removed_once_the_store_has_its_window_again(stored: Stored, tmp_path: Path):
    minutes = [cut_out(tmp_path, random_trades(10), seconds(*each)) for each in ((0, 60), (60, 120))]
    store = opened(tmp_path)
    for minute in minutes:
        (minute.path / "sell.arrow").unlink()
    assert lacking(store, seconds(0, 120)) == [seconds(0, 120)]
    cut_out(tmp_path, random_trades(10), seconds(0, 60))
    store.evict(now=NOW)
    (aside,) = damaged_segments(tmp_path)
    assert aside.window == seconds(60, 120)
    stored(random_trades(10))
    assert list(damaged_segments(tmp_path)) == []
    store.evict(now=NOW)
    assert not aside.path.exists()


def test_segment_under_another_name_is_damaged(stored: Stored, tmp_path: Path):
    segment = stored(random_trades(10))
    segment.path.rename(segment_path(tmp_path, Exchange.BINANCE, "BTCUSDT", TimeWindow.of_day(DAYS[1])))
    assert get(opened(tmp_path), DAYS[1]) is None


def test_damaged_segment_that_cannot_be_set_aside_is_reported_and_not_used(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    segment = stored(random_trades(10))
    os.truncate(segment.path / "buy.arrow", 10)
    store = opened(tmp_path)
    with monkeypatch.context() as patch:
        failing(patch, Path, "rename", errno.EROFS, below=tmp_path)
        assert [get(store, DAYS[0]) for _ in range(2)] == [None, None]
    assert caplog.text.count("cannot be set aside (Read-only file system)") == 1
    assert segment.path.exists()


PASSING = [
    errno.EACCES,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EPERM,
    errno.ESTALE,
    errno.ETIMEDOUT,
]


@pytest.mark.parametrize("number", PASSING, ids=errno.errorcode.__getitem__)
@pytest.mark.parametrize(
    ("owner", "name"), [(Path, "read_bytes"), (Path, "stat"), (Path, "open"), (os, "listdir")]
)
def test_temporary_read_error_is_reported_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, number: int
):
    trades = random_trades(20_000)
    for minute in range(10):
        cut_out(tmp_path, trades, seconds(60 * minute, 60 * minute + 60))
    hour, store = seconds(0, 600), opened(tmp_path)
    before, files = times_of(store, hour), sorted(tmp_path.rglob("*"))
    with monkeypatch.context() as patch:
        failing(patch, owner, name, number, below=tmp_path)
        with pytest.raises(
            UnreadableStore, match=r"cannot be read \(.+\); (please try again|check who owns)"
        ):
            times_of(store, hour)
        with suppress(UnreadableStore):  # which comes of listing the segments alone
            compact(store, Exchange.BINANCE, ["BTCUSDT"], now=LATER)
        store.evict(now=LATER)
    assert sorted(tmp_path.rglob("*")) == files
    assert times_of(store, hour) == before


def test_table_whose_middle_cannot_be_read_is_not_damaged(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    segment = stored(random_trades(20_000))
    monkeypatch.setattr("liqmap.store.tables.read_part", broken_disk)
    with pytest.raises(UnreadableStore, match="Input/output error"):
        read_bars(segment, segment.origin.window)
    with pytest.raises(UnreadableStore, match="Input/output error"):
        opened(tmp_path).heal(segment.path)
    assert segment.path.exists()


def broken_disk(*_: object, **__: object) -> bytes:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def failing(patch: pytest.MonkeyPatch, owner: object, name: str, number: int, *, below: Path) -> None:
    """Make a function fail for whatever lies below a folder."""
    plain = getattr(owner, name)

    def fail(path: object, *arguments: object, **options: object) -> object:
        if str(path).startswith(str(below)):
            raise OSError(number, os.strerror(number), str(path))
        return plain(path, *arguments, **options)

    patch.setattr(owner, name, fail)


def test_segment_that_cannot_be_read_is_not_needed_where_shorter_ones_hold_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trades = random_trades(20_000)
    hour, minute = (cut_out(tmp_path, trades, seconds(*each)) for each in ((0, 3600), (0, 60)))
    store = opened(tmp_path)
    with monkeypatch.context() as patch:
        failing(patch, Path, "read_bytes", errno.EACCES, below=hour.path)
        assert held(store, seconds(0, 60)) == [(minute, seconds(0, 60))]
        with pytest.raises(UnreadableStore, match="Permission denied"):
            held(store, seconds(0, 61))


OUT_OF_DESCRIPTORS = """
import os, resource, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from liqmap.errors import UnreadableStore
from liqmap.model import Exchange
from liqmap.store.compact import compact
from liqmap.store.local import SegmentStore

store = SegmentStore(Path(sys.argv[1]), max_size=0)
now = datetime.now(UTC) + timedelta(days=1)
most = len(os.listdir("/proc/self/fd"))
for spare in range(-1, 4):
    resource.setrlimit(resource.RLIMIT_NOFILE, (most + spare, 4096))
    try:
        compact(store, Exchange.BINANCE, ["BTCUSDT"], now=now)
        print("compacted")
    except UnreadableStore as error:
        print(error)
"""


def test_compacting_without_descriptors_loses_nothing(tmp_path: Path):
    trades = random_trades(20_000)
    for minute in range(10):
        cut_out(tmp_path, trades, seconds(60 * minute, 60 * minute + 60))
    before = times_of(opened(tmp_path), seconds(0, 600))
    reported = subprocess.run(  # noqa: S603
        [sys.executable, "-c", OUT_OF_DESCRIPTORS, str(tmp_path)], check=True, capture_output=True, text=True
    ).stdout
    assert "Too many open files" in reported
    assert times_of(opened(tmp_path), seconds(0, 600)) == before


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


def half_written(root: Path) -> Path:
    """Leave a folder and a file of long ago, and one of now; return where they are."""
    incoming = root / "incoming"
    (incoming / "old").mkdir(parents=True)
    (incoming / "old" / "buy.arrow").write_bytes(b"half")
    (incoming / "old.download").write_bytes(b"half")
    (incoming / "fresh.download").write_bytes(b"half")
    long_ago = (NOW - WORK_KEPT_FOR - timedelta(hours=1)).timestamp()
    for name in ("old", "old.download"):
        os.utime(incoming / name, (long_ago, long_ago))
    return incoming


def test_open_clears_only_what_was_abandoned_long_ago(tmp_path: Path):
    incoming = half_written(tmp_path)
    opened(tmp_path)
    assert [path.name for path in incoming.iterdir()] == ["fresh.download"]


def test_open_skips_files_that_another_process_has_just_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    incoming = half_written(tmp_path)
    listed = [incoming / "gone", *incoming.iterdir()]
    with monkeypatch.context() as patched:
        patched.setattr(Path, "iterdir", lambda _: iter(listed))
        opened(tmp_path)
    assert [path.name for path in incoming.iterdir()] == ["fresh.download"]


def test_evict_clears_what_was_abandoned_long_ago_by_the_files_own_time(tmp_path: Path):
    store = opened(tmp_path)
    incoming = half_written(tmp_path)
    store.evict(now=NOW + timedelta(days=10_000))
    assert [path.name for path in incoming.iterdir()] == ["fresh.download"]


def test_evict_of_a_store_that_has_never_been_opened_does_nothing(tmp_path: Path):
    SegmentStore(tmp_path / "store", max_size=0).evict(now=NOW)
    assert list(tmp_path.iterdir()) == []


def test_folder_of_the_store_is_private(tmp_path: Path):
    store = opened(tmp_path / "store")
    assert store.root.stat().st_mode & 0o077 == 0


def test_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"check the setting storage\.path"):
        opened(tmp_path / "file" / "store")


def seconds(first: int, last: int) -> TimeWindow:
    start = TimeWindow.of_day(DAYS[0]).start
    return TimeWindow(start + timedelta(seconds=first), start + timedelta(seconds=last))


def cut_out(root: Path, trades: Trades, window: TimeWindow) -> Segment:
    """Store the part of a day's trades that lies in a window."""
    rows = (trades.time >= window.start_ms) & (trades.time < window.end_ms)
    inside = Trades(trades.time[rows], trades.price[rows], trades.size[rows], trades.is_buy[rows])
    origin = Origin(Exchange.BINANCE, "BTCUSDT", window, "https://example.org", "")
    path = segment_path(root, Exchange.BINANCE, "BTCUSDT", window)
    return write_segment(path, origin, inside, incoming=root / "incoming")


def held(store: SegmentStore, window: TimeWindow) -> list[tuple[Segment, TimeWindow]]:
    return [(part.segment, part.window) for part in store.parts(Exchange.BINANCE, "BTCUSDT", window)]


def lacking(store: SegmentStore, window: TimeWindow) -> list[TimeWindow]:
    return store.missing(Exchange.BINANCE, "BTCUSDT", window)


def times_of(store: SegmentStore, window: TimeWindow) -> list[int]:
    """Return the times of all trades that the parts of a window give, in order."""
    parts = store.parts(Exchange.BINANCE, "BTCUSDT", window)
    found = [
        read_largest(each.segment, side, window=each.window, cut=Cut()).trades
        for each in parts
        for side in Side
    ]
    return sorted(int(time) for each in found for time in each.time)


def test_parts_prefer_the_longest_and_fill_up_with_the_rest(tmp_path: Path):
    trades = random_trades(2000)
    hour, minute, across, later = (
        cut_out(tmp_path, trades, seconds(*span))
        for span in ((0, 3600), (60, 120), (3500, 3700), (5000, 5060))
    )
    store = opened(tmp_path)
    assert held(store, seconds(100, 6000)) == [
        (hour, seconds(100, 3600)),
        (across, seconds(3600, 3700)),
        (later, seconds(5000, 5060)),
    ]
    assert lacking(store, seconds(100, 6000)) == [seconds(3700, 5000), seconds(5060, 6000)]
    assert held(store, seconds(60, 120)) == [(hour, seconds(60, 120))]
    assert minute.path.exists()


def test_parts_on_both_sides_of_a_longer_segment_are_of_one(tmp_path: Path):
    trades = random_trades(2000)
    middle, around = cut_out(tmp_path, trades, seconds(100, 200)), cut_out(tmp_path, trades, seconds(90, 150))
    assert held(opened(tmp_path), seconds(0, 300)) == [
        (around, seconds(90, 100)),
        (middle, seconds(100, 200)),
    ]


def test_parts_of_an_empty_store_are_none(tmp_path: Path):
    store = opened(tmp_path)
    assert held(store, seconds(0, 60)) == []
    assert lacking(store, seconds(0, 60)) == [seconds(0, 60)]


def test_damaged_segment_is_set_aside_and_others_take_its_place(tmp_path: Path):
    trades = random_trades(20_000)
    hour = cut_out(tmp_path, trades, seconds(0, 3600))
    minute = cut_out(tmp_path, trades, seconds(60, 120))
    os.truncate(hour.path / "bars.arrow", 10)
    store = opened(tmp_path)
    assert held(store, seconds(0, 3600)) == [(minute, seconds(60, 120))]
    assert not hour.path.exists()


def test_what_a_damaged_segment_held_is_missing_at_once(tmp_path: Path):
    hour = cut_out(tmp_path, random_trades(2000), seconds(0, 3600))
    (hour.path / "bars.arrow").unlink()
    assert lacking(opened(tmp_path), seconds(0, 3600)) == [seconds(0, 3600)]


def test_stored_parts_of_a_request_are_not_evicted_while_the_rest_is_fetched(tmp_path: Path):
    hour = cut_out(tmp_path, random_trades(2000), seconds(0, 3600))
    long_ago = (NOW - timedelta(hours=1)).timestamp()
    os.utime(hour.path, (long_ago, long_ago))
    store = opened(tmp_path, max_size=0)
    assert lacking(store, seconds(0, 7200)) == [seconds(3600, 7200)]
    store.evict(now=NOW)
    assert hour.path.exists()


def test_evict_takes_days_before_what_was_recorded(stored: Stored, tmp_path: Path):
    day = stored(random_trades(500))
    minute = cut_out(tmp_path, random_trades(500, start_ms=START_MS), seconds(0, 60))
    for age, segment in ((1, day), (2, minute)):
        moment = (NOW - timedelta(hours=age)).timestamp()
        os.utime(segment.path, (moment, moment))
    opened(tmp_path, max_size=size_of(minute)).evict(now=NOW)
    assert [segment.path.exists() for segment in (day, minute)] == [False, True]


def test_evict_outlasts_another_process_that_removes_too(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    segments = days_of(stored)
    store = opened(tmp_path, max_size=0)
    listed = list(segment_paths(tmp_path))
    store.remove(segments[1].path)
    monkeypatch.setattr("liqmap.store.local.segment_paths", lambda _: iter(listed))
    store.evict(now=LATER)
    assert not any(segment.path.exists() for segment in segments)


def test_folders_that_are_no_segments_are_left_alone(stored: Stored, tmp_path: Path):
    segment = stored(random_trades(10))
    stray = segment.path.with_name("backup")
    stray.mkdir()
    store = opened(tmp_path, max_size=0)
    assert lacking(store, TimeWindow.of_day(DAYS[0])) == []
    store.evict(now=LATER)
    assert stray.exists()
    assert not segment.path.exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
@given(
    spans=st.lists(
        st.tuples(st.integers(0, 95), st.integers(1, 40)).map(lambda pair: (pair[0], min(sum(pair), 96))),
        min_size=1,
        max_size=8,
        unique=True,
    ),
    asked=st.tuples(st.integers(0, 95), st.integers(1, 96)).map(lambda pair: (pair[0], sum(pair))),
    damaged=st.integers(0, 20),
)
def test_overlapping_segments_give_exactly_the_days_trades_once(
    tmp_path: Path, spans: list[tuple[int, int]], asked: tuple[int, int], damaged: int
):
    root = tmp_path / os.urandom(8).hex()
    trades = random_trades(3000)
    quarter = 900
    segments = [cut_out(root, trades, seconds(first * quarter, last * quarter)) for first, last in spans]
    if damaged < len(segments):
        os.truncate(segments.pop(damaged).path / "sell.arrow", 3)
    store, window = opened(root), seconds(asked[0] * quarter + 7, asked[1] * quarter - 5)
    covered = [each.origin.window for each in segments]
    inside = np.zeros(len(trades), bool)
    for each in covered:
        inside |= (trades.time >= each.start_ms) & (trades.time < each.end_ms)
    inside &= (trades.time >= window.start_ms) & (trades.time < window.end_ms)
    assert times_of(store, window) == trades.time[inside].tolist()
    parts = [each for _, each in held(store, window)]
    assert all(one.end <= other.start for one, other in pairwise(parts))
    assert lacking(store, window) == missing(window, covered)
    assert len(list(segment_paths(root))) == len(segments) or damaged < len(spans)


def test_half_written_files_are_removed_after_a_day_wherever_they_lie(tmp_path: Path):
    store = opened(tmp_path)
    folders = ("listings", "series/bybit/BTCUSDT/mark_price", "brackets")
    for folder in folders:
        for age, letter in ((2, "a"), (0.5, "b")):
            path = tmp_path / folder / f".{letter * 32}.part"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            written = datetime.now(UTC) - timedelta(days=age)
            os.utime(path, (written.timestamp(), written.timestamp()))
    store.evict(now=NOW)
    assert sorted(tmp_path.rglob("*.part")) == sorted(
        tmp_path / each / f".{'b' * 32}.part" for each in folders
    )
