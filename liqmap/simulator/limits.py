"""Enforce request limits as Binance does: weights in a clock minute, then a ban for further requests."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from liqmap.clock import Clock

_MINUTE = timedelta(minutes=1)
# Binance bans for two minutes at first, and for up to three days if that happens again and again.
_BAN = timedelta(minutes=2)
_WARNINGS = 11  # calls refused with 429 in one minute: the first, and ten more


@dataclass(frozen=True, slots=True)
class Charge:
    """The outcome of a request: the weight used in this minute, and the status and wait [s] of a refusal."""

    used: int
    refusal: int | None = None
    retry_after: int = 0


class WeightLimit:
    """The weight that one address may use in a UTC clock minute: `limit`. Refused calls count, too."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._minute = self._banned_until = datetime.min.replace(tzinfo=UTC)
        self._used = self._refused = 0

    def charge(self, weight: int) -> Charge:
        """Count a request of `weight`. Above the limit it is refused with 429, later with 418."""
        now = self._clock.now()
        minute = now.replace(second=0, microsecond=0)
        if minute != self._minute:
            self._minute, self._used, self._refused = minute, 0, 0
        self._used += weight
        if now >= self._banned_until:
            if self._used <= self._limit:
                return Charge(self._used)
            self._refused += 1
            if self._refused <= _WARNINGS:
                return Charge(self._used, 429, _seconds(minute + _MINUTE - now))
            self._banned_until = now + _BAN
        return Charge(self._used, 418, _seconds(self._banned_until - now))


def _seconds(wait: timedelta) -> int:
    return math.ceil(wait.total_seconds())
