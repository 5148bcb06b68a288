"""Files of bundles of each kind, what their readers make of them, and what damage may change of that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np

from liqmap.compute.selection import Cut
from liqmap.errors import DamagedSegment
from liqmap.model import Exchange, Side, Trades
from liqmap.model.window import TimeWindow
from liqmap.store.bars import read_bars
from liqmap.store.bundles import DAYS, JOURNAL, RECORDED, Record, files_in, folder_of
from liqmap.store.bundles import read_contents as read_records
from liqmap.store.bundling import Journal, bundling
from liqmap.store.largest import read_largest
from liqmap.store.local import SegmentStore
from liqmap.store.segments import VIA_FILES, VIA_STREAM, Origin, segment_path
from liqmap.store.writer import recorded
from tests.liqmap.conftest import DAY, random_trades

EXCHANGE = Exchange.BYBIT
SYMBOLS = ("ADAUSDT", "ETHUSDT", "币安人生USDT")
BEGUN = datetime(2023, 8, 1, 11, tzinfo=UTC)
TRADES = random_trades(20_000)
_WHOLE = TimeWindow.of_day(DAY)
_DAYS_TRADES = random_trades(300)

Values = dict[tuple[str, TimeWindow], list[bytes] | None]


class BundleSample(NamedTuple):
    """A file of bundles and the records that are in it; it is read through the store at `root`."""

    root: Path
    file: Path
    records: dict[tuple[str, TimeWindow], Record]

    def read(self) -> Values:
        """Return what maps read of each record, None for a gap; what is found damaged is set aside."""
        store = SegmentStore(self.root, max_size=10**12)
        found: Values = {}
        for symbol, window in self.records:
            try:
                found[symbol, window] = _values(store, symbol, window)
            except DamagedSegment as error:
                store.heal(error.path)
                found[symbol, window] = _values(store, symbol, window)
        return found

    def verify(self, outcome: Values, *, clean: Values, content: bytes, broken: bytes, problems: int) -> None:
        """Assert that a record is read as it was or is a gap, and that all that is still whole is read."""
        lost = [key for key, values in outcome.items() if values != clean[key]]
        assert all(outcome[key] is None for key in lost), (self.file, lost)
        assert not any(content[(it := self.records[key]).offset : it.end] in broken for key in lost), lost
        # The end of a journal may be torn by a process that was killed, which is no damage.
        may_be_torn = self.file.suffix == JOURNAL and len(broken) < len(content)
        assert problems or may_be_torn or not lost, self.file


def bundle_samples(root: Path) -> list[BundleSample]:
    """Fill a store with a journal, a file of what was compacted, and one of quiet days."""
    journal = Journal(root, EXCHANGE)
    for number in range(3):
        for symbol in SYMBOLS:
            journal.append(_record(root, symbol, _minutes(number, number + 1)), now=BEGUN)
    journal.close()
    for suffix, windows in ((RECORDED, (_minutes(60, 120), _minutes(120, 123))), (DAYS, (_WHOLE,))):
        with bundling(root, EXCHANGE, suffix, incoming=root / "incoming", now=BEGUN) as bundle:
            for window in windows:
                for symbol in SYMBOLS:
                    its = f"1{symbol}" if window == _WHOLE else symbol  # no longer segment may hold a shorter
                    bundle.add(_record(root, its, window))
    return [
        BundleSample(
            root,
            file,
            {
                (symbol, window): record
                for symbol, records in read_records(file).records.items()
                for window, record in records.items()
            },
        )
        for file in files_in(folder_of(root, EXCHANGE))
    ]


def _minutes(first: int, last: int) -> TimeWindow:
    return TimeWindow(_WHOLE.start + timedelta(minutes=first), _WHOLE.start + timedelta(minutes=last))


def _record(root: Path, symbol: str, window: TimeWindow) -> bytes:
    trades = _DAYS_TRADES if window == _WHOLE else TRADES
    rows = (trades.time >= window.start_ms) & (trades.time < window.end_ms)
    its = Trades(trades.time[rows], trades.price[rows], trades.size[rows], trades.is_buy[rows])
    via = (VIA_FILES if window == _WHOLE else VIA_STREAM,)
    origin = Origin(EXCHANGE, symbol, window, "https://example.org", "", via=via)
    return recorded(segment_path(root, EXCHANGE, symbol, window), origin, its)


def _values(store: SegmentStore, symbol: str, window: TimeWindow) -> list[bytes] | None:
    parts = store.parts(EXCHANGE, symbol, window)
    if not parts:
        return None
    assert [part.window for part in parts] == [window]
    largest = [read_largest(parts[0].segment, side, window=window, cut=Cut(), turns=True) for side in Side]
    bars = [read_bars(parts[0].segment, window, bin_seconds=seconds) for seconds in (1, 60)]
    columns = [each.trades.time for each in largest] + [each.trades.notional for each in largest]
    columns += [each.extreme for each in largest]
    of_bars = [column for each in bars for column in (each.time, each.low, each.close, each.buy_count)]
    return [np.ascontiguousarray(each).tobytes() for each in (*columns, *of_bars)]
