"""A ledger's report, computed from its lines alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from liqmap.ledger.buckets import mask
from liqmap.ledger.chance import LOOK_LEVEL, LOOKS, Interval, drawn_means, holm, interval, p_value
from liqmap.ledger.lines import LedgerOrigin, State, Window, first_line, market_name, windows_of
from liqmap.ledger.metrics import BINS, DIFFERENCE, GAIN, MARKED, MATCHED_GAIN, PLACEBO, SIDES, Capture

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from liqmap.ledger.file import Content, Line

_BAND = (2.5, 97.5)  # the percentiles of an interval of 95 %


class Look(NamedTuple):
    """What a verdict rests on: the first `days` scored days, at a level that allows for all looks."""

    days: int
    capture: Capture
    lift: Interval
    level: float


class MarginCheck(NamedTuple):
    """The median distance of bankruptcy prices from fills, and the rate of the first bracket, if known."""

    gap: float
    rate: float | None


class Question(NamedTuple):
    """A secondary question: its answer, its p-value, and the p-value corrected for all questions."""

    name: str
    lift: Interval
    p: float
    corrected: float


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """What scored windows say. Shares of USD count every window equally; `weighted` counts every dollar.

    `gain` is in bits a window, the primary metric; `matched_gain` is what is left of it between buckets of
    equal distance, `weighted_gain` the gain in bits a dollar. `lift` is the difference of `capture`, and
    `placebo` that of shifted maps. `profile` and its bounds are the lift by side and bin of distance (2,
    bins). `swept` is modelled swept over realised USD by month, `margin` the margin check of each market that
    has one. `touch` is None where no marked level was new.
    """

    gain: Interval
    matched_gain: Interval
    weighted_gain: Interval
    capture: Capture
    lift: Interval
    weighted: Interval
    placebo: Interval
    touch: Interval | None
    questions: tuple[Question, ...]
    profile: NDArray[np.float64]
    profile_low: NDArray[np.float64]
    profile_high: NDArray[np.float64]
    swept: Mapping[str, float]
    margin: Mapping[str, MarginCheck]
    look: Look | None


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What a ledger's windows say: only those of complete feeds, or only those of sampled ones.

    `days` is the number of days with a scored window. `states` counts windows by state, where None means that
    the outcome is not written yet. `strip` is each day's best state.
    """

    origin: LedgerOrigin
    since: date
    version: str
    last_hash: str
    markets: tuple[str, ...]
    complete: bool
    simulated: bool
    days: int
    states: Mapping[State | None, int]
    strip: Mapping[date, State | None]
    figures: Figures | None


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """One scored window's numbers.

    `touch` is the sum of what the reached buckets count, `levels` the number of marked levels that were new.
    """

    day: date
    market: str
    total: float
    gain: float
    matched_gain: float
    capture: Capture
    profile: NDArray[np.float64]
    placebo: float
    touch: float
    levels: int
    swept: float
    margin: MarginCheck | None

    @classmethod
    def of(cls, window: Window) -> Self:
        """Return the numbers of a window that is scored."""
        seal, outcome = window
        if outcome is None or outcome.usd is None or outcome.fresh is None or not seal.counts:
            raise ValueError("only a scored window has numbers")
        total = float(outcome.usd.sum())
        # Shares, so that one violent window does not outweigh a month of others.
        share, hit = outcome.usd / total, mask(outcome.touched)
        found = {name: float(share @ counts) for name, counts in seal.counts.items()}
        return cls(
            day=seal.time.date(),
            market=market_name(seal.market),
            total=total,
            gain=found[GAIN],
            matched_gain=found[MATCHED_GAIN],
            capture=Capture(found[MARKED], found[MARKED] - found[DIFFERENCE]),
            profile=np.array([found[name] for name in BINS]).reshape(len(SIDES), -1),
            placebo=found[PLACEBO],
            touch=float(hit @ outcome.fresh),
            levels=int(np.count_nonzero(outcome.fresh > 0)),
            swept=seal.standing * float(seal.density @ hit),
            margin=None if outcome.margin_gap is None else MarginCheck(outcome.margin_gap, seal.rate),
        )


def report_of(content: Content, *, symbol: str | None = None) -> Report | None:
    """Return the report of a ledger, or of its windows of one symbol; None if it has none.

    Windows of complete feeds and of sampled ones are never added up. Sampled ones count only if there are no
    others.
    """
    begin = first_line(content.lines)
    windows = [each for each in windows_of(content.lines) if symbol in {None, each.seal.market.symbol}]
    if begin is None or not windows:
        return None
    # A sampled feed lacks most of a cascade, so its shares do not compare with those of a complete one.
    feeds = {each.outcome.complete for each in windows if each.outcome is not None}
    complete = True in feeds
    shown = [each for each in windows if each.outcome is None or each.outcome.complete is complete]
    return _report(begin, content.last_hash, shown, complete=complete)


