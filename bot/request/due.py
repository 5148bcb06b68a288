"""When posts are due: at times that a clock shows in UTC, plus a little that differs by subscription."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from liqmap import RequestError

INTERVALS: Final = {
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    **{f"{hours}h": timedelta(hours=hours) for hours in (1, 2, 3, 4, 6, 8, 12)},
    "1d": timedelta(days=1),
}
"""How often something can be posted; each of them divides a day."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def parse_interval(text: str) -> timedelta:
    """Return an interval by its name. Raises RequestError."""
    found = INTERVALS.get(text.strip().lower())
    if found is None:
        raise RequestError(f"Posts come every {', '.join(INTERVALS)}; try 1h.")
    return found


def interval_text(every: timedelta) -> str:
    """Return the name of an interval."""
    return next((name for name, each in INTERVALS.items() if each == every), str(every))


def due_before(moment: datetime, every: timedelta) -> datetime:
    """Return the newest due time that is not after `moment`."""
    # The epoch is a midnight and each interval divides a day, so due times are round times of the clock.
    return EPOCH + (moment - EPOCH) // every * every


def jitter_of(subscription_id: int, most: float) -> timedelta:
    """Return what a subscription adds to its due times, 0 to `most` seconds, always the same."""
    # Neighbouring ids come out far apart (Knuth's multiplicative hash).
    return timedelta(seconds=round(subscription_id * 2_654_435_761 % 2**32 / 2**32 * most, 3))


def next_post(subscription_id: int, every: timedelta, *, now: datetime, jitter: float) -> datetime:
    """Return when a subscription posts next."""
    shift = jitter_of(subscription_id, jitter)
    return due_before(now - shift, every) + every + shift
