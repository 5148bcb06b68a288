"""Segments in a file of bundles, as the recorder and compaction leave them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from liqmap.model import Exchange
from liqmap.store.bundles import RECORDED, read_contents
from liqmap.store.bundling import bundling
from liqmap.store.segments import Segment, open_record, segment_path
from liqmap.store.writer import copied, merged_record
from liqmap.window import TimeWindow

NOW = datetime(2023, 8, 3, tzinfo=UTC)


def bundle(folder: Path, path: Path, record: bytes) -> Segment:
    """Write a record, which belongs at `path`, into a new file below `folder`, and open it."""
    exchange = Exchange(path.parts[-3])
    with bundling(folder, exchange, RECORDED, incoming=folder / "incoming", now=NOW) as file:
        file.add(record)
    newest = max((folder / "bundles" / exchange).iterdir(), key=lambda each: each.stat().st_mtime_ns)
    ((_, records),) = read_contents(newest).records.items()
    found = open_record(path, next(iter(records.values())))
    assert found is not None
    return found


def merged(folder: Path, segments: Sequence[Segment]) -> Segment:
    """Merge segments, each following the one before, into one."""
    first, last = segments[0].origin, segments[-1].origin
    path = segment_path(folder, first.exchange, first.symbol, TimeWindow(first.window.start, last.window.end))
    return bundle(folder, path, merged_record(path, segments))


def moved(segment: Segment) -> Segment:
    """Put a copy of a segment that has a folder into a new file, and open that."""
    return bundle(segment.path.parents[3], segment.path, copied(segment))
