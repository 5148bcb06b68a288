from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations, pairwise

import numpy as np
import pytest
from PIL import Image

from liqmap.compute.adding import LARGEST_KEPT
from liqmap.compute.aftermath import aftermath
from liqmap.compute.heatmap import build_heatmap
from liqmap.compute.margin import MarginRules
from liqmap.compute.summary import summarize
from liqmap.compute.values import Heatmap, LiquidationMap, PricePath, SideTrades
from liqmap.model import (
    Coverage,
    Exchange,
    Gap,
    GapKind,
    LackingBrackets,
    LevelFilter,
    MapRequest,
    MarginBasis,
    MarginModel,
    MarginRule,
    Market,
    Side,
    Theme,
    TopN,
    Valuation,
)
from liqmap.model.window import TimeWindow
from liqmap.render import draw_depth, draw_heatmap, draw_map
from liqmap.render.axes import step_of
from liqmap.render.bars import bar_edges, standing_totals
from liqmap.render.canvas import Canvas
from liqmap.render.depth import depth_canvas
from liqmap.render.frame import framed
from liqmap.render.heatmap import heatmap_canvas
from liqmap.render.map import _map_panels, labelled_clusters, map_canvas
from liqmap.render.path import path_pieces
from liqmap.render.shapes import Area, Line, Pixels, Rings
from liqmap.render.style import HEIGHT, PALETTES, SIZES, WIDTH
from liqmap.text import cluster_label, coverage_warning, last_price_text, price, standing_text
from tests.liqmap.conftest import Computed, compute, entries_of

START = datetime(2023, 8, 1, tzinfo=UTC)
LABEL = "Binance USD-M"
BIN = 60


