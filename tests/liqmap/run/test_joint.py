from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from liqmap.cli.map_text import as_text
from liqmap.compute.joint_series import with_series
from liqmap.compute.values import LiquidationMap, MarketShare, PricePath, Realised
from liqmap.errors import RequestError
from liqmap.exchanges.messages import Liquidation
from liqmap.model import (
    Coverage,
    Exchange,
    Gap,
    GapKind,
    GrossValue,
    LeftOut,
    LeftOutKind,
    MapRequest,
    Market,
    PositionBasis,
    PositionModel,
    RealisedSums,
    Selection,
    Side,
    TopN,
    Trades,
)
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import TimeWindow
from liqmap.run.job import MapJob, compute_map, load_job, self_contained
from liqmap.run.joint import JointJob, map_jobs, run_job, run_joint_job, with_jobs
from liqmap.run.loaded import Loaded
from liqmap.store.feeds import note_feed
from liqmap.store.liquidations import append_liquidations
from liqmap.store.merged import merged_parts
from liqmap.store.reading import read_table
from liqmap.store.segments import Origin, Part, segment_path
from liqmap.store.writer import write_segment
from liqmap.text import (
    interest_text,
    interest_warnings,
    left_out_text,
    margin_text,
    money,
    realised_text,
)
from tests.liqmap.conftest import DAY, START_MS, random_trades, trades_from

WINDOW = TimeWindow.of_day(DAY)
MARKETS = tuple(Market(each, "BTCUSDT") for each in Exchange)


def part_of(folder: Path, market: Market, trades: Trades) -> Part:
    origin = Origin(market.exchange, market.symbol, WINDOW, "https://example.org/day", "")
    path = segment_path(folder, market.exchange, market.symbol, WINDOW)
    return Part(write_segment(path, origin, trades, incoming=folder / "incoming"), WINDOW)


def job_of(request: MapRequest, parts: dict[Market, Part], *left_out: LeftOut) -> JointJob:
    coverage = Coverage(WINDOW, (WINDOW,))
    jobs = [MapJob(request.alone(market), (part,), coverage) for market, part in parts.items()]
    return JointJob(request, tuple(jobs), left_out)


def load_job_of(parts: dict[Market, Part]) -> Loaded:
    return load_job(job_of(MapRequest(MARKETS, WINDOW, TopN(1)), parts).jobs[0])


def share_of(drawn: LiquidationMap, exchange: Exchange, path: PricePath) -> MarketShare:
    return MarketShare(
        market=Market(exchange, "BTCUSDT"),
        ratio=1.0,
        last_price=float(path.close[-1]),
        path=path,
        buckets=drawn.buckets,
        buys=drawn.buys,
        sells=drawn.sells,
        trade_count=drawn.trade_count,
        swept_long=0.0,
        swept_short=0.0,
        unplaced=0.0,
        margin=drawn.margin,
        coverage=drawn.coverage,
    )


@pytest.fixture
def parts(tmp_path: Path) -> dict[Market, Part]:
    """Return a day of each exchange: OKX's trades are ten times as large."""
    made = {}
    for seed, market in enumerate(MARKETS):
        trades = random_trades(3000, seed=seed)
        # The prices of the last minute agree, but for an odd last trade of OKX.
        trades.price[trades.time >= WINDOW.end_ms - 60_000] = 28_500 + seed
        trades.time[-3:] = WINDOW.end_ms - np.array([30_000, 20_000, 10_000])
        trades.price[-1] *= 1.02 if market.exchange is Exchange.OKX else 1
        factor = 10 if market.exchange is Exchange.OKX else 1
        made[market] = part_of(tmp_path, market, replace(trades, size=trades.size * factor))
    return made


def test_largest_trades_are_the_largest_of_all(parts: dict[Market, Part]):
    request = MapRequest(MARKETS, WINDOW, TopN(100), merge=False)
    summary = run_joint_job(job_of(request, parts)).summary
    assert (summary.selected_buy, summary.selected_sell) == (100, 100)
    counts = [each.selected_buy for each in summary.by_market]
    assert sum(counts) == 100
    assert counts[2] > counts[0] + counts[1]


def test_exchange_of_which_nothing_is_selected_has_no_rows_in_the_tables(parts: dict[Market, Part]):
    request = MapRequest(MARKETS, WINDOW, TopN(1), merge=False, levels_csv=True, tables=True)
    result = run_joint_job(job_of(request, parts))
    assert [each.selected_buy for each in result.summary.by_market] == [0, 0, 1]
    assert set(result.levels().column("exchange").to_pylist()) == {"okx"}
    rows = (result.levels_csv or b"").decode().splitlines()
    assert len(rows) == 1 + result.levels().num_rows


