"""Borders of days and windows: what the exchange's ids beyond them show to be missing before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.errors import DataError
from liqmap.exchanges.rows import no_trades
from liqmap.model import LEAST_HOLE_MS
from liqmap.model.window import DAY, TimeWindow
from liqmap.store.borders import holes_between
from liqmap.store.segments import Origin, Part, segment_path
from liqmap.store.writer import write_segment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from liqmap.errors import EmptyDay
    from liqmap.model import Hole
    from liqmap.store.local import SegmentStore
    from liqmap.store.segments import Segment


def silent_sides(window: TimeWindow, parts: Sequence[Part]) -> list[TimeWindow]:
    """Return the days beside the parts whose ids show whether the ends of `window` were really silent.

    A side counts if the segment there has no trade from the window's end on to its own, for long enough to
    hide a hole. `parts` come oldest first.
    """
    sides = []
    if parts and parts[0].window.start == window.start:
        first = parts[0].segment
        # A shorter silence cannot hide a hole that would be reported.
        if first.first_ms is not None and first.first_ms - window.start_ms >= LEAST_HOLE_MS:
            start = first.origin.window.start
            sides.append(TimeWindow(start - DAY, start))
    if parts and parts[-1].window.end == window.end:
        last = parts[-1].segment
        if last.last_ms is not None and window.end_ms - last.last_ms > LEAST_HOLE_MS:
            end = last.origin.window.end
            sides.append(TimeWindow(end, end + DAY))
    return sides


def has_trades(window: TimeWindow, parts: Sequence[Part]) -> bool:
    """Return whether any of the parts may have a trade in `window`, by the times of their first and last."""
    return any(_may_trade(part.segment, window) for part in parts)


def outer_holes(store: SegmentStore, window: TimeWindow, parts: Sequence[Part]) -> list[Hole]:
    """Return the holes that reach into `window` from across the borders of its first and last segment.

    `parts` are what the store has of the window, oldest first. Raises UnreadableStore.
    """
    found: list[Hole] = []
    for side in silent_sides(window, parts):
        its_end = parts[0] if side.end <= parts[0].window.start else parts[-1]
        origin = its_end.segment.origin
        beside = store.parts(origin.exchange, origin.symbol, side)
        # The whole segment, because the trades next to the hole may lie outside the window.
        whole = Part(its_end.segment, origin.window)
        between = holes_between([*beside, whole] if side.end == origin.window.start else [whole, *beside])
        found += [
            hole
            for hole in between
            if hole.is_gap and hole.start_ms < window.end_ms and hole.end_ms > window.start_ms
        ]
    return found


def _may_trade(segment: Segment, window: TimeWindow) -> bool:
    if not segment.buys + segment.sells:
        return False
    if segment.first_ms is None or segment.last_ms is None:
        return True
    return segment.first_ms < window.end_ms and segment.last_ms >= window.start_ms


def reaches_into(day: Segment, beside: Segment | None) -> bool:
    """Return whether the file of a day beside has trades of `day`."""
    if beside is None:
        return False
    is_before = beside.origin.window.end == day.origin.window.start
    return (beside.origin.first_after if is_before else beside.origin.last_before) is not None


def lacks_trades_of(day: Segment, beside: Segment | None) -> bool:
    """Return whether the file of a day beside has trades of `day` that are not among those stored."""
    first, last = day.origin.first_id, day.origin.last_id
    if beside is None or first is None or last is None:
        return False
    if beside.origin.window.end == day.origin.window.start:
        return beside.origin.first_after is not None and beside.origin.first_after < first
    return beside.origin.last_before is not None and beside.origin.last_before > last


def store_quiet_day(
    store: SegmentStore, day: TimeWindow, error: EmptyDay, *, ends: tuple[Segment | None, Segment | None]
) -> Segment | DataError:
    """Store a day without trades if ids show that there were none; else return what is wrong with its file.

    `error` says that the day's file is empty, and `ends` are the nearest days with trades before and after.
    """
    before, after = ends
    last = before.origin.last_id if before else None
    first = after.origin.first_id if after else None
    if before is None or last is None or first is None:
        return error
    # Ids are contiguous, so as many are missing as trades, whatever the file says.
    lost = first - last - 1
    if lost > 0:
        return DataError(
            f"The file of {before.origin.symbol} trades of {day.start:%Y-%m-%d} is empty, but by the"
            f" exchange's ids {lost:,} trades are missing there; try another window."
        )
    origin = Origin(
        exchange=before.origin.exchange,
        symbol=before.origin.symbol,
        window=day,
        source=before.origin.source,
        sha256="",
        simulated=before.origin.simulated,
        inverse=before.origin.inverse,
    )
    path = segment_path(store.root, origin.exchange, origin.symbol, day)
    return write_segment(path, origin, no_trades(), incoming=store.incoming)
