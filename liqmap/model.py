"""The nouns of the engine: enums and frozen values that travel between modules and processes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from liqmap.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

DAY = timedelta(days=1)

# Exchanges list non-ASCII symbols too; what must never pass is anything a path or URL gives meaning to.
_SYMBOL = re.compile(r"[^\W_]+(?:[_-][^\W_]+)*")


class Exchange(StrEnum):
    """A futures exchange whose trades can be drawn."""

    BINANCE = "binance"
    BYBIT = "bybit"


class Side(StrEnum):
    """The taker's side of a trade: `BUY` opens a long, `SELL` a short."""

    BUY = "buy"
    SELL = "sell"


class Mode(StrEnum):
    """How the large trades of a window are chosen."""

    TOP_N = "top_n"
    GROSS_VALUE = "gross_value"
    PORTION = "portion"


class MarginModel(StrEnum):
    """How a liquidation price is computed from an entry (see `liqmap.margin`)."""

    SIMPLE = "simple"


class Theme(StrEnum):
    """The colours of a picture."""

    DARK = "dark"
    LIGHT = "light"


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """A half-open interval [start, end) of whole seconds, in aware UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        for moment in (self.start, self.end):
            if moment.utcoffset() != timedelta() or moment.microsecond:
                raise ValueError(f"a window is bounded by whole seconds in UTC, not by {moment!r}")
        if self.start >= self.end:
            raise RequestError("The window is empty: its start must lie before its end.")

    @classmethod
    def ending(cls, end: datetime, length: timedelta) -> Self:
        """Return the window of `length` that ends at `end`."""
        return cls(end - length, end)

    @classmethod
    def of_day(cls, day: date) -> Self:
        """Return the 24 hours of a UTC day."""
        start = datetime.combine(day, time(), UTC)
        return cls(start, start + DAY)

    @property
    def length(self) -> timedelta:
        """Time between start and end."""
        return self.end - self.start

    @property
    def start_ms(self) -> int:
        """Start in milliseconds since 1970, the first that belongs to the window."""
        return int(self.start.timestamp()) * 1000

    @property
    def end_ms(self) -> int:
        """End in milliseconds since 1970, the first that does not belong."""
        return int(self.end.timestamp()) * 1000

    @property
    def days(self) -> tuple[date, ...]:
        """UTC days that the window touches, oldest first."""
        first, last = self.start.date(), (self.end - timedelta(seconds=1)).date()
        return tuple(first + DAY * i for i in range((last - first).days + 1))

    def overlap(self, other: TimeWindow) -> TimeWindow | None:
        """Return what both windows share, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return TimeWindow(start, end) if start < end else None


@dataclass(frozen=True, slots=True)
class TopN:
    """Select the `count` largest trades of each side."""

    count: int
    mode = Mode.TOP_N

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 1_000_000:
            raise RequestError("top_n takes a whole number from 1 to 1,000,000, such as 100.")

    @property
    def value(self) -> int:
        """The number that the mode takes, as the command line and file names write it."""
        return self.count


@dataclass(frozen=True, slots=True)
class GrossValue:
    """Select every trade whose notional is at least `minimum` (quote currency)."""

    minimum: float
    mode = Mode.GROSS_VALUE

    def __post_init__(self) -> None:
        if not 0 < self.minimum <= 1e12:
            raise RequestError("gross_value takes an amount above 0 in quote currency, such as 100k.")

    @property
    def value(self) -> int | float:
        """The number that the mode takes, as the command line and file names write it."""
        return int(self.minimum) if self.minimum == int(self.minimum) else self.minimum


@dataclass(frozen=True, slots=True)
class Portion:
    """Select the largest `fraction` of each side's trades, rounded down to whole trades."""

    fraction: float
    mode = Mode.PORTION

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise RequestError("portion takes a share above 0 and up to 100%, such as 1% or 0.01.")

    @property
    def value(self) -> float:
        """The number that the mode takes, as the command line and file names write it."""
        return self.fraction


Selection = TopN | GrossValue | Portion


@dataclass(frozen=True, slots=True)
class MapRequest:
    """What to draw. Hashable: equal requests are the same job."""

    exchange: Exchange
    symbol: str
    window: TimeWindow
    selection: Selection
    leverages: tuple[int, ...] = (10, 25, 50, 100)
    model: MarginModel = MarginModel.SIMPLE
    theme: Theme = Theme.DARK
    levels_csv: bool = False

    def __post_init__(self) -> None:
        if not _SYMBOL.fullmatch(self.symbol) or len(self.symbol) > 40 or self.symbol != self.symbol.upper():
            raise RequestError("A symbol is letters and digits, such as BTCUSDT.")
        if not self.leverages or list(self.leverages) != sorted(set(self.leverages)):
            raise ValueError("leverages are distinct and ascending")


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Trades as arrays of one length: time int64 [ms since 1970], price and size float64, is_buy bool."""

    time: NDArray[np.int64]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    is_buy: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if not len(self.time) == len(self.price) == len(self.size) == len(self.is_buy):
            raise ValueError("the arrays of Trades differ in length")

    def __len__(self) -> int:
        return len(self.time)

    @property
    def notional(self) -> NDArray[np.float64]:
        """The trades' price × size, in quote currency."""
        return self.price * self.size


