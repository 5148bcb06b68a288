from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liqmap.coverage import coverage_of
from liqmap.model import Coverage, Exchange, Gap, TimeWindow
from liqmap.segments import VIA_FILES, VIA_REST, VIA_STREAM, Origin, Part, Segment
from tests.liqmap.conftest import DAY

MIDNIGHT = TimeWindow.of_day(DAY).start


def hours(first: float, last: float) -> TimeWindow:
    return TimeWindow(MIDNIGHT + timedelta(hours=first), MIDNIGHT + timedelta(hours=last))


def segment(
    window: TimeWindow, *via: str, lost: int = 0, simulated: bool = False, source: str = "x"
) -> Segment:
    origin = Origin(
        Exchange.BINANCE, "BTCUSDT", window, source, "", simulated=simulated, lost_ids=lost, via=via
    )
    return Segment(Path(f"{window.start:%d%H}-{window.end:%d%H}"), origin, 1, 1, {})


def covering(window: TimeWindow, *parts: Part, reason: str = "not there") -> Coverage:
    return coverage_of(window, parts, market="Binance USD-M", explain=lambda _: reason)


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
    assert coverage == Coverage(hours(1, 2), (), (Gap(hours(1, 2), "not there"),))
    assert coverage.fraction == 0


def test_gap_over_midnight_with_one_reason_is_one_gap():
    coverage = covering(hours(1, 60), Part(segment(hours(4, 5), VIA_REST), hours(4, 5)))
    assert coverage.missing == (Gap(hours(1, 4), "not there"), Gap(hours(5, 60), "not there"))
    assert coverage.fraction == pytest.approx(1 / 59)


def test_each_day_of_a_gap_has_its_own_reason():
    asked: list[TimeWindow] = []

    def explain(window: TimeWindow) -> str:
        asked.append(window)
        return "first" if window.start < MIDNIGHT + timedelta(days=1) else "second"

    coverage = coverage_of(hours(12, 60), [], market="x", explain=explain)
    assert asked == [hours(12, 24), hours(24, 48), hours(48, 60)]
    assert coverage.missing == (Gap(hours(12, 24), "first"), Gap(hours(24, 60), "second"))


def test_gaps_of_one_reason_with_trades_between_stay_two():
    part = Part(segment(hours(23, 25), VIA_REST), hours(23, 25))
    assert covering(hours(20, 30), part).missing == (
        Gap(hours(20, 23), "not there"),
        Gap(hours(25, 30), "not there"),
    )


def test_segment_read_in_two_parts_counts_its_lost_ids_once():
    whole = segment(hours(0, 10), VIA_STREAM, lost=3)
    between = segment(hours(4, 5), VIA_REST, lost=4)
    parts = [Part(whole, hours(0, 4)), Part(between, hours(4, 5)), Part(whole, hours(5, 10))]
    assert covering(hours(0, 10), *parts).lost_ids == 7


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
    coverage = coverage_of(window, parts, market="x", explain=lambda gap: days[(gap.start - MIDNIGHT).days])
    pieces = sorted(
        [*coverage.covered, *(gap.window for gap in coverage.missing)], key=lambda each: each.start
    )
    assert pieces[0].start == window.start
    assert pieces[-1].end == window.end
    assert all(one.end == other.start for one, other in pairwise(pieces))
    assert coverage.fraction == sum((part.window.length for part in parts), timedelta()) / window.length
    for gap in coverage.missing:
        assert {days[(day - DAY).days] for day in gap.window.days} == {gap.reason}
