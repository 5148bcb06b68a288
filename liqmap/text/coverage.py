"""Word coverage and gaps, and what follows from them for the last price and for sweeping."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.exchanges import EXCHANGES
from liqmap.model import GapKind, SweepPrice
from liqmap.model.window import DAY, TimeWindow
from liqmap.text.numbers import counted, known_share, list_text, price
from liqmap.text.times import duration_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from liqmap.model import Coverage, Exchange, Gap, SweepBasis

_APART = timedelta(minutes=1)  # gaps that are closer together are worded as one
_NAMED_GAPS = 2

NOTABLE_AGE: Final = timedelta(minutes=2)
"""A price older than this has its age beside it: quiet symbols go without a trade for a minute or so."""

MOSTLY_COVERED: Final = 0.9
"""Below this covered share of a window, an answer begins with a warning."""

BARELY_COVERED: Final = 0.2
"""Below this covered share, the warning takes the place of an answer's title."""

_GAP_TEXTS: Final = {
    GapKind.BEING_FETCHED: "still being fetched",
    GapKind.NOT_FETCHED_YET: "not fetched yet, ask again to continue",
    GapKind.NOT_REACHED_YET: "{exchange}'s clock has not reached it: this machine's clock is ahead",
    GapKind.NOT_PUBLISHED_YET: "not published yet",
    GapKind.NOT_PUBLISHED: "not published by the exchange",
    GapKind.NOT_RECORDED: "{exchange} publishes trades by day, and they are not recorded here",
    GapKind.RECORDING_STARTS_NOW: "{exchange} publishes trades by day; recording starts now",
    GapKind.RECORDING_STARTED_LATER: (
        "{exchange} publishes trades by day; recording started {since:%b %d %H:%M} UTC"
    ),
    GapKind.RECORDING_INTERRUPTED: "recording was interrupted",
    GapKind.NOT_STORED_YET: "recorded, but not stored yet",
    GapKind.DAMAGED: "the stored trades are damaged",
    GapKind.UNREADABLE: "the disk cannot read some of the stored trades",
    GapKind.FAILED: "{problem}",
    GapKind.LOST: "the exchange's ids skip {lost}",
}


def coverage_text(coverage: Coverage) -> str:
    """Return which part of the window is covered, and its longest gap with the reason.

    Lost trades, rows that were left out, unverified and differing days follow. These are counted in whole
    segments, so they may lie outside the window.
    """
    parts = [_missing_text(coverage) if coverage.missing else "100 % covered"]
    # The words about a gap already name the trades that were lost in it.
    lost = coverage.lost_ids - sum(gap.lost for gap in coverage.missing)
    if lost > 0:
        parts.append(f"up to {counted(lost, 'trade')} lost")
    if coverage.zero_sizes:
        parts.append(f"{counted(coverage.zero_sizes, 'row')} of size 0 left out")
    if coverage.unverified:
        parts.append(f"{counted(coverage.unverified, 'day')} without a published checksum")
    if coverage.differing:
        parts.append(f"{counted(coverage.differing, 'day')} not as published checksums say")
    return ", ".join(parts)


def gap_text(gap: Gap) -> str:
    """Return why a part of a window has no trades, such as "not published yet"."""
    exchange = EXCHANGES[gap.exchange].label if gap.exchange else "The exchange"
    lost = counted(gap.lost, "trade")
    reason = _GAP_TEXTS[gap.kind].format(exchange=exchange, since=gap.since, problem=gap.problem, lost=lost)
    # Some reasons begin with the exchange's name, which must not be there twice.
    of = EXCHANGES[gap.of].label if gap.of else ""
    return reason if not of or of in reason else f"{of}: {reason}"


def age_text(coverage: Coverage) -> str | None:
    """Return how old the newest trade is at the window's end, None if it is not notably old."""
    if coverage.end_gap:
        return None  # the words about the gap say it
    age = coverage.window.end - coverage.last_trade if coverage.last_trade else timedelta()
    return f"newest trade {duration_text(age)} before the end" if age > NOTABLE_AGE else None


def last_price_text(value: float, coverage: Coverage, *, step: float) -> str:
    """Return the last price, with its time unless that is the window's end: 29,205 at 03:00 UTC."""
    since, shown = _stale_since(coverage), price(value, step=step)
    return f"{shown} at {_utc(since, coverage)}" if since else shown


