from __future__ import annotations

import os
import re
import zipfile
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from liqmap.collect.ingest import StoreJob, run_store_job
from liqmap.compute.adding import LARGEST_KEPT
from liqmap.compute.by_price import MANY
from liqmap.compute.heatmap import build_heatmap
from liqmap.compute.levels import all_levels
from liqmap.compute.margin import liquidation_price
from liqmap.compute.path import path_bin_seconds
from liqmap.compute.summary import summarize
from liqmap.compute.values import LiquidationLevels, LiquidationMap
from liqmap.errors import DataError, RequestError
from liqmap.exchanges.fields import LEAST_PRICE, LEAST_SIZE, MOST
from liqmap.model import (
    ALL_PICTURES,
    Coverage,
    Exchange,
    Gap,
    GapKind,
    GrossValue,
    MapRequest,
    MarginModel,
    Market,
    Mode,
    Picture,
    Portion,
    PositionModel,
    Selection,
    Side,
    SweepPrice,
    TopN,
    Trades,
)
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import TimeWindow
from liqmap.parsing import parse_selection
from liqmap.run.job import MapJob, compute_map, load_job, margin_of, run_map_job
from liqmap.run.joint import JointJob, run_joint_job
from liqmap.store.local import SegmentStore
from liqmap.store.segments import Origin, Part, Segment, segment_path
from liqmap.store.writer import write_segment
from liqmap.text import interest_warnings, margin_text
from tests.conftest import BTCUSDT
from tests.liqmap.conftest import DAY, START_MS, Stored, random_trades, trades_from

BINANCE, BYBIT = Exchange.BINANCE, Exchange.BYBIT
COIN_M = "the brackets of Binance COIN-M contracts"

MIDNIGHT = datetime(2023, 8, 2, tzinfo=UTC)


def job(segments: list[Segment], window: TimeWindow, selection: Selection, **options: Any) -> MapJob:
    request = MapRequest(BTCUSDT, window, selection, **options)
    parts = [(segment, segment.origin.window.overlap(window)) for segment in segments]
    return MapJob(
        request, tuple(Part(segment, part) for segment, part in parts if part), Coverage(window, (window,))
    )


def load_map(job: MapJob) -> LiquidationMap:
    return compute_map(job, load_job(job))


def levels_of_job(job: MapJob) -> tuple[LiquidationLevels, ...]:
    """Return the levels of a job whose entries are one stretch: longs' first."""
    last_price = load_map(job).last_price
    entries = load_job(job).entries(timed=True)
    (levels,) = all_levels(entries, job.request, margin_of(job)[0], last_price=last_price)
    return levels


def two_days(stored: Stored) -> tuple[list[Segment], Trades]:
    """Return the segments of two days and all their trades as one."""
    days = [random_trades(20_000, seed=seed, start_ms=START_MS + seed * 86_400_000) for seed in (0, 1)]
    segments = [stored(trades, DAY + timedelta(days=index)) for index, trades in enumerate(days)]
    time, price, size, is_buy = (
        np.concatenate([getattr(day, name) for day in days]) for name in ("time", "price", "size", "is_buy")
    )
    return segments, Trades(time, price, size, is_buy)


@pytest.mark.parametrize(
    "selection",
    [TopN(1), TopN(150), TopN(10**6), GrossValue(5_000.0), Portion(0.01), Portion(0.5), Portion(1.0)],
)
@pytest.mark.parametrize(
    ("start", "end"), [(-6, 6), (-24, 24), (-1, 0), (0, 1)], ids=["across", "whole", "before", "after"]
)
def test_selection_across_days_equals_sorting_all_trades(
    stored: Stored, selection: Selection, start: int, end: int
):
    segments, trades = two_days(stored)
    window = TimeWindow(MIDNIGHT + timedelta(hours=start), MIDNIGHT + timedelta(hours=end))
    chosen = [s for s in segments if s.origin.window.overlap(window)]
    drawn = load_map(job(chosen, window, selection))
    inside = (trades.time >= window.start_ms) & (trades.time < window.end_ms)
    assert drawn.trade_count == inside.sum()
    for found, is_buy in ((drawn.buys, True), (drawn.sells, False)):
        rows = np.flatnonzero(inside & (trades.is_buy == is_buy))
        rows = rows[np.argsort(-trades.notional[rows], kind="stable")]
        match selection:
            case TopN(count):
                rows = rows[:count]
            case GrossValue(minimum):
                rows = rows[trades.notional[rows] >= minimum]
            case Portion(fraction):
                rows = rows[: int(len(rows) * fraction)]
        np.testing.assert_array_equal(found.largest.time, trades.time[rows][:LARGEST_KEPT])
        np.testing.assert_array_equal(found.largest.notional, trades.notional[rows][:LARGEST_KEPT])
        assert found.count == len(rows)
        assert found.notional == pytest.approx(trades.notional[rows].sum())
    assert drawn.last_price == trades.price[np.flatnonzero(inside)[-1]]


