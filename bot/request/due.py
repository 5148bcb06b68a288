"""Compute when posts are due: at round times of a zone's clock, plus a delay that differs by subscription."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.request.times import EVERY_DAY, MIDNIGHT, UTC_NAME, days_text, time_text
from liqmap import RequestError

INTERVALS: Final = {
    "15m": timedelta(minutes=15),
    "30m": timedelta(minutes=30),
    **{f"{hours}h": timedelta(hours=hours) for hours in (1, 2, 3, 4, 6, 8, 12)},
    "1d": timedelta(days=1),
}
"""How often something can be posted; each of them divides a day."""

DRAWN_AHEAD: Final = timedelta(seconds=5)
"""How long before a post is sent what it shows is drawn."""

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_DAY: Final = timedelta(days=1)
_INSTANT: Final = timedelta(microseconds=1)
_THROUGH_CHANGES: Final = timedelta(hours=1)
_MOST_DAYS: Final = 8  # from any day to the same weekday, and one more because clocks change


@dataclass(frozen=True, slots=True)
class Schedule:
    """`every` so often from a time of day `at` on, on weekdays (0 is Monday), by the clock of a time zone.

    Where clocks change, a time that does not exist comes as much later, and one that exists twice comes once.
    Intervals of up to an hour go on through the hour that comes twice. `at` is kept less whole intervals, so
    that equal schedules are equal. Raises RequestError without weekdays, or
    for a time zone that is not known here.
    """

    every: timedelta
    at: timedelta = MIDNIGHT
    days: frozenset[int] = EVERY_DAY
    timezone: str = UTC_NAME

    def __post_init__(self) -> None:
        if not self.days:
            raise RequestError("The schedule has no weekdays; choose at least one.")
        object.__setattr__(self, "at", self.at % self.every)
        self._zone()

    def due_before(self, moment: datetime) -> datetime:
        """Return the newest due time that is not after `moment`."""
        today = moment.astimezone(self._zone()).date()
        # Searched day by day rather than computed: weekdays and changes of the clock leave no formula.
        days = (today - _DAY * back for back in range(_MOST_DAYS + 1))
        return next(max(found) for day in days if (found := {t for t in self._around(day) if t <= moment}))

    def due_after(self, moment: datetime) -> datetime:
        """Return the first due time after `moment`."""
        today = moment.astimezone(self._zone()).date()
        days = (today + _DAY * ahead for ahead in range(_MOST_DAYS + 1))
        return next(min(found) for day in days if (found := {t for t in self._around(day) if t > moment}))

    def due_from(self, moment: datetime) -> datetime:
        """Return the first due time at or after `moment`."""
        return self.due_after(moment - _INSTANT)

    def _around(self, day: date) -> set[datetime]:
        """Return the due times in UTC of a day of the zone and of the two beside it."""
        days = (each for each in (day - _DAY, day, day + _DAY) if each.weekday() in self.days)
        return {moment for each in days for moment in self._of_day(each)}

    def _of_day(self, day: date) -> list[datetime]:
        midnight = datetime.combine(day, time(), self._zone())
        # Times of a zone's clock add up as the clock shows them, whatever lies between.
        shown = [
            midnight + self.at + self.every * place for place in range((_DAY - self.at) // self.every + 1)
        ]
        shown = [each for each in shown if each.date() == day]
        moments = [each.astimezone(UTC) for each in shown]
        if self.every <= _THROUGH_CHANGES:
            again = (each.replace(fold=1) for each in shown)
            moments += [later.astimezone(UTC) for later in again if _comes_twice(later)]
        return moments

    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise RequestError(
                f"The time zone {self.timezone[:40]} is not known here; choose another."
            ) from error

    def __str__(self) -> str:
        """Return it in words: every 6h from 02:00 on Mon–Fri (Europe/Berlin)."""
        text = f"every {_interval_text(self.every)}"
        if self.at or (self.every == _DAY and self.timezone != UTC_NAME):
            text += f" {'at' if self.every == _DAY else 'from'} {time_text(self.at)}"
        if self.days != EVERY_DAY:
            text += f" on {days_text(self.days)}"
        return text if self.timezone == UTC_NAME else f"{text} ({self.timezone})"


def parse_interval(text: str) -> timedelta:
    """Return an interval by its name. Raises RequestError."""
    found = INTERVALS.get(text.strip().lower())
    if found is None:
        raise RequestError(f"Posts come every {', '.join(INTERVALS)}; try 1h.")
    return found


def jitter_of(subscription_id: int, most: float) -> timedelta:
    """Return the delay of a subscription's posts, 0 to `most` seconds, always the same."""
    # Knuth's multiplicative hash, which gives neighbouring ids very different delays.
    return timedelta(seconds=round(subscription_id * 2_654_435_761 % 2**32 / 2**32 * most, 3))


def drawn_after(subscription_id: int, most: float) -> timedelta:
    """Return how long after its due time a post is drawn: `DRAWN_AHEAD` before it is sent, or at once.

    Never before the due time: the window of a map ends there, and until then it has trades to come.
    """
    return max(timedelta(), jitter_of(subscription_id, most) - DRAWN_AHEAD)


def next_post(subscription_id: int, schedule: Schedule, *, now: datetime, jitter: float) -> datetime:
    """Return when a subscription posts next."""
    # The post that is due now may still be to come, by as much as its delay.
    shift = jitter_of(subscription_id, jitter)
    return schedule.due_after(now - shift) + shift


def _comes_twice(moment: datetime) -> bool:
    first, second = moment.replace(fold=0).utcoffset(), moment.utcoffset()
    return first is not None and second is not None and first > second


def _interval_text(every: timedelta) -> str:
    return next((name for name, each in INTERVALS.items() if each == every), str(every))
