from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.views.replies import COLOUR, TOO_LONG, WARNING_COLOUR, fitting, map_reply, progress_text
from liqmap import Exchange, Market, Picture, __version__
from liqmap.model import Coverage, Gap, GapKind, LackingBrackets, MarginBasis, MarginModel, Progress
from liqmap.model.window import TimeWindow
from tests.bot.conftest import ABOVE, BELOW, PNG, REQUEST, SUMMARY, WINDOW, result_of

HALF = TimeWindow.ending(datetime(2023, 8, 1, 3, tzinfo=UTC), timedelta(hours=3))


def text_of(**changes: Any) -> str:
    return "\n".join(
        part
        for embed in map_reply(result_of(**changes)).embeds
        for part in (
            embed.title,
            embed.description,
            embed.footer.text,
            *(f"{field.name}: {field.value}" for field in embed.fields),
        )
        if part
    )


def test_numbers_stand_under_the_map():
    text = text_of()
    for line in (
        "BTCUSDT liquidation map · last 29,205",
        "Binance · top 100 trades per side · window ended <t:1690869600:R>",
        "Selected: 200 of 412,345 trades, $40.0M",
        "Standing: 60 % longs, 40 % shorts",
        "**Longs below** $60.0M in all · nearest and largest $4.50M @ 26,650 (-8.75 %)",
        "**Shorts above** $40.0M in all · nearest and largest $1.25M @ 30,950 (+5.98 %)",
        "±1 %: $0 longs, $1.00M shorts",
        "±5 %: $20.0M longs, $10.0M shorts",
        "2023-08-01 00:00 → 06:00 UTC · 100 % covered · daily files of Binance USD-M",
        "Swept since: $3.00M longs, $2.00M shorts",
        "Estimated by the Binance model, brackets of 2026-09-01, not financial advice",
        f"liqmap {__version__}",
    ):
        assert line in text
    assert "⚠️" not in text


def test_nearest_and_largest_cluster_are_distinguished():
    largest = replace(
        BELOW, low=24_950.0, high=25_050.0, price=25_000.0, distance=-0.144, near=-0.143, notional=9e6
    )
    clusters = (replace(BELOW, is_largest=False), replace(largest, is_nearest_large=False), ABOVE)
    text = text_of(summary=replace(SUMMARY, clusters=clusters))
    assert "nearest large $4.50M @ 26,650 (-8.75 %) · largest $9.00M @ 25,000 (-14.40 %)" in text


def test_nothing_standing_is_reported():
    summary = replace(
        SUMMARY,
        standing_long=0.0,
        standing_short=0.0,
        clusters=(),
    )
    text = text_of(summary=summary)
    assert "Standing: nothing stands" in text
    assert "**Longs below** nothing stands" in text


def test_missing_part_is_reported_with_its_reason_and_coloured():
    gap = Gap(TimeWindow(HALF.end, WINDOW.end), GapKind.NOT_PUBLISHED_YET)
    coverage = Coverage(WINDOW, (HALF,), (gap,), ("daily files",))
    assert "⚠️ 50 % covered, missing 03:00–06:00 (not published yet)" in text_of(coverage=coverage)
    first, *_ = map_reply(result_of(coverage=coverage)).embeds
    assert (first.description or "").startswith("⚠️ 50 % covered")
    assert first.colour == WARNING_COLOUR
    assert map_reply(result_of()).embeds[0].colour == COLOUR


def test_lost_trades_are_reported_first_and_last():
    (numbers, *_, last) = map_reply(result_of(coverage=Coverage(WINDOW, (WINDOW,), lost_ids=1234))).embeds
    assert "⚠️ 100 % covered, up to 1,234 trades lost" in (numbers.description or "")
    assert "100 % covered, up to 1,234 trades lost" in (last.footer.text or "")