def made(
    *,
    price: float = 29_000.0,
    hours: float = 6,
    trades: int = 100,
    sides: tuple[Side, ...] = (Side.BUY, Side.SELL),
    spread: float = 0.01,
    symbol: str = "BTCUSDT",
    theme: Theme = Theme.DARK,
    missing: tuple[float, float] | None = None,
    simulated: bool = False,
    leverages: tuple[int, ...] = (10, 25, 50, 100),
) -> Computed:
    """Return a map of a random walk around `price`, and its levels."""
    rng = np.random.default_rng(7)
    window = TimeWindow(START, START + timedelta(hours=hours))
    points = 700
    time = np.linspace(window.start_ms, window.end_ms - 1, points).astype(np.int64)
    close = price * np.exp(np.cumsum(rng.normal(0, spread / 30, points)))
    gaps: tuple[Gap, ...] = ()
    if missing is not None:
        hole = TimeWindow(START + timedelta(hours=missing[0]), START + timedelta(hours=missing[1]))
        gaps = (Gap(hole, GapKind.NOT_PUBLISHED_YET),)
        kept = (time < hole.start_ms) | (time >= hole.end_ms)
        time, close = time[kept], close[kept]
    path = PricePath(time, close * (1 - spread / 50), close * (1 + spread / 50), close)

    def selected(side: Side) -> SideTrades:
        count = trades if side in sides else 0
        rows = rng.integers(0, len(time), count)
        notional = np.sort(1e5 * (1 + rng.pareto(1.5, count)))[::-1]
        return SideTrades(side, time[rows], close[rows], notional)

    request = MapRequest(
        (Market(Exchange.BINANCE, symbol),), window, TopN(100), theme=theme, leverages=leverages
    )
    last_trade = datetime.fromtimestamp(time[-1] // 1000, UTC)
    coverage = Coverage(window, (window,), gaps, simulated=simulated, last_trade=last_trade)
    buys, sells = selected(Side.BUY), selected(Side.SELL)
    after = {
        each.side: aftermath(path, each, bin_seconds=BIN, later=never)
        for each, never in ((buys, np.inf), (sells, -np.inf))
    }
    return compute(
        request,
        [entries_of(buys, sells, after)],
        path=path,
        coverage=coverage,
        trade_count=1_234_567,
        rules=MarginRules(),
        basis=MarginBasis(MarginModel.SIMPLE, lacking=LackingBrackets("Binance", "X")),
    )


MADE = {
    "plain": made(),
    "light": made(theme=Theme.LIGHT),
    "cheap": made(price=0.00001234, symbol="SHIBUSDT"),
    "dear": made(price=104_250.5),
    "many trades": made(trades=20_000, hours=24 * 7, spread=0.08),
    "ninety days": made(hours=24 * 90, spread=0.4),
    "five minutes": made(hours=5 / 60, spread=0.0005),
    "one trade": made(trades=1, sides=(Side.BUY,)),
    "only buys": made(sides=(Side.BUY,)),
    "only sells": made(sides=(Side.SELL,)),
    "one price": made(spread=0.0),
    "gap": made(missing=(2, 3.5)),
    "late gap": made(missing=(4.5, 6)),
    "simulated": made(simulated=True, missing=(4, 6)),
    "one leverage": made(leverages=(50,)),
    "six leverages": made(leverages=(5, 10, 20, 50, 75, 125)),
    "eight leverages": made(leverages=(3, 5, 10, 20, 25, 50, 75, 150), price=0.00001234, spread=0.05),
    "not Latin": made(symbol="币安人生USDT"),
    "swept": made(spread=0.05),
}
plain = MADE["plain"].map
MADE["nothing stands"] = compute(
    plain.request,
    [entries_of(SideTrades.none(Side.BUY), plain.sells.largest)],
    path=PricePath(*(np.array([value]) for value in (plain.path.time[0], 25_000.0, 1e9, 1e9))),
    trade_count=1,
)
gap = MADE["gap"].map
MADE["much to say"] = replace(
    MADE["gap"],
    map=replace(
        gap,
        request=replace(gap.request, selection=TopN(1_000_000), levels=LevelFilter.ALL),
        buys=replace(gap.buys, count=1_000_000),
        coverage=replace(
            gap.coverage,
            missing=tuple(
                replace(
                    each,
                    kind=GapKind.RECORDING_STARTED_LATER,
                    exchange=Exchange.BYBIT,
                    since=datetime(2026, 11, 25, 2, 13, tzinfo=UTC),
                )
                for each in gap.coverage.missing
            ),
            lost_ids=1_234_567,
            last_trade=gap.request.window.end - timedelta(hours=1, minutes=3),
        ),
        unplaced=21.9e6,
        margin=MarginBasis(MarginModel.SIMPLE, lacking=LackingBrackets("Binance", "1000BONKUSDT")),
    ),
)
VARIANTS = {name: each.map for name, each in MADE.items()}


def lines_of(canvas: Canvas) -> list[Line]:
    return [shape for shape in canvas.shapes if isinstance(shape, Line)]


def areas_of(canvas: Canvas) -> list[Area]:
    return [shape for shape in canvas.shapes if isinstance(shape, Area)]


def rings_of(canvas: Canvas) -> list[Rings]:
    return [shape for shape in canvas.shapes if isinstance(shape, Rings)]


def image_of(canvas: Canvas) -> Pixels:
    """Return the first image on a canvas."""
    return next(shape for shape in canvas.shapes if isinstance(shape, Pixels))


def heatmap_of(liquidation_map: LiquidationMap) -> Heatmap:
    """Return the heatmap of one of the variants."""
    (stretches,) = [each.stretches for each in MADE.values() if each.map is liquidation_map]
    return build_heatmap(liquidation_map, stretches, bin_seconds=BIN)


def drawn_heatmap(liquidation_map: LiquidationMap, *, label: str) -> Canvas:
    return heatmap_canvas(liquidation_map, heatmap_of(liquidation_map), label=label)


def texts(canvas: Canvas) -> list[str]:
    return [label.text for label in canvas.labels]


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(
    "draw",
    [
        draw_map,
        draw_depth,
        lambda drawn, label: draw_heatmap(drawn, heatmap_of(drawn), label=label),
    ],
)
def test_picture_of_any_map_is_a_png_of_the_size_and_small(name: str, draw):
    png = draw(VARIANTS[name], label=LABEL)
    image = Image.open(io.BytesIO(png))
    assert image.format == "PNG"
    assert image.size == (WIDTH, HEIGHT)
    assert len(png) < 250_000


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("canvas_of", [map_canvas, depth_canvas, drawn_heatmap])
def test_no_text_overlaps_another_or_leaves_the_picture(name: str, canvas_of):
    canvas = canvas_of(VARIANTS[name], label=LABEL)
    labels = [label for label in canvas.labels if label.opacity == 1]
    for label in labels:
        assert label.box.left >= 0
        assert label.box.right <= WIDTH, label.text
        assert label.box.bottom >= 0
        assert label.box.top <= HEIGHT
    for one, other in combinations(labels, 2):
        assert not one.box.overlaps(other.box), f"{one.text!r} overlaps {other.text!r}"


@pytest.mark.parametrize("canvas_of", [map_canvas, depth_canvas, drawn_heatmap])
def test_picture_says_what_it_is_made_of(canvas_of):
    words = " | ".join(texts(canvas_of(VARIANTS["plain"], label=LABEL)))
    for fact in (
        "BTCUSDT",
        LABEL,
        "2023-08-01 00:00 → 06:00 UTC",
        "top 100 trades per side",
        "200 trades",
        "100 % covered",
        "selected from 1,234,567 trades",
        "simple model",
        "Estimated from trades, not financial advice",
        "not financial advice",
    ):
        assert fact in words
    assert "SIMULATED" not in words


@pytest.mark.parametrize("canvas_of", [map_canvas, depth_canvas, drawn_heatmap])
def test_picture_names_the_date_of_its_margin_rule(canvas_of):
    drawn, day = VARIANTS["plain"], date(2025, 9, 2)
    for rule, words in (
        (MarginRule(Valuation.MARK, since=day), "Bybit model of 2025-09-02, brackets of 2026-09-01"),
        (MarginRule(Valuation.ENTRY, until=day), "Bybit model before 2025-09-02, brackets of"),
        (MarginRule(Valuation.MARK), "Bybit model, brackets of 2026-09-01"),
    ):
        basis = MarginBasis(MarginModel.BYBIT, date(2026, 9, 1), rule=rule)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(MADE, "dated", replace(MADE["plain"], map=replace(drawn, margin=basis)))
            found = texts(canvas_of(MADE["dated"].map, label=LABEL))
        assert any(words in text for text in found)


def test_foot_of_a_partial_map_has_as_many_details_as_fit():
    drawn = VARIANTS["gap"]
    (hole,) = drawn.coverage.missing

    def foot(reason: str, source: str) -> tuple[str, str]:
        coverage = replace(
            drawn.coverage, missing=(replace(hole, kind=GapKind.FAILED, problem=reason),), sources=(source,)
        )
        labels = map_canvas(replace(drawn, coverage=coverage), label=LABEL).labels
        first, second = sorted(labels, key=lambda label: label.box.bottom)[1::-1]
        return first.text, second.text

    count, kept = "selected from 1,234,567 trades", "Estimated from trades,"
    first, second = foot("not published yet", "Binance REST")
    assert first.endswith(f"(not published yet)  ·  Binance REST  ·  {count}")
    assert kept in second
    first, second = foot("not published yet", "Binance USD-M daily files, REST, recorded here")
    assert first.endswith(f"(not published yet)  ·  {count}")
    assert kept in second
    first, second = foot("Bybit publishes trades by day, and they are not recorded here", "Bybit linear")
    assert first.endswith("not recorded here)")
    assert "Estimated from 200 of 1,234,567 trades, not" in second


@pytest.mark.parametrize("canvas_of", [map_canvas, depth_canvas, drawn_heatmap])
def test_simulated_data_is_marked_in_every_panel(canvas_of):
    marks = [
        label for label in canvas_of(VARIANTS["simulated"], label=LABEL).labels if "SIMULATED" in label.text
    ]
    assert any(label.opacity == 1 for label in marks)
    assert any(0 < label.opacity < 1 for label in marks)


def test_gap_is_hatched_and_named_and_no_line_crosses_it():
    canvas = map_canvas(VARIANTS["gap"], label=LABEL)
    assert "no data" in texts(canvas)
    assert any("missing 02:00–03:30 (not published yet)" in text for text in texts(canvas))
    (hatched,) = [area for area in areas_of(canvas) if area.hatch]
    box = hatched.outline.get_extents()
    for line in lines_of(canvas):
        x = line.x
        if len(x) > 100 and np.isfinite(x).all():  # the price path
            assert not ((x > box.x0 + 1) & (x < box.x1 - 1)).any()
            assert len(x) < len(VARIANTS["gap"].path.time)


def longest_bar(canvas: Canvas, colour: str) -> float:
    """Return the right end [px] of the longest bar of a colour."""
    bars = [area for area in areas_of(canvas) if area.colour == colour]
    return max(float(np.asarray(area.outline.vertices)[:, 0].max()) for area in bars)


def test_bars_end_where_their_totals_do():
    drawn = made(leverages=(50,)).map
    _, panel = _map_panels(drawn)
    total = float((drawn.buckets.long + drawn.buckets.short).sum(axis=0).max())
    canvas = map_canvas(drawn, label=LABEL)
    assert longest_bar(canvas, "#129fb4") == pytest.approx(float(panel.x(total)), abs=1)
    assert panel.x_range[0] == 0


def test_totals_of_both_sides_are_written():
    drawn = VARIANTS["plain"]
    for canvas in (map_canvas(drawn, label=LABEL), depth_canvas(drawn, label=LABEL)):
        assert any(text.startswith("longs below  $") for text in texts(canvas))
        assert any(text.startswith("shorts above  $") for text in texts(canvas))
        assert any(text.startswith("last 2") for text in texts(canvas))


def test_largest_clusters_are_labelled_with_size_and_price():
    drawn = VARIANTS["plain"]
    labelled = [text for text in texts(map_canvas(drawn, label=LABEL)) if " @ " in text]
    assert 2 <= len(labelled) <= 8


@pytest.mark.parametrize("name", VARIANTS)
def test_clusters_that_words_name_are_labelled_in_the_map(name: str):
    drawn = VARIANTS[name]
    summary, words = summarize(drawn), texts(map_canvas(drawn, label=LABEL))
    step = step_of(drawn)
    assert any(text.startswith(f"last {price(summary.last_price, step=step)}") for text in words)
    for cluster in (
        *(summary.nearest_long, summary.nearest_short),
        *(summary.largest_long, summary.largest_short),
    ):
        if cluster is not None:
            text = cluster_label(cluster, step=step)
            assert text in words
            assert text in standing_text(1.0, cluster, cluster, step=step)


@pytest.mark.parametrize("name", VARIANTS)
def test_map_and_heatmap_name_the_same_clusters_by_the_same_numbers(name: str):
    drawn = VARIANTS[name]
    step = step_of(drawn)
    named = {cluster_label(each, step=step) for each in drawn.labelled if each.is_named}
    in_map, in_heatmap = (
        {text for text in texts(canvas_of(drawn, label=LABEL)) if " @ " in text}
        for canvas_of in (map_canvas, drawn_heatmap)
    )
    assert named <= in_map == in_heatmap
    assert in_map == {cluster_label(each, step=step) for each in labelled_clusters(drawn)}


@pytest.mark.parametrize("name", ["plain", "ninety days"])
def test_clusters_with_a_label_have_a_bracket_and_no_others(name: str):
    drawn = VARIANTS[name]
    canvas, (_, panel) = map_canvas(drawn, label=LABEL), _map_panels(drawn)
    white = PALETTES[Theme.DARK].text
    _, brackets = (area.outline for area in areas_of(canvas) if area.colour == white)
    corners = np.asarray(brackets.vertices).reshape(-1, 5, 2)
    found = sorted((float(each[:, 1].min()), float(each[:, 1].max())) for each in corners)
    with_label = sorted(labelled_clusters(drawn), key=lambda each: each.low)
    assert len(with_label) < len(drawn.labelled) or name == "plain"  # not all of them have room
    for cluster, (low, high) in zip(with_label, found, strict=True):
        assert low == pytest.approx(float(panel.y(cluster.low)), abs=1)
        assert high == pytest.approx(float(panel.y(cluster.high)), abs=2)


@pytest.mark.parametrize(("name", "span"), [("plain", "per 50"), ("cheap", "per 0.00000002")])
def test_depth_says_which_span_of_prices_a_bar_is_of(name: str, span: str):
    canvas = depth_canvas(VARIANTS[name], label=LABEL)
    boxes = {label.text: label.box for label in canvas.labels}
    assert boxes[span].bottom > boxes["of price"].top
    assert all(each.right <= WIDTH for each in boxes.values())


@pytest.mark.parametrize("name", ["plain", "light", "dear", "swept", "many trades"])
def test_watermark_takes_no_label_its_place(name: str):
    drawn = VARIANTS[name]
    simulated = replace(drawn, coverage=replace(drawn.coverage, simulated=True))
    real, marked = (
        {label.text: label.box for label in map_canvas(each, label=LABEL).labels if " @ " in label.text}
        for each in (drawn, simulated)
    )
    assert real == marked


def circles(canvas: Canvas) -> int:
    return sum(len(rings.x) for rings in rings_of(canvas))


def test_every_selected_trade_is_a_circle_up_to_a_number_that_is_reported():
    few, many = (map_canvas(VARIANTS[name], label=LABEL) for name in ("plain", "many trades"))
    assert circles(few) == 200 + 2  # and two in the legend
    assert circles(many) == 2 * LARGEST_KEPT + 2
    assert f"circles: the largest {LARGEST_KEPT} per side" in texts(many)
    assert not any("circles" in text for text in texts(few))


def test_circles_grow_with_the_notional():
    canvas = map_canvas(made(trades=100, sides=(Side.BUY,)).map, label=LABEL)
    sizes = [rings.radius for rings in rings_of(canvas)][2:]  # after the two in the legend
    assert len(set(sizes)) > 2
    assert max(sizes) == sizes[0]  # the largest are drawn first, so that none hides another


@pytest.mark.parametrize(("name", "words"), [("plain", "per 50 of price"), ("cheap", "per 0.00000002")])
def test_axis_of_the_bars_says_what_their_amounts_are_per(name: str, words: str):
    assert words in texts(map_canvas(VARIANTS[name], label=LABEL))


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("canvas_of", [map_canvas, depth_canvas, drawn_heatmap])
def test_no_letters_are_smaller_than_those_of_the_foot(name: str, canvas_of):
    labels = canvas_of(VARIANTS[name], label=LABEL).labels
    assert not [label.text for label in labels if label.size < SIZES.foot]


@pytest.mark.parametrize("canvas_of", [map_canvas, depth_canvas, drawn_heatmap])
def test_last_price_from_before_a_gap_says_its_time(canvas_of):
    words = texts(canvas_of(VARIANTS["late gap"], label=LABEL))
    assert any(text.endswith("at 04:30") for text in words if text.startswith(("last 2", "at")))
    assert not any("at 0" in text for text in texts(canvas_of(VARIANTS["gap"], label=LABEL)))


@pytest.mark.parametrize(("name", "hours"), [("late gap", 4.5), ("gap", 6)])
def test_line_of_the_last_price_ends_where_the_data_does(name: str, hours: float):
    drawn = VARIANTS[name]
    panel, _ = _map_panels(drawn)
    y = float(panel.y(drawn.last_price))
    (dashed,) = [
        line.x
        for line in lines_of(map_canvas(drawn, label=LABEL))
        if line.colour == PALETTES[Theme.DARK].text and np.all(line.y == y)
    ]
    end = drawn.request.window.start_ms + hours * 3_600_000
    assert dashed[-1] == pytest.approx(float(panel.x(end)))


@pytest.mark.parametrize("canvas_of", [map_canvas, depth_canvas])
@pytest.mark.parametrize("name", ["plain", "cheap", "six leverages", "eight leverages"])
def test_legend_names_every_leverage_in_letters_not_below_the_foot_s(name: str, canvas_of):
    drawn = VARIANTS[name]
    assert name != "eight leverages" or drawn.buckets.swept.any()
    labels = {label.text: label for label in canvas_of(drawn, label=LABEL).labels}
    legend = [labels[f"{leverage}x"] for leverage in drawn.buckets.leverages]
    assert min(label.size for label in legend) >= SIZES.foot
    assert max(label.box.top for label in legend) < min(
        label.box.bottom for label in labels.values() if label.text.startswith("2023-08-01")
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_title_of_the_depth_s_axis_stands_off_the_legend(name: str):
    labels = {label.text: label.box for label in depth_canvas(VARIANTS[name], label=LABEL).labels}
    named = {f"{leverage}x" for leverage in VARIANTS[name].request.leverages} & labels.keys()
    legend = min(labels[each].bottom for each in named)
    assert name == "nothing stands" or labels["sum"].top < legend


@pytest.mark.parametrize("name", VARIANTS)
def test_all_prices_of_an_answer_have_the_same_digits(name: str):
    drawn = VARIANTS[name]
    summary, decimals = summarize(drawn), re.compile(r"(?<=\d\.)\d+")
    digits = len("".join(decimals.findall(price(1.0, step=step_of(drawn)))))
    pictures = (each(drawn, label=LABEL) for each in (map_canvas, depth_canvas, drawn_heatmap))
    written = [text for canvas in pictures for text in texts(canvas)]
    assert last_price_text(summary.last_price, drawn.coverage, step=step_of(drawn)).split()[0] in written
    for text in written:
        found = re.fullmatch(r"(?:\$\S+ @ |last )?([\d,]+(?:\.\d+)?)(?: at .*| on .*)?", text)
        if found:
            after = len("".join(decimals.findall(found[1])))
            # Only an axis that is zoomed in can need more.
            assert after == digits or (after > digits and found[1] == text), text


def test_nothing_that_stands_has_no_scale():
    drawn = VARIANTS["nothing stands"]
    for canvas_of in (map_canvas, depth_canvas):
        words = texts(canvas_of(drawn, label=LABEL))
        assert not [text for text in words if text.startswith(("$", "per ", "sum"))]


def test_swept_levels_are_outlined_and_named():
    drawn = VARIANTS["swept"]
    assert drawn.buckets.swept.any()
    for canvas in (map_canvas(drawn, label=LABEL), depth_canvas(drawn, label=LABEL)):
        assert "swept since" in texts(canvas)
        ghosts = [line for line in lines_of(canvas) if line.colour == PALETTES[Theme.DARK].ghost]
        assert any(np.isfinite(line.x).any() for line in ghosts)


@pytest.mark.parametrize(("canvas_of", "upright"), [(map_canvas, False), (depth_canvas, True)])
def test_outline_that_continues_beyond_the_panel_or_the_pill_stays_open(canvas_of, upright: bool):
    drawn = VARIANTS["swept"]
    buckets = drawn.buckets
    drawn = replace(drawn, buckets=replace(buckets, swept=np.full(len(buckets.swept), 1e12)))
    canvas = canvas_of(drawn, label=LABEL)
    (ghosts,) = [line for line in lines_of(canvas) if line.colour == PALETTES[Theme.DARK].ghost]
    across = ghosts.y if upright else ghosts.x
    (pill,) = [label.box for label in canvas.labels if label.text.startswith("last ")]
    ends = {across.reshape(-1, 5)[row, 1] for row in range(len(buckets.swept))}
    assert np.isnan(across.reshape(-1, 5)[:, 2]).all()  # no edge where nothing ends
    assert ends == ({718.0, pill.bottom - 6} if upright else {WIDTH - 28.0, pill.left - 10})


def test_nothing_swept_has_no_ghosts():
    assert "swept since" not in texts(map_canvas(VARIANTS["one price"], label=LABEL))


def test_nothing_standing_is_reported():
    for canvas_of in (map_canvas, depth_canvas):
        assert "nothing stands" in texts(canvas_of(VARIANTS["nothing stands"], label=LABEL))
        assert "nothing stands" not in texts(canvas_of(VARIANTS["plain"], label=LABEL))


def test_heatmap_says_what_its_colours_mean_and_what_lies_outside():
    drawn = VARIANTS["swept"]
    heatmap = replace(heatmap_of(drawn), below=2e6, above=3e6)
    words = texts(heatmap_canvas(drawn, heatmap, label=LABEL))
    assert {"$2.00M stands below", "$3.00M stands above", "square-root scale"} <= set(words)
    assert "$0" in words
    assert any(text.startswith("standing per") for text in words)


def test_gap_covers_the_heatmap_to_the_end_of_the_bin_that_the_window_cuts():
    computed = made(hours=6.005, missing=(4.5, 6.005))
    heatmap = build_heatmap(computed.map, computed.stretches, bin_seconds=BIN)
    assert heatmap.time[-1] > computed.map.request.window.end_ms
    canvas = heatmap_canvas(computed.map, heatmap, label=LABEL)
    (hatched,) = [area for area in areas_of(canvas) if area.hatch]
    image = image_of(canvas)
    assert hatched.outline.get_extents().x1 == image.left + image.colours.shape[1]


def test_heatmap_is_brightest_where_most_stands():
    drawn = VARIANTS["swept"]
    heatmap = heatmap_of(drawn)
    canvas = heatmap_canvas(drawn, heatmap, label=LABEL)
    pixels = image_of(canvas).colours
    row, column = np.unravel_index(heatmap.value.argmax(), heatmap.value.shape)
    at = (
        round((row + 0.5) / heatmap.value.shape[0] * pixels.shape[0]),
        round((column + 0.5) / heatmap.value.shape[1] * pixels.shape[1]),
    )
    brightest = PALETTES[Theme.DARK].heat[-1]
    assert "#" + bytes(pixels[at].astype(np.uint8)).hex() == brightest


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_map_labels_keep_order_and_side_and_their_leaders_cross_no_bar(name: str):
    drawn = VARIANTS[name]
    canvas, (_, panel) = map_canvas(drawn, label=LABEL), _map_panels(drawn)
    names = {cluster_label(each, step=step_of(drawn)): each for each in drawn.labelled}
    labels = sorted(
        (label for label in canvas.labels if label.text in names), key=lambda label: label.box.bottom
    )
    prices = [names[label.text].price for label in labels]
    assert prices == sorted(prices)
    last = float(panel.y(drawn.last_price))
    ends = panel.x(standing_totals(drawn))
    for label in labels:
        assert (label.box.bottom > last) == (names[label.text].distance > 0)
        assert label.box.left > float(ends.max())
    edges = panel.y(drawn.buckets.edges)
    points = [np.column_stack([line.x, line.y]) for line in lines_of(canvas)]
    # All leaders are one line with breaks: two level points, one at the label, and none.
    broken = [each for each in points if len(each) == 4 * len(labels) and np.isnan(each[3::4]).all()]
    assert bool(broken) == bool(labels)
    for (start, y), (elbow, same), *_ in np.concatenate([np.empty((0, 2)), *broken]).reshape(-1, 4, 2):
        assert y == same
        crossed = (edges[:-1] <= y) & (y < edges[1:]) & (ends > start)
        assert not crossed.any()
        assert elbow > float(ends.max())


def test_bar_of_one_level_far_from_the_price_is_thick_enough_to_be_seen():
    first, last = bar_edges(np.array([10.0, 10.2, 10.4, 15.0]), np.zeros(3, bool))
    assert (last - first).tolist() == pytest.approx([2.0, 2.0, 4.6])
    assert first[0] + last[0] == pytest.approx(20.2)  # where it was


def test_bars_grow_into_the_room_beside_them_and_no_further():
    edges = np.array([0.0, 2.0, 4.0, 6.0, 8.0, 30.0, 32.0])
    shown = np.array([True, False, False, True, False, True])
    first, last = bar_edges(edges, shown)
    assert first[shown].tolist() == pytest.approx([-3.0, 4.0, 27.0])
    assert last[shown].tolist() == pytest.approx([4.0, 11.0, 35.0])


@pytest.mark.parametrize("simulated", [False, True])
@pytest.mark.parametrize("symbol", ["BTCUSDT", "BTCUSD_PERP", "1000BTTCUSDT_260327"])
def test_title_keeps_off_what_stands_beside_it(symbol: str, simulated: bool):
    plain = VARIANTS["plain"]
    market = replace(plain.request.market, symbol=symbol)
    drawn = replace(
        plain,
        request=replace(plain.request, markets=(market,)),
        coverage=replace(plain.coverage, simulated=simulated),
    )
    canvas = framed(drawn, "liquidation heatmap", "Binance + Bybit + OKX", PALETTES[Theme.DARK])
    line = sorted(
        (each.box for each in canvas.labels if each.box.top > HEIGHT - 60), key=lambda box: box.left
    )
    assert len(line) == 3 + simulated
    assert all(one.right + 8 < other.left for one, other in pairwise(line))


def test_one_trade_is_no_trades():
    words = texts(map_canvas(replace(VARIANTS["one trade"], trade_count=1), label=LABEL))
    assert any(text.endswith("selected from 1 trade") for text in words)


def test_picture_of_a_partly_covered_window_begins_with_a_warning():
    drawn = VARIANTS["gap"]
    window, (gap,) = drawn.request.window, drawn.coverage.missing
    parts = TimeWindow(window.start, gap.window.start), TimeWindow(gap.window.end, window.end)
    drawn = replace(drawn, coverage=replace(drawn.coverage, covered=parts))
    assert coverage_warning(replace(drawn.coverage, covered=())) == "Only 0 % of this window is covered."
    seconds = TimeWindow(window.start, window.start + timedelta(seconds=5))
    barely = replace(drawn.coverage, covered=(seconds,))
    assert coverage_warning(barely) == "Less than 0.1 % of this window is covered."
    words = texts(map_canvas(drawn, label=LABEL))
    assert any(text.startswith("⚠ Only 75 % of this window is covered. Older levels may") for text in words)
    assert not any(text.startswith("⚠") for text in texts(map_canvas(VARIANTS["plain"], label=LABEL)))


def test_no_line_of_the_price_crosses_a_gap_that_ends_within_a_bin():
    drawn = VARIANTS["plain"]
    time, window = drawn.path.time, drawn.request.window
    width = int(time[1] - time[0])
    start = datetime.fromtimestamp(int(time[100]) // 1000, UTC)
    hole = TimeWindow(start, start + timedelta(seconds=(10 * width + width // 2) // 1000))
    keep = (time < hole.start_ms) | (time + width > hole.end_ms)
    path = PricePath(time[keep], drawn.path.low[keep], drawn.path.high[keep], drawn.path.close[keep])
    coverage = replace(
        drawn.coverage,
        covered=(TimeWindow(window.start, hole.start), TimeWindow(hole.end, window.end)),
        missing=(Gap(hole, GapKind.RECORDING_INTERRUPTED),),
    )
    before, after = path_pieces(replace(drawn, path=path, coverage=coverage))
    assert path.time[before][-1] < hole.start_ms
    assert path.time[after][0] + width > hole.end_ms