def unswept_text(coverages: Mapping[Exchange, Coverage], sweep: SweepBasis | None) -> str | None:
    """Return a sentence on the levels that price may have swept in gaps, None if there are none.

    `coverages` are those of each exchange in the map. Gaps that lie seconds apart count as one. The two
    longest are named, the others counted.
    """
    # A gap at the window's start is left out: no level of the map is older than it.
    gaps = {
        exchange: [gap.window for gap in each.missing if gap.window.start > each.window.start]
        for exchange, each in coverages.items()
        if each.covered
    }
    lacking = [exchange for exchange, windows in gaps.items() if windows]
    if not lacking:
        return None
    window = coverages[lacking[0]].window
    spans = _joined(each for windows in gaps.values() for each in windows)
    longest = sorted(spans, key=lambda each: -each.length)[:_NAMED_GAPS]
    words = [_span_text(each, window) for each in sorted(longest, key=lambda each: each.start)]
    others = len(spans) - len(words)
    shorter = f", and in {counted(others, 'shorter one')}" if others else ""
    whose = ""
    if len(lacking) < len(coverages):
        whose = f" of {list_text([EXCHANGES[each].label for each in lacking])}"
    # Mark prices are known there, but the traded ones that may have gone farther are not.
    marked = sweep is not None and sweep.price is SweepPrice.MARK and sweep.share == 1
    known = ", where only mark prices are known" if marked else ""
    gap = "gaps" if len(spans) > 1 else "gap"
    where = f"{list_text(words)} UTC{shorter}{known}"
    return f"Older levels{whose} may have been swept in the {gap} {where}."


def _joined(windows: Iterable[TimeWindow]) -> list[TimeWindow]:
    """Return the windows in order of time, joining those that overlap or lie seconds apart."""
    joined: list[TimeWindow] = []
    for each in sorted(windows, key=lambda each: each.start):
        if joined and each.start - joined[-1].end < _APART:
            joined[-1] = TimeWindow(joined[-1].start, max(joined[-1].end, each.end))
        else:
            joined.append(each)
    return joined


def _span_text(span: TimeWindow, window: TimeWindow) -> str:
    """Return a part of a window, with dates where the window has several: Nov 28 00:00–03:31."""
    start, end = span.start, span.end
    # Seconds only where a gap within one minute would look as if it had no length.
    clock = "%H:%M:%S" if f"{start:%b %d %H:%M}" == f"{end:%b %d %H:%M}" else "%H:%M"
    if start.date() != end.date():
        return f"{start:%b %d {clock}}–{end:%b %d {clock}}"
    date = f"{start:%b %d} " if len(window.days) > 1 else ""
    return f"{date}{start:{clock}}–{end:{clock}}"


def coverage_warning(coverage: Coverage) -> str | None:
    """Return a sentence on how little of the window is covered, None if most of it is."""
    if coverage.fraction >= MOSTLY_COVERED:
        return None
    share = known_share(coverage.fraction)
    few = f"Only {share}" if share[0].isdigit() else share.capitalize()  # never "only less than"
    return f"{few} of this window is covered."


def last_trade_text(coverage: Coverage) -> str | None:
    """Return when the newest trade was, such as "at 00:00" or "on Nov 20"; None if at the window's end."""
    since = _stale_since(coverage)
    if since is None:
        return None
    # Within a day of the window's end, a time of day is unambiguous.
    return f"at {since:%H:%M}" if coverage.window.end - since < DAY else f"on {since:%b %d}"


def _stale_since(coverage: Coverage) -> datetime | None:
    """Return when the newest trade was, to the nearest minute; None if at the window's end."""
    last, end = coverage.last_trade, coverage.window.end
    if last is None or end - last <= NOTABLE_AGE:
        return None
    return (last + timedelta(seconds=30)).replace(second=0, microsecond=0)


def _utc(moment: datetime, coverage: Coverage) -> str:
    same_day = moment.date() == coverage.window.end.date()
    return f"{moment:%H:%M} UTC" if same_day else f"{moment:%b %d %H:%M} UTC"


def _missing_text(coverage: Coverage) -> str:
    longest = max(coverage.missing, key=lambda gap: gap.window.length)
    span = _span_text(longest.window, coverage.window)
    more = f" and {len(coverage.missing) - 1} more" if len(coverage.missing) > 1 else ""
    return f"{known_share(coverage.fraction)} covered, missing {span} ({gap_text(longest)}){more}"