@pytest.mark.parametrize("selection", [TopN(100), GrossValue(10_000)])
def test_each_exchange_is_what_its_own_map_is(parts: dict[Market, Part], selection: Selection):
    request = MapRequest(MARKETS, WINDOW, selection, each=True)
    summary = run_joint_job(job_of(request, parts)).summary
    for found, job in zip(summary.by_market, job_of(request, parts).jobs, strict=True):
        own = compute_map(job, load_job(job))
        assert (found.selected_buy, found.selected_sell) == (own.buys.count, own.sells.count)
        assert found.standing_long == pytest.approx(own.buckets.long.sum())
        assert found.swept_short == pytest.approx(own.swept_short)
        assert found.last_price == own.last_price
    assert summary.standing_long == pytest.approx(sum(each.standing_long for each in summary.by_market))


def test_coverage_is_what_all_have_and_gaps_name_the_exchange(parts: dict[Market, Part]):
    request = MapRequest(MARKETS, WINDOW, TopN(10))
    job = job_of(request, parts)
    hole = TimeWindow(WINDOW.start, WINDOW.start.replace(hour=6))
    rest = TimeWindow(hole.end, WINDOW.end)
    holed = replace(job.jobs[2], coverage=Coverage(WINDOW, (rest,), (Gap(hole, GapKind.NOT_PUBLISHED_YET),)))
    result = run_joint_job(replace(job, jobs=(*job.jobs[:2], holed)))
    assert result.coverage.fraction == 0.75
    assert [gap.of for gap in result.coverage.missing] == [Exchange.OKX]
    assert [each.coverage.fraction for each in result.summary.by_market] == [1, 1, 0.75]


def test_exchange_that_is_left_out_is_named(parts: dict[Market, Part], tmp_path: Path):
    request = MapRequest(MARKETS, WINDOW, TopN(10), levels_csv=True)
    failed = LeftOut(MARKETS[1], LeftOutKind.FAILED, problem="Bybit refuses to answer")
    odd = part_of(tmp_path / "odd", MARKETS[2], trades_from([(86_399_000, 40_000.0, 1.0, "buy")]))
    result = run_joint_job(job_of(request, {MARKETS[0]: parts[MARKETS[0]], MARKETS[2]: odd}, failed))
    texts = [left_out_text(each) for each in result.summary.left_out]
    assert texts[0] == "Bybit is left out (Bybit refuses to answer)"
    assert texts[1].startswith("OKX is left out (its price is +")
    assert [each.market for each in result.summary.by_market] == [MARKETS[0]]
    head, *rows = (result.levels_csv or b"").decode().splitlines()
    assert head.startswith("exchange,side,")
    assert {row.split(",")[0] for row in rows} == {"binance"}


@pytest.mark.parametrize("hours", [24, 6])
def test_price_by_which_an_exchange_is_aligned_is_its_last_minute_s_median(tmp_path: Path, hours: int):
    # A price that rises by 0.001 every ten seconds, then two odd trades behind a border of segments.
    rows = [(second * 1000, 100 + second / 10_000, 1.0, "buy") for second in range(0, 86_370, 10)]
    late = [(second * 1000, price, 1.0, "sell") for second, price in ((86_375, 103.0), (86_399, 170.0))]
    window = TimeWindow.ending(WINDOW.end, timedelta(hours=hours))
    border = WINDOW.end - timedelta(seconds=30)
    spans = TimeWindow(WINDOW.start, border), TimeWindow(border, WINDOW.end)
    parts = []
    for span, trades in zip(spans, (rows, late), strict=True):
        path = segment_path(tmp_path, Exchange.OKX, "BTCUSDT", span)
        origin = Origin(Exchange.OKX, "BTCUSDT", span, "made here", "")
        segment = write_segment(path, origin, trades_from(trades), incoming=tmp_path / "incoming")
        parts.append(Part(segment, TimeWindow(max(span.start, window.start), span.end)))
    job = MapJob(MapRequest((MARKETS[2],), window, TopN(1)), tuple(parts), Coverage(window, (window,)))
    loaded = load_job(job)
    assert loaded.price == pytest.approx(108.635)  # of 108.634, 108.635, 108.636, 103 and 170
    moments = [START_MS + 1000 * second for second in (70_000, 86_365, 86_400, 90_000)]
    assert loaded.median_prices(np.array(moments)).tolist() == pytest.approx(
        [106.9965, 108.6335, 108.635, 108.635]
    )
    assert loaded.path.close[-1] == 170.0


