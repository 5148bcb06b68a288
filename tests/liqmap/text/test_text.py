from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from liqmap.compute.scan import NearCluster, ScannedMarket
from liqmap.compute.summary import summarize
from liqmap.model import (
    Band,
    Cluster,
    Coverage,
    Exchange,
    Gap,
    GapKind,
    GrossValue,
    MapRequest,
    Market,
    Portion,
    Selection,
    Side,
    SweepBasis,
    SweepPrice,
    TopN,
)
from liqmap.model.window import TimeWindow, missing
from liqmap.text import (
    asked_words,
    band_text,
    cluster_label,
    coverage_text,
    gap_text,
    last_price_text,
    last_trade_text,
    limit_text,
    market_name,
    money,
    money_ticks,
    percent,
    price,
    price_step,
    scanned_text,
    selection_text,
    standing_text,
    unswept_text,
    window_text,
)
from tests.liqmap.compute.test_levels import mapped, trades


def span(start: str, end: str) -> TimeWindow:
    return TimeWindow(*(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (start, end)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "$0"),
        (950.4, "$950"),
        (999.6, "$1.00K"),
        (0.4, "$0.40"),
        (12_345, "$12.3K"),
        (100_000, "$100K"),
        (999_950, "$1.00M"),
        (34_200_000, "$34.2M"),
        (1_250_000_000, "$1.25B"),
        (2.5e12, "$2.50T"),
        (20_000_000, "$20.0M"),
    ],
)
def test_money_has_three_digits_and_a_unit(value: float, text: str):
    assert money(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(100_000, "$100K"), (2_010_000, "$2.01M"), (123_456, "$123.456K"), (57, "$57"), (0.57, "$0.57")],
)
def test_limit_has_the_digits_that_were_chosen_and_no_others(value: float, text: str):
    assert limit_text(value) == text


@pytest.mark.parametrize(
    ("ticks", "texts"),
    [
        ((0.0, 5e5, 1e6, 1.5e6), ["$0", "$0.5M", "$1.0M", "$1.5M"]),
        ((0.0, 5e6, 1e7), ["$0", "$5M", "$10M"]),
        ((0.0, 200.0, 400.0), ["$0", "$200", "$400"]),
        ((), []),
    ],
)
def test_amounts_along_an_axis_have_one_unit_and_equal_digits(ticks: tuple[float, ...], texts: list[str]):
    assert money_ticks(ticks, step=ticks[1] if ticks else 1.0) == texts


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (100_000.0, "100,000"),
        (28_982.4, "28,982"),
        (1853.27, "1,853.3"),
        (24.1234, "24.123"),
        (0.62041, "0.62041"),
        (0.00001234, "0.00001234"),
        (0.0000132, "0.0000132"),
        (0, "0"),
    ],
)
def test_price_has_five_digits_that_matter(value: float, text: str):
    assert price(value) == text


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(29_150, 50, "29,150"), (0.3, 0.1, "0.3"), (1.25e-5, 5e-8, "0.00001250"), (100_000, 0.2, "100,000.0")],
)
def test_price_on_a_grid_has_the_grid_s_decimals(value: float, step: float, text: str):
    assert price(value, step=step) == text


def test_percent_has_a_sign():
    assert percent(-0.0196) == "-1.96 %"
    assert percent(0.5, digits=0) == "+50 %"


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2023-08-01T00:00", "2023-08-01T06:00", "2023-08-01 00:00 → 06:00 UTC"),
        ("2023-08-01T00:00:30", "2023-08-01T06:00", "2023-08-01 00:00:30 → 06:00:00 UTC"),
        ("2023-08-01T00:00", "2023-08-02T00:00", "2023-08-01 (UTC day)"),
        ("2023-07-31T00:00", "2023-08-07T00:00", "2023-07-31 → 2023-08-07 00:00 UTC"),
        ("2023-07-31T18:00", "2023-08-01T06:00", "2023-07-31 18:00 → 2023-08-01 06:00 UTC"),
    ],
)
def test_window_text_is_as_short_as_possible(start: str, end: str, text: str):
    assert window_text(span(start, end)) == text


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        (TopN(1000), "top 1,000 trades per side"),
        (GrossValue(1e5), "trades ≥ $100K"),
        (Portion(0.01), "top 1 % of trades per side"),
        (Portion(0.0005), "top 0.05 % of trades per side"),
    ],
)
def test_selection_in_words(selection: Selection, text: str):
    assert selection_text(selection) == text


