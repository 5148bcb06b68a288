"""Times of day, weekdays and time zones: what people type, and how they are written."""

from __future__ import annotations

import re
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Final

from liqmap import RequestError
from liqmap.parsing import quoted

MIDNIGHT: Final = timedelta()
EVERY_DAY: Final = frozenset(range(7))
"""All weekdays; 0 is Monday."""

UTC_NAME: Final = "UTC"
COMMON_ZONES: Final = (
    *(UTC_NAME, "Europe/London", "Europe/Berlin", "Europe/Istanbul", "America/New_York", "America/Chicago"),
    *("America/Los_Angeles", "America/Sao_Paulo", "Asia/Dubai", "Asia/Kolkata", "Asia/Singapore"),
    *("Asia/Hong_Kong", "Asia/Seoul", "Asia/Tokyo", "Australia/Sydney"),
)
"""Time zones to suggest before anything is typed."""

_NAMES: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAYS: Final = {
    **{name.lower(): place for place, name in enumerate(_NAMES)},
    **{
        name: place
        for place, name in enumerate(
            ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
        )
    },
}
_GROUPS: Final = {
    **dict.fromkeys(("weekdays", "workdays"), frozenset(range(5))),
    **dict.fromkeys(("weekend", "weekends"), frozenset({5, 6})),
    **dict.fromkeys(("daily", "every day", "all", "mon-sun"), EVERY_DAY),
}
_TIME: Final = re.compile(r"(\d{1,2})(?:[:.](\d{2}))? ?(am|pm)?", re.ASCII)
_RANGE: Final = re.compile(r"([a-z]+)(?:-([a-z]+))?", re.ASCII)
_LONGEST: Final = 60


def parse_time_of_day(text: str) -> timedelta:
    """Return the time since midnight: `08:00`, `8`, `8.30`, `8 pm`. Raises RequestError."""
    found = _TIME.fullmatch(text.strip().lower())
    if found:
        hour, minute, half = int(found[1]), int(found[2] or 0), found[3]
        if half and 1 <= hour <= 12:
            hour = hour % 12 + (12 if half == "pm" else 0)
        elif half:
            # 13 pm is no time; the check below refuses it.
            hour = 24
        if hour < 24 and minute < 60:
            return timedelta(hours=hour, minutes=minute)
    raise RequestError(f"{quoted(text)} is not a time of day; try 08:00.")


def time_text(at: timedelta) -> str:
    """Return a time of day: 08:00."""
    hours, seconds = divmod(int(at.total_seconds()), 3600)
    return f"{hours:02d}:{seconds // 60:02d}"


def parse_days(text: str) -> frozenset[int]:
    """Return weekdays, 0 for Monday: `mon-fri`, `sat, sun`, `weekdays`. Raises RequestError."""
    words = " ".join(text.lower().split())
    if words in _GROUPS:
        return _GROUPS[words]
    found = set[int]()
    for part in re.split(r"[, ]+", re.sub(r" ?[-–] ?", "-", words)):
        days = _RANGE.fullmatch(part)
        first, last = (_DAYS.get(days[1]), _DAYS.get(days[2] or days[1])) if days else (None, None)
        if first is None or last is None or len(text) > _LONGEST:
            raise RequestError(f"{quoted(text)} are not weekdays; try mon-fri or sat,sun.")
        # A range may go over the weekend: fri-mon.
        found.update((first + step) % 7 for step in range((last - first) % 7 + 1))
    return frozenset(found)


def days_text(days: frozenset[int]) -> str:
    """Return weekdays: Mon–Fri; Sat, Sun."""
    chosen = sorted(days)
    if len(chosen) > 2 and chosen == list(range(chosen[0], chosen[-1] + 1)):
        return f"{_NAMES[chosen[0]]}–{_NAMES[chosen[-1]]}"
    return ", ".join(_NAMES[day] for day in chosen)


def parse_time_zone(text: str) -> str:
    """Return the name of a time zone: `Europe/Berlin`, `berlin`, `new york`, `utc`. Raises RequestError."""
    word = "_".join(text.lower().split())
    zones = time_zones()
    found = zones.get(word) or next((name for key, name in zones.items() if key.endswith(f"/{word}")), None)
    if not word or found is None:
        raise RequestError(f"The time zone {quoted(text)} is not known; try Europe/Berlin or UTC.")
    return found


@cache
def time_zones() -> dict[str, str]:
    """Return the names of all time zones by their names in small letters, common ones first."""
    # The list of the package; looking for what the system has takes a quarter of a second.
    listed = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    named = [name for name in listed if "/" in name and not name.startswith("Etc/")]
    return {name.lower(): name for name in (*COMMON_ZONES, *sorted(named))}
