"""How many files, and how many bytes, a day of recording takes: minutes of invented markets, by a fast clock.

Run by `make files-study`. The markets of one exchange trade a little in every minute, so that none is spared.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from liqmap.model import Exchange, Trades
from liqmap.model.window import DAY, HOUR, TimeWindow
from liqmap.store.bundling import Journal
from liqmap.store.compact import compact
from liqmap.store.local import SegmentStore
from liqmap.store.segments import VIA_STREAM, Origin, segment_path
from liqmap.store.writer import recorded, write_segment

MARKETS, HOURS = 200, 1
EXCHANGES = 3
TRADES = 8  # in a minute: 11,500 a day, as a market far down the list has

_MINUTE = timedelta(minutes=1)
_ROUND = 10  # minutes between two compactions


class Count(NamedTuple):
    """Files that were made, that were there at once at most, and that are left; bytes, and seconds of CPU."""

    made: int
    most: int
    left: int
    most_bytes: int
    left_bytes: int
    seconds: float


class _Files:
    """Counts the files of a folder, whose times follow a clock that is not the machine's."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: set[Path] = set()
        self._most = self._most_bytes = self._left = self._left_bytes = 0

    def look(self, now: datetime) -> None:
        sizes = {path: path.stat().st_size for path in self._root.rglob("*") if path.is_file()}
        for path in sizes.keys() - self._seen:
            os.utime(path, (now.timestamp(), now.timestamp()))
        self._seen |= sizes.keys()
        self._left, self._left_bytes = len(sizes), sum(sizes.values())
        self._most, self._most_bytes = max(self._most, self._left), max(self._most_bytes, self._left_bytes)

    def count(self, seconds: float) -> Count:
        return Count(len(self._seen), self._most, self._left, self._most_bytes, self._left_bytes, seconds)


def record(root: Path, symbols: Sequence[str], *, hours: int, publish: bool) -> Count:
    """Record some hours of `symbols` of one exchange; if `publish`, their whole day is published then."""
    store = SegmentStore(root, max_size=10**12)
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + DAY
    store.open(now=start)
    files, journal, begun = _Files(root), Journal(root, Exchange.BINANCE), time.process_time()
    for number in range(60 * hours):
        window = TimeWindow(start + number * _MINUTE, start + (number + 1) * _MINUTE)
        for symbol, trades in _traded(symbols, window):
            path = segment_path(root, Exchange.BINANCE, symbol, window)
            journal.append(recorded(path, _origin(symbol, window), trades), now=window.end)
        if (number + 1) % _ROUND == 0:
            compact(store, Exchange.BINANCE, symbols, now=window.end)
            files.look(window.end)
    journal.close()
    seconds, now = time.process_time() - begun, start + hours * HOUR
    day = TimeWindow.of_day(start.date())
    if publish:
        for symbol, trades in _traded(symbols, TimeWindow(start, now)):
            path = segment_path(root, Exchange.BINANCE, symbol, day)
            write_segment(path, _origin(symbol, day), trades, incoming=store.incoming)
        files.look(now)
    for _ in range(9):  # until what is held twice has gone
        now += _ROUND * _MINUTE
        compact(store, Exchange.BINANCE, symbols, now=now)
        files.look(now)
    return files.count(seconds)


def _traded(symbols: Sequence[str], window: TimeWindow) -> Iterator[tuple[str, Trades]]:
    rng = np.random.default_rng(window.start_ms // 1000)
    for symbol in symbols:
        times = np.sort(rng.integers(window.start_ms, window.end_ms, TRADES))
        price = np.round(rng.uniform(0.9, 1.1, TRADES), 4)
        yield symbol, Trades(times, price, np.round(rng.uniform(1, 900, TRADES), 1), rng.random(TRADES) < 0.5)


def _origin(symbol: str, window: TimeWindow) -> Origin:
    source = "wss://fstream.binance.com/ws"
    return Origin(Exchange.BINANCE, symbol, window, source, "", simulated=True, via=(VIA_STREAM,))


def study() -> None:
    """Print what a day of many markets takes."""
    symbols = [f"COIN{number:03}USDT" for number in range(MARKETS)]
    with tempfile.TemporaryDirectory() as folder:
        found = record(Path(folder), symbols, hours=HOURS, publish=False)
    a_day = EXCHANGES * 24 / HOURS
    sys.stdout.write(
        f"{EXCHANGES} exchanges, {MARKETS} quiet markets of each; a day, from {HOURS} h of one\n"
        f"files made: {found.made * a_day:,.0f}, there at once at most {EXCHANGES * found.most:,}\n"
        f"files left before the day is published: {found.left * a_day:,.0f}, of"
        f" {found.left_bytes * a_day / 1e6:,.0f} MB; there at most for an hour more"
        f" {EXCHANGES * found.most_bytes / HOURS / 1e6:,.0f} MB\n"
        f"CPU: {found.seconds / HOURS / 3600 * EXCHANGES:.1%} of one core\n"
    )


if __name__ == "__main__":
    study()