@pytest.mark.parametrize(
    ("exchange", "symbol", "words"),
    [
        (Exchange.BINANCE, "ETHBTC", ["trades ≥ $50", "amounts in BTC, not dollars"]),
        (Exchange.BINANCE, "BTCUSDT", ["trades ≥ $50"]),
        (Exchange.BINANCE, "BTCUSD_PERP", ["trades ≥ $50"]),
        (Exchange.BYBIT, "BTCPERP", ["trades ≥ $50"]),
        (Exchange.OKX, "BTCUSDT", ["trades ≥ $50"]),
    ],
)
def test_amounts_that_are_not_dollars_are_named(exchange: Exchange, symbol: str, words: list[str]):
    window = span("2026-10-04 00:00", "2026-10-04 06:00")
    assert asked_words(MapRequest((Market(exchange, symbol),), window, GrossValue(50))) == words


def test_coverage_text_names_the_covered_share_and_the_longest_gap():
    window = span("2023-08-01T00:00", "2023-08-01T08:00")
    covered, missing = (
        span("2023-08-01T00:00", "2023-08-01T07:00"),
        span("2023-08-01T07:00", "2023-08-01T08:00"),
    )
    assert coverage_text(Coverage(window, (window,))) == "100 % covered"
    gaps = (Gap(missing, GapKind.NOT_PUBLISHED_YET),)
    assert coverage_text(Coverage(window, (covered,), gaps)) == (
        "87.5 % covered, missing 07:00–08:00 (not published yet)"
    )
    assert coverage_text(Coverage(window, (covered,), gaps * 2)).endswith("and 1 more")


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (None, None),
        ("2023-08-02T15:59:10", None),
        ("2023-08-01T23:59:59", "at 00:00"),
        ("2023-08-01T16:30:29", "at 16:30"),
        ("2023-08-01T15:00:00", "on Aug 01"),
    ],
)
def test_time_of_the_newest_trade_is_given_if_it_is_not_the_end(last: str | None, text: str | None):
    window = span("2023-07-31T00:00", "2023-08-02T16:00")
    moment = last and datetime.fromisoformat(last).replace(tzinfo=UTC)
    assert last_trade_text(Coverage(window, (window,), last_trade=moment or None)) == text


def test_coverage_that_lacks_a_minute_is_not_whole():
    window = span("2023-08-01T00:00", "2023-08-31T00:00")
    gap = Gap(span("2023-08-01T00:00", "2023-08-01T00:01"), GapKind.FAILED, problem="lost")
    covered = span("2023-08-01T00:01", "2023-08-31T00:00")
    assert coverage_text(Coverage(window, (covered,), (gap,))).startswith(
        "99.9 % covered, missing Aug 01 00:00"
    )


@pytest.mark.parametrize(
    ("lost", "text"),
    [(1, "100 % covered, up to 1 trade lost"), (1234, "100 % covered, up to 1,234 trades lost")],
)
def test_lost_trades_are_reported(lost: int, text: str):
    window = span("2023-08-01T00:00", "2023-08-01T08:00")
    assert coverage_text(Coverage(window, (window,), lost_ids=lost)) == text


@pytest.mark.parametrize(
    ("lost", "zero_sizes", "unverified", "differing", "text"),
    [
        (0, 12, 0, 0, "100 % covered, 12 rows of size 0 left out"),
        (2, 1, 0, 0, "100 % covered, up to 2 trades lost, 1 row of size 0 left out"),
        (0, 0, 1, 0, "100 % covered, 1 day without a published checksum"),
        (0, 0, 0, 1, "100 % covered, 1 day not as published checksums say"),
        (
            *(0, 0, 2, 3),
            "100 % covered, 2 days without a published checksum, 3 days not as published checksums say",
        ),
    ],
)
def test_what_was_left_out_or_is_not_verified_is_counted(
    lost: int, zero_sizes: int, unverified: int, differing: int, text: str
):
    window = span("2023-08-01T00:00", "2023-08-02T00:00")
    coverage = Coverage(
        *(window, (window,)),
        lost_ids=lost,
        zero_sizes=zero_sizes,
        unverified=unverified,
        differing=differing,
    )
    assert coverage_text(coverage) == text


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("2023-08-02T00:00", "30,722"),
        ("2023-08-02T00:02", "30,722 at 00:00 UTC"),
        ("2023-08-01T23:59", "30,722"),
    ],
)
def test_last_price_has_its_time_if_that_is_not_the_end(end: str, text: str):
    window = span("2023-08-01T00:00", end)
    newest = datetime(2023, 8, 1, 23, 59, 59, tzinfo=UTC) - timedelta(minutes=end.endswith("59"))
    assert last_price_text(30_722.1, Coverage(window, (window,), last_trade=newest), step=1.0) == text


