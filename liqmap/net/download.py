"""Download one URL into one file, verified where its checksum is published."""

from __future__ import annotations

import errno
import hashlib
import re
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from liqmap.errors import DataError, NotPublished
from liqmap.net.attempts import (
    SIMULATED_HEADER,
    USER_AGENT,
    TransientError,
    attempts,
    check_status,
    host_of,
    ignored,
)
from liqmap.net.pace import Pace, ended_by, overdue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    import aiohttp

    from liqmap.net.session import Session
    from liqmap.settings import DownloadSettings

_HEADERS = USER_AGENT | {"Accept-Encoding": "identity"}  # the files are compressed already
_CHUNK = 1 << 18  # large, so that hashing and writing rarely wake the event loop
_LONGEST_CHECKSUM = 1000  # bytes; such a file is one line
_CHECKSUM = re.compile(r"\ufeff?([0-9a-f]{64})\s+\S.*\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A downloaded file.

    `simulated` says that a simulated market sent it, `unverified` that its checksum should be published
    beside it but is not there (yet).
    """

    path: Path
    sha256: str
    size: int
    simulated: bool
    unverified: bool = False


@contextmanager
def incoming_file(incoming: Path) -> Iterator[Path]:
    """Yield a path in a store's folder `incoming`; the file that is there when the block ends is removed."""
    # In that folder, what a killed process leaves behind is removed, too.
    path = incoming / f"{uuid4().hex}.download"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def download(
    session: Session,
    url: str,
    target: Path,
    *,
    settings: DownloadSettings,
    checksum_url: str | None = None,
    on_bytes: Callable[[int, int | None], None] | None = None,
    on_unreachable: Callable[[], None] = ignored,
) -> Downloaded:
    """Stream `url` to `target`, verified against its length and the sha256 at `checksum_url`, if any.

    `target` appears only when it is whole; on any failure nothing is left behind. `on_bytes` is called with
    (bytes so far, bytes in all or None). Failures that may pass (timeouts, resets, a slow drip, 429, 5xx, a
    wrong checksum) are retried after growing, jittered waits, or after the time that the server names, for
    `settings.longest` in all; `on_unreachable` is called where it cannot be reached. Raises NotPublished on
    404, and DataError on every other failure that stays.
    """
    partial = target.with_name(target.name + ".part")
    fetch = _Fetch(session, settings, host=host_of(url))
    late = DataError(
        f"{fetch.host} has not sent {_name(url)} within {settings.longest / 60:.0f} min; try again later."
    )
    try:
        async with ended_by(overdue(late, after=settings.longest, sleep=session.sleep)):
            tries = attempts(session.network, times=session.network.attempts, on_unreachable=on_unreachable)
            async for attempt in tries:
                with attempt:
                    expected = await fetch.checksum(checksum_url) if checksum_url else None
                    downloaded = await fetch.file(url, partial, on_bytes)
                    fetch.verify(url, downloaded, expected)
        partial.replace(target)
    except TransientError as error:
        raise DataError(str(error)) from error
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise DataError(f"A download could not be stored: {reason}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return replace(downloaded, path=target, unverified=checksum_url is not None and expected is None)


async def published_checksum(session: Session, url: str, *, settings: DownloadSettings) -> str | None:
    """Return the sha256 published at `url`, None if there is none. Raises DataError if that is unclear."""
    fetch = _Fetch(session, settings, host=host_of(url))
    try:
        async for attempt in attempts(session.network, times=session.network.attempts):
            with attempt:
                expected = await fetch.checksum(url)
    except TransientError as error:
        raise DataError(str(error)) from error
    return expected


async def exists(session: Session, url: str) -> bool:
    """Return whether there is a file at `url`, without fetching it. Raises DataError if that is unclear."""
    host, network = host_of(url), session.network
    late = TransientError(f"{host} did not answer in time; try again in a few minutes.")
    try:
        async for attempt in attempts(network, times=network.attempts):
            with attempt:
                async with (
                    ended_by(overdue(late, after=network.answer_timeout, sleep=session.sleep)),
                    session.request("HEAD", url, headers=_HEADERS) as response,
                ):
                    if response.status == 404:
                        return False
                    check_status(response, host, longest_wait=network.retry_wait_max)
    except TransientError as error:
        raise DataError(str(error)) from error
    return True


def read_checksum(content: bytes, *, host: str) -> str:
    """Return the sha256 in a `.CHECKSUM` file. Raises TransientError if it holds none.

    ::

        0b7a…c1f4  BTCUSDT-aggTrades-2023-08-01.zip
    """
    found = _CHECKSUM.fullmatch(content.decode("utf-8", "replace"))
    if not found:
        raise TransientError(f"{host} sent a checksum that cannot be read; try again later.")
    return found[1].lower()


@dataclass(frozen=True, slots=True)
class _Fetch:
    session: Session
    settings: DownloadSettings
    host: str

    async def checksum(self, url: str) -> str | None:
        text = b""
        try:
            async with self._get(url) as (response, pace):
                async for chunk in response.content.iter_chunked(_LONGEST_CHECKSUM):
                    pace.count(len(chunk))
                    text += chunk
                    if len(text) > _LONGEST_CHECKSUM:
                        break
        except NotPublished:  # the file itself may still exist
            return None
        return read_checksum(text, host=self.host)

    def verify(self, url: str, downloaded: Downloaded, expected: str | None) -> None:
        if expected not in {None, downloaded.sha256}:
            raise TransientError(f"{self.host} sent {_name(url)} with a wrong checksum; try again later.")

    async def file(
        self, url: str, partial: Path, on_bytes: Callable[[int, int | None], None] | None
    ) -> Downloaded:
        digest, size, limit = hashlib.sha256(), 0, self.settings.max_file_size
        async with self._get(url) as (response, pace):
            total = response.content_length
            self._check_size(total or 0, limit)
            with partial.open("wb") as file:
                async for chunk in response.content.iter_chunked(_CHUNK):
                    size += len(chunk)
                    self._check_size(size, limit)
                    pace.count(len(chunk))
                    digest.update(chunk)
                    file.write(chunk)
                    if on_bytes:
                        on_bytes(size, total)
            simulated = SIMULATED_HEADER in response.headers
        return Downloaded(partial, digest.hexdigest(), size, simulated)

    @asynccontextmanager
    async def _get(self, url: str) -> AsyncIterator[tuple[aiohttp.ClientResponse, Pace]]:
        network = self.session.network
        pace = Pace(least=self.settings.least_speed, period=network.stall_timeout, sleep=self.session.sleep)
        async with (
            ended_by(pace.too_slow(self.host)),
            self.session.request("GET", url, headers=_HEADERS) as response,
        ):
            # Before `check_status`: for files, 404 is an answer and no failure.
            if response.status == 404:
                raise NotPublished(f"{self.host} has no file {response.url.name}.")
            check_status(response, self.host, longest_wait=network.retry_wait_max)
            yield response, pace

    def _check_size(self, size: int, limit: int) -> None:
        if size > limit:
            raise DataError(
                f"{self.host} sent a file larger than {limit / 1e6:,.0f} MB; if that is right, raise the"
                " setting download.max_file_size."
            )


def _name(url: str) -> str:
    return urlsplit(url).path.rpartition("/")[2]
