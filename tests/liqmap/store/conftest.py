"""A store and a journal in it, for the tests of bundles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from liqmap.store.bundling import Journal
from liqmap.store.local import SegmentStore
from tests.liqmap.store.bundled import BYBIT, NOW


@pytest.fixture
def store(tmp_path: Path) -> SegmentStore:
    store = SegmentStore(tmp_path, max_size=10**12)
    store.open(now=NOW)
    return store


@pytest.fixture
def journal(store: SegmentStore) -> Iterator[Journal]:
    journal = Journal(store.root, BYBIT)
    yield journal
    journal.close()
