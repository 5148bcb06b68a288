from __future__ import annotations

import errno
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cachetools import LRUCache

from liqmap.model import Exchange, Market
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import TimeWindow
from liqmap.store import series as series_store
from liqmap.store.damaged import files_aside
from liqmap.store.series import Piece, SeriesStore
from tests.liqmap.interleaved import begun_at

MARKET = Market(Exchange.BINANCE, "BTCUSDT")
KIND = SeriesKind.OPEN_INTEREST
MIDNIGHT = datetime(2023, 8, 1, tzinfo=UTC)


def hours(first: float, last: float) -> TimeWindow:
    return TimeWindow(MIDNIGHT + timedelta(hours=first), MIDNIGHT + timedelta(hours=last))


def piece(first: float, last: float, size: float = 1.0) -> Piece:
    window = hours(first, last)
    starts = range(window.start_ms, window.end_ms, KIND.step_ms)
    return Piece(MARKET, window, Series.of(KIND, starts, [(size,)] * len(starts)), "https://example.org")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_pieces_of_a_day_that_touch_become_one_file_and_read_as_one(tmp_path: Path):
    store = SeriesStore(tmp_path)
    store.write(piece(1, 2))
    store.write(piece(2, 3, 2.0))
    assert files(tmp_path) == ["20230801T010000Z-20230801T030000Z.arrow"]
    held = SeriesStore(tmp_path).read(MARKET, KIND, hours(0, 4))
    assert held.covered == (hours(1, 3),)
    assert held.series.values[0].tolist() == [1.0] * 12 + [2.0] * 12


def test_a_published_day_replaces_what_was_fetched_of_it_before(tmp_path: Path):
    store = SeriesStore(tmp_path)
    store.write(piece(1, 2))
    store.write(piece(5, 6))
    store.write(piece(0, 24, 3.0))
    assert files(tmp_path) == ["20230801T000000Z-20230802T000000Z.arrow"]
    assert set(store.read(MARKET, KIND, hours(0, 24)).series.values[0].tolist()) == {3.0}


def test_pieces_of_two_days_stay_apart_and_read_as_one(tmp_path: Path):
    store = SeriesStore(tmp_path)
    store.write(piece(0, 24))
    store.write(piece(24, 25))
    assert len(files(tmp_path)) == 2
    assert store.read(MARKET, KIND, hours(23, 25)).covered == (hours(23, 25),)
    assert store.lacking(MARKET, KIND, hours(23, 26)) == [hours(25, 26)]


@pytest.mark.parametrize("place", [3, 40, -9])
def test_damaged_piece_is_set_aside_and_lacking_then(tmp_path: Path, place: int):
    SeriesStore(tmp_path).write(piece(0, 24))
    (path,) = tmp_path.rglob("*.arrow")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    store = SeriesStore(tmp_path)
    assert store.read(MARKET, KIND, hours(0, 24)).covered == ()
    assert store.lacking(MARKET, KIND, hours(0, 24)) == [hours(0, 24)]
    assert [name.rpartition(".")[0] for name in files(tmp_path)] == [path.name]
    assert len(files_aside(tmp_path, path)) == 1


def test_pieces_that_another_process_joins_before_they_are_read_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    SeriesStore(tmp_path).write(piece(1, 2))
    plain = SeriesStore._windows

    def listed(store: SeriesStore, market: Market, kind: SeriesKind) -> list[TimeWindow]:
        found = plain(store, market, kind)
        monkeypatch.setattr(SeriesStore, "_windows", plain)
        SeriesStore(tmp_path).write(piece(2, 3))
        return found

    monkeypatch.setattr(SeriesStore, "_windows", listed)
    assert SeriesStore(tmp_path).read(MARKET, KIND, hours(1, 3)).covered == (hours(1, 3),)


def test_piece_that_cannot_be_read_now_is_not_removed_for_one_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    SeriesStore(tmp_path).write(piece(1, 2))
    reading = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.suffix == ".arrow":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return reading(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        SeriesStore(tmp_path).write(piece(2, 3))
    assert SeriesStore(tmp_path).read(MARKET, KIND, hours(1, 3)).covered == (hours(1, 3),)


def test_pieces_in_memory_are_read_and_forgotten_by_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    class Watched:
        def __enter__(self) -> None:
            take()

        def __exit__(self, *_: object) -> None:
            lock.release()

    monkeypatch.setattr(series_store, "_KEPT_PIECES", 1)
    store, lock = SeriesStore(tmp_path), threading.Lock()
    for day in (0, 24):
        store.write(piece(day, day + 24))
    monkeypatch.setattr(store, "_lock", Watched(), raising=False)
    begun = begun_at(monkeypatch, LRUCache, "__getitem__", lambda: store.read(MARKET, KIND, hours(0, 24)))
    with begun as other:
        take = other.watch(lock.acquire)
        assert store.read(MARKET, KIND, hours(24, 48)).covered == (hours(24, 48),)
