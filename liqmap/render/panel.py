"""A panel of a picture: data ranges laid over a box of pixels, and the round values along its edges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from liqmap.render.canvas import Box

_TIME_STEPS_MINUTES = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360, 720),
    *(1440 * days for days in (1, 2, 4, 7, 14, 28, 56)),
)
_DAY_MS = 86_400_000
_MONDAY_MS = 4 * _DAY_MS  # 1970-01-05: steps of weeks start on Mondays


@dataclass(frozen=True, slots=True)
class Panel:
    """A box of pixels over which x runs from `x_range[0]` to `x_range[1]`, and y likewise."""

    box: Box
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the pixels of x values."""
        low, high = self.x_range
        return self.box.left + (np.asarray(values, np.float64) - low) / (high - low) * self.box.width

    def y(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return the pixels of y values."""
        low, high = self.y_range
        return self.box.bottom + (np.asarray(values, np.float64) - low) / (high - low) * self.box.height


def padded(low: float, high: float, *, share: float) -> tuple[float, float]:
    """Return a range widened by `share` of itself at each end; a single value gets a range around it."""
    span = high - low or abs(high) * 0.002 or 1.0
    middle = (high + low) / 2
    return middle - span * (0.5 + share), middle + span * (0.5 + share)


def round_ticks(low: float, high: float, *, count: int) -> tuple[NDArray[np.float64], float]:
    """Return the multiples of a 1-2-5 step within [low, high], about `count` of them, and the step."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(digits for digits in (1, 2, 5, 10) if digits * power >= raw)
    multiples = np.arange(math.ceil(low / step), math.floor(high / step) + 1, dtype=np.float64)
    return multiples * step, step


def time_ticks(start_ms: int, end_ms: int, *, count: int) -> list[tuple[int, str]]:
    """Return round moments [ms] within [start, end] and how to write them: at most `count`."""
    minutes = (end_ms - start_ms) / 60_000
    step = next((step for step in _TIME_STEPS_MINUTES if minutes <= step * count), _TIME_STEPS_MINUTES[-1])
    width = step * 60_000
    origin = _MONDAY_MS if width % (7 * _DAY_MS) == 0 else 0
    first = -((origin - start_ms) // width) * width + origin
    moments = range(first - width * (first - start_ms >= width), end_ms + 1, width)
    if width >= _DAY_MS:
        format_ = "%d %b"
    elif minutes > 24 * 60:
        return [(moment, _clock_or_day(moment)) for moment in moments]
    else:
        format_ = "%H:%M"
    return [(moment, f"{_utc(moment):{format_}}") for moment in moments]


def _clock_or_day(moment: int) -> str:
    return f"{_utc(moment):%d %b}" if moment % _DAY_MS == 0 else f"{_utc(moment):%H:%M}"


def _utc(moment: int) -> datetime:
    return datetime.fromtimestamp(moment / 1000, UTC)