def test_map_job_draws_both_pictures_and_reports_their_times(stored: Stored):
    result = run_map_job(job([stored(random_trades(5000))], TimeWindow.of_day(DAY), TopN(10)))
    assert result.pictures[Picture.MAP].startswith(b"\x89PNG")
    assert result.pictures[Picture.DEPTH].startswith(b"\x89PNG")
    assert set(result.timings_ms) == {"load", "compute", "map", "depth"}
    assert result.summary.selected_buy == 10
    assert result.levels_csv is None


def test_map_job_adds_the_levels_on_request(stored: Stored):
    result = run_map_job(job([stored(random_trades(500))], TimeWindow.of_day(DAY), TopN(10), levels_csv=True))
    assert result.levels_csv is not None
    assert result.levels_csv.count(b"\n") == 1 + 2 * 4 * 10


ROWS = [(1000, 100.0, 823.0, "buy"), (2000, 100.0, 500.0, "sell"), (3000, 100.0, 3.0, "sell")]


@pytest.mark.parametrize(
    ("selection", "sentence"),
    [
        (
            GrossValue(1e5),
            r"reaches 100,000: the largest is 82,300\. Try gross_value 80,000 or a longer window",
        ),
        (Portion(0.1), r"^10% of 2 BTCUSDT trades a side is less than one trade\. Try portion 53% or"),
    ],
)
def test_nothing_selected_names_a_value_that_works(stored: Stored, selection: Selection, sentence: str):
    segments = [stored(trades_from(ROWS))]
    with pytest.raises(RequestError, match=sentence):
        run_map_job(job(segments, TimeWindow.of_day(DAY), selection))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    mode=st.sampled_from([Mode.GROSS_VALUE, Mode.PORTION]),
    trades=st.integers(1, 20_000),
    notional=st.floats(1e-9, 1e9),
    side=st.sampled_from(["buy", "sell"]),
)
@example(mode=Mode.PORTION, trades=30_000, notional=1.0, side="buy")
@example(mode=Mode.PORTION, trades=1, notional=1.0, side="sell")
@example(mode=Mode.GROSS_VALUE, trades=1, notional=0.9, side="sell")
def test_value_that_is_suggested_selects_something(
    tmp_path: Path, mode: Mode, trades: int, notional: float, side: str
):
    day, folder = TimeWindow.of_day(DAY), tmp_path / os.urandom(8).hex()
    of = trades_from([(number, 1.0, notional, side) for number in range(trades)])
    (part,) = held_by(folder, of, [day], day)
    nothing = GrossValue(1e12) if mode is Mode.GROSS_VALUE else Portion(1e-6)
    with pytest.raises(RequestError, match=f"Try {mode} ") as caught:
        load_map(job([part.segment], day, nothing))
    value = re.search(rf"Try {mode} (\S+) or a longer window", str(caught.value))
    assert value is not None
    drawn = load_map(job([part.segment], day, parse_selection(mode, value[1])))
    assert drawn.buys.count + drawn.sells.count > 0


@pytest.mark.parametrize(("price", "size"), [(0.57, 100.0), (1.1, 1.1), (4.35, 100.0), (64.1, 3.0)])
def test_trade_exactly_at_the_threshold_is_selected(stored: Stored, price: float, size: float):
    exact = float(Decimal(str(price)) * Decimal(str(size)))
    assert exact != price * size  # in floats they differ
    segments = [stored(trades_from([(1000, price, size, "buy"), (2000, price, size / 2, "sell")]))]
    drawn = load_map(job(segments, TimeWindow.of_day(DAY), GrossValue(exact)))
    assert (drawn.buys.count, drawn.sells.count) == (1, 0)
    assert drawn.buys.largest.notional.tolist() == [exact]
    with pytest.raises(RequestError, match=f"the largest is {exact:g}"):
        load_map(job(segments, TimeWindow.of_day(DAY), GrossValue(exact * 1.001)))


def test_trades_of_equal_notional_stay_in_time_order(stored: Stored):
    # 0.57 × 100 is less than 57 in floats, and 1.14 × 50 is too, but 5.7 × 10 is not.
    rows = [(1000, 0.57, 100.0, "buy"), (2000, 5.7, 10.0, "buy"), (3000, 1.14, 50.0, "buy")]
    drawn = load_map(job([stored(trades_from(rows))], TimeWindow.of_day(DAY), TopN(2)))
    assert drawn.buys.largest.price.tolist() == [0.57, 5.7]


def test_window_without_trades_raises_one_sentence(stored: Stored):
    window = TimeWindow(MIDNIGHT - timedelta(hours=1), MIDNIGHT)
    with pytest.raises(RequestError, match="Nobody traded BTCUSDT in this window"):
        run_map_job(job([stored(trades_from(ROWS))], window, TopN(5)))


def test_window_of_rows_of_size_0_does_not_claim_that_nobody_traded(stored: Stored):
    window = TimeWindow(MIDNIGHT - timedelta(hours=1), MIDNIGHT)
    asked = job([stored(trades_from(ROWS))], window, TopN(5))
    asked = replace(asked, coverage=replace(asked.coverage, zero_sizes=12))
    with pytest.raises(RequestError, match="with a size is known in this window: 12 rows of size 0"):
        run_map_job(asked)


