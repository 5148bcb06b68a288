"""Word windows and lengths of time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liqmap.model.window import TimeWindow


def window_text(window: TimeWindow) -> str:
    """Return a window in UTC, with each date once: 2023-08-01 00:00 → 06:00 UTC."""
    start, end = window.start, window.end
    seconds = ":%S" if start.second or end.second else ""
    if start.date() == end.date():
        return f"{start:%Y-%m-%d} {start:%H:%M{seconds}} → {end:%H:%M{seconds}} UTC"
    if not (start.hour or start.minute or end.hour or end.minute or seconds):
        if end - start == timedelta(days=1):
            return f"{start:%Y-%m-%d} (UTC day)"
        return f"{start:%Y-%m-%d} → {end:%Y-%m-%d} 00:00 UTC"
    return f"{start:%Y-%m-%d %H:%M{seconds}} → {end:%Y-%m-%d %H:%M{seconds}} UTC"


def duration_text(length: timedelta) -> str:
    """Return a length of time in the two largest units that it has: 3 d 4 h, 12 min 5 s, 0 s."""
    seconds = max(0, round(length.total_seconds()))
    units = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    largest = next((place for place, (size, _) in enumerate(units) if seconds >= size), len(units) - 1)
    parts: list[str] = []
    # Two units are as exact as anybody reads: 3 d 4 h, without the minutes.
    for size, unit in units[largest : largest + 2]:
        count, seconds = divmod(seconds, size)
        if count or not parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def length_text(length: timedelta) -> str:
    """Return a length of time as people type it: 6h, 90m, 1d12h."""
    seconds, text = int(length.total_seconds()), ""
    for unit, letter in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, seconds = divmod(seconds, unit)
        text += f"{count}{letter}" if count else ""
    return text
