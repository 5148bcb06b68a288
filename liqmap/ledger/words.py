"""Word a report. A rule chooses its sentence, and no setting hides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.ledger.chance import LOOKS
from liqmap.ledger.lines import LedgerOrigin, State

if TYPE_CHECKING:
    from liqmap.ledger.chance import Interval
    from liqmap.ledger.report import Look, MarginCheck, Report


def sentence(report: Report) -> str:
    """Return the report's sentence, which the interval of the newest look decides."""
    look = None if report.figures is None else report.figures.look
    prefix = f"{'Simulated data. ' if report.simulated else ''}{_ORIGINS.get(report.origin, '')}"
    # No verdict before the first look: intervals over a few days exclude zero too often.
    if look is None:
        return (
            f"{prefix}Being measured since {report.since}: {report.days} of {LOOKS[0]} days. No verdict yet."
        )
    return prefix + _verdict(look)


def points(share: float) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return f"{share * 100:+.1f} pp".replace("-", "−")


def interval_text(interval: Interval) -> str:
    """Return the bounds of an interval in percentage points."""
    low, high = (f"{each * 100:+.1f}".replace("-", "−") for each in (interval.low, interval.high))
    return f"{low} to {high}"


def details(report: Report) -> list[tuple[str, str]]:
    """Return the figures of a report, each with its name."""
    rows = [("windows", _windows(report)), ("feed", _FEEDS[report.complete])]
    figures = report.figures
    if figures is not None:
        rows += [
            ("information gain", _bits(figures.gain)),
            ("gain at equal distance", _bits(figures.matched_gain)),
            ("gain weighted by USD", _bits(figures.weighted_gain)),
            ("marked zones", f"{figures.capture.marked * 100:.1f} % of liquidated USD"),
            ("equally distant", f"{figures.capture.matched * 100:.1f} % of liquidated USD"),
            ("difference", _difference(figures.lift)),
            ("weighted by USD", _difference(figures.weighted)),
            ("shifted maps", _difference(figures.placebo)),
        ]
        rows += [
            (
                f"test of {each.name}",
                f"{_difference(each.lift)}, p {each.p:.3f}, corrected {each.corrected:.3f}",
            )
            for each in figures.questions
        ]
        rows += [(f"swept / realised {month}", f"{ratio:.2g}×") for month, ratio in figures.swept.items()]
        rows += [(f"margin check {market}", _margin(check)) for market, check in figures.margin.items()]
    rows.append(("last hash", report.last_hash))
    return rows


def _verdict(look: Look) -> str:
    marked, matched = (f"{share * 100:.1f} %" for share in look.capture)
    level = "95 % interval" if look.level == 0.95 else "95 % interval over three looks"
    difference = f"(difference {points(look.lift.value)}, {level} {interval_text(look.lift)})"
    # Only an interval that excludes zero is a finding; anything else shows no edge, however large the mean.
    if look.lift.low > 0:
        return (
            f"Over {look.days} days, {marked} of liquidated USD fell into the marked zones; equally distant"
            f" unmarked ones got {matched} {difference}."
        )
    if look.lift.high < 0:
        return (
            f"Over {look.days} days, marked zones did worse than equally distant unmarked ones: {marked} of"
            f" liquidated USD fell into them, {matched} into those {difference}."
        )
    return (
        f"No edge shown: over {look.days} days, {marked} of liquidated USD fell into the marked zones;"
        f" equally distant unmarked ones got {matched} {difference}."
    )


def _windows(report: Report) -> str:
    parts = [f"{report.states.get(state, 0)} {word}" for state, word in _STATES if report.states.get(state)]
    return f"{', '.join(parts)}; {report.days} days"


def _margin(check: MarginCheck) -> str:
    known = "no brackets" if check.rate is None else f"first bracket {check.rate * 100:.2f} %"
    return f"bankruptcy prices {check.gap * 100:.3f} % from the fills, {known}"


def _bits(gain: Interval) -> str:
    words = f"{gain.value:+.3f} bits a window ({gain.low:+.3f} to {gain.high:+.3f})"
    return words.replace("-", "−")


def _difference(interval: Interval) -> str:
    return f"{points(interval.value)} ({interval_text(interval)})"


_ORIGINS = {LedgerOrigin.BACKTEST: "Back-test on past days. "}
_FEEDS = {True: "complete", False: "sampled: at most one liquidation a second is known"}
_STATES = (
    (State.SCORED, "scored"),
    (State.FEW, "with too few liquidations"),
    (State.WARMING, "before there was a baseline"),
    (State.VOID, "void"),
    (None, "not over yet"),
)
