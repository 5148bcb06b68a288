from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from liqmap.ledger.book import opened
from liqmap.ledger.chance import LOOK_LEVEL, Interval
from liqmap.ledger.file import read_ledger, verify_ledger
from liqmap.ledger.lines import LedgerOrigin, State
from liqmap.ledger.metrics import BINS, SIDES, Capture
from liqmap.ledger.report import Look, MarginCheck, Report, figures_of, report_of
from liqmap.ledger.words import details, sentence
from liqmap.model import Exchange, Market
from tests.accuracy.worlds import MARKET, START, World, lift_after, scored_windows, written

DOCS = Path(__file__).parents[3] / "docs" / "accuracy.md"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the ledger of a world in which half is known: thirty windows before a baseline, and ten days."""
    path = tmp_path_factory.mktemp("ledger") / "half.jsonl"
    written(World(0.5, seed=1), 10, path)
    return path


@pytest.fixture(scope="module")
def report(path: Path) -> Report:
    found = report_of(read_ledger(path))
    assert found is not None
    return found


def test_windows_are_counted_by_what_became_of_them(report: Report):
    assert report.states == {State.WARMING: 30, State.SCORED: 30}
    assert (report.days, report.since) == (10, START.date())
    assert [*report.strip.values()] == [State.WARMING] * 10 + [State.SCORED] * 10
    assert report.markets == ("bybit:BTCUSDT",)
    assert report.simulated


def test_parts_of_the_difference_add_up(report: Report):
    figures = report.figures
    assert figures is not None
    assert figures.lift.value == pytest.approx(figures.capture.lift)
    assert figures.profile.sum() == pytest.approx(figures.lift.value)
    by_name = {each.name: each for each in figures.questions}
    sides = by_name["longs"].lift.value + by_name["shorts"].lift.value
    assert sides == pytest.approx(figures.lift.value)
    assert all(each.corrected >= each.p for each in figures.questions)
    assert figures.lift.low < figures.lift.value < figures.lift.high
    assert [*figures.swept] == ["2026-01"]


def script_prints(path: Path, folder: Path) -> list[str]:
    """Return what the script of docs/accuracy.md prints of a ledger."""
    text = DOCS.read_text().partition("```py\n")[2].partition("```")[0]
    assert "liqmap" not in text
    assert len([line for line in text.splitlines() if line]) == 25
    script = folder / "script.py"
    script.write_text(text)
    reported = subprocess.run(  # noqa: S603
        [sys.executable, str(script), str(path)], capture_output=True, text=True, check=True
    )
    return reported.stdout.splitlines()


def interval_text(each: Interval) -> str:
    return f"{each.value:.6f} ({each.low:.6f} to {each.high:.6f})"


def test_the_script_of_the_docs_computes_the_same_from_the_lines_alone(
    path: Path, report: Report, tmp_path: Path
):
    printed = script_prints(path, tmp_path)
    found = dict(re.findall(r"^10 days, (.*): (.*, p .*)$", "\n".join(printed), re.MULTILINE))
    figures = report.figures
    assert figures is not None
    assert figures.touch is not None
    profile = zip(
        BINS,
        map(Interval, figures.profile.ravel(), figures.profile_low.ravel(), figures.profile_high.ravel()),
        strict=True,
    )
    expected = {
        "information gain": figures.gain,
        "gain at equal distance": figures.matched_gain,
        "information gain, by USD": figures.weighted_gain,
        "difference": figures.lift,
        "difference, by USD": figures.weighted,
        "shifted maps": figures.placebo,
        "touched levels": figures.touch,
        **{each.name: each.lift for each in figures.questions if each.name in SIDES},
        **dict(profile),
    }
    assert {name: found[name].partition(", p ")[0] for name in expected} == {
        name: interval_text(each) for name, each in expected.items()
    }
    p_values = {each.name: f"{each.p:.6f}" for each in figures.questions}
    assert {name: found[name].partition(", p ")[2] for name in p_values} == p_values
    assert {each for each in printed if "corrected" in each} == corrected_text(report)
    assert found["marked zones"].startswith(f"{figures.capture.marked:.6f} ")
    (ratio,) = figures.swept.values()
    assert found["swept / realised 2026-01"].startswith(f"{ratio:.6f} ")


def corrected_text(report: Report) -> set[str]:
    assert report.figures is not None
    return {f"{each.name}: corrected p {each.corrected:.6f}" for each in report.figures.questions}


def test_the_script_of_the_docs_corrects_for_the_questions_of_each_market(tmp_path: Path):
    path = tmp_path / "two markets.jsonl"
    written(World(0.2, seed=3), 4, path, markets=(MARKET, Market(Exchange.BYBIT, "ETHUSDT")))
    report = report_of(read_ledger(path))
    assert report is not None
    assert report.figures is not None
    assert len(report.figures.questions) == 6
    assert {each for each in script_prints(path, tmp_path) if "corrected" in each} == corrected_text(report)


def test_the_script_of_the_docs_computes_the_verdict_after_ninety_days(tmp_path: Path):
    path = tmp_path / "ninety days.jsonl"
    written(World(0.2, seed=3), 91, path)
    report = report_of(read_ledger(path))
    assert report is not None
    assert report.figures is not None
    look = report.figures.look
    assert look is not None
    printed = "\n".join(script_prints(path, tmp_path))
    assert f"\n90 days, difference: {interval_text(look.lift)}, p " in printed
    assert f"\n90 days, marked zones: {look.capture.marked:.6f} " in printed


def test_a_void_window_has_no_outcome_and_is_shown(tmp_path: Path):
    path = tmp_path / "void.jsonl"
    written(World(0.5, seed=1), 1, path, feed=0.949)
    found = report_of(read_ledger(path))
    assert found is not None
    assert (found.states, found.days, found.figures) == ({State.VOID: 33}, 0, None)
    outcomes = [line for line in read_ledger(path).lines if line["kind"] == "outcome"]
    assert all(line["usd"] is None and line["events"] == 0 for line in outcomes)


def test_a_sealed_window_that_is_not_over_is_waited_for(path: Path, tmp_path: Path):
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    found = report_of(verify_ledger(copy))
    assert found is not None
    assert found.states[None] == 1


def test_an_empty_ledger_and_another_symbol_have_no_report(path: Path, tmp_path: Path):
    assert report_of(read_ledger(tmp_path / "none.jsonl")) is None
    assert report_of(read_ledger(path), symbol="ETHUSDT") is None
    assert report_of(read_ledger(path), symbol="BTCUSDT") is not None


def test_a_window_is_sealed_once(path: Path):
    with opened(path) as book:
        window = book.find(MARKET, START)
        assert window is not None
        assert window.outcome is not None
        assert window.seal.window.end == START + timedelta(hours=8)
        assert book.find(MARKET, START - timedelta(hours=8)) is None


EDGE = (
    "Over 90 days, 16.0 % of liquidated USD fell into the marked zones; equally distant unmarked ones got"
    " 10.0 % (difference +6.0 pp, 95 % interval over three looks +1.2 to +11.0)."
)
NO_EDGE = (
    "No edge shown: over 90 days, 16.0 % of liquidated USD fell into the marked zones; equally distant"
    " unmarked ones got 10.0 % (difference +6.0 pp, 95 % interval over three looks −1.2 to +11.0)."
)
WORSE = (
    "Over 90 days, marked zones did worse than equally distant unmarked ones: 16.0 % of liquidated USD fell"
    " into them, 10.0 % into those (difference +6.0 pp, 95 % interval over three looks −11.0 to −1.2)."
)


@pytest.mark.parametrize(
    ("low", "high", "words"), [(0.012, 0.11, EDGE), (-0.012, 0.11, NO_EDGE), (-0.11, -0.012, WORSE)]
)
def test_the_interval_alone_chooses_the_sentence(report: Report, low: float, high: float, words: str):
    look = Look(90, Capture(0.16, 0.10), Interval(0.06, low, high), LOOK_LEVEL)
    figures = report.figures
    assert figures is not None
    reported = replace(report, figures=replace(figures, look=look), simulated=False)
    assert sentence(reported) == words


def test_before_ninety_days_there_is_no_verdict(report: Report):
    assert sentence(report) == (
        "Simulated data. Being measured since 2026-01-01: 10 of 90 days. No verdict yet."
    )
    assert sentence(replace(report, simulated=False, origin=LedgerOrigin.BACKTEST)).startswith(
        "Back-test on past days."
    )


def test_figures_are_named_once_and_end_with_the_hash(report: Report):
    names = [name for name, _ in details(report)]
    assert len(names) == len(set(names))
    assert details(report)[-1] == ("last hash", report.last_hash)


def test_looks_are_taken_after_90_180_and_360_days_and_at_the_end_of_a_back_test():
    scored = scored_windows(World(0.5, seed=2), 95)
    first = figures_of(scored).look
    assert first is not None
    assert (first.days, first.level) == (90, LOOK_LEVEL)
    assert first.lift == lift_after(scored, 90, level=LOOK_LEVEL)
    last = figures_of(scored, fixed_end=True).look
    assert last is not None
    assert (last.days, last.level) == (95, 0.95)
    assert figures_of(scored[:30]).look is None
    assert np.isclose(last.lift.value, np.mean([each.capture.lift for each in scored]))


def test_margin_check_is_the_median_of_each_market_beside_its_bracket():
    scored = scored_windows(World(0.5, seed=2), 2)
    gaps = [0.0036, 0.0040, 0.0039, 0.0041, 0.0040, 0.0050]
    checked = [replace(each, margin=MarginCheck(gap, 0.004)) for each, gap in zip(scored, gaps, strict=True)]
    assert figures_of(checked).margin == {"bybit:BTCUSDT": (0.0040, 0.004)}
    assert figures_of(scored).margin == {}
