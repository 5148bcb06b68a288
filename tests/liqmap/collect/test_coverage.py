from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.collect.coverage import coverage_of
from liqmap.model import Coverage, Exchange, Gap, GapKind, Hole
from liqmap.model.window import TimeWindow
from liqmap.store.segments import VIA_FILES, VIA_REST, VIA_STREAM, Origin, Part, Segment
from liqmap.text import coverage_text
from tests.liqmap.conftest import DAY

MIDNIGHT = TimeWindow.of_day(DAY).start


def hours(first: float, last: float) -> TimeWindow:
    return TimeWindow(MIDNIGHT + timedelta(hours=first), MIDNIGHT + timedelta(hours=last))


def segment(
    window: TimeWindow,
    *via: str,
    lost: int = 0,
    simulated: bool = False,
    ids: tuple[int | None, int | None] = (None, None),
    trades: int = 2,
) -> Segment:
    origin = Origin(
        *(Exchange.BINANCE, "BTCUSDT", window, "x", ""),
        simulated=simulated,
        first_id=ids[0],
        last_id=ids[1],
        lost_ids=lost,
        via=via,
    )
    return Segment(Path(f"{window.start:%d%H}-{window.end:%d%H}"), origin, trades, 0, {}, {})


def lacking(window: TimeWindow) -> Gap:
    return Gap(window, GapKind.NOT_PUBLISHED)


def covering(window: TimeWindow, *parts: Part) -> Coverage:
    return coverage_of(window, parts, market="Binance USD-M", explain=lacking)


def test_whole_window_has_no_gap_and_names_how_it_came():
    parts = [
        Part(segment(hours(0, 24), VIA_FILES), hours(22, 24)),
        Part(segment(hours(24, 25), VIA_REST), hours(24, 25)),
        Part(segment(hours(25, 26), VIA_STREAM, VIA_REST), hours(25, 26)),
    ]
    assert covering(hours(22, 26), *parts) == Coverage(
        hours(22, 26), (hours(22, 26),), (), ("Binance USD-M daily files, REST, live stream",)
    )


def test_nothing_there_is_one_gap_without_sources():
    coverage = covering(hours(1, 2))
    assert coverage == Coverage(hours(1, 2), (), (lacking(hours(1, 2)),))
    assert coverage.fraction == 0


def test_gap_over_midnight_with_one_reason_is_one_gap():
    coverage = covering(hours(1, 60), Part(segment(hours(4, 5), VIA_REST), hours(4, 5)))
    assert coverage.missing == (lacking(hours(1, 4)), lacking(hours(5, 60)))
    assert coverage.fraction == pytest.approx(1 / 59)


def test_each_day_of_a_gap_has_its_own_reason():
    explained: list[TimeWindow] = []

    def explain(window: TimeWindow) -> Gap:
        explained.append(window)
        first = window.start < MIDNIGHT + timedelta(days=1)
        return Gap(window, GapKind.FAILED, problem="first" if first else "second")

    coverage = coverage_of(hours(12, 60), [], market="x", explain=explain)
    assert explained == [hours(12, 24), hours(24, 48), hours(48, 60)]
    assert coverage.missing == (
        Gap(hours(12, 24), GapKind.FAILED, problem="first"),
        Gap(hours(24, 60), GapKind.FAILED, problem="second"),
    )


def test_gaps_of_one_reason_with_trades_between_stay_two():
    part = Part(segment(hours(23, 25), VIA_REST), hours(23, 25))
    assert covering(hours(20, 30), part).missing == (
        lacking(hours(20, 23)),
        lacking(hours(25, 30)),
    )


def test_segment_read_in_two_parts_counts_its_lost_ids_once():
    whole = segment(hours(0, 10), VIA_STREAM, lost=3)
    between = segment(hours(4, 5), VIA_REST, lost=4)
    parts = [Part(whole, hours(0, 4)), Part(between, hours(4, 5)), Part(whole, hours(5, 10))]
    assert covering(hours(0, 10), *parts).lost_ids == 7


def test_hole_that_the_ids_show_is_a_gap_with_a_count():
    start = int(MIDNIGHT.timestamp()) * 1000
    hole = Hole(start + 3_600_500, start + 7_200_500, 1234)
    day = segment(hours(0, 24), VIA_FILES, lost=1234)
    part = replace(day, origin=replace(day.origin, holes=(hole,)))
    whole = TimeWindow(hours(1, 2).start + timedelta(seconds=1), hours(1, 2).end)
    found = covering(hours(0, 24), Part(part, hours(0, 24)))
    assert found.missing == (Gap(whole, GapKind.LOST, lost=1234),)
    assert found.covered == (TimeWindow(MIDNIGHT, whole.start), hours(2, 24))
    assert "missing 01:00–02:00 (the exchange's ids skip 1,234 trades)" in coverage_text(found)
    assert not coverage_text(found).endswith("lost")
    inside = covering(hours(1.25, 1.5), Part(part, hours(1.25, 1.5)))
    assert (inside.covered, inside.fraction) == ((), 0)
    assert inside.missing == (Gap(hours(1.25, 1.5), GapKind.LOST, lost=1234),)


