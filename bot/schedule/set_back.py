"""Notice a clock that is set back, by comparing it with a steady clock."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from liqmap import SteadyClock

NOTICED: Final = timedelta(minutes=1)
"""Smaller corrections than this are ignored: jobs wait them out."""


class ClockWatch:
    """Notices when a clock is set back."""

    def __init__(self, clock: SteadyClock) -> None:
        self._clock = clock
        self._ahead = self._lead()

    def set_back(self) -> timedelta:
        """Return by how much the clock has been set back since the last call, 0 for less than `NOTICED`."""
        lead = self._lead()
        back = self._ahead - lead
        if timedelta() < back < NOTICED:
            return timedelta()
        self._ahead = lead
        return max(back, timedelta())

    def _lead(self) -> timedelta:
        return timedelta(seconds=self._clock.now().timestamp() - self._clock.steady())
