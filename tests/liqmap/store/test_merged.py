from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from liqmap.model import Trades
from liqmap.store.damaged import damage_in
from liqmap.store.local import IN_USE_FOR, SegmentStore
from liqmap.store.merged import merged_parts
from liqmap.store.reading import read_table
from liqmap.store.segments import Part, Segment, open_segment
from liqmap.store.writer import write_segment
from tests.liqmap.conftest import DAY, Stored, trades_from

OLD = trades_from([(5, 100.0, 0.1, "buy"), (5, 100.0, 0.2, "buy")])
NEW = trades_from([(5, 100.0, 0.1, "buy"), (5, 100.0, 0.2, "buy"), (5, 100.0, 4.0, "buy")])


def sizes(segment: Segment) -> list[float]:
    return sorted(read_table(_part(segment).segment, "buy")["size"].tolist())


def _part(segment: Segment) -> Part:
    (found,) = merged_parts([Part(segment, segment.origin.window)])
    return found


def meanwhile(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    """Let `change` happen between the reading of fills and the storing of their orders."""

    def write(*arguments: Any, **options: Any) -> Segment:
        monkeypatch.undo()
        change()
        return write_segment(*arguments, **options)

    monkeypatch.setattr("liqmap.store.merged.write_segment", write)


def test_orders_of_a_day_that_is_replaced_meanwhile_never_pass_for_the_new_day_s(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def replace(trades: Trades) -> Segment:
        SegmentStore(tmp_path, max_size=0).remove(old.path)
        return stored(trades, DAY)

    old = stored(OLD, DAY)
    found: list[Segment] = []
    meanwhile(monkeypatch, lambda: found.append(replace(NEW)))
    assert sizes(old) == [0.3]
    assert sizes(found[0]) == [4.3]
    assert sizes(old) == [0.3]


def test_orders_of_a_day_that_is_evicted_meanwhile_leave_no_damaged_day(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    old, store = stored(OLD, DAY), SegmentStore(tmp_path, max_size=0)
    meanwhile(monkeypatch, lambda: store.remove(old.path))
    assert sizes(old) == [0.3]
    assert store.get(old.origin.exchange, old.origin.symbol, old.origin.window) is None
    assert damage_in(tmp_path).count == 0
    assert sizes(stored(NEW, DAY)) == [4.3]


def test_orders_count_for_the_size_of_the_store_and_go_like_days(stored: Stored, tmp_path: Path):
    day, store = stored(NEW, DAY), SegmentStore(tmp_path, max_size=0)
    orders = _part(day).segment
    now = datetime.now(UTC)
    long_ago = (now - 2 * IN_USE_FOR).timestamp()
    os.utime(orders.path, (long_ago, long_ago))
    store.evict(now=now)
    assert open_segment(orders.path) is None
    assert open_segment(day.path) is not None  # lately used


def test_orders_that_a_map_has_just_read_are_kept(stored: Stored, tmp_path: Path):
    day = stored(NEW, date(2023, 8, 1))
    orders = _part(day).segment
    now = datetime.now(UTC)
    long_ago = (now - timedelta(days=2)).timestamp()
    os.utime(orders.path, (long_ago, long_ago))
    assert sizes(day) == [4.3]
    SegmentStore(tmp_path, max_size=0).evict(now=now)
    assert open_segment(orders.path) is not None
