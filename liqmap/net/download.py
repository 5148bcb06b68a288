"""Download: one URL -> one verified file."""

from __future__ import annotations

import errno
import hashlib
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from liqmap.errors import DataError, NotPublished
from liqmap.net.attempts import (
    SIMULATED_HEADER,
    USER_AGENT,
    TransientError,
    attempts,
    check_status,
    passing,
    patience,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import aiohttp

    from liqmap.settings import DownloadSettings

_HEADERS = USER_AGENT | {"Accept-Encoding": "identity"}  # the files are compressed already
_CHUNK = 1 << 18
_CHECKSUM = re.compile(r"([0-9a-f]{64})\s+\S+\s*")


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A verified file: where it is, its sha256, its size, and whether a simulated market sent it."""

    path: Path
    sha256: str
    size: int
    simulated: bool


async def download(
    session: aiohttp.ClientSession,
    url: str,
    target: Path,
    *,
    settings: DownloadSettings,
    checksum_url: str | None = None,
    on_bytes: Callable[[int, int | None], None] | None = None,
) -> Downloaded:
    """Stream `url` to `target`, verified against its length and the sha256 at `checksum_url`.

    `target` appears only when it is whole; on any failure nothing is left behind. `on_bytes` hears of
    (bytes so far, bytes in all or None). What may pass (timeouts, resets, 429, 5xx, a wrong checksum)
    is tried again with growing, jittered waits, or after the time that the server names. Raises
    NotPublished on 404, and DataError on everything that does not pass.
    """
    partial = target.with_name(target.name + ".part")
    fetch = _Fetch(session, settings, host=urlsplit(url).hostname or url)
    try:
        async for attempt in attempts(settings, times=settings.attempts):
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
    return Downloaded(target, downloaded.sha256, downloaded.size, downloaded.simulated)


async def exists(session: aiohttp.ClientSession, url: str, *, settings: DownloadSettings) -> bool:
    """Tell whether there is a file at `url`, without fetching it. Raises DataError if that cannot be told."""
    host = urlsplit(url).hostname or url
    try:
        async for attempt in attempts(settings, times=settings.attempts):
            with attempt, passing(host):
                async with session.head(url, headers=_HEADERS, timeout=patience(settings)) as response:
                    if response.status == 404:
                        return False
                    check_status(response, host, longest_wait=settings.retry_wait_max)
    except TransientError as error:
        raise DataError(str(error)) from error
    return True


@dataclass(frozen=True, slots=True)
class _Fetch:
    session: aiohttp.ClientSession
    settings: DownloadSettings
    host: str

    async def checksum(self, url: str) -> str:
        async with self._get(url) as response:
            text = await response.content.read(1000)
        found = _CHECKSUM.fullmatch(text.decode("ascii", "replace"))
        if not found:
            raise TransientError(f"{self.host} sent a checksum that cannot be read; try again later.")
        return found[1]

    def verify(self, url: str, downloaded: Downloaded, expected: str | None) -> None:
        if expected not in {None, downloaded.sha256}:
            name = urlsplit(url).path.rpartition("/")[2]
            raise TransientError(f"{self.host} sent {name} with a wrong checksum; try again later.")

    async def file(
        self, url: str, partial: Path, on_bytes: Callable[[int, int | None], None] | None
    ) -> Downloaded:
        digest, size, limit = hashlib.sha256(), 0, self.settings.max_file_size
        async with self._get(url) as response:
            total = response.content_length
            self._check_size(total or 0, limit)
            with partial.open("wb") as file:
                async for chunk in response.content.iter_chunked(_CHUNK):
                    size += len(chunk)
                    self._check_size(size, limit)
                    digest.update(chunk)
                    file.write(chunk)
                    if on_bytes:
                        on_bytes(size, total)
            simulated = SIMULATED_HEADER in response.headers
        return Downloaded(partial, digest.hexdigest(), size, simulated)

    @asynccontextmanager
    async def _get(self, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
        with passing(self.host):
            async with self.session.get(url, headers=_HEADERS, timeout=patience(self.settings)) as response:
                if response.status == 404:
                    raise NotPublished(f"{self.host} has no file {response.url.name}.")
                check_status(response, self.host, longest_wait=self.settings.retry_wait_max)
                yield response

    def _check_size(self, size: int, limit: int) -> None:
        if size > limit:
            raise DataError(
                f"{self.host} sent a file larger than {limit / 1e6:,.0f} MB; if that is right, raise the"
                " setting download.max_file_size."
            )
