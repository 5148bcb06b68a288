"""Share out the requests that an exchange allows: urgent ones first."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from liqmap.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from liqmap.clock import Clock

LONGEST_WAIT: Final = 60.0
"""Seconds to wait at most: limits are counted by the minute, or more often, so more means a ban."""

_PATIENT_STEP = 1.0  # seconds between two looks of a request that lets others go first
_PATIENT_SHARE = 0.5  # of a period's weight: whoever comes finds the other half
_MINUTE = timedelta(minutes=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def never() -> bool:
    """Return False: somebody waits for the request."""
    return False


class WeightBudget:
    """The request weight that all jobs together may spend in each `period` of the exchange's clock.

    `a_period` is this process's share; periods are whole ones since 1970, such as the minutes of a clock.
    The share shrinks by what other clients at the same IP address have used, as the exchange reports it.
    Source: Binance's X-MBX-USED-WEIGHT-1M, which counts by UTC clock minutes.
    """

    def __init__(self, a_period: float, *, clock: Clock, period: timedelta = _MINUTE) -> None:
        self._a_period = a_period
        self._period = period
        self._clock = clock
        self._current: datetime | None = None
        self._sent = 0
        self._others = 0
        self._closed: tuple[datetime, datetime] | None = None
        self._hurrying = 0

    @contextmanager
    def hurry(self) -> Iterator[None]:
        """While the block runs, somebody waits for its requests, and patient ones are held back."""
        self._hurrying += 1
        try:
            yield
        finally:
            self._hurrying -= 1

    async def spend(self, weight: int, *, is_patient: Callable[[], bool] = never) -> datetime:
        """Wait until `weight` fits into the current period, and return when that began.

        As long as the request `is_patient`, it waits while others hurry, and leaves half of each period to
        them. Raises DataError if the exchange is closed to requests for longer than a minute.
        """
        while True:
            if is_patient() and self._hurrying:
                await self._clock.sleep(_PATIENT_STEP)
                continue
            self._turn()
            now = self._clock.now()
            # If the clock was set back to before the closing, the budget must not stay closed for hours.
            if self._closed and self._closed[0] <= now < self._closed[1]:
                wait = (self._closed[1] - now).total_seconds()
                if wait > LONGEST_WAIT:
                    raise limited(self._closed[1], now=now)
                await self._clock.sleep(wait)
                continue
            # A request with more weight than any period allows is sent in an empty one; else it would wait
            # forever.
            most = self._a_period * (_PATIENT_SHARE if is_patient() else 1)
            if self._sent + self._others + weight <= most or not self._sent + self._others:
                self._sent += weight
                return self._period_of(now)
            rest = (self._period_of(now) + self._period - now).total_seconds()
            # In short steps, because somebody may begin to wait for just this request.
            await self._clock.sleep(min(rest, _PATIENT_STEP) if is_patient() else rest)

    def hear(self, used: int, period: datetime) -> None:
        """Note the weight that the exchange has counted from all clients in the period that began then.

        A count of an earlier period is ignored.
        """
        self._turn()
        if period == self._current:
            self._others = max(self._others, used - self._sent)

    def close(self, seconds: float) -> datetime:
        """Stop all requests for `seconds`, and return the time at which they may resume."""
        now = self._clock.now()
        until = now + timedelta(seconds=seconds)
        if self._closed and self._closed[0] <= now:
            until = max(until, self._closed[1])
        self._closed = now, until
        return until

    def _turn(self) -> None:
        period = self._period_of(self._clock.now())
        if period != self._current:
            self._current, self._sent, self._others = period, 0, 0

    def _period_of(self, moment: datetime) -> datetime:
        return moment - (moment - _EPOCH) % self._period


def limited(until: datetime, *, now: datetime) -> DataError:
    """Return the error of an exchange that is closed to requests until then."""
    moment = f"{until:%H:%M:%S}" if until - now < timedelta(hours=12) else f"{until:%Y-%m-%d %H:%M}"
    return DataError(f"The exchange limits requests until {moment} UTC; try again then.")
