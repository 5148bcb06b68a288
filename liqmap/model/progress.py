"""How far a request has come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# The pace means something only after this share of the work or this time; before, the left time would jump.
_TELLING_SHARE: Final = 0.05
_TELLING_SECONDS: Final = 30.0
_TELLING_BUDGET_SECONDS: Final = 75.0  # more than the minute in which a budget is spent
_SMALLEST_SHARE: Final = 1e-6  # nothing is done yet, and the time left must still be a number


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a request has come: a short sentence, and the share that is done (None if unknown).

    `left` is the least time that the rest can take [s], if an exchange's request limit decides it.
    """

    text: str
    fraction: float | None = None
    left: float | None = None

    def seconds_left(self, elapsed: float) -> float | None:
        """Return how long the rest will take [s], as the pace of the `elapsed` seconds suggests.

        It is at least `left`, and None while it is too early to say.
        """
        if self.fraction is None:
            return None
        pace = elapsed * (1 - self.fraction) / max(self.fraction, _SMALLEST_SHARE)
        if not self.left:
            return pace if self.fraction > _TELLING_SHARE or elapsed >= _TELLING_SECONDS else None
        # Requests under a rate budget come in bursts. Their pace means nothing before a minute has passed.
        return max(self.left, pace) if elapsed >= _TELLING_BUDGET_SECONDS else self.left
