from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import liqmap.store.columns
from liqmap.compute.path import coarsened
from liqmap.compute.selection import Cut
from liqmap.errors import DamagedSegment, DataError
from liqmap.model import Exchange, Side, Trades, notional_of
from liqmap.model.window import DAY as A_DAY
from liqmap.model.window import TimeWindow
from liqmap.store.bars import path_of, read_bars, read_path_around, read_volume
from liqmap.store.columns import record_batch
from liqmap.store.largest import _notional, read_largest
from liqmap.store.reading import read_table, verify_segment
from liqmap.store.segments import (
    MANIFEST,
    TABLES,
    Origin,
    Segment,
    open_segment,
    segment_path,
    segment_paths,
)
from liqmap.store.writer import write_segment
from tests.liqmap.conftest import DAY, START_MS, Stored, random_trades, trades_from
from tests.liqmap.store.bundled import merged
from tests.liqmap.store.old import as_of_before

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = TimeWindow.of_day(DAY)


def seconds(first: int, last: int) -> TimeWindow:
    return TimeWindow(WHOLE.start + timedelta(seconds=first), WHOLE.start + timedelta(seconds=last))


def expected_largest(trades: Trades, side: Side, window: TimeWindow) -> np.ndarray:
    """Return row numbers of `side` in `window`, largest first, ties by row: the slow, plain way."""
    inside = (trades.time >= window.start_ms) & (trades.time < window.end_ms)
    rows = np.flatnonzero(inside & (trades.is_buy == (side is Side.BUY)))
    notional = trades.notional.tolist()  # summed up anew each time that it is asked for
    return np.array(sorted(rows.tolist(), key=lambda row: (-notional[row], row)), dtype=np.int64)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("window", [WHOLE, seconds(3600, 7200), seconds(86_399, 86_400)])
def test_read_largest_gives_back_the_very_trades_in_order(stored: Stored, side: Side, window: TimeWindow):
    trades = random_trades(40_000)
    found = read_largest(stored(trades), side, window=window, cut=Cut()).trades
    rows = expected_largest(trades, side, window)
    np.testing.assert_array_equal(found.time, trades.time[rows])
    np.testing.assert_array_equal(found.price, trades.price[rows])
    np.testing.assert_array_equal(found.notional, trades.notional[rows])


@pytest.mark.parametrize("count", [0, 1, 100, 8192, 8193, 10**6])
def test_read_largest_by_count_stops_at_the_count(stored: Stored, count: int):
    trades = random_trades(40_000)
    found = read_largest(stored(trades), Side.SELL, window=WHOLE, cut=Cut(count=count)).trades
    rows = expected_largest(trades, Side.SELL, WHOLE)[:count]
    np.testing.assert_array_equal(found.time, trades.time[rows])


def test_read_largest_by_minimum_includes_the_minimum_itself(stored: Stored):
    trades = trades_from([(0, 10.0, 2.0, "buy"), (1, 10.0, 1.0, "buy"), (2, 10.0, 3.0, "buy")])
    found = read_largest(stored(trades), Side.BUY, window=WHOLE, cut=Cut(minimum=20.0)).trades
    assert found.notional.tolist() == [30.0, 20.0]


def test_read_window_is_half_open(stored: Stored):
    trades = trades_from(
        [(999, 1.0, 1.0, "buy"), (1000, 2.0, 1.0, "buy"), (1999, 3.0, 1.0, "buy"), (2000, 4.0, 1.0, "buy")]
    )
    segment = stored(trades)
    assert sorted(read_largest(segment, Side.BUY, window=seconds(1, 2), cut=Cut()).trades.price) == [2.0, 3.0]
    assert read_bars(segment, seconds(1, 2)).low.tolist() == [2.0]


def test_bars_hold_each_second_that_traded(stored: Stored):
    trades = trades_from(
        [
            (100, 10.0, 1.0, "buy"),
            (200, 12.0, 1.0, "sell"),
            (900, 11.0, 2.0, "sell"),
            (86_399_999, 9.0, 1.0, "buy"),
        ]
    )
    bars = read_bars(stored(trades), WHOLE)
    assert (bars.time - START_MS).tolist() == [0, 86_399_000]
    assert (bars.low.tolist(), bars.high.tolist(), bars.close.tolist()) == ([10, 9], [12, 9], [11, 9])
    assert (bars.buys, bars.sells) == (2, 2)


