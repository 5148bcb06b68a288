"""What is requested: the options of a map, and the request itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from numbers import Real
from types import NoneType
from typing import Final

from liqmap.errors import RequestError
from liqmap.model.market import Market
from liqmap.model.window import TimeWindow


class Mode(StrEnum):
    """How the large trades of a window are chosen."""

    TOP_N = "top_n"
    GROSS_VALUE = "gross_value"
    PORTION = "portion"


class MarginModel(StrEnum):
    """How a liquidation price is computed from an entry (see `liqmap.compute.margin`).

    `EXCHANGE` means the exchange's own model; a `MapRequest` replaces it by that model.
    """

    EXCHANGE = "exchange"
    BINANCE = "binance"
    BYBIT = "bybit"
    OKX = "okx"
    SIMPLE = "simple"


class Picture(StrEnum):
    """A picture that an answer can have. Answers show them in this order."""

    MAP = "map"
    DEPTH = "depth"
    HEATMAP = "heatmap"


class Stack(StrEnum):
    """What the bars of a picture are stacked by."""

    LEVERAGE = "leverage"
    EXCHANGE = "exchange"


class LevelFilter(StrEnum):
    """Which levels a map shows as standing.

    `STANDING` leaves out those that price has touched since entry. `ALL` keeps every long level below and
    every short level above the last price, as py-liquidation-map does.
    """

    STANDING = "standing"
    ALL = "all"


class SweepPrice(StrEnum):
    """Which price sweeps levels: the traded one, or the mark price, by which exchanges liquidate.

    `AUTO` takes the mark price where it is at hand; a map says which it was.
    """

    AUTO = "auto"
    TRADED = "traded"
    MARK = "mark"


class PositionModel(StrEnum):
    """How much of the positions that trades may have opened stands: all, or what open interest leaves."""

    TRADES = "trades"
    OPEN_INTEREST = "open-interest"


class Theme(StrEnum):
    """The colours of a picture."""

    DARK = "dark"
    LIGHT = "light"


@dataclass(frozen=True, slots=True)
class TopN:
    """Select the `count` largest trades of each side."""

    count: int
    # Without an annotation this is an attribute of the class, and not a field that a caller could set.
    mode = Mode.TOP_N

    def __post_init__(self) -> None:
        # By `type`, because True is an instance of int.
        if type(self.count) is not int or not 1 <= self.count <= 1_000_000:
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
        if not _is_number(self.minimum) or not 0 < self.minimum <= 1e12:
            raise RequestError("gross_value takes an amount above 0 in quote currency, such as 100k.")

    @property
    def value(self) -> int | float:
        """The number that the mode takes, as the command line and file names write it."""
        # 100000.0 would look in a file's name like something else than what was typed.
        return int(self.minimum) if self.minimum == int(self.minimum) else self.minimum


@dataclass(frozen=True, slots=True)
class Portion:
    """Select the largest `fraction` of each side's trades, rounded down to whole trades."""

    fraction: float
    mode = Mode.PORTION

    def __post_init__(self) -> None:
        if not _is_number(self.fraction) or not 0 < self.fraction <= 1:
            raise RequestError("portion takes a share above 0 and up to 100%, such as 1% or 0.01.")

    @property
    def value(self) -> float:
        """The number that the mode takes, as the command line and file names write it."""
        return self.fraction


Selection = TopN | GrossValue | Portion

BAND_DISTANCES: Final = (0.01, 0.02, 0.05)
"""Distances from the last price, as shares of it, within which an answer reports what stands."""

LEVERAGES: Final = (10, 25, 50, 100)
"""Leverages that positions are assumed to have if a request names none.

The codes of buttons leave them out (`bot.request.spec`), so a change here changes what old buttons draw.
"""

TURNOVERS: Final = (0.0, 0.5, 1.0)
"""Shares of the offsetting volume that can count as turnover of positions (`liqmap.compute.open_shares`)."""

PICTURES: Final = frozenset({Picture.MAP, Picture.DEPTH})
"""The pictures that are drawn if a request names none."""
ALL_PICTURES: Final = frozenset(Picture)

CHARTS: Final = tuple(each for each in Picture if each not in PICTURES)
"""The pictures that are drawn only on request, in addition to the usual ones."""