def _report(begin: Line, last_hash: str, windows: Sequence[Window], *, complete: bool) -> Report:
    states, strip = Counter[State | None](), dict[date, State | None]()
    for each in windows:
        # The best of a day's windows is shown: one bad window does not make a day void.
        state, day = None if each.outcome is None else each.outcome.state, each.seal.time.date()
        states[state] += 1
        strip[day] = min(strip.get(day, state), state, key=_RANKS.index)
    scored = [Scored.of(each) for each in windows if each.outcome and each.outcome.state is State.SCORED]
    origin = LedgerOrigin(begin["origin"])
    return Report(
        origin=origin,
        since=min(each.seal.time for each in windows).date(),
        version=begin["version"],
        last_hash=last_hash,
        markets=tuple(sorted({market_name(each.seal.market) for each in windows})),
        complete=complete,
        simulated=any(each.seal.simulated for each in windows),
        days=len({each.day for each in scored}),
        states=states,
        strip=strip,
        figures=figures_of(scored, fixed_end=origin is LedgerOrigin.BACKTEST) if scored else None,
    )


def figures_of(scored: Sequence[Scored], *, fixed_end: bool = False) -> Figures:
    """Return what one or more scored windows say. With `fixed_end` there is one look, at the end."""
    days, ones = [each.day for each in scored], np.ones(len(scored))

    def mean(values: Sequence[float], weights: NDArray[np.float64] = ones) -> Interval:
        return interval(days, np.array(values, np.float64), weights)

    profile = np.stack([each.profile for each in scored])
    low, high = np.percentile(drawn_means(days, profile, ones), _BAND, axis=0)
    lifts = [each.capture.lift for each in scored]
    totals = np.array([each.total for each in scored])
    counted = [each for each in scored if each.levels]
    return Figures(
        gain=mean([each.gain for each in scored]),
        matched_gain=mean([each.matched_gain for each in scored]),
        weighted_gain=mean([each.gain for each in scored], totals),
        capture=_mean_capture(scored),
        lift=mean(lifts),
        weighted=mean(lifts, totals),
        placebo=mean([each.placebo for each in scored]),
        touch=_touch(counted) if counted else None,
        questions=tuple(_questions(scored)),
        profile=profile.mean(axis=0),
        profile_low=low,
        profile_high=high,
        swept=_swept(scored),
        margin=_margin(scored),
        look=_look(scored, fixed_end=fixed_end),
    )


# From the best to the worst, for the strip of days.
_RANKS = (State.SCORED, State.FEW, State.WARMING, None, State.VOID)


def _mean_capture(scored: Sequence[Scored]) -> Capture:
    return Capture(*np.mean([each.capture for each in scored], axis=0).tolist())


def _touch(counted: Sequence[Scored]) -> Interval:
    values = np.array([each.touch / each.levels for each in counted])
    return interval(
        [each.day for each in counted], values, np.array([each.levels for each in counted], np.float64)
    )


def _questions(scored: Sequence[Scored]) -> Iterator[Question]:
    """Yield the secondary family, whose p-values are corrected for their number."""
    sides = [(name, [float(each.profile[side].sum()) for each in scored]) for side, name in enumerate(SIDES)]
    asked = [(DIFFERENCE, scored, [each.capture.lift for each in scored], np.ones(len(scored)))]
    asked += [(name, scored, values, np.ones(len(scored))) for name, values in sides]
    counted = [each for each in scored if each.levels]
    if counted:
        levels = np.array([each.levels for each in counted], np.float64)
        asked.append(("touched levels", counted, [each.touch / each.levels for each in counted], levels))
    # A single market would repeat the first question, and each question makes the others' p-values larger.
    markets = sorted({each.market for each in scored})
    for market in markets if len(markets) > 1 else ():
        its = [each for each in scored if each.market == market]
        asked.append((market, its, [each.capture.lift for each in its], np.ones(len(its))))
    found = []
    for name, windows, values, weights in asked:
        days, array = [each.day for each in windows], np.array(values, np.float64)
        found.append((name, interval(days, array, weights), p_value(drawn_means(days, array, weights))))
    corrected = holm([p for *_, p in found])
    return (Question(*each, overall) for each, overall in zip(found, corrected, strict=True))


def _swept(scored: Sequence[Scored]) -> dict[str, float]:
    modelled, realised = defaultdict[str, float](float), defaultdict[str, float](float)
    for each in scored:
        modelled[f"{each.day:%Y-%m}"] += each.swept
        realised[f"{each.day:%Y-%m}"] += each.total
    return {month: modelled[month] / realised[month] for month in sorted(realised)}


def _look(scored: Sequence[Scored], *, fixed_end: bool) -> Look | None:
    days = sorted({each.day for each in scored})
    reached = [len(days)] if fixed_end and len(days) >= LOOKS[0] else [n for n in LOOKS if n <= len(days)]
    if not reached:
        return None
    # A back-test is looked at once, so nothing has to be corrected for several looks.
    level = 0.95 if fixed_end else LOOK_LEVEL
    # Only the days up to the look: a verdict that changed every day would be a look every day.
    first = set(days[: reached[-1]])
    seen = [each for each in scored if each.day in first]
    lifts = np.array([each.capture.lift for each in seen])
    lift = interval([each.day for each in seen], lifts, np.ones(len(seen)), level=level)
    return Look(reached[-1], _mean_capture(seen), lift, level)


def _margin(scored: Sequence[Scored]) -> dict[str, MarginCheck]:
    """Return each market's median over its windows, beside the newest rate."""
    found: dict[str, MarginCheck] = {}
    for market in sorted({each.market for each in scored}):
        checks = [each.margin for each in scored if each.market == market and each.margin is not None]
        if checks:
            # Windows are in the order of their sealing, so the last rate is the newest.
            found[market] = MarginCheck(float(np.median([each.gap for each in checks])), checks[-1].rate)
    return found
