"""Clocks that tell the time and wait. They are objects, so that a simulated day can pass in seconds."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

TOLERATED: Final = timedelta(seconds=2)
"""How far off this machine's clock may be before that is reported."""

_ANSWERS_KEPT = 8  # enough that one of them was answered quickly, which bounds the difference tightly
_HEARD_LATELY = timedelta(minutes=1)
_UNKNOWN = timedelta.max


class Clock(Protocol):
    """Tells the time and waits by it."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds` of this clock's time."""


class SteadyClock(Clock, Protocol):
    """A clock with a second one that nobody can set."""

    def steady(self) -> float:
        """Return seconds since an arbitrary moment; they never go back."""


class SystemClock:
    """This machine's clock."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)

    def steady(self) -> float:
        """Return seconds since an arbitrary moment; they never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)


class _Bounds(NamedTuple):
    """Bounds on how far the exchange's clock is ahead of this machine's, negative where it is behind."""

    least: timedelta
    most: timedelta


class ExchangeClock:
    """An exchange's clock, as far as its answers and messages show it, and never ahead of the real one.

    Whether a minute is over is decided by the exchange. A machine whose clock is fast would conclude that
    nobody traded in a minute whose trades are still to come. An answer that shows the time `shown` was
    written after its request was `sent` and before it arrived, so it bounds the difference between the clocks
    on both sides. A message only proves that the exchange's clock had reached its time. Until the first of
    either, this is the machine's own time. `on_off` is called with the difference whenever it certainly
    exceeds `TOLERATED`.
    """

    def __init__(self, machine: Clock, *, on_off: Callable[[timedelta], None] = lambda _: None) -> None:
        self.machine: Final = machine
        self._on_off = on_off
        self._answers: deque[_Bounds] = deque(maxlen=_ANSWERS_KEPT)
        self._heard: tuple[timedelta, datetime] | None = None

    def now(self) -> datetime:
        """Return the time that the exchange has certainly reached, aware, in UTC."""
        return self.at(self.machine.now())

    def at(self, moment: datetime) -> datetime:
        """Return what this clock shows when the machine's shows `moment`, by what is known now."""
        least = self._least()
        return moment if least is None else moment + least

    async def sleep(self, seconds: float, /) -> None:
        """Return after `seconds`."""
        await self.machine.sleep(seconds)

    @property
    def is_known(self) -> bool:
        """Whether the exchange has shown its time yet."""
        return self._least() is not None

    @property
    def machine_ahead(self) -> timedelta | None:
        """How far the machine's clock is ahead of the exchange's, negative if it is behind; None if unknown.

        It is exact to about the time that a request takes, or to a second if the exchange shows only those.
        """
        if not self._answers:
            return None
        least, most = self._bounds()
        return -(least + most) / 2

    def learn(self, shown: datetime, *, exact_to: timedelta, sent: datetime) -> None:
        """Note an answer that has just arrived: `shown` by the exchange's clock, `sent` by the machine's.

        It may have been written up to `exact_to` after `shown`, because exchanges truncate times.
        """
        bounds = _Bounds(shown - self.machine.now(), shown + exact_to - sent)
        if bounds.least > bounds.most:  # the machine's clock was set back while the request was under way
            return
        # Answers that contradict the newest one date from before one of the clocks was set.
        agreeing = [each for each in self._answers if _overlap(each, bounds)]
        self._answers.clear()
        self._answers.extend([*agreeing, bounds])
        self._report()

    def learn_at_least(self, shown: datetime) -> None:
        """Note that the exchange's clock has reached `shown`: a message that has just arrived proves it."""
        now = self.machine.now()
        least = shown - now
        if self._heard is None or least >= self._heard[0] or abs(now - self._heard[1]) > _HEARD_LATELY:
            self._heard = least, now
            self._report()

    @property
    def machine_off(self) -> timedelta | None:
        """How far the machine's clock is ahead, if that certainly exceeds `TOLERATED`; None otherwise."""
        if not self.is_known:
            return None
        least, most = self._bounds()
        if most >= -TOLERATED and least <= TOLERATED:
            return None
        return -(least if most == _UNKNOWN else (least + most) / 2)

    def _report(self) -> None:
        off = self.machine_off
        if off is not None:
            self._on_off(off)

    def _least(self) -> timedelta | None:
        return self._bounds().least if self._answers or self._heard else None

    def _bounds(self) -> _Bounds:
        most = min((each.most for each in self._answers), default=_UNKNOWN)
        least = [each.least for each in self._answers]
        if self._heard is not None:
            # Answers outweigh messages: one message with a wrong time must not put this clock ahead.
            least.append(min(self._heard[0], most))
        return _Bounds(max(least), most)


def _overlap(one: _Bounds, other: _Bounds) -> bool:
    return one.least <= other.most and other.least <= one.most


def utc_now() -> datetime:
    """Return the current time of this machine, aware, in UTC."""
    return datetime.now(UTC)


def is_recent(moment: datetime | None, *, now: datetime, within: timedelta) -> bool:
    """Return whether `moment` is less than `within` before `now`; False for None.

    It is False for a future one, too: the clock was set back since, and nobody must wait for it to catch up.
    """
    return moment is not None and timedelta(0) <= now - moment < within
