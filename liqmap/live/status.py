"""Report the state of the recordings in a store, symbol by symbol."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.errors import DamagedSegment, UnreadableStore
from liqmap.live.registry import Recordings, readable
from liqmap.model import Market
from liqmap.model.series import SeriesKind
from liqmap.model.window import DAY, TimeWindow, missing
from liqmap.store.segments import open_segment, segment_path, segment_windows
from liqmap.store.series import SeriesStore
from liqmap.text import clock_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.live.registry import Recording

LOOKED_BACK: Final = timedelta(days=2)
"""Older gaps are not reported: by then the exchanges have published the day."""


@dataclass(frozen=True, slots=True)
class SymbolStatus:
    """How far one symbol's recording has come.

    `first` is the start of what is recorded but not replaced by a published day yet, `sources` says how those
    trades were received, and `gaps` is what is missing between `first` and the end of what is stored.
    `filled` is the share of the last 24 hours that the store has, from whatever source. `series` says until
    when each series is in the store that is there at all.
    """

    recording: Recording
    is_alive: bool
    sources: tuple[str, ...]
    first: datetime | None
    gaps: tuple[TimeWindow, ...]
    age: timedelta | None
    filled: float = 0.0
    series: tuple[tuple[SeriesKind, datetime], ...] = ()

    @property
    def missing(self) -> timedelta:
        """Total length of the gaps."""
        return sum((gap.length for gap in self.gaps), timedelta())


def recording_status(root: Path, *, now: datetime) -> list[SymbolStatus]:
    """Return the status of every symbol that is or was recorded into the store at `root`."""
    return [_status(root, recording, now) for recording in Recordings(root).all()]


def largest_lag(root: Path, *, now: datetime) -> float:
    """Return the lag [s] of the slowest stream recorded now, 0 if there is none."""
    lags = (each.lag or 0.0 for each in readable(Recordings(root)) if each.is_alive(now))
    return max(lags, default=0.0)


def clock_warning(found: Sequence[SymbolStatus]) -> str | None:
    """Return a sentence if live recordings show that this machine's clock is wrong, else None."""
    for each in found:
        off = each.recording.clock_off
        if each.is_alive and off is not None:
            return clock_text(each.recording.exchange, timedelta(seconds=off))
    return None


def _status(root: Path, recording: Recording, now: datetime) -> SymbolStatus:
    windows = segment_windows(root, recording.exchange, recording.symbol)
    day = TimeWindow.ending(now.replace(microsecond=0), DAY)
    # Whole days are published ones, which say nothing of the recording.
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
        1 - sum((gap.length for gap in missing(day, windows)), timedelta()) / DAY,
        _series(SeriesStore(root), Market(recording.exchange, recording.symbol)),
    )


def _series(store: SeriesStore, market: Market) -> tuple[tuple[SeriesKind, datetime], ...]:
    newest = ((kind, store.newest(market, kind)) for kind in SeriesKind)
    return tuple((kind, window.end) for kind, window in newest if window is not None)


def _sources(root: Path, recording: Recording, windows: Sequence[TimeWindow]) -> tuple[str, ...]:
    sources: set[str] = set()
    for window in windows:
        # A damaged or unreadable segment is handled when a map needs it.
        with suppress(DamagedSegment, UnreadableStore):
            segment = open_segment(segment_path(root, recording.exchange, recording.symbol, window))
            sources.update(segment.origin.via if segment else ())
    return tuple(sorted(sources))
