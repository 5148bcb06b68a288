"""Turn a downloaded file of trades into a stored segment, in a worker process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from liqmap.errors import EmptyDay
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.fills import in_base
from liqmap.exchanges.rows import completed
from liqmap.memory import give_back_memory
from liqmap.model.window import DAY
from liqmap.store.segments import Origin, Segment, segment_path
from liqmap.store.writer import write_segment

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from liqmap.exchanges.protocol import DayTrades


@dataclass(frozen=True, slots=True)
class StoreJob:
    """A downloaded day file that is to become a segment below `root`, or replace the one that is there.

    `beside` are files of the days beside, each with its day, that hold some of this day's trades.
    """

    file: Path
    origin: Origin
    root: Path
    incoming: Path
    max_unpacked_size: int
    replaces: bool = False
    beside: tuple[tuple[Path, date], ...] = ()


def run_store_job(job: StoreJob) -> Segment:
    """Parse a downloaded day file and store it as a segment.

    Raises EmptyDay if it holds no trades, DataError if it is not what it should be or the disk is full.
    """
    origin = job.origin
    # The day that most of it lies in: an exchange's days may begin some hours from those of UTC.
    day = (origin.window.start + DAY / 2).date()
    give_back_memory()
    trades = _read(job, job.file, day)
    if not len(trades.trades) and not trades.zero_sizes:
        # Exchanges have published empty files of days with trades. As a quiet day it would take the place
        # of what was recorded.
        raise EmptyDay(f"The file of {origin.symbol} trades of {day} is empty; try again later.")
    for file, its_day in job.beside:
        outside = _read(job, file, its_day).outside
        trades = completed(trades, outside, own=origin.window) if outside is not None else trades
    path = segment_path(job.root, origin.exchange, origin.symbol, origin.window)
    give_back_memory()
    origin = _origin_of(trades, origin)
    made = in_base(trades.trades, origin.contract_size)
    del trades
    segment = write_segment(path, origin, made, incoming=job.incoming, replaces=job.replaces)
    del made
    give_back_memory()
    return segment


def _read(job: StoreJob, file: Path, day: date) -> DayTrades:
    files, symbol = EXCHANGES[job.origin.exchange].files, job.origin.symbol
    return files.read_day(file, symbol, day, max_unpacked_size=job.max_unpacked_size)


def _origin_of(day: DayTrades, origin: Origin) -> Origin:
    """Return `origin` with what the file of a day says of its trades."""
    before, after = [], []
    if day.outside is not None:
        is_before = day.outside.trades.time < origin.window.start_ms
        before, after = day.outside.ids[is_before].tolist(), day.outside.ids[~is_before].tolist()
    return replace(
        origin,
        first_id=day.first_id,
        last_id=day.last_id,
        lost_ids=day.lost_ids,
        duplicates=day.duplicates,
        zero_sizes=day.zero_sizes,
        holes=day.holes,
        inverse=day.trades.inverse,
        last_before=max(before, default=None),
        first_after=min(after, default=None),
    )
