"""Status: how the recordings in a store are going, symbol by symbol."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.errors import DamagedSegment, UnreadableStore
from liqmap.live.registry import Recordings
from liqmap.store.segments import open_segment, segment_path, segment_windows
from liqmap.text import clock_text
from liqmap.window import DAY, TimeWindow, missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.live.registry import Recording

LOOKED_BACK: Final = timedelta(days=2)
"""Gaps are told as far back as the exchanges publish days with certainty."""


@dataclass(frozen=True, slots=True)
class SymbolStatus:
    """How far one symbol's recording has come.

    `first` is the start of what is recorded and not published as a day yet, `sources` are the ways by
    which that has come, `gaps` what is missing between that and the end of what is stored.
    """

    recording: Recording
    is_alive: bool
    sources: tuple[str, ...]
    first: datetime | None
    gaps: tuple[TimeWindow, ...]
    age: timedelta | None

    @property
    def missing(self) -> timedelta:
        """All gaps together."""
        return sum((gap.length for gap in self.gaps), timedelta())


def recording_status(root: Path, *, now: datetime) -> list[SymbolStatus]:
    """Return the status of every symbol that is or was recorded into the store at `root`."""
    return [_status(root, recording, now) for recording in Recordings(root).all()]


def largest_lag(root: Path, *, now: datetime) -> float:
    """Return how far the slowest stream that is recorded now is behind [s], 0 if there is none."""
    lags = (each.lag or 0.0 for each in Recordings(root).all() if each.is_alive(now))
    return max(lags, default=0.0)


def clock_warning(found: Sequence[SymbolStatus]) -> str | None:
    """Return what is wrong with this machine's clock, as live recordings show it; None if nothing is."""
    for each in found:
        off = each.recording.clock_off
        if each.is_alive and off is not None:
            return clock_text(each.recording.exchange, timedelta(seconds=off))
    return None


def _status(root: Path, recording: Recording, now: datetime) -> SymbolStatus:
    windows = segment_windows(root, recording.exchange, recording.symbol)
    recorded = [each for each in windows if each.length < DAY and each.end > now - LOOKED_BACK]
    first, last = (
        min((each.start for each in recorded), default=None),
        max((each.end for each in recorded), default=None),
    )
    return SymbolStatus(
        recording,
        recording.is_alive(now),
        _sources(root, recording, recorded),
        first,
        tuple(missing(TimeWindow(first, last), windows)) if first and last else (),
        now - recording.last_trade if recording.last_trade else None,
    )


def _sources(root: Path, recording: Recording, windows: Sequence[TimeWindow]) -> tuple[str, ...]:
    sources: set[str] = set()
    for window in windows:
        # One that is damaged or cannot be read is dealt with by whoever needs it.
        with suppress(DamagedSegment, UnreadableStore):
            segment = open_segment(segment_path(root, recording.exchange, recording.symbol, window))
            sources.update(segment.origin.via if segment else ())
    return tuple(sorted(sources))
