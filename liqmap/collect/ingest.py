"""Ingest: a downloaded file of trades becomes a stored segment; a worker process runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from liqmap.errors import DataError
from liqmap.exchanges import EXCHANGES
from liqmap.memory import give_back_memory
from liqmap.store.local import SegmentStore
from liqmap.store.segments import Origin, Segment, segment_path
from liqmap.store.writer import write_segment

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoreJob:
    """A downloaded day file that is to become a segment below `root`, or replace the one that is there."""

    file: Path
    origin: Origin
    root: Path
    incoming: Path
    max_unpacked_size: int
    replaces: bool = False


def run_store_job(job: StoreJob) -> Segment:
    """Parse a downloaded day file and store it as a segment.

    Raises DataError if the file is not what it should be or is empty, or if the disk is full.
    """
    origin = job.origin
    give_back_memory()
    day = EXCHANGES[origin.exchange].files.read_day(
        job.file, origin.symbol, origin.window.start.date(), max_unpacked_size=job.max_unpacked_size
    )
    if not len(day.trades) and not day.zero_sizes:
        # Exchanges have published empty files of days with trades. As a quiet day it would take the place
        # of what was recorded.
        raise DataError(
            f"The file of {origin.symbol} trades of {origin.window.start.date()} is empty; try again later."
        )
    origin = replace(
        origin,
        first_id=day.first_id,
        last_id=day.last_id,
        lost_ids=day.lost_ids,
        duplicates=day.duplicates,
        zero_sizes=day.zero_sizes,
        holes=day.holes,
        inverse=day.trades.inverse,
    )
    path = segment_path(job.root, origin.exchange, origin.symbol, origin.window)
    give_back_memory()
    if job.replaces:
        SegmentStore(job.root, max_size=0).remove(path)
    segment = write_segment(path, origin, day.trades, incoming=job.incoming)
    del day
    give_back_memory()
    return segment
