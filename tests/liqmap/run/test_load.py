from __future__ import annotations

import shutil
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import liqmap.run.loaded
from liqmap.compute.aftermath import aftermath
from liqmap.compute.selection import Cut
from liqmap.model import (
    ALL_PICTURES,
    PICTURES,
    Exchange,
    GrossValue,
    MapRequest,
    Picture,
    Portion,
    Selection,
    Side,
    TopN,
)
from liqmap.model.window import DAY, TimeWindow
from liqmap.run.load import load
from liqmap.run.loaded import Loaded, together
from liqmap.store.bars import path_of, read_bars
from liqmap.store.largest import Largest, read_largest
from liqmap.store.segments import Origin, Part, Segment, segment_path
from liqmap.store.writer import write_segment
from tests.conftest import BTCUSDT
from tests.liqmap.conftest import DAY as DATE
from tests.liqmap.conftest import Stored, random_trades
from tests.liqmap.store.old import as_of_before

WHOLE = TimeWindow.of_day(DATE)


def loaded(
    parts: tuple[Part, ...],
    selection: Selection,
    *,
    bin_seconds: int,
    pictures: frozenset[Picture] = PICTURES,
) -> Loaded:
    window = TimeWindow(parts[0].window.start, parts[-1].window.end)
    request = MapRequest(BTCUSDT, window, selection, pictures=pictures)
    return load(request, parts, bin_seconds=bin_seconds)


def cut_at(segment: Segment, *seconds: int) -> tuple[Part, ...]:
    """Return a day's segment in parts that end at `seconds`, and at its end."""
    moments = [WHOLE.start, *(WHOLE.start + timedelta(seconds=each) for each in seconds), WHOLE.end]
    return tuple(Part(segment, TimeWindow(*pair)) for pair in pairwise(moments))


@pytest.mark.parametrize("selection", [TopN(50), TopN(5000), GrossValue(2e4), Portion(0.02)])
@pytest.mark.parametrize("bin_seconds", [120, 300])
@pytest.mark.parametrize("few", [0, 10**6], ids=["searched for in stretches", "together"])
def test_parts_give_the_same_levels_as_the_whole(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, selection: Selection, bin_seconds: int, few: int
):
    monkeypatch.setattr(liqmap.run.loaded, "_STRETCH", few)
    segment = stored(random_trades(30_000))
    whole = loaded((Part(segment, WHOLE),), selection, bin_seconds=bin_seconds, pictures=ALL_PICTURES)
    # Within a bin, twice within one bin, within a second bar's minute, and at a bin's end.
    parts = loaded(
        cut_at(segment, 30_000, 40_010, 40_011, 40_070, 50_400),
        selection,
        bin_seconds=bin_seconds,
        pictures=ALL_PICTURES,
    )
    assert parts.trade_count == whole.trade_count
    for name in ("time", "low", "high", "close"):
        np.testing.assert_array_equal(getattr(parts.path, name), getattr(whole.path, name))
    found, expected = (together(list(each.entries(timed=True))) for each in (parts, whole))
    for side in Side:
        for name in ("time", "price", "notional"):
            one, other = (getattr(each.trades[side], name) for each in (found, expected))
            np.testing.assert_array_equal(one, other)
        for name in ("extreme", "soon"):
            one, other = (getattr(each.after[side], name) for each in (found, expected))
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("count", [1, 5, 20, 300])
@pytest.mark.parametrize("before_checksums", [False, True])
def test_aftermath_of_a_day_read_from_minutes_equals_that_from_seconds(
    stored: Stored, count: int, before_checksums: bool
):
    segment = stored(random_trades(30_000))
    if before_checksums:
        segment = as_of_before(segment)
    parts = (Part(segment, WHOLE),)
    found = together(
        list(loaded(parts, TopN(count), bin_seconds=300, pictures=ALL_PICTURES).entries(timed=True))
    )
    bars = path_of(read_bars(segment, WHOLE))
    for side, never in ((Side.BUY, np.inf), (Side.SELL, -np.inf)):
        trades = read_largest(segment, side, window=WHOLE, cut=Cut(count=count)).trades
        expected = aftermath(bars, trades, bin_seconds=300, later=never)
        np.testing.assert_array_equal(found.after[side].extreme, expected.extreme)
        np.testing.assert_array_equal(found.after[side].soon, expected.soon)


@pytest.mark.parametrize("selection", [TopN(50), TopN(5000), GrossValue(2e4)])
@pytest.mark.parametrize("cuts", [(), (30_000,)], ids=["whole", "in parts"])
def test_stored_aftermath_equals_that_computed_from_seconds(
    stored: Stored, selection: Selection, cuts: tuple[int, ...]
):
    parts = cut_at(stored(random_trades(30_000)), *cuts)
    found, expected = (
        together(list(loaded(parts, selection, bin_seconds=120, pictures=ALL_PICTURES).entries(timed=timed)))
        for timed in (False, True)
    )
    for side in Side:
        np.testing.assert_array_equal(found.after[side].extreme, expected.after[side].extreme)
        assert np.isinf(expected.after[side].extreme).sum() < 5
    assert found.after[Side.BUY].soon is None


@pytest.mark.parametrize("selection", [TopN(50), GrossValue(2e4)])
@pytest.mark.parametrize("bin_seconds", [30, 120])
def test_heatmap_of_a_day_reads_nothing_twice(stored: Stored, selection: Selection, bin_seconds: int):
    segment = stored(random_trades(30_000))
    moments = np.arange(WHOLE.start_ms, WHOLE.end_ms, 1_234_567)
    read = loaded(cut_at(segment, 50_000), selection, bin_seconds=bin_seconds, pictures=ALL_PICTURES)
    expected, prices = together(list(read.entries(timed=True))), read.median_prices(moments)
    kept = read.with_entries()
    shutil.rmtree(segment.path)
    np.testing.assert_array_equal(kept.median_prices(moments), prices)
    for timed in (False, True):
        found = together(list(kept.entries(timed=timed)))
        for side in Side:
            np.testing.assert_array_equal(found.trades[side].time, expected.trades[side].time)
            np.testing.assert_array_equal(found.after[side].extreme, expected.after[side].extreme)
            np.testing.assert_array_equal(found.after[side].soon, expected.after[side].soon)


def test_entries_are_read_one_stretch_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(liqmap.run.loaded, "_STRETCH", 1)
    parts = []
    for day in (DATE, DATE + DAY, DATE + 2 * DAY):
        window = TimeWindow.of_day(day)
        origin = Origin(Exchange.BINANCE, "BTCUSDT", window, "https://example.org", "")
        path = segment_path(tmp_path, origin.exchange, origin.symbol, window)
        trades = random_trades(1000, start_ms=window.start_ms)
        parts.append(Part(write_segment(path, origin, trades, incoming=tmp_path / "incoming"), window))
    reads: list[TimeWindow] = []

    def counted(segment: Segment, side: Side, *, window: TimeWindow, cut: Cut, turns: bool) -> Largest:
        reads.append(window)
        return read_largest(segment, side, window=window, cut=cut, turns=turns)

    monkeypatch.setattr(liqmap.run.loaded, "read_largest", counted)
    stretches = loaded(tuple(parts), GrossValue(1.0), bin_seconds=600).entries()
    assert reads == []
    newest = next(stretches)
    assert set(reads) == {parts[2].window}
    assert newest.trades[Side.BUY].time.min() >= parts[2].window.start_ms
    assert sum(1 for _ in stretches) == 2
