"""Minutes and days of trades in files of bundles, as the recorder and compaction leave them."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liqmap.compute.selection import Cut
from liqmap.model import Exchange, Side, Trades
from liqmap.model.window import TimeWindow
from liqmap.store.bundles import RECORDED, read_contents
from liqmap.store.bundling import Journal, bundling
from liqmap.store.check import check_store
from liqmap.store.largest import read_largest
from liqmap.store.local import SegmentStore
from liqmap.store.segments import VIA_STREAM, Origin, Segment, open_record, segment_path
from liqmap.store.writer import copied, merged_record, recorded
from tests.liqmap.conftest import DAY, random_trades

BYBIT = Exchange.BYBIT
WHOLE = TimeWindow.of_day(DAY)
NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)  # files get the machine's time
TRADES = random_trades(20_000)
SYMBOLS = ("BTCUSDT", "ETHUSDT", "币安人生USDT")
_BUNDLED_AT = datetime(2023, 8, 3, tzinfo=UTC)


def minute(number: int) -> TimeWindow:
    start = WHOLE.start + timedelta(minutes=number)
    return TimeWindow(start, start + timedelta(minutes=1))


def trades_in(window: TimeWindow) -> Trades:
    rows = (TRADES.time >= window.start_ms) & (TRADES.time < window.end_ms)
    return Trades(TRADES.time[rows], TRADES.price[rows], TRADES.size[rows], TRADES.is_buy[rows])


def record(root: Path, symbol: str, window: TimeWindow) -> bytes:
    origin = Origin(BYBIT, symbol, window, "wss://example.org", "", via=(VIA_STREAM,))
    return recorded(segment_path(root, BYBIT, symbol, window), origin, trades_in(window))


def recorded_minutes(store: SegmentStore, journal: Journal, count: int, *, now: datetime = NOW) -> None:
    for number in range(count):
        for symbol in SYMBOLS:
            journal.append(record(store.root, symbol, minute(number)), now=now)


def times(store: SegmentStore, symbol: str, window: TimeWindow = WHOLE) -> list[int]:
    parts = store.parts(BYBIT, symbol, window)
    found = [
        read_largest(part.segment, side, window=part.window, cut=Cut()).trades.time
        for part in parts
        for side in Side
    ]
    return sorted(np.concatenate(found).tolist()) if found else []


def first_minutes(count: int) -> list[int]:
    return [int(time) for time in TRADES.time if time < minute(count).start_ms]


def problems(root: Path) -> list[str]:
    return [each.problem for each in check_store(root, deep=True) if each.problem]


def bundle(folder: Path, path: Path, record: bytes) -> Segment:
    """Write a record, which belongs at `path`, into a new file below `folder`, and open it."""
    exchange = Exchange(path.parts[-3])
    with bundling(folder, exchange, RECORDED, incoming=folder / "incoming", now=_BUNDLED_AT) as file:
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


@contextmanager
def broken_disk(file: Path, *, from_byte: int) -> Iterator[None]:
    """Let a disk give what lies before a byte of `file`, and nothing that follows."""

    class Broken(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if size is None or size < 0 or self.tell() + size > from_byte:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    plain = Path.open

    def opened(path: Path, mode: str = "r", buffering: int = -1, **options: Any) -> Any:
        if path == file and mode == "rb":
            return Broken(path)
        return plain(path, mode, buffering, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", opened)
        yield