def test_price_of_a_market_without_recent_trades_is_the_median_before_its_last_trade(
    tmp_path: Path,
):
    # An odd trade is the last one before 03:00, where another batch of seconds begins.
    rows = [(second * 1000, 100.0, 1.0, "buy") for second in range(0, 10_799, 10)]
    part = part_of(tmp_path, MARKETS[2], trades_from([*rows, (10_799_000, 170.0, 1.0, "sell")]))
    for end in (10_800, 10_860, 10_861, 10_920, 11_100):
        window = TimeWindow(WINDOW.start, WINDOW.start + timedelta(seconds=end))
        job = MapJob(
            MapRequest((MARKETS[2],), window, TopN(1)),
            (Part(part.segment, window),),
            Coverage(window, (window,)),
        )
        assert load_job(job).price == 100.0


def test_price_before_a_gap_is_right_where_a_part_begins_within_a_bin(tmp_path: Path):
    # The second part's only trade lies in a bin of two minutes that begins within the first part.
    rows = [(second * 1000, 100.0, 1.0, "buy") for second in range(25, 43_290, 60)]
    segment = part_of(tmp_path, MARKETS[2], trades_from([*rows, (43_310_000, 200.0, 1.0, "sell")])).segment
    window = TimeWindow(WINDOW.start, WINDOW.start + timedelta(hours=20))
    moments = [WINDOW.start + timedelta(seconds=each) for each in (0, 43_290, 43_380)]
    parts = tuple(Part(segment, TimeWindow(*pair)) for pair in pairwise(moments))
    job = MapJob(MapRequest((MARKETS[2],), window, TopN(1)), parts, Coverage(window, (window,)))
    # Of the 60 s that end with the last trade: a trade each at 43,285 s and 43,310 s.
    assert load_job(job).price == 150.0


def test_odd_last_trade_leaves_no_exchange_out(parts: dict[Market, Part]):
    summary = run_joint_job(job_of(MapRequest(MARKETS, WINDOW, TopN(10)), parts)).summary
    assert summary.left_out == ()
    assert summary.by_market[2].last_price == 28_502 * 1.02
    assert summary.last_price == 28_500


def test_map_without_the_first_exchange_is_named_after_the_symbol_whose_prices_it_shows(tmp_path: Path):
    # Binance counts the coin by the thousand; its price is not the one that is drawn.
    markets = Market(Exchange.BINANCE, "1000PEPEUSDT"), Market(Exchange.OKX, "PEPEUSDT")
    trades = trades_from([(86_399_000, 0.0123, 1e6, "buy")])
    request = MapRequest(markets, WINDOW, TopN(10))
    failed = LeftOut(markets[0], LeftOutKind.FAILED, problem="Binance refuses to answer")
    result = run_joint_job(job_of(request, {markets[1]: part_of(tmp_path, markets[1], trades)}, failed))
    assert result.markets == (markets[1],)
    assert as_text(result, {}, typed=markets).startswith("PEPEUSDT on OKX, top 10 trades per side")
    assert "<td>PEPEUSDT on OKX, top 10 trades" in result._repr_html_()


def with_interest(job: JointJob, *values: float | None) -> JointJob:
    """Return a job of which each market's open interest is so many coins, None where it is not known."""
    kind = SeriesKind.OPEN_INTEREST
    starts = range(WINDOW.start_ms - kind.step_ms, WINDOW.end_ms, kind.step_ms)
    jobs = [
        each if coins is None else replace(each, interest=Series.of(kind, starts, [(coins,)] * len(starts)))
        for each, coins in zip(job.jobs, values, strict=True)
    ]
    return replace(job, jobs=tuple(jobs))


def test_open_interest_is_given_per_exchange_and_summed_over_those_where_it_is_known(
    parts: dict[Market, Part],
):
    request = MapRequest(MARKETS, WINDOW, TopN(100))
    summary = run_joint_job(with_interest(job_of(request, parts), 1000.0, None, 0.5)).summary
    first, second, third = (each.open_interest for each in summary.by_market)
    assert first is not None
    assert second is None
    assert third is not None
    together = summary.open_interest
    assert together is not None
    assert (together.end, together.start) == (1000.5, 1000.5)
    assert together.notional == pytest.approx(first.notional + third.notional)
    known = [summary.by_market[0], summary.by_market[2]]
    assert together.share_long * together.notional == pytest.approx(sum(each.standing_long for each in known))
    standing = sum(each.standing_long + each.standing_short for each in known)
    assert interest_text(together) == (
        f"standing {money(standing)} of Binance and OKX, open interest {money(together.notional)} each side"
    )
    warnings = interest_warnings(summary)
    assert [each.partition(":")[0] for each in warnings] == ["OKX"]