def test_what_was_left_out_and_is_not_verified_is_counted_by_segment():
    origin = replace(segment(hours(0, 24), VIA_FILES).origin, zero_sizes=5, unverified=True)
    odd = replace(segment(hours(0, 24), VIA_FILES), origin=origin)
    parts = [
        Part(odd, hours(0, 4)),
        Part(odd, hours(5, 24)),
        Part(segment(hours(24, 48), VIA_FILES), hours(24, 48)),
    ]
    found = covering(hours(0, 48), *parts)
    assert (found.zero_sizes, found.unverified, found.differing) == (5, 1, 0)


def test_a_day_that_differs_from_its_checksum_does_not_count_as_one_without_a_checksum():
    whole = segment(hours(0, 24), VIA_FILES)
    odd = replace(whole, origin=replace(whole.origin, unverified=True, differs=True))
    found = covering(hours(0, 24), Part(odd, hours(0, 24)))
    assert (found.unverified, found.differing) == (0, 1)


def numbered(first: float, last: float, *ids: int, read: TimeWindow | None = None) -> Part:
    """Return the part of a segment whose trades have `ids`, which may be none."""
    window = hours(first, last)
    its = (min(ids), max(ids)) if ids else (None, None)
    return Part(segment(window, VIA_FILES, ids=its, trades=len(ids)), read or window)


def test_day_cut_short_shows_in_the_first_id_of_the_next():
    assert covering(hours(0, 48), numbered(0, 24, 1, 70), numbered(24, 48, 101, 200)).lost_ids == 30


def test_ids_lost_inside_a_segment_and_behind_it_are_both_counted():
    day = segment(hours(0, 24), VIA_FILES, ids=(1, 70), lost=5)
    assert covering(hours(0, 48), Part(day, hours(0, 24)), numbered(24, 48, 101, 200)).lost_ids == 35


def test_segment_without_trades_hides_no_lost_ids():
    parts = [numbered(0, 1, 1, 70), numbered(1, 2), numbered(2, 3), numbered(3, 4, 101, 200)]
    assert covering(hours(0, 4), *parts).lost_ids == 30


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (numbered(0, 24, 1, 70), numbered(24, 48, 71, 99)),
        (numbered(0, 24, 1, 70), numbered(24, 48, 70, 99)),  # a trade that was overtaken at the border
        (numbered(0, 24, 1, 70), numbered(25, 48, 101, 200)),  # trades of the hour between
        (numbered(0, 24, 1, 70, read=hours(0, 23)), numbered(23, 48, 101, 200)),
        (numbered(0, 24, 1, 70), numbered(23, 48, 101, 200, read=hours(24, 48))),
        (Part(segment(hours(0, 24), VIA_FILES), hours(0, 24)), numbered(24, 48, 101, 200)),
    ],
)
def test_border_without_lost_ids_counts_nothing(one: Part, other: Part):
    assert covering(hours(0, 48), one, other).lost_ids == 0


@pytest.mark.parametrize("simulated", [True, False])
def test_one_simulated_segment_makes_the_whole_simulated(simulated: bool):
    parts = [
        Part(segment(hours(0, 1), VIA_FILES), hours(0, 1)),
        Part(segment(hours(1, 2), VIA_FILES, simulated=simulated), hours(1, 2)),
    ]
    assert covering(hours(0, 2), *parts).simulated is simulated


@given(
    bounds=st.sets(st.integers(0, 72), min_size=2, max_size=10),
    held=st.lists(st.booleans(), min_size=10, max_size=10),
    days=st.lists(st.sampled_from("ab"), min_size=4, max_size=4),
)
def test_covered_and_missing_are_disjoint_ordered_and_make_up_the_window(
    bounds: set[int], held: list[bool], days: list[str]
):
    edges = sorted(bounds)
    windows = [hours(*pair) for pair in pairwise(edges)]
    parts = [Part(segment(each, VIA_REST), each) for each, there in zip(windows, held, strict=False) if there]
    window = hours(edges[0], edges[-1])

    def explain(part: TimeWindow) -> Gap:
        return Gap(part, GapKind.FAILED, problem=days[(part.start - MIDNIGHT).days])

    coverage = coverage_of(window, parts, market="x", explain=explain)
    pieces = sorted(
        [*coverage.covered, *(gap.window for gap in coverage.missing)], key=lambda each: each.start
    )
    assert pieces[0].start == window.start
    assert pieces[-1].end == window.end
    assert all(one.end == other.start for one, other in pairwise(pieces))
    assert coverage.fraction == sum((part.window.length for part in parts), timedelta()) / window.length
    for gap in coverage.missing:
        assert {days[(day - DAY).days] for day in gap.window.days} == {gap.problem}
