"""The shared store: segments in a folder or a bucket that many machines reach, behind each one's own store.

A segment is read from the machine's own disk, always. This is where it is looked for before an exchange
is asked, and where it is put once it is made, so that one download serves every machine::

    v3/EXCHANGE/SYMBOL/WINDOW/                      a day, with the same files as in a store
    recorded/v3/EXCHANGE/SYMBOL/DAY/HOUR-HASH.tar   a pack of short segments (`liqmap.store.packs`)
    claims/v3/EXCHANGE/SYMBOL/WINDOW/               who is about to put a day there

What is there is known from listings, one request for each market and day, which no two bots can write over
each other. What has been found damaged is written again by whoever has it whole.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from liqmap.errors import DamagedSegment, StoreError
from liqmap.model.window import HOUR, missing, split_at
from liqmap.store.bounded import BoundedCalls
from liqmap.store.moving import move_into_place
from liqmap.store.objects import Objects
from liqmap.store.packs import (
    FILES,
    by_hour,
    folder_of_packs,
    is_packed,
    pack,
    pack_key,
    packed_day,
    packed_windows,
    unpack,
)
from liqmap.store.places import check_place
from liqmap.store.reading import check_belongs, verify_segment
from liqmap.store.segments import MANIFEST, open_segment, segment_from, segment_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from liqmap.model.window import TimeWindow
    from liqmap.store.bounded import Operation
    from liqmap.store.segments import Segment

log = logging.getLogger(__name__)

Observe = Callable[[float, bool], None]
"""Is called with the seconds of each operation, and whether it succeeded."""

BELIEVED_FOR: Final = 600.0
"""Seconds for which what was seen in the shared store is believed to be there."""

SILENCE: Final = 15.0
"""Seconds without an answer after which the shared store counts as away."""

_CLAIM_HOLDS = timedelta(minutes=10)  # or a machine that was lost would claim a day for ever
_RIVALS_WITHDRAW_WITHIN = 1.0  # seconds: two requests
_PATH_PARTS = 4  # of a segment's path: version, exchange, symbol, window


class SharedStore:
    """Segments below `url`: `s3://bucket/prefix`, `file:///folder` or a plain path.

    Credentials are the environment's. The query of an S3 URL takes `region`, `scheme` and
    `endpoint_override`, for stores that speak S3 elsewhere; `proxy_for` returns the proxy for an address.
    All methods block, each for a bounded time. `observe` is called with the seconds of each operation and
    whether it succeeded. Raises SettingsError for a URL that is none of these.
    """

    def __init__(
        self,
        url: str,
        *,
        proxy_for: Callable[[str], str | None] = lambda _: None,
        silence: float = SILENCE,
        observe: Observe = lambda _seconds, _succeeded: None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        check_place(url)
        self._pause = pause
        self._calls = BoundedCalls(silence=silence, observe=observe)
        self._objects = Objects(url, proxy_for=proxy_for)
        self._seen: dict[str, float] = {}  # keys that are there, and until when that is believed
        self._damaged: set[str] = set()  # of the right size perhaps, and written again

    @property
    def is_away(self) -> bool:
        """Whether the store lately gave no answer, so that it is not asked now."""
        return self._calls.is_away

    def check(self) -> None:
        """Write an object and remove it again. Raises OSError and SharedStoreAway."""
        key = f"claims/{uuid4().hex}"

        def operate(_: Operation) -> None:
            self._objects.write(key, b"")
            self._objects.remove(key)

        self._calls.run(operate)

    def publish(self, segments: Sequence[Segment], *, replaces: bool = False) -> Mapping[Path, str]:
        """Put segments there that are not, and return the key under which each is found.

        With `replaces`, what is there is written again. A day's manifest is written last, so a day is there
        whole or not at all. Raises SharedStoreAway, and StoreError if the store refuses.
        """
        days = [each for each in segments if not is_packed(each)]
        packs = {pack_key(hour): hour for hour in by_hour(filter(is_packed, segments))}
        keys = {day.path: _key_of(day.path) for day in days}
        keys |= {segment.path: key for key, hour in packs.items() for segment in hour}
        if replaces:
            self.distrust(list(keys.values()))
        unknown = [key for key in dict.fromkeys(keys.values()) if not self._is_believed(key)]
        if not unknown:
            return keys

        def operate(operation: Operation) -> None:
            lacking_days = [day for day in days if keys[day.path] in unknown]
            lacking = {key: hour for key, hour in packs.items() if key in unknown}
            operation.sequences([partial(self._publish_day, operation, day) for day in lacking_days])
            self._publish_packs(operation, lacking)

        try:
            self._calls.run(operate)
        except OSError as error:
            raise StoreError(f"The shared store refuses to store trades ({_reason(error)}).") from error
        self._believe(unknown)
        return keys

    def bring_in(self, places: Mapping[Path, str], *, incoming: Path) -> list[Path]:
        """Copy the segments of local folders from their keys, whole; return those that are not available.

        They are written below `incoming` and renamed, as every segment is. Where another process came
        first, its copy is kept. Raises SharedStoreAway, and StoreError if this machine's disk is in trouble
        or the shared store refuses.
        """
        # Several segments can lie in one pack, which is fetched once.
        by_key: dict[str, list[Path]] = defaultdict(list)
        for path, key in places.items():
            by_key[key].append(path)

        def operate(operation: Operation) -> list[list[Path]]:
            fetch = partial(self._bring_in, operation, incoming=incoming)
            return operation.together([partial(fetch, key, paths) for key, paths in by_key.items()])

        try:
            return [path for paths in self._calls.run(operate) for path in paths]
        except OSError as error:
            raise StoreError(f"The shared store cannot be read ({_reason(error)}).") from error

    def bring_in_day(self, path: Path, *, incoming: Path) -> Segment | None:
        """Copy the day of the local folder `path` from there; None if it is not available.

        Raises as `bring_in`.
        """
        if self.bring_in({path: _key_of(path)}, incoming=incoming):
            return None
        return open_segment(path)

    def bring_in_recorded(self, market: Path, lacking: Sequence[TimeWindow], *, incoming: Path) -> None:
        """Copy what another machine has recorded in the spans `lacking` to the local folder `market`.

        Of each hour the newest pack is read, and older ones only for what that does not hold. What is not
        there stays missing. Raises as `bring_in`.
        """
        hours: dict[tuple[str, str], list[TimeWindow]] = defaultdict(list)
        for part in (part for span in lacking for part in split_at(span, HOUR)):
            hours[folder_of_packs(market, part.start), f"{part.start:%H}"].append(part)
        folders = list(dict.fromkeys(folder for folder, _ in hours))

        def operate(operation: Operation) -> None:
            listed = operation.together([partial(self._objects.times, folder) for folder in folders])
            packs = dict(zip(folders, listed, strict=True))
            operation.together(
                [
                    partial(self._bring_in_hour, operation, keys, parts, market, incoming=incoming)
                    for (folder, hour), parts in hours.items()
                    if (keys := _newest_first(folder, hour, packs[folder]))
                ]
            )

        try:
            self._calls.run(operate)
        except OSError as error:
            raise StoreError(f"The shared store cannot be read ({_reason(error)}).") from error

    def withdraw(self, keys: Sequence[str]) -> None:
        """Remove packs that others replace. Raises as `publish`."""
        if not keys:
            return
        for key in keys:
            self._seen.pop(key, None)

        def operate(operation: Operation) -> None:
            operation.together([partial(self._objects.remove, key) for key in keys])

        try:
            self._calls.run(operate)
        except OSError as error:
            raise StoreError(f"The shared store refuses to remove trades ({_reason(error)}).") from error

    def distrust(self, keys: Sequence[str]) -> None:
        """Note that what is under `keys` was not available, so that it is written again."""
        for key in keys:
            self._seen.pop(key, None)
            self._damaged.add(key)

    def _publish_day(self, operation: Operation, day: Segment) -> None:
        key = _key_of(day.path)
        if key not in self._damaged and self._objects.sizes(key) == _sizes(day):
            return
        claim = f"claims/{key}/{uuid4().hex}"
        if key not in self._damaged and not self._claims(claim):
            return  # another bot is at it
        try:
            if key not in self._damaged and self._objects.sizes(key) == _sizes(day):
                return  # another bot has put it there since the look before the claim
            operation.together([partial(self._put, operation, day, name) for name in FILES])
            self._put(operation, day, MANIFEST)
        finally:
            self._objects.remove(claim)
        self._damaged.discard(key)
        # The day holds what its hours hold.
        self._objects.remove_folder(packed_day(day))

    def _claims(self, claim: str) -> bool:
        """Return whether this bot alone may put there what it claims; if not, its claim is withdrawn.

        Of several claims, all but the earliest are withdrawn at once. The earliest looks once more, later.
        A claim that is still there then is of a bot that had looked before this one came, and is at work.
        """
        self._objects.write(claim, b"")
        claims = self._alive(claim)
        if len(claims) > 1 and claims[0] == claim:
            self._pause(_RIVALS_WITHDRAW_WITHIN)
            claims = self._alive(claim)
        if len(claims) > 1:
            self._objects.remove(claim)
        return len(claims) <= 1

    def _alive(self, claim: str) -> list[str]:
        """Return the claims of the same as `claim` that are not of long ago, the earliest first."""
        folder, _, mine = claim.rpartition("/")
        claims = self._objects.times(folder)
        # All times are the store's own, of whole seconds in some. Of equal ones the smaller name is first.
        alive = [(at, name) for name, at in claims.items() if claims[mine] - at < _CLAIM_HOLDS]
        return [f"{folder}/{name}" for _, name in sorted(alive)]

    def _publish_packs(self, operation: Operation, packs: Mapping[str, Sequence[Segment]]) -> None:
        folders = list(dict.fromkeys(packed_day(hour[0]) for hour in packs.values()))
        there = operation.together([partial(self._objects.sizes, folder) for folder in folders])
        known = {
            f"{folder}/{name}" for folder, names in zip(folders, there, strict=True) for name in names
        } - self._damaged

        def put(key: str, hour: Sequence[Segment]) -> None:
            self._objects.write(key, pack(hour))
            self._damaged.discard(key)

        operation.together([partial(put, key, hour) for key, hour in packs.items() if key not in known])

    def _put(self, operation: Operation, day: Segment, name: str) -> None:
        key = f"{_key_of(day.path)}/{name}"
        if day.record is None and name != MANIFEST:
            self._objects.put(day.path / name, key, progress=operation.progress)
            return
        content = day.file(name)  # of a quiet day, all are small
        # If another day has come in its place since, the tables are of both.
        if name == MANIFEST and segment_from(content, day.path).checks != day.checks:
            raise StoreError(f"{day.path.name} was replaced while it was put into the shared store.")
        self._objects.write(key, content)

    def _bring_in_hour(
        self,
        operation: Operation,
        keys: Sequence[str],
        lacking: Sequence[TimeWindow],
        market: Path,
        *,
        incoming: Path,
    ) -> None:
        for key in keys:
            try:
                content = self._objects.read(key, progress=operation.progress)
                windows = packed_windows(content)
            except FileNotFoundError:  # another pack has replaced it since
                continue
            except ValueError:
                log.warning("%s in the shared store is damaged and is not used", key)
                continue
            paths = {market / segment_name(each): each for each in windows if any(map(each.overlap, lacking))}
            if paths:
                lost = self._bring_in(operation, key, list(paths), incoming=incoming, content=content)
                held = [each for path, each in paths.items() if path not in lost]
                lacking = [rest for part in lacking for rest in missing(part, held)]
            if not lacking:
                return

    def _bring_in(
        self,
        operation: Operation,
        key: str,
        paths: Sequence[Path],
        *,
        incoming: Path,
        content: bytes | None = None,
    ) -> list[Path]:
        """Copy what is under `key`, or its `content`, to the folders `paths`; return those not available."""
        temporary = incoming / uuid4().hex
        try:
            temporary.mkdir(parents=True)
            if key.endswith(".tar"):
                if content is None:
                    content = self._objects.read(key, progress=operation.progress)
                unpack(content, [path.name for path in paths], into=temporary)
            else:
                self._fetch_day(operation, key, temporary / paths[0].name)
            lost = [path for path in paths if not _is_of(temporary / path.name, path)]
            for path in paths:
                if path not in lost:
                    move_into_place(temporary / path.name, path)
        except FileNotFoundError:
            return list(paths)
        except ValueError:
            lost = list(paths)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        if lost:
            log.warning("%s in the shared store is damaged and is not used", key)
            self.distrust([key])
        else:
            self._believe([key])
        return lost

    def _fetch_day(self, operation: Operation, key: str, folder: Path) -> None:
        # Without its manifest a day is not there yet, and nothing else need be asked for.
        manifest = self._objects.read(f"{key}/{MANIFEST}", progress=operation.progress)
        folder.mkdir()
        get = partial(self._objects.get, progress=operation.progress)
        operation.together([partial(get, f"{key}/{name}", folder / name) for name in FILES])
        (folder / MANIFEST).write_bytes(manifest)

    def _is_believed(self, key: str) -> bool:
        return self._seen.get(key, 0.0) > time.monotonic() and key not in self._damaged

    def _believe(self, keys: Sequence[str]) -> None:
        until = time.monotonic() + BELIEVED_FOR
        self._seen |= dict.fromkeys(keys, until)


def _newest_first(folder: str, hour: str, times: Mapping[str, datetime]) -> list[str]:
    """Return the keys of an hour's packs in a folder that holds packs of these times, the newest first."""
    found = [(at, name) for name, at in times.items() if name.startswith(f"{hour}-")]
    return [f"{folder}/{name}" for _, name in sorted(found, reverse=True)]


def _key_of(path: Path) -> str:
    return "/".join(path.parts[-_PATH_PARTS:])


def _sizes(segment: Segment) -> dict[str, int]:
    tables = {f"{name}.arrow": size for name, size in segment.sizes.items()}
    return tables | {MANIFEST: len(segment.file(MANIFEST))}


def _reason(error: OSError) -> str:
    # What the S3 client says contains addresses and goes on for lines; the log has it.
    log.warning("the shared store: %s", error)
    return error.strerror or "see the log"


def _is_of(folder: Path, path: Path) -> bool:
    """Return whether `folder` holds a whole segment, and the one that belongs at `path`."""
    try:
        found = open_segment(folder)
        if found is None:
            return False
        check_belongs(found, path)
        verify_segment(found)
    except DamagedSegment:
        return False
    return True
