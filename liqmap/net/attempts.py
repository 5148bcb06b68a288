"""Retry failures that may pass, after growing, jittered waits or when the server says."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from liqmap.errors import DataError
from liqmap.version import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import aiohttp
    from tenacity import AsyncRetrying, RetryCallState

    from liqmap.settings import NetworkSettings

USER_AGENT: Final = {"User-Agent": f"liqmap/{__version__}"}
"""Bybit refuses requests without one."""

SIMULATED_HEADER: Final = "X-Simulated-Market"
_RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
BARRED_STATUS = frozenset({401, 403, 451})
_LONGEST_NAMED = 3 * 86_400.0  # seconds: the longest ban of an exchange; what names more is at fault
_SANE_YEARS = range(1990, 2200)
BARRED_WAIT = 600.0  # Bybit also answers 403 for ten minutes once its rate limit is exceeded


class TransientError(Exception):
    """A failure that may pass. Its text is what a user reads if it does not.

    `is_unreachable` says that there was no connection at all.
    """

    def __init__(
        self, sentence: str, *, retry_after: float | None = None, is_unreachable: bool = False
    ) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after
        self.is_unreachable = is_unreachable


def host_of(url: str) -> str:
    """Return the host name of `url`, for use in a sentence."""
    return urlsplit(url).hostname or url


def barred(host: str, status: int) -> str:
    """Return the sentence for a host that does not serve this network."""
    return (
        f"{host} refuses this network (HTTP {status}), as exchanges do with some countries and providers;"
        " use another network, or a proxy (setting network.proxy)."
    )


def check_status(response: aiohttp.ClientResponse, host: str, *, longest_wait: float) -> None:
    """Raise unless the status is 200: TransientError if waiting `longest_wait` s may help, else DataError."""
    status = response.status
    if status == 200:
        return
    if status in BARRED_STATUS:
        raise DataError(barred(host, status))
    if status not in _RETRIED_STATUS:
        raise DataError(f"{host} answered HTTP {status}; try again later.")
    wait = retry_after(response.headers)
    if wait is not None and wait > longest_wait:
        raise DataError(f"{host} is limiting requests; try again in {wait / 60:.0f} min.")
    raise TransientError(f"{host} is busy (HTTP {status}); try again in a few minutes.", retry_after=wait)


def ignored() -> None:
    """Do nothing, where nobody needs to know."""


def attempts(
    settings: NetworkSettings,
    *,
    times: int | None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    on_unreachable: Callable[[], None] = ignored,
) -> AsyncRetrying:
    """Return `times` attempts (None: endless) at a block that may raise `TransientError`.

    The last failure is raised. `on_unreachable` is called when another attempt follows one that could not
    connect.
    """
    import tenacity  # noqa: PLC0415 - not needed for maps of stored trades

    jittered = tenacity.wait_random_exponential(multiplier=settings.retry_wait, max=settings.retry_wait_max)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        named = error.retry_after if isinstance(error, TransientError) else None
        return jittered(state) if named is None else named

    def failed(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TransientError) and error.is_unreachable:
            on_unreachable()

    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        stop=tenacity.stop_never if times is None else tenacity.stop_after_attempt(times),
        wait=wait,
        sleep=sleep,
        before_sleep=failed,
        reraise=True,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the wait [s] that `Retry-After` names as seconds or as a date (RFC 9110, 10.2.3)."""
    text = headers.get("Retry-After", "")
    if re.fullmatch(r"\d{1,9}", text):
        return min(float(text), _LONGEST_NAMED)
    moment = date_of(text)
    if moment is None:
        return None
    # The date is by the server's clock, which may differ from this machine's.
    now = date_of(headers.get("Date", "")) or datetime.now(UTC)
    return min(max(0.0, (moment - now).total_seconds()), _LONGEST_NAMED)


def date_of(text: str) -> datetime | None:
    """Return the moment of an HTTP date (RFC 9110, 5.6.7), None if it cannot be read or is absurd."""
    try:
        moment = parsedate_to_datetime(text)
        # At the ends of the calendar, any sum with a date fails.
        is_sane = moment.tzinfo is not None and moment.year in _SANE_YEARS
        return moment.astimezone(UTC) if is_sane else None
    except (ValueError, OverflowError):  # the zone may have any number of digits
        return None
