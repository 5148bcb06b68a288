"""Parse lengths and ends of windows, and check whether a request can be drawn."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from liqmap.errors import RequestError
from liqmap.exchanges import EXCHANGES
from liqmap.parsing.plain import plain, quoted

if TYPE_CHECKING:
    from liqmap.model import MapRequest

COMMON_WINDOWS: Final = ("15m", "1h", "4h", "6h", "12h", "24h", "3d", "7d", "30d", "90d")
"""Windows to suggest."""

_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), timedelta(seconds=1)),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), timedelta(minutes=1)),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), timedelta(hours=1)),
    **dict.fromkeys(("d", "day", "days"), timedelta(days=1)),
    **dict.fromkeys(("w", "week", "weeks"), timedelta(weeks=1)),
}
_DURATION = re.compile(r"(?:\d{1,6} ?[a-z]{1,7} ?)+", re.ASCII)
_DURATION_PART = re.compile(r"(\d{1,6}) ?([a-z]{1,7})", re.ASCII)
_END = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[ t](\d{1,2}:\d{2}(?::\d{2})?))?(?: ?(?:z|utc|\+00:00))?", re.ASCII)


def parse_window(text: str) -> timedelta:
    """Return the length of a window: `6h`, `90m`, `2 weeks`, `1d12h`. Raises RequestError."""
    word = plain(text, "window").lower()
    total = timedelta()
    if _DURATION.fullmatch(word):
        for number, unit in _DURATION_PART.findall(word):
            if unit not in _UNITS:
                break
            total += int(number) * _UNITS[unit]
        else:
            if total:
                return total
    raise RequestError(f"The window {quoted(text)} is not a length of time; try 6h, 90m or 7d.")


def parse_end(text: str | None, *, now: datetime) -> datetime:
    """Return the end of a window in UTC: `2023-08-01 06:00`, a date alone for its start, None for now.

    Now is floored to the minute, so that requests within one minute are equal and share one job. Raises
    RequestError.
    """
    # Seconds are dropped only here: an end that was typed is meant as it is.
    if text is None:
        return now.replace(second=0, microsecond=0)
    found = _END.fullmatch(plain(text, "end").lower())
    try:
        end = datetime.fromisoformat(f"{found[1]} {(found[2] or '0:00').rjust(5, '0')}") if found else None
    except ValueError:
        end = None
    if end is None:
        raise RequestError(f"The end {quoted(text)} is not a time; try 2023-08-01 06:00 (UTC).")
    if end.replace(tzinfo=UTC) > now:
        raise RequestError(f"The end {quoted(text)} lies in the future; leave it out to end now (UTC).")
    return end.replace(tzinfo=UTC)


def check_request(request: MapRequest, *, max_days: int) -> MapRequest:
    """Return `request` unchanged.

    Raises RequestError for a window that is too long, or that ends before the exchange published anything.
    """
    if request.window.length > timedelta(days=max_days):
        raise RequestError(f"The window is longer than {max_days} days, the most that is drawn here.")
    # The earliest of several exchanges counts: a map shows those that have trades and names the others.
    contracts = [EXCHANGES[each.exchange].contract(each.symbol) for each in request.markets]
    contract = min(contracts, key=lambda each: each.first_day)
    if request.window.end.date() < contract.first_day:
        raise RequestError(
            f"{contract.label} trades are published from {contract.first_day} on; try a later end."
        )
    return request
