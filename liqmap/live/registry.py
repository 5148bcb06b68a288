"""Claim the symbols that a process records into a store, and describe each recording for others."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from liqmap.errors import DataError, UnreadableStore
from liqmap.files import matching, write_file
from liqmap.files.seals import sealed_json, unsealed_json
from liqmap.model import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

# A live one is described every minute, so three descriptions are missing by then.
ALIVE_FOR: Final = timedelta(minutes=3)
"""A recording whose description is older than this has stopped."""

# Moments that each description has; the others may be None.
_ALWAYS = ("updated", "since")
_MOMENTS = (*_ALWAYS, "asked", "until", "last_trade")


@dataclass(frozen=True, slots=True)
class Recording:
    """The state of one symbol's recording, as its process described it at `updated`.

    `since` is when that process began, `until` the end of what is stored, `lag` the age of the newest trade
    when it was received [s]. `cuts` counts the streams that have broken since. `asked` is when somebody last
    requested the symbol, None for one in the settings, which is always recorded. `clock_off` is how far this
    machine's clock was ahead of the exchange's [s], None if it was right or is unknown.
    """

    exchange: Exchange
    symbol: str
    updated: datetime
    since: datetime
    asked: datetime | None = None
    connected: bool = False
    until: datetime | None = None
    last_trade: datetime | None = None
    lag: float | None = None
    cuts: int = 0
    clock_off: float | None = None

    def is_alive(self, now: datetime) -> bool:
        """Return whether the recording is in progress."""
        # A description of the future is of before the clock was set back, and no sign of life.
        return self.connected and abs(now - self.updated) <= ALIVE_FOR


class Recordings:
    """The folder of a store with the claims and descriptions of recordings."""

    def __init__(self, root: Path) -> None:
        self._folder = root / "recordings"

    def claim(self, exchange: Exchange, symbol: str) -> FileLock | None:
        """Return a lock that this process holds until it releases it or ends; None if another holds it.

        Raises DataError if the folder cannot be used.
        """
        path = self._path(exchange, symbol, "lock")
        # Not waited for: the other process may hold it for days.
        lock = FileLock(path, timeout=0)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            return None
        except OSError as error:
            raise DataError(
                f"The store's folder cannot be used ({error.strerror}); check the setting storage.path."
            ) from error
        return lock

    def write(self, recording: Recording) -> None:
        """Store the description of a recording."""
        content = sealed_json(asdict(recording), default=datetime.isoformat)
        write_file(self._path(recording.exchange, recording.symbol, "json"), content)

    def forget(self, exchange: Exchange, symbol: str) -> None:
        """Remove all files of a symbol that does not exist; only the holder of its claim may."""
        # Otherwise mistyped names would fill the folder.
        for suffix in ("json", "lock"):
            self._path(exchange, symbol, suffix).unlink(missing_ok=True)

    def read(self, exchange: Exchange, symbol: str) -> Recording | None:
        """Return the last description of a symbol's recording, None if there is none."""
        return _read(self._path(exchange, symbol, "json"))

    def all(self, exchange: Exchange | None = None) -> Iterator[Recording]:
        """Yield the last description of every recording, or of every one of an exchange, by name.

        Raises UnreadableStore.
        """
        for path in matching(self._folder, f"{exchange or '*'}/*.json"):
            recording = _read(path)
            if recording is not None:
                yield recording

    def _path(self, exchange: Exchange, symbol: str, suffix: str) -> Path:
        return self._folder / exchange / f"{symbol}.{suffix}"


def readable(recordings: Recordings, exchange: Exchange | None = None) -> list[Recording]:
    """Return what `recordings.all` yields; nothing, with a warning, if that cannot be read."""
    try:
        return list(recordings.all(exchange))
    except UnreadableStore as error:
        log.warning("it is not known what is recorded: %s", error)
        return []


def _read(path: Path) -> Recording | None:
    try:
        values = unsealed_json(path.read_bytes())
        moments = {name: _moment(values[name]) for name in _MOMENTS if name in _ALWAYS or values[name]}
        return replace(Recording(**values | moments), exchange=Exchange(values["exchange"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None  # absent, or written by another version: treated alike


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() is None:
        raise ValueError("a time without its zone")
    return moment