def test_by_open_interest_nothing_of_what_each_exchange_selected_is_lost(parts: dict[Market, Part]):
    kind = SeriesKind.OPEN_INTEREST
    starts = range(WINDOW.start_ms - kind.step_ms, WINDOW.end_ms, kind.step_ms)
    request = MapRequest(MARKETS, WINDOW, TopN(100), positions=PositionModel.OPEN_INTEREST, turnover=0.5)
    job = job_of(request, parts)
    jobs = [
        replace(
            each,
            interest=Series.of(
                kind, starts, [(size,) for size in np.linspace(100, 100 + grown, len(starts))]
            ),
        )
        for each, grown in zip(job.jobs, (1.0, -2.0, 3.0), strict=True)
    ]
    summary = run_joint_job(replace(job, jobs=tuple(jobs))).summary
    assert len(summary.by_market) == 3
    for each in summary.by_market:
        selected = each.selected_notional_buy + each.selected_notional_sell
        stands = each.standing_long + each.standing_short + each.swept_long + each.swept_short
        assert stands + each.unplaced + each.not_opened + each.closed == pytest.approx(selected)
        assert each.not_opened > 0
    for name in ("standing_long", "swept_short", "unplaced", "not_opened", "closed"):
        total = sum(getattr(each, name) for each in summary.by_market)
        assert getattr(summary, name) == pytest.approx(total)
    assert summary.margin.positions == PositionBasis(0.5, judged=3 * 96)


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ((1, 1, 1), "swept by mark price"),
        ((1, 0.995, 1), "swept by mark price (99.8 % of the window, else by traded)"),
        ((1, 0, 1), "swept by mark price (66.6 % of the window, else by traded)"),
        ((0, 0, 0), "swept by traded prices"),
    ],
)
def test_map_of_several_says_in_which_share_of_the_window_mark_prices_swept(
    parts: dict[Market, Part], marked: tuple[float, ...], words: str
):
    job = job_of(MapRequest(MARKETS, WINDOW, TopN(100)), parts)
    starts = range(WINDOW.start_ms, WINDOW.end_ms, SeriesKind.MARK_PRICE.step_ms)
    jobs = []
    for each, share in zip(job.jobs, marked, strict=True):
        known = starts[: int(share * len(starts))]
        mark = Series.of(SeriesKind.MARK_PRICE, known, [(29_000.0, 29_000.0, 29_000.0)] * len(known))
        jobs.append(replace(each, mark=mark if known else None))
    summary = run_joint_job(replace(job, jobs=tuple(jobs))).summary
    assert margin_text(summary.margin) == f"margin model of each exchange, {words}"


def test_exchange_that_open_interest_says_nothing_of_is_left_out_of_a_map_by_it(parts: dict[Market, Part]):
    request = MapRequest(MARKETS, WINDOW, TopN(100), positions=PositionModel.OPEN_INTEREST)
    result = run_joint_job(with_interest(job_of(request, parts), 1000.0, 900.0, None))
    assert [left_out_text(each) for each in result.summary.left_out] == [
        "OKX is left out (the open interest of BTCUSDT is not known in this window)"
    ]
    assert [each.market for each in result.summary.by_market] == list(MARKETS[:2])
    with pytest.raises(RequestError, match="use positions trades"):
        run_joint_job(job_of(request, parts))


def test_liquidations_are_given_per_exchange_and_summed_over_those_that_report(
    parts: dict[Market, Part], tmp_path: Path
):
    root, at = tmp_path / "store", WINDOW.end_ms - 1000
    for exchange, position, size in (
        (Exchange.BINANCE, Side.BUY, 2.0),
        (Exchange.BYBIT, Side.SELL, 1.0),
    ):
        found = [Liquidation("BTCUSDT", at, position, 28_000.0, size)]
        append_liquidations(root, exchange, found, complete=exchange is Exchange.BYBIT)
        note_feed(root, exchange, "BTCUSDT", WINDOW)
    job = job_of(MapRequest(MARKETS, WINDOW, TopN(100)), parts)
    job = replace(job, jobs=tuple(replace(each, root=root) for each in job.jobs))
    result = run_joint_job(job)
    assert [each.realised and each.realised.long for each in result.summary.by_market] == [56_000, 0, None]
    together = result.summary.realised
    assert together is not None
    assert realised_text(together) == (
        "longs at least $56.0K in 1, shorts at least $28.0K in 1"
        " (sampled, only of Binance and Bybit, at fill or bankruptcy prices)"
    )
    elsewhere = with_jobs(job, [self_contained(each) for each in map_jobs(job)])
    shutil.rmtree(root)
    assert run_job(elsewhere).summary == result.summary