def test_window_without_trades_that_is_half_known_does_not_claim_that_nobody_traded_in_it(stored: Stored):
    window = TimeWindow(MIDNIGHT - timedelta(hours=2), MIDNIGHT)
    known = TimeWindow(window.start, MIDNIGHT - timedelta(hours=1))
    gap = Gap(TimeWindow(known.end, MIDNIGHT), GapKind.NOT_PUBLISHED)
    asked = replace(
        job([stored(trades_from(ROWS))], window, TopN(5)), coverage=Coverage(window, (known,), (gap,))
    )
    with pytest.raises(RequestError, match="Nobody traded BTCUSDT in the 50 % of this window that is known"):
        run_map_job(asked)


@pytest.mark.parametrize(
    ("rows", "selection"),
    [
        (ROWS[:1], TopN(100)),  # one trade, one price, one side
        (ROWS, TopN(100)),  # fewer than asked for
        ([(0, 0.00001234, 1e9, "buy"), (1, 0.00001235, 1e9, "sell")], TopN(1)),
        ([(0, 104_250.5, 1.0, "buy"), (9_000_000, 51_000.0, 1.0, "sell")], TopN(1)),  # everything passed
    ],
)
def test_windows_with_few_trades_are_drawn(
    stored: Stored, rows: list[tuple[int, float, float, str]], selection: Selection
):
    for model in (MarginModel.EXCHANGE, MarginModel.SIMPLE):
        segments = [stored(trades_from(rows))]
        result = run_map_job(
            job(segments, TimeWindow.of_day(DAY), selection, model=model, pictures=ALL_PICTURES)
        )
        assert result.pictures[Picture.HEATMAP] is not None
        assert result.pictures[Picture.HEATMAP].startswith(b"\x89PNG")
    assert result.summary.trades == len(rows)
    assert result.pictures[Picture.MAP].startswith(b"\x89PNG")


def test_window_inside_a_hole_is_not_called_quiet(stored: Stored):
    window = TimeWindow(MIDNIGHT - timedelta(hours=1), MIDNIGHT)
    drawn = job([stored(trades_from(ROWS))], window, TopN(5))
    gap = Gap(window, GapKind.LOST, lost=1234)
    with pytest.raises(DataError, match="Up to 1,234 BTCUSDT trades are missing in this window"):
        run_map_job(replace(drawn, coverage=Coverage(window, (), (gap,))))


@pytest.mark.parametrize("size", [LEAST_SIZE, 1.0, MOST])
@pytest.mark.parametrize("prices", [(LEAST_PRICE,), (3e-9, 4e-9), (MOST,), (LEAST_PRICE, 29_000.0, MOST)])
def test_every_value_that_the_parser_accepts_is_drawn(stored: Stored, prices: tuple[float, ...], size: float):
    sizes, sides = (size, 1.0, LEAST_SIZE), ("buy", "sell")
    rows = [
        (60_000 * row, prices[row % len(prices)], sizes[row % len(sizes)], sides[row % 2])
        for row in range(24)
    ]
    drawn = job([stored(trades_from(rows))], TimeWindow.of_day(DAY), TopN(10), pictures=ALL_PICTURES)
    assert set(run_map_job(drawn).pictures) == ALL_PICTURES


def test_store_job_makes_a_segment_of_a_day_file(tmp_path: Path):
    file = tmp_path / "day.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(
            "BTCUSDT-aggTrades-2023-08-01.csv",
            f"7,100.5,2,1,1,{START_MS},true\n9,100,1,2,2,{START_MS},false\n"
            f"10,100,0,3,3,{START_MS},false\n7,100.5,2,1,1,{START_MS},true\n",
        )
    origin = Origin(Exchange.BINANCE, "BTCUSDT", TimeWindow.of_day(DAY), "https://example.org/day.zip", "")
    segment = run_store_job(StoreJob(file, origin, tmp_path, tmp_path / "incoming", 10**6))
    assert (segment.buys, segment.sells) == (1, 1)
    assert (segment.origin.first_id, segment.origin.last_id, segment.origin.lost_ids) == (7, 10, 1)
    assert (segment.origin.duplicates, segment.origin.zero_sizes) == (1, 1)


def test_store_job_of_garbage_stores_nothing(tmp_path: Path):
    file = tmp_path / "day.zip"
    file.write_bytes(b"<html>")
    origin = Origin(
        Exchange.BINANCE, "BTCUSDT", TimeWindow.of_day(date(2023, 8, 1)), "https://example.org", ""
    )
    with pytest.raises(DataError, match="not a valid zip file"):
        run_store_job(StoreJob(file, origin, tmp_path / "store", tmp_path / "incoming", 10**6))
    assert [path.name for path in tmp_path.iterdir()] == ["day.zip"]


