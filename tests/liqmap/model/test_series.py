from __future__ import annotations

import pytest

from liqmap.model.series import Series, SeriesKind

KIND = SeriesKind.OPEN_INTEREST


def without_outliers(*values: float) -> list[float]:
    times = range(0, len(values) * KIND.step_ms, KIND.step_ms)
    found = Series.of(KIND, times, [(each,) for each in values]).without_outliers()
    kept: list[float] = found.values[0].tolist()
    return kept


def test_value_that_jumps_and_returns_at_once_is_dropped():
    assert without_outliers(100, 101, 180, 102, 103) == [100, 101, 102, 103]
    assert without_outliers(100, 101, 0, 102, 103) == [100, 101, 102, 103]


@pytest.mark.parametrize("wrong", [(180, 180), (180, 250, 180), (50, 0.1), (180, 0.1, 50)])
def test_wrong_values_that_are_repeated_are_dropped(wrong: tuple[float, ...]):
    right = [100.0 + place for place in range(14)]
    assert without_outliers(*right[:3], *wrong, *right[3:]) == right
    assert without_outliers(*right[:3], *wrong, *right[3:6], 180, *right[6:9], *wrong, *right[9:]) == right


def test_change_that_lasts_longer_than_wrong_values_do_stays():
    lasting = [100.0, 101, 180, 180, 181, 182, 102, 103]
    assert without_outliers(*lasting) == lasting


def test_spans_are_those_of_rows_that_follow_each_other():
    step = KIND.step_ms
    for places, spans in (([], []), ([3], [(3, 4)]), ([0, 1, 4, 5, 7], [(0, 2), (4, 6), (7, 8)])):
        found = Series.of(KIND, [each * step for each in places], [(1.0,)] * len(places)).spans
        assert [(each.start_ms // step, each.end_ms // step) for each in found] == spans


def test_change_that_lasts_stays():
    assert without_outliers(100, 101, 180, 182, 183) == [100, 101, 180, 182, 183]


def test_first_and_last_value_stay_because_nothing_shows_them_to_be_wrong():
    for values in ((180, 101, 102, 180), (101, 180, 180, 102, 103), (101, 102, 180, 180, 103)):
        assert without_outliers(*values) == list(values)
    assert without_outliers(100, 180) == [100, 180]
