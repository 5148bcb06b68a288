from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liqmap.compute.selection import Cut
from liqmap.errors import DataError
from liqmap.model import Exchange, Hole, Side, Trades
from liqmap.model.window import TimeWindow
from liqmap.store.bars import read_bars
from liqmap.store.largest import read_largest
from liqmap.store.segments import VIA_REST, VIA_STREAM, Origin, Segment, open_segment
from liqmap.store.writer import merged_record, write_segment
from tests.liqmap.conftest import DAY, random_trades, trades_from
from tests.liqmap.store.bundled import merged

WHOLE = TimeWindow.of_day(DAY)
TABLES = ("bars", "buy", "sell")


def seconds(first: int, last: int) -> TimeWindow:
    return TimeWindow(WHOLE.start + timedelta(seconds=first), WHOLE.start + timedelta(seconds=last))


def origin_of(window: TimeWindow, **changes: object) -> Origin:
    plain = Origin(Exchange.BINANCE, "BTCUSDT", window, "wss://example.org", "", via=(VIA_STREAM,))
    return replace(plain, **changes)  # type: ignore[arg-type]  # whatever a test changes


def inside(trades: Trades, window: TimeWindow) -> Trades:
    rows = (trades.time >= window.start_ms) & (trades.time < window.end_ms)
    return Trades(
        trades.time[rows], trades.price[rows], trades.size[rows], trades.is_buy[rows], trades.inverse
    )


def written(folder: Path, trades: Trades, window: TimeWindow, **changes: object) -> Segment:
    path = folder / os.urandom(8).hex()
    its = inside(trades, window)
    origin = origin_of(window, inverse=trades.inverse, **changes)
    return write_segment(path, origin, its, incoming=folder / "incoming")


def tables_of(segment: Segment) -> dict[str, pa.Table]:
    tables = {}
    for name in TABLES:
        content = pa.BufferReader(segment.file(f"{name}.arrow"))
        tables[name] = pa.ipc.open_file(content).read_all()
    return tables


def assert_same(one: Segment, other: Segment) -> None:
    first, second = tables_of(one), tables_of(other)
    for name in TABLES:
        assert first[name].schema.equals(second[name].schema, check_metadata=True), name
        assert first[name].equals(second[name]), name
    assert (one.buys, one.sells, one.sizes) == (other.buys, other.sells, other.sizes)
    assert (one.origin.window, one.origin.inverse) == (other.origin.window, other.origin.inverse)


def cut_at(bounds: list[int]) -> list[TimeWindow]:
    return [seconds(first, last) for first, last in pairwise(bounds)]


def test_merged_day_equals_the_day_written_at_once(tmp_path: Path):
    trades = random_trades(40_000)
    bounds = [0, *range(3600, 86_400, 3600), 86_400]
    hours = [written(tmp_path, trades, window) for window in cut_at(bounds)]
    whole = merged(tmp_path, hours)
    assert_same(whole, written(tmp_path, trades, WHOLE))
    assert open_segment(whole.path) == whole


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 9_999),
            st.sampled_from([28_000.1, 28_000.25, 1e-8, 1 / 3, 5e9]),
            st.sampled_from([0.001, 0.5, 2.0]),
            st.sampled_from(["buy", "sell"]),
        ),
        max_size=40,
    ),
    cuts=st.sets(st.integers(1, 9), max_size=9),
    inverse=st.booleans(),
)
def test_any_trades_cut_anywhere_merge_into_the_same_tables(
    tmp_path: Path, rows: list[tuple[int, float, float, str]], cuts: set[int], inverse: bool
):
    """Empty pieces, one side only, equal notionals, and prices of another scale in each piece."""
    plain = trades_from(sorted(rows, key=lambda row: row[0]))
    trades = Trades(plain.time, plain.price, plain.size, plain.is_buy, inverse)
    pieces = [written(tmp_path, trades, window) for window in cut_at([0, *sorted(cuts), 10])]
    assert_same(merged(tmp_path, pieces), written(tmp_path, trades, seconds(0, 10)))


def test_merging_can_be_done_in_steps(tmp_path: Path):
    trades = random_trades(20_000)
    parts = [written(tmp_path, trades, window) for window in cut_at([0, 30_000, 50_000, 86_400])]
    in_steps = merged(tmp_path, [merged(tmp_path, parts[:2]), parts[2]])
    assert_same(in_steps, merged(tmp_path, parts))


def test_quiet_pieces_merge_into_a_quiet_segment(tmp_path: Path):
    pieces = [written(tmp_path, trades_from([]), window) for window in cut_at([0, 60, 120])]
    whole = merged(tmp_path, pieces)
    assert (whole.buys, whole.sells, whole.origin.window) == (0, 0, seconds(0, 120))
    assert len(read_largest(whole, Side.BUY, window=seconds(0, 120), cut=Cut()).trades) == 0
    assert len(read_bars(whole, seconds(0, 120)).time) == 0


def test_origin_of_a_merged_segment_names_all_it_is_made_of(tmp_path: Path):
    trades = random_trades(5000)
    windows = cut_at([0, 60, 120, 180])
    of_one: dict[str, Any] = {
        "first_id": 5,
        "last_id": 9,
        "lost_ids": 1,
        "duplicates": 2,
        "zero_sizes": 4,
        "holes": (Hole(1, 20_000, 1),),
        "sha256": "ab" * 32,
    }
    of_two: dict[str, Any] = {"first_id": None, "last_id": None, "simulated": True}
    of_three: dict[str, Any] = {
        "first_id": 10,
        "last_id": 12,
        "lost_ids": 3,
        "zero_sizes": 3,
        "holes": (Hole(130_000, 150_000, 3),),
        "source": "https://example.org",
        "via": (VIA_REST,),
    }
    parts = [
        written(tmp_path, trades, window, **changes)
        for window, changes in zip(windows, (of_one, of_two, of_three), strict=True)
    ]
    origin = merged(tmp_path, parts).origin
    assert origin == origin_of(
        seconds(0, 180),
        source="wss://example.org + https://example.org",
        sha256="",
        simulated=True,
        first_id=5,
        last_id=12,
        lost_ids=4,
        duplicates=2,
        zero_sizes=7,
        holes=(Hole(1, 20_000, 1), Hole(130_000, 150_000, 3)),
        via=(VIA_STREAM, VIA_REST),
    )


def test_ids_lost_between_pieces_are_those_of_the_merged_segment(tmp_path: Path):
    quiet = trades_from([])
    parts = [
        written(tmp_path, trades, window, first_id=ids[0], last_id=ids[1])
        for window, trades, ids in zip(
            cut_at([0, 28_800, 57_600, 86_400]),
            (random_trades(500), quiet, random_trades(500)),
            ((5, 9), (None, None), (12, 20)),
            strict=True,
        )
    ]
    assert merged(tmp_path, parts).origin.lost_ids == 2


@pytest.mark.parametrize("name", TABLES)
def test_segment_gone_while_merging_is_a_data_error(tmp_path: Path, name: str):
    trades = random_trades(5000)
    parts = [written(tmp_path, trades, window) for window in cut_at([0, 43_200, 86_400])]
    (parts[1].path / f"{name}.arrow").unlink()
    with pytest.raises(DataError, match="ask again"):
        merged_record(tmp_path / "whole", parts)
