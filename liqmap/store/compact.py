"""Compact a store: merge minutes into hours, bundle what is small, and remove what is held twice."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from liqmap.errors import DamagedSegment, StoreError
from liqmap.model.window import DAY, HOUR, TimeWindow, split_at
from liqmap.store.bundles import DAYS, RECORDED, records_of
from liqmap.store.bundling import bundling
from liqmap.store.held import Holders, remove_held
from liqmap.store.reading import verify_segment
from liqmap.store.segments import segment_path, segment_windows
from liqmap.store.writer import copied, merged_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from liqmap.model import Exchange
    from liqmap.store.bundling import Bundle
    from liqmap.store.local import SegmentStore

log = logging.getLogger(__name__)

QUIET_DAY: Final = 1 << 20
"""A published day of fewer bytes is put into a bundle; a larger one keeps its folder."""


def compact(store: SegmentStore, exchange: Exchange, symbols: Sequence[str], *, now: datetime) -> None:
    """Merge what follows each other inside an hour, bundle what is small, remove what is held twice.

    A segment is removed only when it has been held elsewhere for a while, whole to the last byte: maps under
    way may still read it. What is found damaged is set aside, and what cannot be done now is logged. It can
    be called again at any time, and a process that is killed meanwhile loses nothing. Raises UnreadableStore.
    """
    try:
        # First: what an earlier call has merged may have been held for long enough by now.
        remove_held(store, exchange, symbols, now=now)
        with (
            bundling(store.root, exchange, RECORDED, incoming=store.incoming, now=now) as recorded,
            bundling(store.root, exchange, DAYS, incoming=store.incoming, now=now) as days,
        ):
            for symbol in symbols:
                with _going_on(store, symbol):
                    merged = _merge_minutes(store, exchange, symbol, into=recorded)
                    _bundle_folders(store, exchange, symbol, merged, recorded=recorded, days=days)
    except OSError as error:
        log.warning("%s could not be compacted: %s", exchange, error.strerror or error)


@contextmanager
def _going_on(store: SegmentStore, symbol: str) -> Iterator[None]:
    """Set aside what turns out to be damaged, and log what else goes wrong with one market."""
    try:
        yield
    except DamagedSegment as error:
        store.heal(error.path)
    except StoreError as error:
        log.warning("some segments of %s could not be compacted: %s", symbol, error)


def _merge_minutes(store: SegmentStore, exchange: Exchange, symbol: str, *, into: Bundle) -> list[TimeWindow]:
    """Merge what follows each other inside an hour, and return the windows that have been merged."""
    merged: list[TimeWindow] = []
    windows = segment_windows(store.root, exchange, symbol)
    holders = Holders(windows)
    loose = [each for each in windows if each.length < HOUR and holders.of(each) is None]
    for run in _runs(loose):
        with _going_on(store, symbol):
            segments = [segment for window in run if (segment := store.get(exchange, symbol, window))]
            if len(segments) == len(run) > 1:
                whole = TimeWindow(run[0].start, run[-1].end)
                into.add(merged_record(segment_path(store.root, exchange, symbol, whole), segments))
                merged += run
    return merged


def _runs(windows: Sequence[TimeWindow]) -> list[list[TimeWindow]]:
    """Return windows grouped into runs that follow each other without a gap inside one hour."""
    runs: list[list[TimeWindow]] = []
    for window in sorted(windows, key=lambda each: each.start):
        # It crosses an hour, and what is merged stays inside one.
        if len(split_at(window, HOUR)) > 1:
            continue
        if runs and runs[-1][-1].end == window.start and window.start.minute + window.start.second:
            runs[-1].append(window)
        else:
            runs.append([window])
    return runs


def _bundle_folders(
    store: SegmentStore,
    exchange: Exchange,
    symbol: str,
    merged: Sequence[TimeWindow],
    *,
    recorded: Bundle,
    days: Bundle,
) -> None:
    """Copy into bundles what has a folder of its own: short segments that were fetched, and quiet days.

    What a longer segment holds, or was `merged` just now, is left to be removed.
    """
    windows = segment_windows(store.root, exchange, symbol)
    holders = Holders(windows)
    for window in set(windows).difference(records_of(store.root, exchange, symbol), merged):
        if holders.of(window) is not None:
            continue
        with _going_on(store, symbol):
            segment = store.get(exchange, symbol, window)
            if segment is None or not segment.checks or segment.origin.unverified:
                continue  # of an earlier version, or its manifest is still to change
            if window.length < DAY or segment.size < QUIET_DAY:
                verify_segment(segment)
                (recorded if window.length < DAY else days).add(copied(segment))
