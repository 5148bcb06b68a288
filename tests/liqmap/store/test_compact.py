from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liqmap.compute.selection import Cut
from liqmap.errors import UnreadableStore
from liqmap.model import Exchange, Side, Trades
from liqmap.model.window import TimeWindow
from liqmap.store.compact import compact
from liqmap.store.largest import read_largest
from liqmap.store.local import IN_USE_FOR, SegmentStore
from liqmap.store.segments import (
    MANIFEST,
    VIA_FILES,
    VIA_STREAM,
    Origin,
    Segment,
    open_segment,
    segment_path,
    segment_windows,
)
from liqmap.store.writer import write_segment
from tests.liqmap.conftest import DAY, random_trades

NOW = datetime.now(UTC)
LATER = NOW + IN_USE_FOR + timedelta(hours=1)  # the tests themselves take their time
WHOLE = TimeWindow.of_day(DAY)
TRADES = random_trades(20_000)
HOUR = 3600


def seconds(first: int, last: int) -> TimeWindow:
    return TimeWindow(WHOLE.start + timedelta(seconds=first), WHOLE.start + timedelta(seconds=last))


def put(
    store: SegmentStore, *windows: tuple[int, int], trades: Trades = TRADES, via: str = VIA_STREAM
) -> list[Segment]:
    """Store the trades of windows, given as seconds of the day."""
    segments = []
    for window in (seconds(*each) for each in windows):
        rows = (trades.time >= window.start_ms) & (trades.time < window.end_ms)
        inside = Trades(trades.time[rows], trades.price[rows], trades.size[rows], trades.is_buy[rows])
        origin = Origin(Exchange.BINANCE, "BTCUSDT", window, "wss://example.org", "", via=(via,))
        path = segment_path(store.root, Exchange.BINANCE, "BTCUSDT", window)
        segments.append(write_segment(path, origin, inside, incoming=store.incoming))
    return segments


