"""Remove from a store what killed processes left half-written, and what is no longer read."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.files import ABANDONED_AFTER, matching, remove_abandoned

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

WORK_KEPT_FOR: Final = timedelta(hours=6)
"""What a killed process left in the working folder is removed after this time: nobody writes one file that
long."""

HALF_WRITTEN_FOR: Final = timedelta(seconds=ABANDONED_AFTER)
"""What lies half-written outside the working folder, or no map reads, is removed after this time."""

ORDERS: Final = "orders"
"""The folder of what maps make of fills."""


def remove_abandoned_work(incoming: Path, *, before: datetime) -> None:
    """Remove what killed processes left in the folder in which files are written."""
    for path in incoming.iterdir():
        with suppress(OSError):  # another process's, and gone by now, or another user's
            _remove_older(path, than=before)


def remove_half_written(root: Path, incoming: Path, *, before: datetime) -> None:
    """Remove what killed processes left of lists, tables and series, wherever in the store it lies."""
    for folder in root.iterdir():
        # Segments are written in the working folder, and there are too many of them to look at.
        if not folder.name.startswith("v") and folder != incoming:
            remove_abandoned(folder, before=before.timestamp(), below=True)


def remove_unread_orders(root: Path, *, before: datetime) -> None:
    """Remove orders that no map has read for a while: they are made anew."""
    for path in order_folders(root):
        with suppress(OSError):  # another process's, and gone by now, or another user's
            _remove_older(path, than=before)


def order_folders(root: Path) -> list[Path]:
    """Return the folders of all orders. Raises UnreadableStore."""
    return matching(root, f"{ORDERS}/*/*/*")


def _remove_older(path: Path, *, than: datetime) -> None:
    if path.stat().st_mtime >= than.timestamp():
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
