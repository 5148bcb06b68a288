"""Borders between segments: what the exchange's ids show to be missing where one ends and the next begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.model import Hole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from liqmap.store.segments import Part, Segment


def holes_between(parts: Sequence[Part]) -> list[Hole]:
    """Return a hole for each border of `parts`, oldest first, at which ids are missing.

    It lasts from the last trade before the border to the first one after it, where both are known: segments
    of earlier versions do not keep those times, and then it is of no length. Only borders at which both
    segments are read to their end show anything.
    """
    found: list[Hole] = []
    before: Segment | None = None  # the newest segment with trades, if nothing lies between it and this part
    read_until: datetime | None = None
    for part in parts:
        segment, origin = part.segment, part.segment.origin
        if not read_until == part.window.start == origin.window.start:
            before = None
        if before is not None:
            found += _hole(before, segment)
        # Where nobody traded there is no id, and the one before is still the last.
        if origin.last_id is not None or segment.buys + segment.sells:
            before = segment
        read_until = part.window.end if part.window.end == origin.window.end else None
    return found


def _hole(before: Segment, after: Segment) -> list[Hole]:
    last, first = before.origin.last_id, after.origin.first_id
    if last is None or first is None or first - last <= 1:
        return []
    start, end = before.last_ms, after.first_ms
    if start is None or end is None:
        start = end = after.origin.window.start_ms
    return [Hole(start, end, lost=first - last - 1)]
