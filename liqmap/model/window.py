"""Windows of time and their arithmetic: overlap, union, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Self

from liqmap.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A half-open interval [start, end) of whole seconds, in aware UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for moment in (self.start, self.end):
            if moment.utcoffset() != timedelta() or moment.microsecond:
                # A fault of the program, unlike an empty window, which people can ask for.
                raise ValueError(f"a window is bounded by whole seconds in UTC, not by {moment!r}")
        if self.start >= self.end:
            raise RequestError("The window is empty: its start must lie before its end.")

    @classmethod
    def ending(cls, end: datetime, length: timedelta) -> Self:
        """Return the window of `length` that ends at `end`. Raises RequestError before the year 1."""
        try:
            return cls(end - length, end)
        except OverflowError:
            raise RequestError("The window reaches back too far; try 6h, and an end of this year.") from None

    @classmethod
    def of_day(cls, day: date) -> Self:
        """Return the 24 hours of a UTC day."""
        start = datetime.combine(day, time(), UTC)
        return cls(start, start + DAY)

    @property
    def length(self) -> timedelta:
        """Time between start and end."""
        return self.end - self.start

    @property
    def start_ms(self) -> int:
        """Start in milliseconds since 1970: the first that belongs to the window."""
        return int(self.start.timestamp()) * 1000

    @property
    def end_ms(self) -> int:
        """End in milliseconds since 1970: the first after the window."""
        return int(self.end.timestamp()) * 1000

    @property
    def days(self) -> tuple[date, ...]:
        """UTC days that the window touches, oldest first."""
        # Half-open: a window that ends at midnight does not touch the day that begins there.
        first, last = self.start.date(), (self.end - timedelta(seconds=1)).date()
        return tuple(first + DAY * i for i in range((last - first).days + 1))

    def overlap(self, other: TimeWindow) -> TimeWindow | None:
        """Return the part that both windows share, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return TimeWindow(start, end) if start < end else None


def merged(windows: Iterable[TimeWindow]) -> list[TimeWindow]:
    """Return the union of `windows` as disjoint windows, oldest first; windows that touch become one."""
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


def overlaps(window: TimeWindow, others: Iterable[TimeWindow]) -> list[TimeWindow]:
    """Return the parts that `window` shares with each of `others`, in their order."""
    return [part for part in map(window.overlap, others) if part is not None]


def split_at(window: TimeWindow, step: timedelta) -> list[TimeWindow]:
    """Return `window` cut at the multiples of `step` since midnight, oldest first."""
    parts, at = [], window.start
    while at < window.end:
        # The year 1 began at midnight, so for steps that divide a day this counts from midnight.
        following = at + step - (at - datetime.min.replace(tzinfo=UTC)) % step
        parts.append(TimeWindow(at, min(following, window.end)))
        at = following
    return parts


def at_ms(milliseconds: int) -> datetime:
    """Return the moment that lies `milliseconds` after 1970, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
