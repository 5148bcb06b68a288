"""Tidying: minutes of a store become hours, and what a longer segment holds too is removed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from liqmap.store.local import IN_USE_FOR
from liqmap.store.segments import MANIFEST, read_bars, segment_path, segment_windows
from liqmap.store.writer import merge_segments
from liqmap.window import DAY, HOUR, TimeWindow, split_at

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.model import Exchange
    from liqmap.store.local import SegmentStore
    from liqmap.store.segments import Segment

log = logging.getLogger(__name__)


def tidy(store: SegmentStore, exchange: Exchange, symbol: str, *, now: datetime) -> None:
    """Merge what follows each other inside an hour into one segment, and remove what is held twice.

    Removed is only what a longer segment has held for a while: maps under way may still read it. The
    same can be done again at any time, and killed at any moment nothing is lost. Raises DataError.
    """
    windows = segment_windows(store.root, exchange, symbol)
    for window in windows:
        holder = next((each for each in windows if each != window and _holds(each, window)), None)
        if holder is not None:
            _remove_held(store, exchange, symbol, window, holder, now=now)
    loose = [each for each in windows if each.length < HOUR and not any(_holds(o, each) for o in windows)]
    for run in _runs(loose):
        segments = [segment for window in run if (segment := store.get(exchange, symbol, window))]
        if len(segments) == len(run) > 1:
            whole = TimeWindow(run[0].start, run[-1].end)
            merge_segments(
                segment_path(store.root, exchange, symbol, whole), segments, incoming=store.incoming
            )


def _runs(windows: Sequence[TimeWindow]) -> list[list[TimeWindow]]:
    """Return windows grouped into runs that follow each other without a gap inside one hour."""
    runs: list[list[TimeWindow]] = []
    for window in sorted(windows, key=lambda each: each.start):
        if len(split_at(window, HOUR)) > 1:
            continue
        if runs and runs[-1][-1].end == window.start and window.start.minute + window.start.second:
            runs[-1].append(window)
        else:
            runs.append([window])
    return runs


def _remove_held(
    store: SegmentStore,
    exchange: Exchange,
    symbol: str,
    window: TimeWindow,
    holder: TimeWindow,
    *,
    now: datetime,
) -> None:
    longer = store.get(exchange, symbol, holder)
    if longer is None or _age(longer.path, now) < IN_USE_FOR.total_seconds():
        return
    shorter = store.get(exchange, symbol, window)
    if shorter is None:
        return
    if holder.length == DAY:
        _compare(shorter, longer)
    store.remove(shorter.path)


def _compare(recorded: Segment, published: Segment) -> None:
    """Say so if the published day does not have the trades that were recorded: it is kept all the same."""
    bars = read_bars(published, recorded.origin.window)
    difference = recorded.buys + recorded.sells - bars.buys - bars.sells
    if difference:
        log.warning(
            "%s %s: the published day has %d trades less than were recorded from %s on",
            recorded.origin.exchange,
            recorded.origin.symbol,
            difference,
            recorded.origin.window.start,
        )


def _holds(longer: TimeWindow, window: TimeWindow) -> bool:
    return longer != window and longer.start <= window.start and window.end <= longer.end


def _age(path: Path, now: datetime) -> float:
    # The folder's own time is that of its last use.
    try:
        return now.timestamp() - (path / MANIFEST).stat().st_mtime
    except FileNotFoundError:  # another process has removed it: it holds nothing any more
        return 0.0
