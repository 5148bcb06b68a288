"""Download: one URL -> one verified file."""

from __future__ import annotations

import errno
import hashlib
import re
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from liqmap import __version__
from liqmap.errors import DataError, NotPublished

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from liqmap.settings import DownloadSettings

HEADERS: Final = {"User-Agent": f"liqmap/{__version__}", "Accept-Encoding": "identity"}
"""Bybit refuses requests without a User-Agent; the files are compressed already."""

SIMULATED_HEADER: Final = "X-Simulated-Market"

_CHUNK = 1 << 18
_CHECKSUM = re.compile(r"([0-9a-f]{64})\s+\S+\s*")
_RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
_BLOCKED_STATUS = frozenset({401, 403, 451})


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A verified file: where it is, its sha256, its size, and whether a simulated market sent it."""

    path: Path
    sha256: str
    size: int
    simulated: bool


class _Passing(Exception):
    """A failure that may pass, with the sentence for a user should it not."""

    def __init__(self, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


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
        async for attempt in _attempts(settings):
            with attempt:
                expected = await fetch.checksum(checksum_url) if checksum_url else None
                downloaded = await fetch.file(url, partial, on_bytes)
                fetch.verify(url, downloaded, expected)
        partial.replace(target)
    except _Passing as error:
        raise DataError(str(error)) from error
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise DataError(f"A download could not be stored: {reason}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return Downloaded(target, downloaded.sha256, downloaded.size, downloaded.simulated)


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
            raise _Passing(f"{self.host} sent a checksum that cannot be read; try again later.")
        return found[1]

    def verify(self, url: str, downloaded: Downloaded, expected: str | None) -> None:
        if expected not in {None, downloaded.sha256}:
            name = urlsplit(url).path.rpartition("/")[2]
            raise _Passing(f"{self.host} sent {name} with a wrong checksum; try again later.")

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
        stall = self.settings.stall_timeout
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=stall, sock_read=stall)
        with _passing(self.host):
            async with self.session.get(url, headers=HEADERS, timeout=timeout) as response:
                self._check_status(response)
                yield response

    def _check_status(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status == 200:
            return
        if status == 404:
            raise NotPublished(f"{self.host} has no file {response.url.name}.")
        if status in _BLOCKED_STATUS:
            raise DataError(f"{self.host} refuses this network (HTTP {status}); try from another one.")
        if status not in _RETRIED_STATUS:
            raise DataError(f"{self.host} answered HTTP {status}; try again later.")
        wait = _retry_after(response.headers.get("Retry-After", ""))
        if wait is not None and wait > self.settings.retry_wait_max:
            raise DataError(f"{self.host} is limiting requests; try again in {wait / 60:.0f} min.")
        raise _Passing(f"{self.host} is busy (HTTP {status}); try again in a few minutes.", retry_after=wait)

    def _check_size(self, size: int, limit: int) -> None:
        if size > limit:
            raise DataError(
                f"{self.host} sent a file larger than {limit / 1e6:,.0f} MB; if that is right, raise the"
                " setting download.max_file_size."
            )


@contextmanager
def _passing(host: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise _Passing(f"{host} did not answer in time; try again in a few minutes.") from error
    except aiohttp.ClientPayloadError as error:
        raise _Passing(f"{host} broke off a download; try again in a few minutes.") from error
    except aiohttp.ClientError as error:
        raise _Passing(f"{host} cannot be reached; check the network and try again.") from error


def _attempts(settings: DownloadSettings) -> AsyncRetrying:
    jittered = wait_random_exponential(multiplier=settings.retry_wait, max=settings.retry_wait_max)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        named = error.retry_after if isinstance(error, _Passing) else None
        return jittered(state) if named is None else named

    return AsyncRetrying(
        retry=retry_if_exception_type(_Passing),
        stop=stop_after_attempt(settings.attempts),
        wait=wait,
        reraise=True,
    )


def _retry_after(text: str) -> float | None:
    # RFC 9110, 10.2.3: a number of seconds, or a date.
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