def kept(store: SegmentStore) -> list[tuple[int, int]]:
    """Return the windows of the store as seconds of the day."""
    first = WHOLE.start_ms // 1000
    windows = segment_windows(store.root, Exchange.BINANCE, "BTCUSDT")
    return sorted((each.start_ms // 1000 - first, each.end_ms // 1000 - first) for each in windows)


def compacted(store: SegmentStore, *, now: datetime = NOW) -> list[tuple[int, int]]:
    compact(store, Exchange.BINANCE, ["BTCUSDT"], now=now)
    return kept(store)


def times_of(store: SegmentStore) -> list[int]:
    """Return the times of all trades that the store gives for the day."""
    parts = store.parts(Exchange.BINANCE, "BTCUSDT", WHOLE)
    found = [
        read_largest(each.segment, side, window=each.window, cut=Cut()).trades
        for each in parts
        for side in Side
    ]
    return sorted(int(time) for each in found for time in each.time)


@pytest.fixture
def store(tmp_path: Path) -> SegmentStore:
    return opened(tmp_path)


def opened(root: Path) -> SegmentStore:
    store = SegmentStore(root, max_size=10**12)
    store.open(now=NOW)
    return store


def test_minutes_that_follow_each_other_become_one(store: SegmentStore):
    put(store, (0, 60), (60, 120), (120, 180))
    assert compacted(store) == [(0, 60), (0, 180), (60, 120), (120, 180)]
    assert compacted(store, now=LATER) == [(0, 180)]


def test_what_grows_is_merged_on_and_stays_whole(store: SegmentStore):
    put(store, (0, 60), (60, 120))
    compacted(store)
    put(store, (120, 180))
    before = times_of(store)
    assert compacted(store) == [(0, 60), (0, 120), (0, 180), (60, 120), (120, 180)]
    assert compacted(store, now=LATER) == [(0, 180)]
    assert times_of(store) == before


def test_runs_end_at_the_hour_and_at_gaps(store: SegmentStore):
    put(store, (3480, 3540), (3540, 3600), (3600, 3660), (3660, 3720), (3780, 3840), (3840, 3841))
    compacted(store)
    assert compacted(store, now=LATER) == [(3480, 3600), (3600, 3720), (3780, 3841)]


def test_whole_hours_and_windows_across_hours_are_left_alone(store: SegmentStore):
    windows = [(0, 3600), (3600, 7200), (7140, 7260), (7260, 7261)]
    put(store, *windows)
    assert compacted(store, now=LATER) == windows


def test_windows_that_overlap_are_not_merged(store: SegmentStore):
    put(store, (0, 60), (30, 90), (90, 120))
    compacted(store)
    assert times_of(store) == [int(time) for time in TRADES.time if time < seconds(0, 120).end_ms]
    assert all((first, last) != (0, 120) for first, last in kept(store))


def test_empty_store_needs_no_compacting(store: SegmentStore):
    assert compacted(store) == []


def test_nothing_is_removed_before_the_longer_one_has_been_there_for_a_while(store: SegmentStore):
    put(store, (0, 3600), (60, 120))
    assert compacted(store, now=NOW + IN_USE_FOR - timedelta(minutes=1)) == [(0, 3600), (60, 120)]
    assert compacted(store, now=LATER) == [(0, 3600)]


def test_use_of_the_longer_one_does_not_make_it_younger(store: SegmentStore):
    hour, _ = put(store, (0, 3600), (60, 120))
    long_ago = (NOW - IN_USE_FOR - timedelta(minutes=1)).timestamp()
    os.utime(hour.path / MANIFEST, (long_ago, long_ago))
    store.parts(Exchange.BINANCE, "BTCUSDT", WHOLE)
    assert compacted(store) == [(0, 3600)]


def test_damaged_longer_one_goes_instead_of_what_it_was_to_replace(store: SegmentStore):
    hour, *_ = put(store, (0, 3600), (60, 120), (120, 180))
    os.truncate(hour.path / "buy.arrow", 5)
    assert compacted(store, now=LATER) == [(60, 120), (60, 180), (120, 180)]


def test_damaged_minute_is_removed_and_the_others_wait(store: SegmentStore):
    _, broken, _ = put(store, (0, 60), (60, 120), (120, 180))
    (broken.path / MANIFEST).write_text("{")
    assert compacted(store) == [(0, 60), (120, 180)]


def test_minutes_hours_and_the_published_day_end_as_the_day(store: SegmentStore):
    put(store, (0, 86_400), via=VIA_FILES)
    put(store, (0, 3600), (60, 120), (7200, 7260), (7260, 7320))
    assert compacted(store) == [(0, 3600), (0, 86_400), (60, 120), (7200, 7260), (7260, 7320)]
    for _ in range(2):
        compacted(store, now=LATER)
    assert kept(store) == [(0, 86_400)]
    assert times_of(store) == TRADES.time.tolist()


def test_published_day_with_other_trades_is_reported_and_kept(
    store: SegmentStore, caplog: pytest.LogCaptureFixture
):
    without = Trades(TRADES.time[::2], TRADES.price[::2], TRADES.size[::2], TRADES.is_buy[::2])
    put(store, (0, 86_400), trades=without)
    (hour,) = put(store, (0, 3600))
    fewer = hour.buys + hour.sells - int((without.time < seconds(0, 3600).end_ms).sum())
    with caplog.at_level(logging.WARNING):
        assert compacted(store, now=LATER) == [(0, 86_400)]
    assert f"the published day has {fewer} trades less than were recorded" in caplog.text


def test_published_day_with_the_same_trades_is_not_worth_a_word(
    store: SegmentStore, caplog: pytest.LogCaptureFixture
):
    put(store, (0, 86_400), (0, 3600))
    with caplog.at_level(logging.WARNING):
        assert compacted(store, now=LATER) == [(0, 86_400)]
    assert caplog.text == ""


def test_other_symbols_are_not_touched(store: SegmentStore):
    put(store, (0, 60), (60, 120))
    compact(store, Exchange.BINANCE, ["ETHUSDT"], now=LATER)
    compact(store, Exchange.BYBIT, ["BTCUSDT"], now=LATER)
    assert kept(store) == [(0, 60), (60, 120)]


@pytest.mark.parametrize("victim", [(0, 3600), (60, 120)])
def test_compacting_outlasts_another_process_that_removes(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch, victim: tuple[int, int]
):
    put(store, (0, 3600), (60, 120))
    path = segment_path(store.root, Exchange.BINANCE, "BTCUSDT", seconds(*victim))
    plain = store.get

    def removed_behind(exchange: Exchange, symbol: str, window: TimeWindow) -> Segment | None:
        found = plain(exchange, symbol, window)
        if window == seconds(*victim):
            store.remove(path)
        return found

    monkeypatch.setattr(store, "get", removed_behind)
    assert victim not in compacted(store, now=LATER)


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """End whoever takes more than this number of steps that change the disk."""
    left = iter(range(steps))

    def counted(name: str, plain: object) -> object:
        def step(*arguments: object, **options: object) -> object:
            if next(left, None) is None:
                raise Killed(name)
            return plain(*arguments, **options)  # type: ignore[operator]  # a function of the library

        return step

    monkeypatch.setattr(Path, "rename", counted("rename", Path.rename))
    monkeypatch.setattr(Path, "mkdir", counted("mkdir", Path.mkdir))
    monkeypatch.setattr(Path, "open", counted("open", Path.open))
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # a killed process does not clean up


def interrupted(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SegmentStore]:
    """Yield stores whose compacting was killed after one step, two steps, and so on until it was done."""
    for steps in range(60):
        store = opened(root / str(steps))
        put(store, (0, 3600), (60, 120), (3600, 3660), (3660, 3720), (3720, 3725), (7200, 7260))
        with monkeypatch.context() as patch:
            killed_after(steps, patch)
            try:
                compact(store, Exchange.BINANCE, ["BTCUSDT"], now=LATER)
            except Killed:
                done = False
            else:
                done = True
        yield store
        if done:
            assert steps > 4
            return
    raise AssertionError("compacting never ends")


def test_killed_at_any_step_nothing_is_lost_and_the_next_time_ends_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    covered = (seconds(0, 3725), seconds(7200, 7260))
    expected = [int(t) for t in TRADES.time if any(each.start_ms <= t < each.end_ms for each in covered)]
    for store in interrupted(tmp_path, monkeypatch):
        for window in segment_windows(store.root, Exchange.BINANCE, "BTCUSDT"):
            assert open_segment(segment_path(store.root, Exchange.BINANCE, "BTCUSDT", window)) is not None
        assert times_of(store) == expected
        for _ in range(2):
            compacted(store, now=LATER)
        assert kept(store) == [(0, 3600), (3600, 3725), (7200, 7260)]
        assert times_of(store) == expected


def test_unreadable_segments_are_reported_and_the_others_compacted(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    unreadable, *_ = put(store, (0, 60), (60, 120), (3600, 3660), (3660, 3720))
    plain = open_segment

    def open_most(path: Path) -> Segment | None:
        if path == unreadable.path:
            raise UnreadableStore("The stored trades cannot be read (Permission denied).")
        return plain(path)

    monkeypatch.setattr("liqmap.store.local.open_segment", open_most)
    assert compacted(store) == [(0, 60), (60, 120), (3600, 3660), (3600, 3720), (3660, 3720)]
    assert "could not be compacted: The stored trades cannot be read (Permission denied)" in caplog.text


def test_nothing_is_removed_for_a_longer_one_that_is_damaged_inside(store: SegmentStore):
    hour, *_ = put(store, (0, 3600), (60, 120), (180, 240))
    path = hour.path / "buy.arrow"
    path.write_bytes(b"\0" * path.stat().st_size)
    assert compacted(store, now=LATER) == [(60, 120), (180, 240)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(
    spans=st.lists(
        st.tuples(st.integers(0, 35), st.integers(1, 14)).map(lambda pair: (pair[0] * 300, sum(pair) * 300)),
        min_size=1,
        max_size=8,
        unique=True,
    )
)
def test_compacting_again_and_again_loses_and_doubles_nothing(tmp_path: Path, spans: list[tuple[int, int]]):
    store = opened(tmp_path / os.urandom(8).hex())
    put(store, *spans)
    before = times_of(store)
    for _ in range(3):
        compacted(store, now=LATER)
        assert times_of(store) == before
    windows = kept(store)
    assert not any(
        one != other and one[0] <= other[0] and other[1] <= one[1] for one in windows for other in windows
    )
    assert compacted(store, now=LATER) == windows
    loose = [
        each for each in windows if each[1] - each[0] < HOUR and each[0] // HOUR == (each[1] - 1) // HOUR
    ]
    assert not any(
        one[1] == other[0] and one[0] // HOUR == (other[1] - 1) // HOUR
        for one, other in pairwise(sorted(loose))
    )