def gapped(*gaps: tuple[str, str], start: str = "00:00", end: str = "08:00") -> Coverage:
    """Return the coverage of a window of 2023-08-01 that lacks `gaps`, each from one time to another."""
    window = span(f"2023-08-01T{start}", f"2023-08-01T{end}")
    lacking = [span(f"2023-08-01T{first}", f"2023-08-01T{last}") for first, last in gaps]
    return Coverage(
        window, tuple(missing(window, lacking)), tuple(Gap(each, GapKind.FAILED) for each in lacking)
    )


MARKED = SweepBasis(SweepPrice.MARK)


@pytest.mark.parametrize(
    ("coverage", "sweep", "words"),
    [
        (gapped(), None, None),
        (gapped(("00:00", "01:00")), None, None),  # no level is older
        (gapped(("00:00", "08:00")), None, None),
        (gapped(("07:00", "08:00")), None, "gap 07:00–08:00 UTC."),
        (gapped(("03:00", "04:00")), None, "gap 03:00–04:00 UTC."),
        (gapped(("03:00", "04:00"), ("07:00", "08:00")), None, "gaps 03:00–04:00 and 07:00–08:00 UTC."),
        (gapped(("00:00", "01:00"), ("01:00:20", "02:00")), None, "gap 01:00–02:00 UTC."),
        (
            gapped(("01:00", "03:31:30"), ("03:31:46", "04:45:55"), ("04:45:56", "08:00")),
            *(MARKED, "gap 01:00–08:00 UTC, where only mark prices are known."),
        ),
        (
            gapped(("01:00", "03:00"), ("04:00", "04:01"), ("05:00", "05:02"), ("06:00", "08:00")),
            *(replace(MARKED, share=0.995), "gaps 01:00–03:00 and 06:00–08:00 UTC, and in 2 shorter ones."),
        ),
        (gapped(("03:00:05", "03:00:40")), None, "gap 03:00:05–03:00:40 UTC."),
    ],
)
def test_gaps_in_which_levels_may_have_been_swept_are_all_said(
    coverage: Coverage, sweep: SweepBasis | None, words: str | None
):
    sentence = words and f"Older levels may have been swept in the {words}"
    assert unswept_text({Exchange.BYBIT: coverage}, sweep) == sentence


def test_gaps_of_some_of_several_exchanges_are_reported_to_be_theirs():
    each = {
        Exchange.BINANCE: gapped(("00:00", "02:00")),
        Exchange.BYBIT: gapped(("01:00", "04:00")),
        Exchange.OKX: gapped(("03:00", "05:00")),
    }
    assert unswept_text(each, None) == (
        "Older levels of Bybit and OKX may have been swept in the gap 01:00–05:00 UTC."
    )
    each[Exchange.BINANCE] = each[Exchange.OKX]
    assert unswept_text(each, None) == "Older levels may have been swept in the gap 01:00–05:00 UTC."


def test_gap_over_several_days_has_its_dates():
    window, hole = span("2023-08-01T00:00", "2023-08-04T00:00"), span("2023-08-01T12:00", "2023-08-02T09:00")
    coverage = Coverage(window, tuple(missing(window, [hole])), (Gap(hole, GapKind.FAILED),))
    assert unswept_text({Exchange.BYBIT: coverage}, None) == (
        "Older levels may have been swept in the gap Aug 01 12:00–Aug 02 09:00 UTC."
    )


NEAR = Cluster(Side.BUY, 99.2, 99.8, 99.5, -0.005, -0.002, 1e6)
LARGE = Cluster(Side.BUY, 90.0, 91.0, 90.5, -0.095, -0.09, 2e6)
# The last price is 100, and the band of 1 % ends inside of both; it holds the middle of the second.
ACROSS = Cluster(Side.SELL, 100.5, 101.5, 101.2, 0.012, 0.0061, 1e6)
AROUND = Cluster(Side.SELL, 99.5, 102.5, 100.5, 0.005, 0.0, 1e6)


@pytest.mark.parametrize(
    ("nearest", "largest", "text"),
    [
        (
            *(NEAR, LARGE),
            "$5.00M in all · nearest large $1.00M @ 99.5 (-0.50 %) · largest $2.00M @ 90.5 (-9.50 %)",
        ),
        (NEAR, NEAR, "$5.00M in all · nearest and largest $1.00M @ 99.5 (-0.50 %)"),
        (ACROSS, ACROSS, "$5.00M in all · nearest and largest $1.00M @ 101.2 (+1.20 %, from +0.61 %)"),
        (
            AROUND,
            AROUND,
            "$5.00M in all · nearest and largest $1.00M @ 100.5 (+0.50 %, from +0.00 % to +2.50 %)",
        ),
        (None, None, "nothing stands"),
    ],
)
def test_standing_text_names_its_clusters(nearest: Cluster | None, largest: Cluster | None, text: str):
    assert standing_text(5e6, nearest, largest, step=0.5) == text