def test_price_of_a_window_whose_end_is_missing_has_its_time():
    gap = Gap(TimeWindow(HALF.end, WINDOW.end), GapKind.NOT_PUBLISHED_YET)
    newest = HALF.end - timedelta(seconds=1)
    coverage = Coverage(WINDOW, (HALF,), (gap,), last_trade=newest)
    text = text_of(coverage=coverage)
    assert "last 29,205 at 03:00 UTC" in text
    assert "⚠️ Older levels may have been swept in the gap 03:00–06:00 UTC." in text
    assert "last price 29,205 at 03:00 UTC;" in (
        map_reply(result_of(coverage=coverage)).files[0].description or ""
    )
    # Where nobody traded, nothing was touched.
    text = text_of(coverage=Coverage(WINDOW, (WINDOW,), last_trade=newest))
    assert "last 29,205 at 03:00 UTC" in text
    assert "may have been swept" not in text


def test_simulated_data_is_marked_wherever_it_shows():
    reply = map_reply(result_of(coverage=Coverage(WINDOW, (WINDOW,), simulated=True)))
    assert "simulated" in (reply.embeds[0].title or "")
    assert "**Simulated data**" in (reply.embeds[-1].description or "")
    assert "simulated data" in (reply.embeds[-1].footer.text or "")
    assert all("simulated data" in (file.description or "") for file in reply.files)


def test_missing_brackets_and_trades_too_large_are_reported():
    basis = MarginBasis(MarginModel.SIMPLE, lacking=LackingBrackets("Binance", "NOPEUSDT"))
    text = text_of(summary=replace(SUMMARY, margin=basis, unplaced=2e6))
    assert "⚠️ No Binance brackets of NOPEUSDT are known: levels by the simple model." in text
    assert "$2.00M too large for these leverages" in text


def test_picture_comes_first_under_at_most_three_lines():
    lost = Coverage(WINDOW, (WINDOW,), lost_ids=3, last_trade=HALF.end)
    first, depth, numbers = map_reply(result_of(coverage=lost)).embeds
    assert len((first.description or "").splitlines()) == 3
    assert not first.fields
    assert (depth.description, depth.fields) == (None, [])
    assert [field.name for field in numbers.fields] == [
        "Selected",
        "Standing",
        "Swept since",
        "Standing within",
    ]


def test_answer_for_a_window_that_is_barely_covered_is_a_warning():
    part = TimeWindow(WINDOW.start, WINDOW.start + timedelta(minutes=30))
    gap = Gap(TimeWindow(part.end, WINDOW.end), GapKind.NOT_RECORDED, Exchange.BYBIT)
    first, *_ = map_reply(result_of(coverage=Coverage(WINDOW, (part,), (gap,)))).embeds
    assert first.title == "⚠️ BTCUSDT: only 8.3 % of this window is covered."
    assert first.colour == WARNING_COLOUR


def test_levels_older_than_a_gap_are_marked_as_possibly_swept_in_it():
    hole = TimeWindow(HALF.end, HALF.end + timedelta(hours=1))
    rest = TimeWindow(hole.end, WINDOW.end)
    coverage = Coverage(WINDOW, (HALF, rest), (Gap(hole, GapKind.RECORDING_INTERRUPTED),))
    sentence = "Older levels may have been swept in the gap 03:00–04:00 UTC."
    assert f"⚠️ {sentence}" in text_of(coverage=coverage)
    assert "may have been swept" not in text_of()


def test_heatmap_is_a_third_picture():
    reply = map_reply(result_of(pictures=dict.fromkeys(Picture, PNG)))
    assert [file.filename for file in reply.files] == [
        f"liquidation_{kind}.png" for kind in ("map", "depth", "heatmap")
    ]
    assert [embed.image.url is None for embed in reply.embeds] == [False, False, False, True]
    assert (reply.files[2].description or "").startswith("Liquidation heatmap. BTCUSDT")


