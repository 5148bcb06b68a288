"""Log problems that may come with every message once a minute, with a count."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging
    from datetime import datetime

    from liqmap.clock import Clock

EVERY: Final = timedelta(minutes=1)


class Complaints:
    """Logs the first problem of a subject at once, and those of the following minute as a count."""

    def __init__(self, log: logging.Logger, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._logged: dict[str, datetime] = {}
        self._more: Counter[str] = Counter()

    def note(self, subject: str, problem: object) -> None:
        """Log a problem with `subject`, or count it if one was logged within the last minute."""
        if self._is_recent(subject):
            self._more[subject] += 1
            return
        self._write(subject, str(problem))

    def flush(self) -> None:
        """Log the counts of subjects whose minute is over."""
        for subject in list(self._more):
            if not self._is_recent(subject):
                self._write(subject, "")

    def _is_recent(self, subject: str) -> bool:
        logged = self._logged.get(subject)
        # If the clock is set back, nothing must stay silenced for hours.
        return logged is not None and abs(self._clock.now() - logged) < EVERY

    def _write(self, subject: str, problem: str) -> None:
        count = self._more.pop(subject, 0)
        parts = [problem] if problem else []
        if count:
            parts.append(f"{count} more since {self._logged[subject]:%H:%M:%S}")
        self._log.warning("%s: %s", subject, "; ".join(parts))
        self._logged[subject] = self._clock.now()