@dataclass(frozen=True, slots=True, eq=False)
class SideTrades:
    """Selected trades of one taker side, largest notional first, equal ones by earlier time.

    Arrays of one length: time int64 [ms since 1970], price and notional float64.
    """

    side: Side
    time: NDArray[np.int64]
    price: NDArray[np.float64]
    notional: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a window without data, and a short reason that fits into a sentence."""

    window: TimeWindow
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which part of a window the store really has.

    `covered` and `missing` are disjoint, ordered in time, and make up the window together.
    `lost_ids` counts aggregate trade ids that the exchange's own files skip inside covered days.
    """

    window: TimeWindow
    covered: tuple[TimeWindow, ...]
    missing: tuple[Gap, ...] = ()
    sources: tuple[str, ...] = ()
    lost_ids: int = 0
    simulated: bool = False

    @property
    def fraction(self) -> float:
        """Covered share of the window, 0 to 1."""
        return sum((part.length for part in self.covered), timedelta()) / self.window.length


@dataclass(frozen=True, slots=True, eq=False)
class PricePath:
    """The price over time, one entry a bin that traded: time int64 [ms, start of bin], low, high, close."""

    time: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    close: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LiquidationLevels:
    """Where the positions that one side's trades opened at one leverage would be liquidated.

    Arrays of one length, in the order of the selected trades: price [level], notional [quote
    currency], entry_time int64 [ms], entry_price.
    """

    side: Side
    leverage: int
    price: NDArray[np.float64]
    notional: NDArray[np.float64]
    entry_time: NDArray[np.int64]
    entry_price: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LevelBuckets:
    """Standing notional by price bucket and leverage.

    Bucket i spans [edges[i], edges[i + 1]), every edge a multiple of `size`. `long` and `short` have
    shape (leverages, buckets): longs are liquidated below the last price, shorts above it.
    """

    size: float
    edges: NDArray[np.float64]
    leverages: tuple[int, ...]
    long: NDArray[np.float64]
    short: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DepthCurve:
    """Running total of standing notional away from the last price, starting with 0 at the last price.

    `price` moves away from the last price monotonically (down for longs, up for shorts) and
    `notional` never falls.
    """

    price: NDArray[np.float64]
    notional: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A run of adjacent buckets that stand out: its bounds, its middle weighted by notional, and its sum.

    `distance` is the middle's relative distance from the last price, negative below it.
    """

    low: float
    high: float
    price: float
    distance: float
    notional: float


@dataclass(frozen=True, slots=True, eq=False)
class LiquidationMap:
    """All that the pictures show, computed; drawing adds nothing to it.

    `passed_long` and `passed_short` are the notional of levels on the wrong side of the last price:
    the price has been there since, so nothing of them can stand. Clusters are ordered by distance from
    the last price, nearest first.
    """

    request: MapRequest
    coverage: Coverage
    path: PricePath
    buys: SideTrades
    sells: SideTrades
    trade_count: int
    last_price: float
    buckets: LevelBuckets
    long_depth: DepthCurve
    short_depth: DepthCurve
    passed_long: float
    passed_short: float
    long_clusters: tuple[Cluster, ...] = ()
    short_clusters: tuple[Cluster, ...] = ()


@dataclass(frozen=True, slots=True)
class Band:
    """Standing notional within a relative distance (0.01 = 1 %) of the last price, longs and shorts."""

    distance: float
    long: float
    short: float


@dataclass(frozen=True, slots=True)
class MapSummary:
    """The numbers that a person reads beside a map."""

    last_price: float
    trades: int
    selected_buy: int
    selected_sell: int
    selected_notional_buy: float
    selected_notional_sell: float
    standing_long: float
    standing_short: float
    largest_long: Cluster | None
    largest_short: Cluster | None
    nearest_long: Cluster | None
    nearest_short: Cluster | None
    bands: tuple[Band, ...]

    @property
    def long_share(self) -> float | None:
        """Longs' share of everything standing, 0 to 1; None where nothing stands."""
        total = self.standing_long + self.standing_short
        return self.standing_long / total if total else None


@dataclass(frozen=True, slots=True)
class MapResult:
    """What was drawn: two PNG images, the numbers beside them, and how it came about."""

    request: MapRequest
    map_png: bytes = field(repr=False)
    depth_png: bytes = field(repr=False)
    summary: MapSummary
    coverage: Coverage
    timings_ms: Mapping[str, float]
    levels_csv: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a request is: a short sentence, and the share that is done (None where unknown)."""

    text: str
    fraction: float | None = None