def test_band_names_what_it_holds_where_all_named_clusters_lie_beyond():
    small = replace(ACROSS, notional=4e4, is_nearest_small=True)
    bands = (Band(0.01, 2e6, 3e4), Band(0.02, 3e6, 4e4), Band(0.05, 4e6, 5e6))
    drawn = summarize(mapped(trades(Side.BUY), trades(Side.SELL), last=100.0))
    summary = replace(drawn, bucket_size=0.5, bands=bands, clusters=(NEAR, small, AROUND))
    assert [band_text(band, summary) for band in bands] == [
        "$2.00M longs, $30.0K shorts (part of $40.0K @ 101.2)",
        "$3.00M longs, $40.0K shorts",
        "$4.00M longs, $5.00M shorts",
    ]
    empty = (Band(0.01, 0.0, 0.0), Band(0.02, 0.0, 4e4))
    summary = replace(summary, bands=empty)
    assert [band_text(band, summary) for band in empty] == [
        "$0 longs, $0 shorts",
        "$0 longs, $40.0K shorts ($40.0K @ 101.2)",
    ]


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [
        (31_186.0, 50, "31,186"),
        (1966.2, 10, "1,966.2"),
        (28_982.4, 0.2, "28,982.4"),
        (1.31e-5, 5e-8, "0.00001310"),
        (0.5644, 5e-4, "0.5644"),
        (0.56, 5e-4, "0.5600"),
        (24.0, 0.05, "24.00"),
    ],
)
def test_prices_of_an_answer_have_the_last_price_s_digits_or_its_buckets(
    value: float, step: float, text: str
):
    assert price(value, step=price_step(value, bucket_size=step)) == text


@pytest.mark.parametrize(
    ("cluster", "step", "text"),
    [
        (Cluster(Side.BUY, 0.0880, 0.0882, 0.088095, -0.02, -0.02, 1e6), 1e-4, "$1.00M @ 0.0881"),
        (Cluster(Side.SELL, 2010.0, 2020.0, 2015.0, 0.02, 0.02, 1e6), 10, "$1.00M @ 2,015"),
        (Cluster(Side.BUY, 1925.0, 1965.0, 1946.8, -0.01, -0.01, 6e7), 5, "$60.0M @ 1,947"),
    ],
)
def test_label_of_a_cluster_is_as_exact_as_its_buckets(cluster: Cluster, step: float, text: str):
    assert cluster_label(cluster, step=step) == text


def test_every_kind_of_gap_has_its_own_words():
    window, since = span("2026-11-25T00:00", "2026-11-26T00:00"), datetime(2026, 11, 25, 2, 13, tzinfo=UTC)
    texts = {
        kind: gap_text(Gap(window, kind, Exchange.BYBIT, since=since, problem="the disk is full"))
        for kind in GapKind
    }
    assert len(set(texts.values())) == len(GapKind)
    assert texts[GapKind.RECORDING_STARTED_LATER] == (
        "Bybit publishes trades by day; recording started Nov 25 02:13 UTC"
    )
    assert texts[GapKind.FAILED] == "the disk is full"


def test_line_of_a_scan_has_price_coverage_and_each_cluster_with_its_side():
    long = NearCluster(29_000.0, -0.0068, 5e6, hours=0.9, share=0.4)
    short = NearCluster(29_500.0, 0.0103, 1.25e6, hours=None, share=None)
    found = ScannedMarket(Market(Exchange.OKX, "BTCUSDT"), 29_200.0, 50.0, 0.9719, 0.01, 6e6, long, short)
    assert market_name(found.market) == "BTCUSDT on OKX"
    assert scanned_text(found, found.clusters()) == (
        "at 29,200, 97.1 % covered: longs $5.00M at 29,000 (-0.68 %, 0.9 hourly volatilities,"
        " 40 % of the last hour's volume); shorts $1.25M at 29,500 (+1.03 %)"
    )
    assert (
        scanned_text(replace(found, covered=1.0), [short]) == "at 29,200: shorts $1.25M at 29,500 (+1.03 %)"
    )
    old = replace(found, covered=1.0, price_age=timedelta(hours=18))
    assert scanned_text(old, [short]) == "at 29,200 (18 h old): shorts $1.25M at 29,500 (+1.03 %)"
