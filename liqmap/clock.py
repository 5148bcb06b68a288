"""The clock: what time it is, and waiting; one object, so that a simulated day can pass in seconds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits by it."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds` of this clock's time."""


class SystemClock:
    """This machine's clock."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)


def utc_now() -> datetime:
    """Return the current time of this machine, aware, in UTC."""
    return datetime.now(UTC)