def test_alt_text_carries_the_facts():
    map_file, depth_file = map_reply(result_of()).files
    assert (map_file.description or "").startswith("Liquidation map. BTCUSDT, 2023-08-01 00:00 → 06:00 UTC;")
    assert "longs below: $60.0M in all · nearest and largest $4.50M @ 26,650" in (map_file.description or "")
    assert (depth_file.description or "").startswith("Liquidation depth. ")


def test_longest_answer_stays_within_discord_s_limits():
    long = Gap(WINDOW, GapKind.FAILED, problem="x" * 900)
    request = replace(REQUEST, markets=(Market(Exchange.BINANCE, "X" * 30),))
    huge = replace(BELOW, price=0.000000123456, notional=9.99e14, is_nearest_large=False)
    clusters = (replace(BELOW, is_largest=False), huge, ABOVE)
    summary = replace(SUMMARY, standing_long=9.99e14, clusters=clusters)
    coverage = Coverage(WINDOW, (), (long, long), ("y" * 600,), simulated=True)
    reply = map_reply(result_of(request, summary=summary, coverage=coverage))
    assert sum(map(len, reply.embeds)) <= 6000
    for embed in reply.embeds:
        assert len(embed.title or "") <= 256
        assert len(embed.description or "") <= 4096
        assert len(embed.footer.text or "") <= 2048
        assert all(len(field.value or "") <= 1024 for field in embed.fields)
    assert all(len(file.description or "") <= 1024 for file in reply.files)


@pytest.mark.parametrize(
    ("fraction", "elapsed", "text"),
    [
        (None, 3.0, "Fetching …"),
        (0.0, 3.0, "Fetching ░░░░░░░░░░░░ 0 %"),
        (0.5, 3.0, "Fetching ▓▓▓▓▓▓░░░░░░ 50 %, about 3 s left"),
        (1.0, 3.0, "Fetching ▓▓▓▓▓▓▓▓▓▓▓▓ 100 %, about 0 s left"),
        (0.25, 120.0, "Fetching ▓▓▓░░░░░░░░░ 25 %, about 6 min left"),
        (0.1, 90.0, f"Fetching ▓░░░░░░░░░░░ 10 %\n{TOO_LONG}"),
        (0.02, 20.0, "Fetching ░░░░░░░░░░░░ 2 %"),  # too early to tell
        (0.02, 30.0, f"Fetching ░░░░░░░░░░░░ 2 %\n{TOO_LONG}"),
        (0.0, 30.0, f"Fetching ░░░░░░░░░░░░ 0 %\n{TOO_LONG}"),
    ],
)
def test_progress_is_a_bar_with_the_time_left(fraction: float | None, elapsed: float, text: str):
    assert progress_text(Progress("Fetching", fraction), elapsed=elapsed) == text


def test_time_left_under_a_budget_ignores_the_pace_of_the_first_minute():
    unlimited = Progress("Fetching", 0.5, left=0.0)
    assert progress_text(unlimited, elapsed=3) == "Fetching ▓▓▓▓▓▓░░░░░░ 50 %, about 3 s left"
    progress = Progress("Fetching", 0.15, left=300.0)
    assert progress_text(progress, elapsed=3) == "Fetching ▓▓░░░░░░░░░░ 15 %, about 5 min left"
    assert progress_text(Progress("Fetching", 0.0, left=900.0), elapsed=1).endswith(TOO_LONG)
    assert progress_text(progress, elapsed=75) == "Fetching ▓▓░░░░░░░░░░ 15 %, about 7 min 5 s left"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ""),
        (["a", "b"], "a\nb\n"),
        (["a", "b", "c", "d"], "a\nb\nc\n… and 1 more; ask."),
        (["a", "b" * 4080, "c"], "a\n… and 2 more; ask."),
    ],
)
def test_list_is_as_many_whole_lines_as_there_may_be(lines: list[str], expected: str):
    assert fitting(lines, most=3, hint="; ask.") == expected
