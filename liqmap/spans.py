"""Spans: arithmetic on windows, such as what of a window is missing between others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from liqmap.model import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR = timedelta(hours=1)


def merged(windows: Iterable[TimeWindow]) -> list[TimeWindow]:
    """Return the union of `windows` as disjoint ones, oldest first; those that touch become one."""
    union: list[TimeWindow] = []
    for window in sorted(windows, key=lambda each: each.start):
        if union and window.start <= union[-1].end:
            union[-1] = TimeWindow(union[-1].start, max(union[-1].end, window.end))
        else:
            union.append(window)
    return union


def missing(window: TimeWindow, covered: Iterable[TimeWindow]) -> list[TimeWindow]:
    """Return the parts of `window` that lie in none of `covered`, oldest first."""
    parts, at = [], window.start
    for each in merged(covered):
        if each.start >= window.end:
            break
        if each.start > at:
            parts.append(TimeWindow(at, each.start))
        at = max(at, each.end)
    if at < window.end:
        parts.append(TimeWindow(at, window.end))
    return parts


def split_at(window: TimeWindow, step: timedelta) -> list[TimeWindow]:
    """Return `window` cut at the multiples of `step` since midnight, oldest first."""
    parts, at = [], window.start
    while at < window.end:
        following = at + step - (at - datetime.min.replace(tzinfo=UTC)) % step
        parts.append(TimeWindow(at, min(following, window.end)))
        at = following
    return parts


def at_ms(milliseconds: int) -> datetime:
    """Return the moment that lies `milliseconds` after 1970, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