def test_levels_are_swept_by_a_later_day_too(stored: Stored):
    # A long from 100 at 100x stands at about 99.4; the next day the price is at 99 once, and then back.
    days = [
        stored(trades_from([(1000, 100.0, 50.0, "buy")])),
        stored(
            trades_from(
                [(1000, 99.0, 1.0, "sell"), (2000, 100.0, 1.0, "buy")], start_ms=START_MS + 86_400_000
            ),
            DAY + timedelta(days=1),
        ),
    ]
    window = TimeWindow(TimeWindow.of_day(DAY).start, TimeWindow.of_day(DAY + timedelta(days=1)).end)
    asked = job(days, window, TopN(1))
    drawn, longs = load_map(asked), levels_of_job(asked)[:4]
    standing = {each.leverage: each.standing.tolist() for each in longs}
    assert standing == {10: [True], 25: [True], 50: [True], 100: [False]}
    assert drawn.swept_long == pytest.approx(5000 / 4)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (MarginModel.EXCHANGE, "Binance model, brackets of 2023-08-01"),
        (MarginModel.SIMPLE, "simple model"),
        (MarginModel.BYBIT, "Bybit model before 2025-09-02, brackets of 2026-09-01, the earliest known"),
    ],
)
def test_result_names_what_its_levels_were_computed_with(stored: Stored, model: MarginModel, words: str):
    asked = job([stored(random_trades(500))], TimeWindow.of_day(DAY), TopN(5), model=model)
    drawn = load_map(asked)
    assert margin_text(drawn.margin) == f"{words}, swept by traded prices"
    # Only the seed library's own way counts a trade more than once.
    placed = sum(float(each.notional.sum()) for each in levels_of_job(asked)[:4])
    times = 4 if model is MarginModel.SIMPLE else 1
    assert placed == pytest.approx(times * drawn.buys.notional)


@pytest.mark.parametrize(
    ("exchange", "symbol", "model", "words"),
    [
        (BINANCE, "NOPEUSDT", MarginModel.BINANCE, "no Binance brackets known"),
        (
            BINANCE,
            "BTCUSD_PERP",
            MarginModel.BINANCE,
            "Binance COIN-M brackets are not public",
        ),
        (BINANCE, "BTCUSD_PERP", MarginModel.BYBIT, "no Bybit brackets known"),
        (BYBIT, "BTCUSD", MarginModel.BYBIT, "no Bybit brackets known"),
    ],
)
def test_result_says_why_a_symbol_has_no_brackets(
    exchange: Exchange, symbol: str, model: MarginModel, words: str
):
    window = TimeWindow.of_day(DAY)
    request = MapRequest((Market(exchange, symbol),), window, TopN(1), model=model)
    rules, basis = margin_of(MapJob(request, (), Coverage(window, (window,))))
    assert (basis.model, rules.brackets) == (MarginModel.SIMPLE, None)
    assert margin_text(basis) == f"simple model ({words})"


@pytest.mark.parametrize(
    ("end", "words", "long"),
    [
        (datetime(2025, 9, 1, 23, 59, 59, tzinfo=UTC), "Bybit model before 2025-09-02", 57_849.00),
        (datetime(2025, 9, 2, tzinfo=UTC), "Bybit model of 2025-09-02", 57_838.19),
        (datetime(2026, 10, 1, tzinfo=UTC), "Bybit model of 2025-09-02", 57_838.19),
    ],
)
def test_bybit_s_margin_is_that_of_the_window_s_end(end: datetime, words: str, long: float):
    window = TimeWindow.ending(end, timedelta(hours=6))
    request = MapRequest((Market(BYBIT, "BTCUSDT"),), window, TopN(1))
    rules, basis = margin_of(MapJob(request, (), Coverage(window, (window,))))
    assert margin_text(basis).startswith(f"{words}, brackets of 2026-09-01")
    entry, notional = np.array([60_000.0]), np.array([600_000.0])
    (level,) = liquidation_price(rules, Side.BUY, leverage=25, entry_price=entry, notional=notional)
    assert round(level, 2) == long


def test_fetched_brackets_are_used(stored: Stored, tmp_path: Path):
    (tmp_path / "binance-2023-08-02.txt").write_text("# fetched\nBTCUSDT 1,0.01,100 inf,0.02,20\n")
    asked = job([stored(random_trades(500))], TimeWindow.of_day(DAY), TopN(5))
    asked = replace(asked, bracket_folders=(tmp_path,))
    assert load_map(asked).margin.source == "fetched"
    assert [len(each.price) for each in levels_of_job(asked)[:4]] == [5, 0, 0, 0]


def held_by(root: Path, trades: Trades, windows: list[TimeWindow], asked: TimeWindow) -> tuple[Part, ...]:
    """Store the parts of `trades` in overlapping windows, and return what the store gives of `asked`."""
    for window in windows:
        rows = (trades.time >= window.start_ms) & (trades.time < window.end_ms)
        inside = Trades(trades.time[rows], trades.price[rows], trades.size[rows], trades.is_buy[rows])
        origin = Origin(Exchange.BINANCE, "BTCUSDT", window, "https://example.org", "")
        path = segment_path(root, Exchange.BINANCE, "BTCUSDT", window)
        write_segment(path, origin, inside, incoming=root / "incoming")
    store = SegmentStore(root, max_size=10**12)
    store.open(now=MIDNIGHT)
    return store.parts(Exchange.BINANCE, "BTCUSDT", asked)


