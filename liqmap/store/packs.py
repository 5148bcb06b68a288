"""Packs: the short segments of one hour in one object, so that a recorded day is not a thousand of them.

A pack is a tar file, uncompressed, with a folder for each segment. Its name is made of what is in it, so two
bots that pack the same segments write the same object.
"""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Final

import xxhash

from liqmap.errors import RequestError
from liqmap.model.window import DAY
from liqmap.store.segments import MANIFEST, TABLES, is_segment, window_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.model.window import TimeWindow
    from liqmap.store.segments import Segment

FILES: Final = tuple(f"{name}.arrow" for name in TABLES)
"""The names of a segment's files besides its manifest."""

RECORDED: Final = "recorded"
"""Where packs are, apart from the days, so that a bucket's own rule can remove them after some days."""


def is_packed(segment: Segment) -> bool:
    """Return whether a segment is put into a pack: all but whole days are."""
    return segment.origin.window.length < DAY


def packed_day(segment: Segment) -> str:
    """Return the folder of all packs of a segment's market and day."""
    return folder_of_packs(segment.path.parent, segment.origin.window.start)


def folder_of_packs(market: Path, moment: datetime) -> str:
    """Return the folder of all packs of a day of the market whose folder in a store is `market`."""
    return "/".join((RECORDED, *market.parts[-3:], f"{moment:%Y%m%d}"))


def by_hour(segments: Iterable[Segment]) -> list[list[Segment]]:
    """Return segments grouped by market and hour, oldest first."""
    hours: dict[tuple[Path, str], list[Segment]] = {}
    for segment in sorted(segments, key=lambda each: each.path):
        hour = f"{segment.origin.window.start:%Y%m%d%H}"
        hours.setdefault((segment.path.parent, hour), []).append(segment)
    return list(hours.values())


def pack_key(segments: Sequence[Segment]) -> str:
    """Return the name of the pack of one hour's `segments`, below the store's root."""
    content = xxhash.xxh3_64()
    for segment in segments:
        content.update(segment.path.name.encode())
        checks = sorted(segment.checks.items())
        content.update("".join(f"{name}{check}" for name, check in checks).encode())
    hour = segments[0].origin.window.start
    return f"{packed_day(segments[0])}/{hour:%H}-{content.hexdigest()}.tar"


def pack(segments: Iterable[Segment]) -> bytes:
    """Return the pack of segments. Raises OSError."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for segment in segments:
            for name in (*FILES, MANIFEST):
                file = segment.file(name)
                # Without a time or an owner, so that equal segments make equal bytes.
                member = tarfile.TarInfo(f"{segment.path.name}/{name}")
                member.size = len(file)
                tar.addfile(member, io.BytesIO(file))
    return content.getvalue()


def packed_windows(content: bytes) -> list[TimeWindow]:
    """Return the windows of the segments in a pack. Raises ValueError if it is none."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            names = dict.fromkeys(name.partition("/")[0] for name in tar.getnames())
        windows = [window_of(name) for name in names if is_segment(name)]
    except (tarfile.TarError, EOFError, RequestError) as error:
        raise ValueError("no pack") from error
    if not windows:
        raise ValueError("an empty pack")
    return windows


def unpack(content: bytes, wanted: Iterable[str], *, into: Path) -> None:
    """Write the segments named `wanted` of a pack below `into`, as far as it has them.

    Raises ValueError if it is no pack, and OSError.
    """
    files = {f"{name}/{file}" for name in wanted for file in (*FILES, MANIFEST)}
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            chosen = [member for member in tar if member.name in files and member.isfile()]
            # The store may be somebody else's: `data` refuses links, and paths that lead out of the folder.
            tar.extractall(into, chosen, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise ValueError("no pack") from error