@pytest.mark.parametrize("window", [WHOLE, seconds(3600, 7260)])
def test_minute_bars_are_the_second_bars_coarsened(stored: Stored, window: TimeWindow):
    segment = stored(random_trades(20_000))
    minutes, bars = (read_bars(segment, window, bin_seconds=each) for each in (120, 1))
    assert (minutes.buys, minutes.sells) == (bars.buys, bars.sells)
    expected = coarsened(path_of(bars), 60)
    for name in ("time", "low", "high", "close"):
        np.testing.assert_array_equal(getattr(minutes, name), getattr(expected, name))


@pytest.mark.parametrize(("window", "bin_seconds"), [(seconds(30, 7200), 120), (WHOLE, 30)])
def test_bars_are_of_seconds_where_minutes_would_not_do(stored: Stored, window: TimeWindow, bin_seconds: int):
    segment = stored(random_trades(20_000))
    assert len(read_bars(segment, window, bin_seconds=bin_seconds).time) > 1440


def test_segment_of_an_empty_day_is_whole_and_empty(stored: Stored):
    segment = stored(trades_from([]))
    assert open_segment(segment.path) == segment
    assert len(read_largest(segment, Side.BUY, window=WHOLE, cut=Cut(count=5)).trades) == 0
    assert read_bars(segment, WHOLE).buys == 0


def test_segment_manifest_has_its_origin(stored: Stored):
    segment = stored(random_trades(1000))
    reopened = open_segment(segment.path)
    assert reopened is not None
    assert reopened.origin == segment.origin
    assert reopened.buys + reopened.sells == 1000
    assert reopened.size == sum(file.stat().st_size for file in segment.path.glob("*.arrow"))


def test_segment_is_a_plain_arrow_file_for_other_tools(stored: Stored):
    trades = random_trades(1000)
    segment = stored(trades)
    with pa.memory_map(str(segment.path / "buy.arrow")) as file:
        table = pa.ipc.open_file(file).read_all()
    assert table.column_names == ["time", "price", "size", "extreme", "turn"]
    assert table.num_rows == segment.buys
    assert table.schema.field("price").metadata == {b"decimals": b"1"}