def assert_same_values(one: Any, other: Any, name: str = "map") -> None:
    """Compare two values of the model, arrays and all."""
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other, err_msg=name)
    elif isinstance(one, tuple) and not hasattr(one, "_fields"):
        assert len(one) == len(other), name
        for place, (mine, its) in enumerate(zip(one, other, strict=True)):
            assert_same_values(mine, its, f"{name}[{place}]")
    elif is_dataclass(one):
        for each in fields(one):
            assert_same_values(getattr(one, each.name), getattr(other, each.name), f"{name}.{each.name}")
    else:
        assert one == other, name


def sparse_trades(seed: int, seconds: int) -> Trades:
    """Return trades at a price that wanders, with quiet spells, in the first seconds of the day."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.choice([0, 40, 900, 5000, 90_000], 1500, p=[0.2, 0.4, 0.3, 0.09, 0.01]))
    times = times[times < seconds * 1000]
    price = np.round(28_500 + np.cumsum(rng.normal(0, 25, len(times))), 1)
    size = rng.integers(1, 30, len(times)) / 10
    return Trades(times + START_MS, price, size, rng.random(len(times)) < 0.5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    spans=st.lists(
        st.tuples(st.integers(0, 3599), st.integers(1, 600)).map(
            lambda pair: (pair[0], min(sum(pair), 3600))
        ),
        max_size=8,
        unique=True,
    ),
    bounds=st.tuples(st.integers(0, 1700), st.integers(1900, 3600)),
    selection=st.sampled_from([TopN(5), TopN(10**6), Portion(0.2), GrossValue(30_000.0)]),
    bins=st.sampled_from([720, 30, 7]),
)
def test_map_of_overlapping_segments_equals_that_of_one(
    tmp_path: Path,
    seed: int,
    spans: list[tuple[int, int]],
    bounds: tuple[int, int],
    selection: Selection,
    bins: int,
):
    """Heatmap included, wherever bins of the price path are cut by the edges of segments."""
    trades, root = sparse_trades(seed, 3600), tmp_path / os.urandom(8).hex()
    start = TimeWindow.of_day(DAY).start

    def within(first: int, last: int) -> TimeWindow:
        return TimeWindow(start + timedelta(seconds=first), start + timedelta(seconds=last))

    asked = within(*bounds)
    rest = [within(*pair) for pair in ((0, 901), (890, 1800), (1800, 2707), (2707, 3600))]
    several = held_by(root / "several", trades, [within(*pair) for pair in spans] + rest, asked)
    (whole,) = held_by(root / "one", trades, [TimeWindow.of_day(DAY)], asked)
    request = MapRequest(
        BTCUSDT,
        asked,
        selection,
        model=MarginModel.SIMPLE,
        pictures=ALL_PICTURES,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("liqmap.run.job.PATH_BINS", bins)
        jobs = [MapJob(request, parts, Coverage(asked, (asked,))) for parts in ((whole,), several)]
        try:
            one = load_map(jobs[0])
        except RequestError as error:
            with pytest.raises(RequestError, match=re.escape(str(error))):
                load_map(jobs[1])
            return
        other = load_map(jobs[1])
        width = path_bin_seconds(int(asked.length.total_seconds()), bins=bins)
    assert_same_values(one, other)
    heatmaps = [
        build_heatmap(drawn, [levels_of_job(each)], bin_seconds=width)
        for drawn, each in zip((one, other), jobs, strict=True)
    ]
    assert_same_values(heatmaps[0], heatmaps[1], "heatmap")


def test_entry_is_swept_within_its_bin_by_a_part_two_parts_later(tmp_path: Path):
    # A bin of 10 s is cut into four parts; a long from 100 at 100x (99.4) is touched in the last of them,
    # and the third has no trades at all.
    trades = trades_from(
        [
            (1000, 100.0, 50.0, "buy"),
            (3000, 100.0, 1.0, "sell"),
            (8000, 99.0, 1.0, "sell"),
            (15_000, 101.0, 1.0, "buy"),
        ]
    )
    start = TimeWindow.of_day(DAY).start
    windows = [
        TimeWindow(start + timedelta(seconds=first), start + timedelta(seconds=last))
        for first, last in ((0, 2), (2, 4), (4, 7), (7, 7200))
    ]
    asked = TimeWindow(start, start + timedelta(seconds=7200))
    parts = held_by(tmp_path, trades, windows, asked)
    assert len(parts) == 4
    request = MapRequest(
        BTCUSDT,
        asked,
        TopN(1),
        model=MarginModel.SIMPLE,
        pictures=ALL_PICTURES,
    )
    longs = levels_of_job(MapJob(request, parts, Coverage(asked, (asked,))))[:4]
    (at_100x,) = [each for each in longs if each.leverage == 100]
    assert at_100x.after.soon is not None
    assert at_100x.after.soon.tolist() == [99.0]
    assert at_100x.after.extreme.tolist() == [99.0]
    assert at_100x.standing.tolist() == [False]


def marks_of(window: TimeWindow, low: float, high: float, *, minutes: int | None = None) -> Series:
    starts = range(window.start_ms, window.end_ms, 60_000)[:minutes]
    return Series.of(SeriesKind.MARK_PRICE, starts, [(low, high, low)] * len(starts))


@pytest.mark.parametrize("hours", [6, 24])
def test_mark_price_leaves_standing_what_only_a_wick_of_trades_has_touched(stored: Stored, hours: int):
    # A long of 2 from 30,000 at 100x is liquidated near 29,820; a minute later trades touch 29,000.
    rows = [(0, 30_000.0, 2.0, "buy"), (90_000, 29_000.0, 0.1, "sell"), (150_000, 30_000.0, 0.1, "buy")]
    window = TimeWindow.ending(MIDNIGHT - timedelta(hours=24 - hours), timedelta(hours=hours))
    by_trades = job([stored(trades_from(rows))], window, TopN(1), leverages=(100,))
    by_marks = replace(by_trades, mark=marks_of(window, 29_990, 30_010))
    swept, standing = load_map(by_trades), load_map(by_marks)
    assert (swept.swept_long, standing.swept_long) == (60_000.0, 0.0)
    assert margin_text(swept.margin).endswith("swept by traded prices")
    assert margin_text(standing.margin).endswith("swept by mark price")
    assert load_map(replace(by_trades, mark=marks_of(window, 29_000, 30_010))).swept_long == 60_000.0


@pytest.mark.parametrize("hours", [6, 24])
def test_newest_prices_of_a_summary_are_those_that_sweep_levels(stored: Stored, hours: int):
    # By mark price, an alert would say of a wick of trades that it has swept what still stands.
    window = TimeWindow.ending(MIDNIGHT, timedelta(hours=hours))
    rows = [(86_320_000, 30_000.0, 2.0, "buy"), (86_370_000, 29_000.0, 0.1, "sell")]
    by_trades = job([stored(trades_from(rows))], window, TopN(1), leverages=(100,))
    by_marks = replace(by_trades, mark=marks_of(window, 29_990, 30_010))
    traded, marked = summarize(load_map(by_trades)), summarize(load_map(by_marks))
    assert traded.newest_low == 29_000.0
    assert (marked.newest_low, marked.newest_high) == (29_990.0, 30_010.0)
    joint = run_joint_job(JointJob(by_marks.request, (by_marks,)))
    assert (joint.summary.newest_low, joint.summary.newest_since) == (29_990.0, marked.newest_since)


def test_trades_of_the_entrys_own_minute_sweep_it_also_by_mark_price(stored: Stored):
    rows = [(1_000, 30_000.0, 2.0, "buy"), (30_000, 29_000.0, 0.1, "sell"), (90_000, 30_000.0, 0.1, "buy")]
    window = TimeWindow.ending(MIDNIGHT, timedelta(hours=24))
    wanted = job([stored(trades_from(rows))], window, TopN(1), leverages=(100,))
    assert load_map(replace(wanted, mark=marks_of(window, 30_000, 30_000))).swept_long == 60_000.0


def test_sweep_by_mark_price_takes_trades_where_no_mark_is_known_and_says_so(stored: Stored):
    rows = [(0, 30_000.0, 2.0, "buy"), (90_000, 29_000.0, 0.1, "sell"), (150_000, 30_000.0, 0.1, "buy")]
    window = TimeWindow.ending(MIDNIGHT - timedelta(hours=18), timedelta(hours=6))
    wanted = job([stored(trades_from(rows))], window, TopN(1), sweep=SweepPrice.MARK, leverages=(100,))
    with pytest.raises(RequestError, match="mark prices of BTCUSDT are not known in this window; use sweep"):
        load_map(wanted)
    first = load_map(replace(wanted, mark=marks_of(window, 30_000, 30_000, minutes=1)))
    assert first.swept_long == 60_000.0
    assert "(0.2 % of the window, else by traded)" in margin_text(first.margin)
    auto = replace(wanted.request, sweep=SweepPrice.AUTO)
    mostly = marks_of(window, 30_000, 30_000, minutes=300)
    assert load_map(replace(wanted, request=auto, mark=mostly)).swept_long == 60_000.0


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 100),
    hours=st.sampled_from([1, 6, 24]),
    jitter=st.floats(0, 300),
    wick=st.sampled_from([0.0, 2000.0, 9000.0]),
)
def test_last_column_of_a_heatmap_is_what_stands_also_by_mark_price(
    stored: Stored, seed: int, hours: int, jitter: float, wick: float
):
    window = TimeWindow.ending(MIDNIGHT - timedelta(hours=24 - hours), timedelta(hours=hours))
    wanted = job([stored(random_trades(3000, seed=7))], window, TopN(200), pictures=ALL_PICTURES)
    middle = np.random.default_rng(seed).uniform(28_300, 28_700, hours * 60)
    values = [(low, low + jitter, low) for low in middle]
    # A wick of the mark price goes far beyond the traded prices, and so beyond the heatmap.
    values[-2] = (middle[0] - wick, middle[0] + wick, middle[0])
    mark = Series.of(SeriesKind.MARK_PRICE, range(window.start_ms, window.end_ms, 60_000), values)
    with_marks = replace(wanted, mark=mark)
    loaded = load_job(with_marks)
    drawn = compute_map(with_marks, loaded)
    levels = all_levels(
        loaded.entries(timed=True), wanted.request, margin_of(with_marks)[0], last_price=drawn.last_price
    )
    assert loaded.marks is not None
    heatmap = build_heatmap(drawn, levels, bin_seconds=loaded.bin_seconds, swept_by=loaded.marks.binned())
    standing = drawn.buckets.long.sum() + drawn.buckets.short.sum()
    assert heatmap.value[:, -1].sum() + heatmap.below + heatmap.above == pytest.approx(standing)


def interest_of(window: TimeWindow, sizes: list[float]) -> Series:
    """Return open interest that goes evenly from one of `sizes` to the next over a window."""
    kind = SeriesKind.OPEN_INTEREST
    starts = range(window.start_ms - kind.step_ms, window.end_ms, kind.step_ms)
    values = np.interp(np.arange(len(starts)), np.linspace(0, len(starts) - 1, len(sizes)), sizes)
    return Series.of(kind, starts, [(value,) for value in values])


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.floats(100, 101), min_size=2, max_size=9),
    turnover=st.sampled_from([0.0, 0.5, 1.0]),
    marked=st.booleans(),
)
def test_by_open_interest_nothing_of_what_was_selected_is_lost_and_the_heatmap_ends_with_the_map(
    stored: Stored, sizes: list[float], turnover: float, marked: bool
):
    window = TimeWindow.of_day(DAY)
    asked = job(
        [stored(random_trades(9000, seed=3))],
        window,
        TopN(300),
        positions=PositionModel.OPEN_INTEREST,
        turnover=turnover,
        pictures=ALL_PICTURES,
    )
    mark = marks_of(window, 28_200, 28_800) if marked else None
    asked = replace(asked, interest=interest_of(window, sizes), mark=mark)
    loaded = load_job(asked)
    drawn = compute_map(asked, loaded)
    standing = drawn.buckets.long.sum() + drawn.buckets.short.sum()
    parts = (standing, drawn.swept_long, drawn.swept_short, drawn.unplaced, drawn.not_opened, drawn.closed)
    assert min(parts) >= 0
    assert sum(parts) == pytest.approx(drawn.buys.notional + drawn.sells.notional)
    assert drawn.open_interest is not None
    assert drawn.open_interest.share_long <= 1
    positions = loaded.positions
    assert positions is not None
    levels = all_levels(
        loaded.entries(timed=True),
        asked.request,
        margin_of(asked)[0],
        last_price=drawn.last_price,
        positions=positions,
    )
    heatmap = build_heatmap(
        drawn,
        levels,
        bin_seconds=loaded.bin_seconds,
        swept_by=loaded.marks.binned() if loaded.marks else None,
        shares=positions.shares,
    )
    assert heatmap.value[:, -1].sum() + heatmap.below + heatmap.above == pytest.approx(standing, rel=1e-6)


def swept_interval(
    trades: Trades, mark: Series | None, window: TimeWindow, entry_ms: int, level: float, *, side: Side
) -> int | None:
    """Return in which interval of 15 minutes a level is first reached, by looking at every price."""
    sign, minute = 1 if side is Side.BUY else -1, entry_ms // 60_000
    reached = []
    for moment, price in zip(trades.time.tolist(), trades.price.tolist(), strict=True):
        # A second does not tell what of it came before the entry.
        follows = entry_ms // 1000 < moment // 1000 < window.end_ms // 1000
        if follows and (mark is None or moment // 60_000 == minute) and sign * price <= sign * level:
            reached.append(moment)
    for start, *prices in [] if mark is None else zip(mark.time.tolist(), *mark.values[:2], strict=True):
        if start // 60_000 > minute and min(sign * price for price in prices) <= sign * level:
            reached.append(start)
    last_price = float(trades.price[trades.time < window.end_ms][-1])
    if sign * last_price <= sign * level:
        reached.append(window.end_ms - 1)
    return min(reached) // 900_000 - window.start_ms // 900_000 if reached else None


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 1000),
    marked=st.booleans(),
    turnover=st.sampled_from([0.0, 0.5, 1.0]),
    pictures=st.sampled_from([frozenset({Picture.MAP}), ALL_PICTURES]),
    start=st.sampled_from([0, 10, 25, 40]),
    minutes=st.integers(60, 180),
    many=st.sampled_from([1, MANY]),
)
def test_swept_level_by_open_interest_has_what_was_left_when_a_price_first_reached_it(
    stored: Stored,
    seed: int,
    marked: bool,
    turnover: float,
    pictures: frozenset[Picture],
    start: int,
    minutes: int,
    many: int,
):
    rng = np.random.default_rng(seed)
    # A day of its own for each example: what is stored of a day is read only once.
    day = DAY + timedelta(days=seed)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    window = TimeWindow.ending(midnight + timedelta(minutes=start + minutes), timedelta(minutes=minutes))
    time = np.sort(rng.integers(0, 5 * 3_600_000, 900)) + int(midnight.timestamp()) * 1000
    # Steps, and wicks of which some reach a level of the same minute.
    price = 30_000 * np.exp(np.cumsum(rng.normal(0, 0.0006, 900)) + rng.normal(0, 0.003, 900))
    trades = Trades(time, price.round(1), rng.integers(1, 9, 900).astype(np.float64), rng.random(900) < 0.5)
    mark = None
    if marked:
        low = 29_900 + np.cumsum(rng.normal(0, 20, minutes))
        starts = range(window.start_ms, window.end_ms, 60_000)
        values = zip(low, low + rng.uniform(0, 60, minutes), low, strict=True)
        mark = Series.of(SeriesKind.MARK_PRICE, starts, list(values))
    asked = job(
        [stored(trades, day)],
        window,
        Portion(1.0),
        positions=PositionModel.OPEN_INTEREST,
        turnover=turnover,
        pictures=pictures,
        leverages=(25, 100),
    )
    interest = 40 + np.cumsum(rng.uniform(-1, 1, minutes // 15 + 2))
    asked = replace(asked, mark=mark, interest=interest_of(window, interest.tolist()))
    loaded = load_job(asked)
    with patch("liqmap.compute.adding.MANY", many):
        drawn = compute_map(asked, loaded)
    positions = loaded.positions
    assert positions is not None
    opened, closing = positions.shares.opened, positions.shares.closing
    swept = dict.fromkeys(Side, 0.0)
    every_level = all_levels(
        loaded.entries(timed=Picture.HEATMAP in pictures),
        asked.request,
        margin_of(asked)[0],
        last_price=drawn.last_price,
        positions=positions,
    )
    for levels in (each for stretch in every_level for each in stretch):
        assert levels.selected is not None
        columns = levels.entry_time.tolist(), levels.price.tolist(), levels.standing.tolist()
        rows = zip(*columns, levels.selected, levels.notional, strict=True)
        for entry_ms, level, standing, selected, notional in rows:
            found = swept_interval(trades, mark, window, entry_ms, level, side=levels.side)
            own = entry_ms // 900_000 - window.start_ms // 900_000
            until = len(opened) - 1 if found is None else found
            left = selected * opened[own] * np.prod(1 - closing[own + 1 : until + 1])
            assert standing == (found is None)
            assert notional == pytest.approx(left)
            swept[levels.side] += 0.0 if standing else left
    assert (drawn.swept_long, drawn.swept_short) == pytest.approx((swept[Side.BUY], swept[Side.SELL]))


@pytest.mark.parametrize(
    ("interest", "sentence"),
    [
        (None, "open interest of BTCUSDT is not known in this window; use positions trades"),
        ([100.0, 5000.0], "changed by more than its volume in"),
    ],
)
def test_map_by_open_interest_that_says_too_little_is_refused(
    stored: Stored, interest: list[float] | None, sentence: str
):
    window = TimeWindow.of_day(DAY)
    asked = job([stored(random_trades(3000))], window, TopN(5), positions=PositionModel.OPEN_INTEREST)
    known = interest and interest_of(window, interest)
    with pytest.raises(RequestError, match=sentence):
        load_map(replace(asked, interest=known or None))


@pytest.mark.parametrize(("late", "is_told"), [(15, False), (20, True), (55, True)])
def test_map_by_open_interest_says_where_its_end_is_not_known(stored: Stored, late: int, is_told: bool):
    window = TimeWindow.of_day(DAY)
    asked = job([stored(random_trades(3000))], window, TopN(5), positions=PositionModel.OPEN_INTEREST)
    until = window.end - timedelta(minutes=late)
    known = interest_of(window, [100.0, 101.0]).within(TimeWindow(window.start, until))
    drawn = load_map(replace(asked, interest=known))
    told = f"Open interest is known until {until:%b %d %H:%M} UTC; later trades are left out."
    assert (told in interest_warnings(drawn)) is is_told
    short = TimeWindow.ending(MIDNIGHT, timedelta(hours=1))
    request = replace(asked.request, window=short)
    if late > 30:
        with pytest.raises(RequestError, match="is not known until the end of this window"):
            load_map(replace(asked, request=request, coverage=Coverage(short, (short,)), interest=known))


def test_levels_by_open_interest_have_columns_of_what_was_selected_and_opened(stored: Stored):
    asked = job(
        [stored(random_trades(3000))],
        TimeWindow.of_day(DAY),
        TopN(5),
        positions=PositionModel.OPEN_INTEREST,
        levels_csv=True,
    )
    drawn = run_map_job(replace(asked, interest=interest_of(asked.request.window, [100.0, 101.0])))
    head, *rows = (drawn.levels_csv or b"").decode().splitlines()
    assert head.endswith(",state,selected,opened")
    notional, selected, opened = (sum(float(row.split(",")[place]) for row in rows) for place in (5, 7, 8))
    assert 0 < notional <= opened < selected
    assert selected - opened == pytest.approx(drawn.summary.not_opened, rel=1e-6)
    assert opened - notional == pytest.approx(drawn.summary.closed, rel=1e-6, abs=1e-6)
