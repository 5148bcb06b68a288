"""Move the folders of segments: each is seen whole in its place, or not at all."""

from __future__ import annotations

import shutil
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from liqmap.files import make_synced, sync_folder
from liqmap.store.segments import drop_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def move_into_place(source: Path, target: Path) -> None:
    """Rename a whole segment's folder to where it belongs, unless another writer's stands there already.

    Raises OSError.
    """
    make_synced(target.parent)
    try:
        source.rename(target)
    except OSError:
        # A folder that is not empty cannot be replaced; the other writer's segment is as good.
        if not target.is_dir():
            raise
        return
    sync_folder(target.parent)


def move_if(source: Path, target: Path, is_wanted: Callable[[Path], bool]) -> bool:
    """Rename a segment's folder if it `is_wanted` there; else put it back, and return False.

    Where it is looked at, no other process can replace it. Raises OSError, and what `is_wanted` raises.
    """
    source.rename(target)
    wanted = False
    try:
        wanted = is_wanted(target)
    finally:
        if not wanted:
            move_into_place(target, source)
            shutil.rmtree(target, ignore_errors=True)  # where another has come in its place
    return wanted


def put_in_place_of(target: Path, source: Path, *, incoming: Path) -> None:
    """Put a whole segment's folder in the place of what is there, however often that changes."""
    make_synced(target.parent)
    while source.exists():
        before = incoming / uuid4().hex
        with suppress(FileNotFoundError):
            target.rename(before)
        move_into_place(source, target)
        shutil.rmtree(before, ignore_errors=True)
    # Only now: until then a reader finds the record.
    drop_all(target)
