"""Word coverage and gaps, and what follows from them for the last price and for sweeping."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.exchanges import EXCHANGES
from liqmap.model import GapKind
from liqmap.text.numbers import counted, price
from liqmap.text.times import duration_text
from liqmap.window import DAY

if TYPE_CHECKING:
    from datetime import datetime

    from liqmap.model import Coverage, Gap

_NOTABLE_AGE = timedelta(minutes=2)  # quiet symbols go without a trade for a minute or so

MOSTLY_COVERED: Final = 0.9
"""Below this covered share of a window, an answer begins with a warning."""

BARELY_COVERED: Final = 0.2
"""Below this covered share, an answer is a warning with a picture."""

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
    GapKind.FAILED: "{problem}",
    GapKind.LOST: "the exchange's ids skip {lost}",
}


def coverage_text(coverage: Coverage) -> str:
    """Return which part of the window is covered, and its longest gap with the reason.

    Lost trades, rows that were left out, and unverified days follow. These are counted in whole segments, so
    they may lie outside the window.
    """
    parts = [_missing_text(coverage) if coverage.missing else "100 % covered"]
    lost = coverage.lost_ids - sum(gap.lost for gap in coverage.missing)
    if lost > 0:
        parts.append(f"up to {counted(lost, 'trade')} lost")
    if coverage.zero_sizes:
        parts.append(f"{counted(coverage.zero_sizes, 'row')} of size 0 left out")
    if coverage.unverified:
        parts.append(f"{counted(coverage.unverified, 'day')} without a published checksum")
    return ", ".join(parts)


def gap_text(gap: Gap) -> str:
    """Return why a part of a window has no trades, such as "not published yet"."""
    exchange = EXCHANGES[gap.exchange].label if gap.exchange else "The exchange"
    lost = counted(gap.lost, "trade")
    reason = _GAP_TEXTS[gap.kind].format(exchange=exchange, since=gap.since, problem=gap.problem, lost=lost)
    of = EXCHANGES[gap.of].label if gap.of else ""
    return reason if not of or of in reason else f"{of}: {reason}"


def age_text(coverage: Coverage) -> str | None:
    """Return how old the newest trade is at the window's end, None if it is not notably old."""
    if coverage.end_gap:
        return None  # the words about the gap say it
    age = coverage.window.end - coverage.last_trade if coverage.last_trade else timedelta()
    return f"newest trade {duration_text(age)} before the end" if age > _NOTABLE_AGE else None


def last_price_text(value: float, coverage: Coverage, *, step: float) -> str:
    """Return the last price, with its time unless that is the window's end: 29,205 at 03:00 UTC."""
    since, shown = _stale_since(coverage), price(value, step=step)
    return f"{shown} at {_utc(since, coverage)}" if since else shown


def unswept_text(coverage: Coverage) -> str | None:
    """Return a sentence on the levels that price may have swept in a gap, None if there are none."""
    since = _stale_since(coverage) if coverage.end_gap else None
    if since is not None:
        return f"Levels touched since {_utc(since, coverage)} are not known to be swept."
    window = coverage.window
    inner = [gap for gap in coverage.missing if window.start < gap.window.start < gap.window.end < window.end]
    if not inner:
        return None
    longest = max(inner, key=lambda gap: gap.window.length).window
    return (
        f"Levels from before {_utc(longest.start, coverage)} may have been swept"
        f" in the gap until {_utc(longest.end, coverage)}."
    )


def coverage_warning(coverage: Coverage) -> str | None:
    """Return a sentence on how little of the window is covered, None if most of it is."""
    if coverage.fraction >= MOSTLY_COVERED:
        return None
    return f"Only {_share_covered(coverage)} of this window is covered."


def _share_covered(coverage: Coverage) -> str:
    # Rounded down: a window that lacks a second must not claim 100 %.
    return f"{math.floor(coverage.fraction * 1000) / 10:g} %"


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
    if last is None or end - last <= _NOTABLE_AGE:
        return None
    return (last + timedelta(seconds=30)).replace(second=0, microsecond=0)


def _utc(moment: datetime, coverage: Coverage) -> str:
    same_day = moment.date() == coverage.window.end.date()
    return f"{moment:%H:%M} UTC" if same_day else f"{moment:%b %d %H:%M} UTC"


def _missing_text(coverage: Coverage) -> str:
    longest = max(coverage.missing, key=lambda gap: gap.window.length)
    start, end = longest.window.start, longest.window.end
    span = f"{start:%H:%M}–{end:%H:%M}"
    if start.date() != end.date():
        span = f"{start:%b %d %H:%M}–{end:%b %d %H:%M}"
    elif len(coverage.window.days) > 1:
        span = f"{start:%b %d} {span}"
    more = f" and {len(coverage.missing) - 1} more" if len(coverage.missing) > 1 else ""
    return f"{_share_covered(coverage)} covered, missing {span} ({gap_text(longest)}){more}"
