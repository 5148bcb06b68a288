"""Which part of a window has trades, and why another part has none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    from liqmap.model.market import Exchange
    from liqmap.model.window import TimeWindow


LEAST_HOLE_MS: Final = 10_000
"""Holes shorter than this are not gaps; only their lost trades are counted."""


class Hole(NamedTuple):
    """A stretch between two stored trades [ms since 1970]; their ids say that `lost` trades lie between."""

    start_ms: int
    end_ms: int
    lost: int

    @property
    def is_gap(self) -> bool:
        """Whether the stretch is long enough to be a gap."""
        return self.end_ms - self.start_ms >= LEAST_HOLE_MS


class GapKind(StrEnum):
    """Why a part of a window has no trades; `liqmap.text` words each."""

    BEING_FETCHED = "being_fetched"
    NOT_FETCHED_YET = "not_fetched_yet"
    # The window ends in the exchange's future, because this machine's clock is ahead.
    NOT_REACHED_YET = "not_reached_yet"
    NOT_PUBLISHED_YET = "not_published_yet"
    NOT_PUBLISHED = "not_published"
    # The next three: the exchange publishes only whole days, and a stream has to record the hours until then.
    NOT_RECORDED = "not_recorded"
    RECORDING_STARTS_NOW = "recording_starts_now"
    RECORDING_STARTED_LATER = "recording_started_later"
    RECORDING_INTERRUPTED = "recording_interrupted"
    NOT_STORED_YET = "not_stored_yet"
    DAMAGED = "damaged"
    # The disk cannot read a file of bundles, and the part may be in it.
    UNREADABLE = "unreadable"
    FAILED = "failed"
    # The exchange published the part, and the ids of its trades show that some are missing.
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a window without trades, and why.

    Kinds about a recording or the newest hours name the `exchange`. `since` is the start of a recording that
    started after the gap began. `problem` says why fetching failed (`LiqmapError.problem`). `lost` is the
    number of trades that are missing, according to the exchange's ids. In a map of several exchanges, `of` is
    the one that lacks the part.
    """

    window: TimeWindow
    kind: GapKind
    exchange: Exchange | None = None
    since: datetime | None = None
    problem: str = ""
    lost: int = 0
    of: Exchange | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which part of a window the store really has.

    `covered` and `missing` are disjoint, ordered in time, and together make up the window. The counts are
    those of the whole segments that the covered parts are read from: `lost_ids` trades that are known to be
    missing (the exchange skips their ids, or they came too late from a stream), `zero_sizes` rows of size 0
    that were left out, `unverified` days whose checksums are not published yet, `differing` days that are not
    as their checksums say. `last_trade` is the second of the newest trade, None until trades have been read.
    If this window stays incomplete until days are published, `whole_end` is the end of the newest complete
    window of the same length.
    """

    window: TimeWindow
    covered: tuple[TimeWindow, ...]
    missing: tuple[Gap, ...] = ()
    sources: tuple[str, ...] = ()
    lost_ids: int = 0
    zero_sizes: int = 0
    unverified: int = 0
    differing: int = 0
    simulated: bool = False
    last_trade: datetime | None = None
    whole_end: datetime | None = None

    @property
    def fraction(self) -> float:
        """Covered share of the window, 0 to 1."""
        return sum((part.length for part in self.covered), timedelta()) / self.window.length

    @property
    def end_gap(self) -> Gap | None:
        """The gap that lasts to the window's end, None if its end is covered."""
        # Gaps are in the order of time, so no other one can last to the end.
        last = self.missing[-1] if self.missing else None
        return last if last and last.window.end == self.window.end else None
