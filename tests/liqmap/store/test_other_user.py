"""A store that belongs to another user, or that can only be read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.compute.selection import Cut
from liqmap.errors import StoreError
from liqmap.live.registry import Recording, Recordings
from liqmap.live.status import recording_status
from liqmap.model import Exchange, Side
from liqmap.model.window import TimeWindow
from liqmap.store.bundles import bundle_files, read_contents
from liqmap.store.bundling import Journal
from liqmap.store.compact import compact
from liqmap.store.damaged import damage_warning
from liqmap.store.largest import read_largest
from liqmap.store.local import SegmentStore
from liqmap.store.segments import VIA_STREAM, Origin, segment_path, segment_paths
from liqmap.store.writer import recorded, write_segment
from tests.liqmap.conftest import DAY, START_MS, random_trades, trades_from

NOBODY = 65534
LATER = datetime.now(UTC) + timedelta(days=1)
WHOLE = TimeWindow.of_day(DAY)
MINUTE, DAY_LONG = timedelta(minutes=1), timedelta(days=1)

pytestmark = pytest.mark.skipif(
    not hasattr(os, "seteuid") or os.geteuid() != 0, reason="only root can become another user"
)


@contextmanager
def nobody() -> Iterator[None]:
    """Become another user, as far as files go."""
    # Python imports a part of itself at the first use of this, from where the other user may have no access.
    datetime.strptime("2023", "%Y")  # noqa: DTZ007
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def root() -> Iterator[Path]:
    """Return a store of root's that others may read: a day, two minutes recorded in it and two after it."""
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    # The store's folder is made below it, and all above must let others through.
    for each in (folder, *folder.parents):
        if each.stat().st_uid == 0 and not each.stat().st_mode & 0o001:
            each.chmod(each.stat().st_mode | 0o055)
    store = folder / "store"
    written(store, WHOLE, 100)
    for minute in (0, 1, 1440, 1441):
        start = WHOLE.start + timedelta(minutes=minute)
        written(store, TimeWindow(start, start + timedelta(minutes=1)), 0)
    Recordings(store).write(Recording(Exchange.BYBIT, "BTCUSDT", updated=LATER, since=LATER))
    for path in (store, *store.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield store
    shutil.rmtree(folder)


def written(store: Path, window: TimeWindow, trades: int) -> None:
    origin = Origin(Exchange.BYBIT, "BTCUSDT", window, "wss://", "", via=(VIA_STREAM,))
    rows = random_trades(trades) if trades else trades_from([], start_ms=START_MS)
    path = segment_path(store, origin.exchange, origin.symbol, window)
    write_segment(path, origin, rows, incoming=store / "incoming")


@pytest.mark.parametrize("incoming", [True, False], ids=["another user's", "without its working folder"])
def test_store_that_can_only_be_read_serves_all_that_it_holds_and_changes_nothing(
    root: Path, incoming: bool, caplog: pytest.LogCaptureFixture
):
    if not incoming:
        shutil.rmtree(root / "incoming")
    before = sorted(root.rglob("*"))
    store = SegmentStore(root, max_size=1)
    with nobody():
        store.open(now=LATER)
        (part,) = store.parts(Exchange.BYBIT, "BTCUSDT", WHOLE)
        assert len(read_largest(part.segment, Side.BUY, window=WHOLE, cut=Cut(count=5)).trades) == 5
        assert len(recording_status(root, now=LATER)) == 1
        assert damage_warning(root) is None
        compact(store, Exchange.BYBIT, ["BTCUSDT"], now=LATER)
        store.evict(now=LATER)
        with pytest.raises(StoreError, match="cannot be removed"):
            store.remove(part.segment.path)
    assert sorted(root.rglob("*")) == before
    assert len(list(segment_paths(root))) == 5
    assert "could not be" in caplog.text
    assert ("can only be read" in caplog.text) is not incoming


def test_bundles_that_can_only_be_read_serve_all_but_a_damaged_record(
    root: Path, caplog: pytest.LogCaptureFixture
):
    windows = [TimeWindow(WHOLE.end + each * MINUTE, WHOLE.end + (each + 1) * MINUTE) for each in range(5, 8)]
    journal = Journal(root, Exchange.BYBIT)
    for window in windows:
        origin = Origin(Exchange.BYBIT, "BTCUSDT", window, "wss://", "", via=(VIA_STREAM,))
        path = segment_path(root, origin.exchange, origin.symbol, window)
        journal.append(
            recorded(path, origin, trades_from([], start_ms=window.start_ms)), now=LATER - DAY_LONG
        )
    journal.close()
    (file,) = bundle_files(root)
    broken = read_contents(file).records["BTCUSDT"][windows[1]]
    with file.open("r+b") as opened:
        opened.seek(broken.tables_at - broken.manifest_size // 2)
        opened.write(b"?")
    for path in (root / "bundles", file.parent):
        path.chmod(0o755)
    file.chmod(0o644)
    before = {path: path.stat().st_size for path in root.rglob("*")}
    store = SegmentStore(root, max_size=1)
    with nobody():
        store.open(now=LATER)
        for _ in range(2):
            parts = store.parts(Exchange.BYBIT, "BTCUSDT", TimeWindow(windows[0].start, windows[2].end))
            assert [part.window for part in parts] == [windows[0], windows[2]]
            compact(store, Exchange.BYBIT, ["BTCUSDT"], now=LATER)
            store.evict(now=LATER)
        with pytest.raises(StoreError, match="cannot be removed"):
            store.remove(parts[0].segment.path)
        with pytest.raises(PermissionError):
            Journal(root, Exchange.BYBIT).append(b"", now=LATER)
    assert {path: path.stat().st_size for path in root.rglob("*")} == before
    assert "damaged and cannot be set aside" in caplog.text


def test_folder_that_may_not_be_looked_into_is_an_error(root: Path):
    root.chmod(0o700)
    with nobody(), pytest.raises(StoreError, match=r"storage\.path"):
        SegmentStore(root, max_size=1).open(now=LATER)
