"""Packs: the short segments of one hour in one object, so that a recorded day is not a thousand of them.

A pack is a tar file, uncompressed, with a folder for each segment. Its name is made of what is in it, so two
bots that pack the same segments write the same object.
"""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Final

import xxhash

from liqmap.model.window import DAY
from liqmap.store.segments import MANIFEST, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

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
    market, day = segment.path.parts[-4:-1], segment.origin.window.start
    return "/".join((RECORDED, *market, f"{day:%Y%m%d}"))


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
