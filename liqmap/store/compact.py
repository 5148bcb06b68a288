"""Compact a store: merge minutes into hours, and remove what a longer segment also holds."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from liqmap.errors import DamagedSegment, StoreError
from liqmap.store.bars import read_bars
from liqmap.store.local import IN_USE_FOR
from liqmap.store.reading import verify_segment
from liqmap.store.segments import MANIFEST, segment_path, segment_windows
from liqmap.store.writer import merge_segments
from liqmap.window import DAY, HOUR, TimeWindow, split_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.model import Exchange
    from liqmap.store.local import SegmentStore
    from liqmap.store.segments import Segment

log = logging.getLogger(__name__)


def compact(store: SegmentStore, exchange: Exchange, symbol: str, *, now: datetime) -> None:
    """Merge what follows each other inside an hour into one segment, and remove what is held twice.

    Removed is only what a longer segment, whole to the last byte, has held for a while: maps under way may
    still read it. What is found damaged is set aside, and what cannot be done now is logged: the same can
    be done again at any time, and killed at any moment nothing is lost. Raises UnreadableStore.
    """
    windows = segment_windows(store.root, exchange, symbol)
    verified: set[Path] = set()
    for window in windows:
        holder = next((each for each in windows if each != window and _holds(each, window)), None)
        if holder is not None:
            with _going_on(store, symbol):
                _remove_held(store, exchange, symbol, window, holder, now=now, verified=verified)
    loose = [each for each in windows if each.length < HOUR and not any(_holds(o, each) for o in windows)]
    for run in _runs(loose):
        with _going_on(store, symbol):
            _merge(store, exchange, symbol, run)


@contextmanager
def _going_on(store: SegmentStore, symbol: str) -> Iterator[None]:
    """Set aside what turns out to be damaged, and log what else goes wrong."""
    try:
        yield
    except DamagedSegment as error:
        store.heal(error.path)
    except StoreError as error:
        log.warning("some segments of %s could not be compacted: %s", symbol, error)


def _merge(store: SegmentStore, exchange: Exchange, symbol: str, run: Sequence[TimeWindow]) -> None:
    segments = [segment for window in run if (segment := store.get(exchange, symbol, window))]
    if len(segments) == len(run) > 1:
        whole = TimeWindow(run[0].start, run[-1].end)
        merge_segments(segment_path(store.root, exchange, symbol, whole), segments, incoming=store.incoming)


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
    verified: set[Path],
) -> None:
    longer = store.get(exchange, symbol, holder)
    if longer is None or _age(longer.path, now) < IN_USE_FOR.total_seconds():
        return
    if longer.path not in verified:
        verify_segment(longer)
        verified.add(longer.path)
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