@pytest.mark.parametrize("side", Side)
def test_read_largest_knows_what_the_price_did_after_each_trade(stored: Stored, side: Side):
    trades = random_trades(2000)
    found = read_largest(stored(trades), side, window=WHOLE, cut=Cut())
    worst, never = (min, np.inf) if side is Side.BUY else (max, -np.inf)
    for time, extreme in zip(found.trades.time[::9], found.extreme[::9], strict=True):
        after = trades.price[trades.time // 1000 > time // 1000]
        assert extreme == worst(after, default=never)


@pytest.mark.parametrize(("side", "never"), [(Side.BUY, np.inf), (Side.SELL, -np.inf)])
def test_nothing_comes_after_the_trades_of_the_last_second(stored: Stored, side: Side, never: float):
    segment = stored(trades_from([(0, 5.0, 1.0, "buy"), (0, 5.0, 1.0, "sell"), (999, 4.0, 1.0, "buy")]))
    assert set(read_largest(segment, side, window=WHOLE, cut=Cut()).extreme) == {never}


def crowded_trades(count: int, *, seed: int = 1) -> Trades:
    """Return trades of which many share a millisecond, on both sides."""
    rng = np.random.default_rng(seed)
    time = START_MS + np.sort(rng.integers(0, 1 + count // 10, count))
    price, size = np.round(rng.uniform(99, 101, count), 2), rng.integers(1, 1000, count) / 100
    return Trades(time, price, size, rng.random(count) < 0.5)


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("count", [0, 1, 500])
def test_turns_give_back_the_order_in_which_trades_were_made(stored: Stored, side: Side, count: int):
    trades = crowded_trades(count)
    found = read_largest(stored(trades), side, window=WHOLE, cut=Cut(minimum=200.0), turns=True).trades
    assert found.turn is not None
    order = np.lexsort((found.turn, found.time))
    kept = (trades.is_buy == (side is Side.BUY)) & (trades.notional >= 200.0)
    np.testing.assert_array_equal(found.time[order], trades.time[kept])
    np.testing.assert_array_equal(found.notional[order], trades.notional[kept])


def test_more_trades_in_a_millisecond_than_a_byte_counts_keep_their_order(stored: Stored):
    sizes = np.random.default_rng(1).permutation(70_000).astype(np.float64) + 1
    trades = Trades(np.full(70_000, START_MS), np.ones(70_000), sizes, np.ones(70_000, np.bool_))
    found = read_largest(stored(trades), Side.BUY, window=WHOLE, cut=Cut(), turns=True).trades
    assert found.turn is not None
    np.testing.assert_array_equal(found.notional[np.argsort(found.turn)], sizes)


def test_segment_of_an_earlier_version_without_turns_is_read_and_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def batch_of_earlier_version(**columns: Any) -> pa.RecordBatch:
        return record_batch(**{name: column for name, column in columns.items() if name != "turn"})

    def write(window: TimeWindow, rows: list[tuple[int, float, float, str]]) -> Segment:
        origin = Origin(Exchange.BINANCE, "BTCUSDT", window, "https://example.org", "")
        path = tmp_path / os.urandom(8).hex()
        return write_segment(path, origin, trades_from(rows), incoming=tmp_path / "incoming")

    with monkeypatch.context() as patch:
        patch.setattr(liqmap.store.columns, "record_batch", batch_of_earlier_version)
        older = write(seconds(0, 60), [(5, 1.0, 2.0, "buy"), (5, 1.0, 3.0, "buy")])
    assert "turn" not in read_table(older, "buy")
    found = read_largest(older, Side.BUY, window=WHOLE, cut=Cut(), turns=True).trades
    assert found.turn is not None
    assert (found.notional.tolist(), found.turn.tolist()) == ([3.0, 2.0], [0, 0])
    newer = write(seconds(60, 120), [(60_000, 1.0, 1.0, "buy")])
    both = merged(tmp_path, [older, newer])
    assert read_table(both, "buy")["turn"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "price",
    [
        [0.00001234, 0.00001235],  # a cheap coin: whole units of 1e-8
        [5e9, 5e9 + 0.5],  # beyond 32 bits
        [1 / 3, 2 / 3],  # on no decimal grid: kept as floats
        [1e300, 2e300],
    ],
)
def test_prices_of_any_scale_come_back_exactly(stored: Stored, price: list[float]):
    segment = stored(trades_from([(i, value, 1.0, "buy") for i, value in enumerate(price)]))
    found = read_largest(segment, Side.BUY, window=WHOLE, cut=Cut()).trades
    assert sorted(found.price.tolist()) == price


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(
    prices=st.lists(st.floats(1e-9, 1e9, allow_subnormal=False), min_size=1, max_size=20),
    sizes=st.lists(st.decimals("0.001", "1000", places=3).map(float), min_size=20, max_size=20),
)
def test_any_trades_come_back_exactly(tmp_path: Path, prices: list[float], sizes: list[float]):
    trades = trades_from(
        [(i, price, size, "sell") for i, (price, size) in enumerate(zip(prices, sizes, strict=False))]
    )
    path = tmp_path / os.urandom(8).hex()
    origin = Origin(Exchange.BYBIT, "BTCUSDT", WHOLE, "https://example.org", "")
    segment = write_segment(path, origin, trades, incoming=tmp_path / "incoming")
    found = read_largest(segment, Side.SELL, window=WHOLE, cut=Cut()).trades
    rows = expected_largest(trades, Side.SELL, WHOLE)
    np.testing.assert_array_equal(found.price, trades.price[rows])
    np.testing.assert_array_equal(found.notional, trades.notional[rows])


def test_segment_written_twice_keeps_the_first(stored: Stored):
    first = stored(random_trades(10))
    second = stored(random_trades(20))
    assert second == first
    assert list((first.path.parents[3] / "incoming").iterdir()) == []


@pytest.mark.parametrize("name", ["buy.arrow", "sell.arrow", "bars.arrow", "minutes.arrow", "manifest.json"])
def test_segment_with_a_shortened_file_is_not_opened(stored: Stored, name: str):
    segment = stored(random_trades(1000))
    os.truncate(segment.path / name, 100)
    with pytest.raises(DamagedSegment) as caught:
        open_segment(segment.path)
    assert caught.value.path == segment.path
    assert name in caught.value.damage


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("window", [WHOLE, seconds(3600, 7260), seconds(7, 50_000)])
def test_segments_without_checksums_are_read_alike(stored: Stored, side: Side, window: TimeWindow):
    segment = stored(random_trades(40_000))

    def read(segment: Segment) -> list[np.ndarray]:
        found = read_largest(segment, side, window=window, cut=Cut(minimum=3e4))
        bars = [read_bars(segment, window, bin_seconds=each) for each in (1, 60)]
        path = read_path_around(segment, window, found.trades.time[:2])
        return [
            *(found.trades.time, found.trades.price, found.trades.notional, found.extreme),
            *(getattr(each, name) for each in bars for name in ("time", "low", "high", "close", "buy_count")),
            *(path.low.min(keepdims=True), path.high.max(keepdims=True), path.close[-1:]),
        ]

    for new, old in zip(read(segment), read(as_of_before(segment)), strict=True):
        assert new.dtype == old.dtype
        np.testing.assert_array_equal(new, old)


def test_segments_without_checksums_get_them_when_merged(stored: Stored, tmp_path: Path):
    days = [
        as_of_before(
            stored(random_trades(2000, start_ms=START_MS + number * 86_400_000), DAY + number * A_DAY)
        )
        for number in range(2)
    ]
    both = merged(tmp_path, days)
    assert set(both.checks) == set(TABLES)
    verify_segment(both)


@pytest.mark.parametrize("name", TABLES)
def test_damage_of_unchanged_size_is_found_when_it_is_read(stored: Stored, name: str):
    segment = stored(random_trades(20_000))
    path = segment.path / f"{name}.arrow"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert open_segment(segment.path) == segment
    for reading in (lambda: read_table(segment, name), lambda: verify_segment(segment)):
        with pytest.raises(DamagedSegment) as caught:
            reading()
        assert caught.value.damage.startswith(f"{name}.arrow has another checksum, bytes ")


def test_manifest_with_one_other_digit_is_damaged(stored: Stored):
    segment = stored(random_trades(1000))
    manifest = segment.path / MANIFEST
    written = manifest.read_bytes()
    for number in re.finditer(rb"(?<!xxh)\d", written):
        content = bytearray(written)
        content[number.start()] ^= 1
        manifest.write_bytes(content)
        with pytest.raises(DamagedSegment):
            open_segment(segment.path)
    manifest.write_bytes(written)
    assert open_segment(segment.path) == segment


def test_segment_gone_while_reading_is_a_data_error(stored: Stored):
    segment = stored(random_trades(10))
    (segment.path / "buy.arrow").unlink()
    with pytest.raises(DataError, match="ask again"):
        read_largest(segment, Side.BUY, window=WHOLE, cut=Cut())


def test_full_disk_is_a_sentence_and_leaves_nothing(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        stored(random_trades(10))
    assert list(segment_paths(tmp_path)) == []
    assert list((tmp_path / "incoming").iterdir()) == []


KILLED_AT_EACH_STEP = """
import os, signal, sys
from pathlib import Path

from liqmap.model import Exchange
from liqmap.model.window import DAY as A_DAY
from liqmap.model.window import TimeWindow
from liqmap.store.writer import write_segment
from liqmap.store.segments import Origin, segment_path
from tests.liqmap.conftest import DAY, random_trades

STEPS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove"}
window = TimeWindow.of_day(DAY)
origin = Origin(Exchange.BINANCE, "BTCUSDT", window, "https://example.org/day.zip", "")
trades = random_trades(1000)

def write_until(step, root):
    def count(event, arguments):
        nonlocal step
        if event in STEPS and str(root) in str(arguments[0]):
            step -= 1
            if step == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    path = segment_path(root, origin.exchange, origin.symbol, window)
    write_segment(path, origin, trades, incoming=root / "incoming")
    os._exit(0)

for step in range(1, 50):
    root = Path(sys.argv[1]) / str(step)
    root.mkdir()
    child = os.fork() or write_until(step, root)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def test_killed_at_any_step_leaves_no_half_segment(tmp_path: Path):
    subprocess.run([sys.executable, "-c", KILLED_AT_EACH_STEP, str(tmp_path)], check=True)  # noqa: S603
    found = {
        int(root.name): [open_segment(path) for path in segment_paths(root)] for root in tmp_path.iterdir()
    }
    last = max(found)
    assert 5 < last < 49, "the steps of writing were not all seen"
    assert found[1] == []
    assert len(found[last]) == 1
    for step, segments in found.items():
        assert None not in segments, f"half a segment is visible after step {step}"
        for segment in segments:
            assert isinstance(segment, Segment)
            assert len(read_largest(segment, Side.BUY, window=WHOLE, cut=Cut()).trades) == segment.buys


def test_segments_of_two_days_stand_beside_each_other(stored: Stored, tmp_path: Path):
    stored(random_trades(10))
    next_day = START_MS + 86_400_000
    stored(random_trades(10, start_ms=next_day), day=date(2023, 8, 2))
    assert len(list(segment_paths(tmp_path))) == 2


def test_table_of_a_side_without_trades_is_empty(stored: Stored):
    segment = stored(trades_from([(0, 100.5, 1.0, "buy")]))
    buys, sells = (read_table(segment, side) for side in ("buy", "sell"))
    assert {name: len(column) for name, column in sells.items()} == {
        "time": 0,
        "price": 0,
        "size": 0,
        "extreme": 0,
        "turn": 0,
    }
    assert {name: column.dtype for name, column in sells.items()} == {
        name: column.dtype for name, column in buys.items()
    }


def test_minutes_of_which_one_had_no_sale_are_merged(stored: Stored, tmp_path: Path):
    days = [
        stored(trades_from([(0, 100.5, 1.0, "buy"), (1, 100.0, 1.0, "sell")])),
        stored(
            trades_from([(0, 101.5, 1.0, "buy")], start_ms=START_MS + 86_400_000), DAY + timedelta(days=1)
        ),
    ]
    both = merged(tmp_path, days)
    assert (both.buys, both.sells) == (2, 1)
    assert read_table(both, "buy")["price"].tolist() == [101.5, 100.5]


@pytest.mark.parametrize("bin_seconds", [1, 60])
@pytest.mark.parametrize("known", [True, False], ids=["stored", "of before"])
def test_volume_is_that_of_all_trades_of_each_minute(
    stored: Stored, monkeypatch: pytest.MonkeyPatch, known: bool, bin_seconds: int
):
    trades = random_trades(5000)
    if not known:
        monkeypatch.setattr(liqmap.store.columns, "VOLUME", "nothing")
    segment = stored(trades)
    window = seconds(3 * 3600, 86_400)
    bars = read_bars(segment, window, bin_seconds=bin_seconds)
    assert (bars.volume is not None) == (known and bin_seconds == 60)
    time, size = read_volume(segment, window, bars=bars)
    inside = trades.time >= window.start_ms
    minutes, place = np.unique(trades.time[inside] // 60_000 * 60_000, return_inverse=True)
    assert time.tolist() == minutes.tolist()
    assert size == pytest.approx(np.bincount(place, weights=trades.size[inside]))


@pytest.mark.parametrize("bin_seconds", [1, 60])
@pytest.mark.parametrize("start", [0, 17], ids=["of a day", "begun within a minute"])
@pytest.mark.parametrize(
    ("first", "last"), [(17, 3600), (77, 3600), (60, 3661), (0, 3600), (301, 359), (317, 318)]
)
def test_volume_of_a_part_that_cuts_minutes_is_that_of_its_own_trades(
    tmp_path: Path, start: int, first: int, last: int, bin_seconds: int
):
    trades = random_trades(86_400)
    whole = seconds(start, 3661)
    inside = (trades.time >= whole.start_ms) & (trades.time < whole.end_ms)
    held = Trades(trades.time[inside], trades.price[inside], trades.size[inside], trades.is_buy[inside])
    path = segment_path(tmp_path, Exchange.BINANCE, "BTCUSDT", whole)
    origin = Origin(Exchange.BINANCE, "BTCUSDT", whole, "https://example.org", "ab" * 32)
    segment = write_segment(path, origin, held, incoming=tmp_path)
    window = seconds(max(first, start), last)
    time, size = read_volume(segment, window, bars=read_bars(segment, window, bin_seconds=bin_seconds))
    of_part = (held.time >= window.start_ms) & (held.time < window.end_ms)
    minutes, place = np.unique(held.time[of_part] // 60_000 * 60_000, return_inverse=True)
    assert time.tolist() == minutes.tolist()
    assert size == pytest.approx(np.bincount(place, weights=held.size[of_part]))


@given(
    rows=st.lists(st.tuples(st.integers(1, 2**32 - 1), st.integers(1, 2**40)), min_size=1, max_size=20),
    decimals=st.tuples(st.integers(0, 12), st.integers(0, 12)),
)
def test_notional_of_whole_numbers_is_that_of_their_floats_to_the_bit(
    rows: list[tuple[int, int]], decimals: tuple[int, int]
):
    price, size = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    prices, sizes = price / 10.0 ** decimals[0], size / 10.0 ** decimals[1]
    found = _notional([price, size], prices, decimals, inverse=False)
    assert found.tolist() == notional_of(prices, sizes, inverse=False).tolist()