@dataclass(frozen=True, slots=True)
class MapRequest:
    """What to draw. Hashable: equal requests are the same job.

    `weights` say how a trade's notional is divided among `leverages`: equally if they are left out. With
    `tables`, the result has the numbers behind the pictures as Arrow tables.

    Several `markets` make one map, in the prices of the first, the reference. Each keeps its own margin model
    if `model` is `EXCHANGE`. `top_n` and `portion` select among the trades of all markets together, or of
    each market if `each` is set. `merge` joins the fills of one order, where an exchange publishes fills; if
    it is None, they are joined in a map of several markets only. `stack` is by exchange in a map of several
    markets, unless the request says otherwise, and always by leverage in a map of one.
    """

    markets: tuple[Market, ...]
    window: TimeWindow
    selection: Selection
    leverages: tuple[int, ...] = LEVERAGES
    weights: tuple[float, ...] = ()
    model: MarginModel = MarginModel.EXCHANGE
    levels: LevelFilter = LevelFilter.STANDING
    theme: Theme = Theme.DARK
    pictures: frozenset[Picture] = PICTURES
    levels_csv: bool = False
    tables: bool = False
    sweep: SweepPrice = SweepPrice.AUTO
    positions: PositionModel = PositionModel.TRADES
    turnover: float = 0.0
    each: bool = False
    merge: bool | None = None
    stack: Stack | None = None

    def __post_init__(self) -> None:
        # Types first: the checks below would fail on other types with errors that explain nothing.
        self._check_types()
        if {type(each) for each in self.markets} != {Market}:
            raise RequestError('A request takes markets: (Market(Exchange.BINANCE, "BTCUSDT"),).')
        exchanges = [each.exchange for each in self.markets]
        if not exchanges or len(set(exchanges)) != len(exchanges):
            raise RequestError("A map shows one market of each exchange; name each exchange once.")
        if not self.leverages or list(self.leverages) != sorted(set(self.leverages)):
            raise RequestError("A request's leverages are distinct and ascend, such as (10, 25, 50, 100).")
        if not all(2 <= leverage <= 150 for leverage in self.leverages):
            raise RequestError("Leverages go from 2 to 150, such as 10,25,50,100.")
        # Equal requests must compare as equal, because they share a job. So defaults are filled in here.
        if not self.weights:
            object.__setattr__(self, "weights", (1.0,) * len(self.leverages))
        if len(self.weights) != len(self.leverages) or not all(0 < each < 1e6 for each in self.weights):
            raise RequestError("Every leverage needs a weight above 0, such as 10:35,25:30,50:20,100:15.")
        if {type(each) for each in self.pictures} != {Picture}:
            raise RequestError("A request takes pictures, one at least: frozenset({Picture.MAP}).")
        if self.turnover not in TURNOVERS:
            raise RequestError("The turnover is 0, 0.5 or 1.")
        if self.turnover and self.positions is not PositionModel.OPEN_INTEREST:
            raise RequestError("Turnover counts by open interest only; ask for positions open-interest too.")
        self._complete()

    def _complete(self) -> None:
        # What has no effect on a map of one market is set to one value: requests for the same map are equal.
        if self.model is MarginModel.EXCHANGE and not self.is_joint:
            object.__setattr__(self, "model", MarginModel(self.market.exchange.value))
        if self.merge is None:
            object.__setattr__(self, "merge", self.is_joint)
        if self.stack is None or not self.is_joint:
            object.__setattr__(self, "stack", Stack.EXCHANGE if self.is_joint else Stack.LEVERAGE)
        object.__setattr__(self, "each", self.each and self.is_joint)

    @property
    def market(self) -> Market:
        """The market that is drawn, or the reference of several."""
        return self.markets[0]

    @property
    def is_joint(self) -> bool:
        """Whether several markets are drawn as one map."""
        return len(self.markets) > 1

    def alone(self, market: Market) -> MapRequest:
        """Return the request for one of several markets, with that market's own margin model."""
        # `replace` runs the checks again, and they put the market's own model in the place of `EXCHANGE`.
        return replace(self, markets=(market,))

    def _check_types(self) -> None:
        # The text "all" equals LevelFilter.ALL but is not identical to it, so `is` would miss it later.
        kinds: dict[str, tuple[type, ...]] = {
            "markets": (tuple,),
            "window": (TimeWindow,),
            "selection": (TopN, GrossValue, Portion),
            "leverages": (tuple,),
            "weights": (tuple,),
            "model": (MarginModel,),
            "levels": (LevelFilter,),
            "sweep": (SweepPrice,),
            "positions": (PositionModel,),
            "theme": (Theme,),
            "pictures": (frozenset,),
            "levels_csv": (bool,),
            "tables": (bool,),
            "turnover": (float, int),
            "each": (bool,),
            "merge": (bool, NoneType),
            "stack": (Stack, NoneType),
        }
        for name, allowed in kinds.items():
            value = getattr(self, name)
            if type(value) not in allowed:
                wanted = " or ".join("None" if kind is NoneType else kind.__name__ for kind in allowed)
                raise RequestError(f"A request's {name} must be a {wanted}, not {value!r:.60}.")
        if not {type(each) for each in self.leverages} <= {int}:
            raise RequestError("A request's leverages are whole numbers, such as (10, 25).")
        if not all(map(_is_number, self.weights)):
            raise RequestError("A request's weights are numbers, such as (1.0, 2.0).")


def _is_number(value: object) -> bool:
    return isinstance(value, Real)