def test_liquidation_lies_as_far_from_the_reference_s_price_as_from_its_own(parts: dict[Market, Part]):
    drawn = compute_map(job_of(MapRequest(MARKETS, WINDOW, TopN(1)), parts).jobs[0], load_job_of(parts))
    path = PricePath(np.array([0]), *[np.array([100.0])] * 3)
    shares = [share_of(drawn, exchange, path) for exchange in (Exchange.BINANCE, Exchange.BYBIT)]
    sums = RealisedSums(long=1.0, short=0.0, longs=1, shorts=0, complete=True, at_fills=True)
    gone = Realised(np.array([30_000]), np.array([98.98]), np.ones(1), np.ones(1, np.bool_), sums)
    # It fell into the first minute, at whose end the prices were 100 and 101.
    joint = with_series(
        replace(drawn, shares=tuple(shares)),
        interest=[None, None],
        realised=[None, gone],
        factors=[1, 1],
        bin_seconds=60,
        prices=[
            lambda moments: np.where(moments == 60_000, 100.0, 200.0),
            lambda moments: np.where(moments == 60_000, 101.0, 198.0),
        ],
    )
    assert joint.realised is not None
    assert joint.realised.price.tolist() == pytest.approx([98.0])  # 2 % below, as on Bybit
    assert joint.realised.sums.of == (Exchange.BYBIT,)


def test_joint_liquidations_say_how_much_each_exchange_s_reports_cover(parts: dict[Market, Part]):
    drawn = compute_map(job_of(MapRequest(MARKETS, WINDOW, TopN(1)), parts).jobs[0], load_job_of(parts))
    path = PricePath(np.array([0]), *[np.array([100.0])] * 3)
    shares = tuple(share_of(drawn, exchange, path) for exchange in (Exchange.BINANCE, Exchange.BYBIT))
    sums = RealisedSums(long=1e6, short=0.0, longs=1, shorts=0, complete=True, at_fills=True)
    one = Realised(np.array([0]), np.ones(1), np.ones(1), np.ones(1, np.bool_), sums)
    scarce = replace(one, sums=replace(sums, covered=0.0003))
    joint = with_series(
        replace(drawn, shares=shares),
        interest=[None, None],
        realised=[scarce, one],
        factors=[1, 1],
        bin_seconds=60,
        prices=[lambda moments: np.full(len(moments), 100.0)] * 2,
    )
    assert joint.realised is not None
    assert "received in less than 0.1 % to 100 % of the window" in realised_text(joint.realised.sums)


def test_nothing_selected_anywhere_is_one_sentence(parts: dict[Market, Part]):
    request = MapRequest(MARKETS, WINDOW, GrossValue(1e12))
    with pytest.raises(RequestError, match="the largest is"):
        run_joint_job(job_of(request, parts))


def test_fills_of_one_moment_and_price_are_one_trade_where_they_are_merged(tmp_path: Path):
    rows = [
        (5, 100.0, 0.1, "buy"),
        (5, 100.0, 0.5, "sell"),
        (5, 100.0, 0.2, "buy"),
        (5, 100.1, 1.0, "buy"),
        (6, 100.0, 2.0, "buy"),
    ]
    part = part_of(tmp_path, MARKETS[1], trades_from(rows))
    (merged,) = merged_parts([part])
    assert sorted(read_table(merged.segment, "buy")["size"].tolist()) == [0.3, 1.0, 2.0]
    assert read_table(merged.segment, "sell")["size"].tolist() == [0.5]
    assert merged_parts([part])[0].segment.path == merged.segment.path  # made once
    for merge, count in ((False, 4), (True, 3)):
        request = MapRequest((MARKETS[1],), WINDOW, TopN(10), merge=merge)
        job = MapJob(request, (part,), Coverage(WINDOW, (WINDOW,)))
        assert compute_map(job, load_job(job)).buys.count == count


def test_request_names_each_exchange_once():
    with pytest.raises(RequestError, match="name each exchange once"):
        MapRequest((MARKETS[0], MARKETS[0]), WINDOW, TopN(1))
