from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.errors import UnreadableStore
from liqmap.files import locked
from liqmap.files.seals import BrokenSeal
from liqmap.model import Exchange
from liqmap.model.window import TimeWindow
from liqmap.store import feeds
from liqmap.store.damaged import files_aside
from liqmap.store.feeds import feed_coverage, feed_path, feed_windows, forget_feed, note_feed, verify_feed
from tests.liqmap.interleaved import begun_at

START = datetime(2026, 10, 4, tzinfo=UTC)


def minutes(first: int, last: int) -> TimeWindow:
    return TimeWindow(START + timedelta(minutes=first), START + timedelta(minutes=last))


def note(root: Path, first: int, last: int) -> None:
    note_feed(root, Exchange.BYBIT, "BTCUSDT", minutes(first, last))


def windows(root: Path) -> list[TimeWindow]:
    return feed_windows(root, Exchange.BYBIT, "BTCUSDT", START.date())


def test_spans_that_go_on_are_one_line(tmp_path: Path):
    for first, last in ((0, 1), (1, 2), (2, 60), (61, 62), (62, 63)):
        note(tmp_path, first, last)
    assert windows(tmp_path) == [minutes(0, 60), minutes(61, 63)]
    path = feed_path(tmp_path, Exchange.BYBIT, "BTCUSDT", START.date())
    assert path.read_text().splitlines()[1:] == [
        "# received from, until [ms]",
        "1791072000000,1791075600000",
        "1791075660000,1791075780000",
    ]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", ["", "17910720"])
def test_table_without_a_seal_is_read_without_a_torn_row_and_then_sealed(tmp_path: Path, torn: str):
    path = feed_path(tmp_path, Exchange.BYBIT, "BTCUSDT", START.date())
    path.parent.mkdir(parents=True)
    path.write_text(f"1791072000000,1791072060000\n{torn}")
    assert windows(tmp_path) == [minutes(0, 1)]
    verify_feed(path)
    note(tmp_path, 5, 6)
    assert windows(tmp_path) == [minutes(0, 1), minutes(5, 6)]
    assert path.read_text().startswith("# xxh3: ")


@pytest.mark.parametrize(
    "junk",
    ["", "a,b\n", "1791072060000,1791072000000\n", "1791072000001,1791072060000\n", "# received\n", "\ufffd"],
)
def test_damaged_table_counts_as_nothing_received_and_is_set_aside_by_the_next_note(
    tmp_path: Path, junk: str
):
    path = feed_path(tmp_path, Exchange.BYBIT, "BTCUSDT", START.date())
    path.parent.mkdir(parents=True)
    path.write_text(junk)
    assert windows(tmp_path) == []
    with pytest.raises(BrokenSeal):
        verify_feed(path)
    note(tmp_path, 0, 1)
    assert windows(tmp_path) == [minutes(0, 1)]
    assert [each.read_text() for each in files_aside(tmp_path, path)] == [junk]


def test_table_that_cannot_be_read_is_not_taken_for_nothing_received(tmp_path: Path):
    feed_path(tmp_path, Exchange.BYBIT, "BTCUSDT", START.date()).mkdir(parents=True)
    with pytest.raises(UnreadableStore):
        windows(tmp_path)


def test_coverage_is_the_share_of_a_window(tmp_path: Path):
    note(tmp_path, 0, 45)
    note(tmp_path, 50, 200)
    assert feed_coverage(tmp_path, Exchange.BYBIT, "BTCUSDT", minutes(0, 100)) == pytest.approx(0.95)
    assert feed_coverage(tmp_path, Exchange.BINANCE, "BTCUSDT", minutes(0, 100)) == 0


def test_spans_that_two_note_at_once_are_both_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    note(tmp_path, 0, 1)
    with begun_at(monkeypatch, feeds, "replace_file", lambda: note(tmp_path, 1, 2)) as other:
        monkeypatch.setattr("liqmap.store.feeds.locked", other.watch(locked))
        note(tmp_path, 5, 6)
    assert windows(tmp_path) == [minutes(0, 2), minutes(5, 6)]


def test_spans_that_are_forgotten_while_another_is_noted_stay_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def forget() -> None:
        forget_feed(tmp_path, Exchange.BYBIT, "BTCUSDT", START.date())

    forget()
    note(tmp_path, 0, 1)
    with begun_at(monkeypatch, feeds, "replace_file", forget) as other:
        monkeypatch.setattr("liqmap.store.feeds.locked", other.watch(locked))
        note(tmp_path, 5, 6)
    assert minutes(0, 1) not in windows(tmp_path)
