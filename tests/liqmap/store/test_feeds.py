from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.model import Exchange
from liqmap.store.feeds import feed_coverage, feed_path, feed_windows, note_feed
from liqmap.window import TimeWindow

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
    assert len(path.read_text().splitlines()) == 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_line_cut_off_by_a_crash_is_written_over(tmp_path: Path):
    note(tmp_path, 0, 1)
    path = feed_path(tmp_path, Exchange.BYBIT, "BTCUSDT", START.date())
    path.write_bytes(path.read_bytes() + b"17910720")
    assert windows(tmp_path) == [minutes(0, 1)]
    note(tmp_path, 5, 6)
    assert windows(tmp_path) == [minutes(0, 1), minutes(5, 6)]


@pytest.mark.parametrize("junk", ["", "a,b", "9" * 13 + "," + "0" * 13, "1,2,3", "\ufffd"])
def test_what_is_no_span_is_left_out(tmp_path: Path, junk: str):
    note(tmp_path, 0, 1)
    path = feed_path(tmp_path, Exchange.BYBIT, "BTCUSDT", START.date())
    path.write_text(f"{junk}\n{path.read_text()}")
    assert windows(tmp_path) == [minutes(0, 1)]


def test_coverage_is_the_share_of_a_window(tmp_path: Path):
    note(tmp_path, 0, 45)
    note(tmp_path, 50, 200)
    assert feed_coverage(tmp_path, Exchange.BYBIT, "BTCUSDT", minutes(0, 100)) == pytest.approx(0.95)
    assert feed_coverage(tmp_path, Exchange.BINANCE, "BTCUSDT", minutes(0, 100)) == 0
