"""What is requested and what is answered: enums and frozen values that every layer may import.

Arrays that only computing and drawing hand each other are in `liqmap.compute.values`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from liqmap.errors import RequestError
from liqmap.exact import rounded
from liqmap.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

# Exchanges list non-ASCII symbols too. Characters with a meaning in paths or URLs must never pass.
_SYMBOL = re.compile(r"[^\W_]+(?:[_-][^\W_]+)*")


class Exchange(StrEnum):
    """A futures exchange whose trades can be drawn."""

    BINANCE = "binance"
    BYBIT = "bybit"
    OKX = "okx"


DEFAULT_EXCHANGE: Final = Exchange.BINANCE
"""The exchange where none is named."""


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
    """How a liquidation price is computed from an entry (see `liqmap.compute.margin`).

    `EXCHANGE` means the exchange's own model; a `MapRequest` replaces it by that model.
    """

    EXCHANGE = "exchange"
    BINANCE = "binance"
    BYBIT = "bybit"
    OKX = "okx"
    SIMPLE = "simple"


class Picture(StrEnum):
    """A picture that an answer can have, in the order in which an answer shows them."""

    MAP = "map"
    DEPTH = "depth"
    HEATMAP = "heatmap"


class Valuation(StrEnum):
    """Which value of a position its maintenance margin is based on: that at entry, or by the mark price.

    `SIZE` is by the mark price too, at the rate of the tier of the position's size, whatever it is worth.
    """

    ENTRY = "entry"
    MARK = "mark"
    SIZE = "size"


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
    """How much of what trades may have opened stands: all of it, or what open interest leaves of it."""

    TRADES = "trades"
    OPEN_INTEREST = "open-interest"


class Theme(StrEnum):
    """The colours of a picture."""

    DARK = "dark"
    LIGHT = "light"


@dataclass(frozen=True, slots=True)
class Market:
    """One contract at one exchange."""

    exchange: Exchange
    symbol: str

    def __post_init__(self) -> None:
        # The text "binance" equals the member but is not identical to it, so `is` would miss it later.
        if type(self.exchange) is not Exchange:
            raise RequestError(
                f"{self.exchange!r:.40} is not an Exchange; use Exchange.BINANCE, for example."
            )
        symbol = str(self.symbol)
        if not _SYMBOL.fullmatch(symbol) or len(symbol) > 40 or symbol != symbol.upper():
            raise RequestError("A symbol is letters and digits, such as BTCUSDT.")


@dataclass(frozen=True, slots=True)
class TopN:
    """Select the `count` largest trades of each side."""

    count: int
    mode = Mode.TOP_N

    def __post_init__(self) -> None:
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


BAND_DISTANCES: Final = (0.01, 0.02, 0.05)
"""Distances from the last price, as shares of it, within which an answer reports what stands."""

LEVERAGES: Final = (10, 25, 50, 100)
"""Leverages that positions are assumed to have if a request names none.

The codes of buttons leave them out (`bot.request.spec`), so a change here changes what old buttons draw.
"""

TURNOVERS: Final = (0.0, 0.5, 1.0)
"""Parts of the offsetting volume that may count as turnover of positions (`liqmap.compute.standing`)."""

WHOLE_FEED: Final = 0.999
"""From this covered share of a window on, its reported liquidations count as all that there were."""

PICTURES: Final = frozenset({Picture.MAP, Picture.DEPTH})
"""The pictures that are drawn if a request names none."""

ALL_PICTURES: Final = frozenset(Picture)

CHARTS: Final = tuple(each for each in Picture if each not in PICTURES)
"""The pictures that are drawn only on request, beside the usual ones."""


@dataclass(frozen=True, slots=True)
class MapRequest:
    """What to draw. Hashable: equal requests are the same job.

    `weights` say how a trade's notional is divided among `leverages`: equally if they are left out. With
    `tables`, the result has the numbers behind the pictures as Arrow tables.

    Several `markets` make one map, in the prices of the first, the reference. Each keeps its own margin model
    if `model` is the exchange's own. `top_n` and `portion` then select among the trades of all, unless they
    select on `each` exchange. `merge` puts the fills of one order together where the exchange publishes
    fills: so it is with several exchanges, and not with one, if it is None. `stack` is by exchange if there
    are several.
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
        self._check_types()
        if {type(each) for each in self.markets} != {Market}:
            raise RequestError('A request takes markets: (Market(Exchange.BINANCE, "BTCUSDT"),).')
        exchanges = [each.exchange for each in self.markets]
        if not exchanges or len(set(exchanges)) != len(exchanges):
            raise RequestError("A map shows one market of each exchange; name each exchange once.")
        if not self.leverages or list(self.leverages) != sorted(set(self.leverages)):
            raise ValueError("leverages are distinct and ascending")
        if not all(2 <= leverage <= 150 for leverage in self.leverages):
            raise RequestError("Leverages go from 2 to 150, such as 10,25,50,100.")
        # Equal requests must compare as equal, because they share a job. So defaults are filled in here.
        if not self.weights:
            object.__setattr__(self, "weights", (1.0,) * len(self.leverages))
        if len(self.weights) != len(self.leverages) or not all(0 < each < 1e6 for each in self.weights):
            raise RequestError("Every leverage needs a weight above 0, such as 10:35,25:30,50:20,100:15.")
        if not self.pictures:
            raise ValueError("a request has at least one picture")
        if self.turnover not in TURNOVERS:
            raise RequestError("The turnover is 0, 0.5 or 1.")
        self._complete()

    def _complete(self) -> None:
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
        """Return the request for one of several markets, with the margin model that it takes then."""
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
        }
        for name, allowed in kinds.items():
            value = getattr(self, name)
            if type(value) not in allowed:
                wanted = " or ".join(kind.__name__ for kind in allowed)
                raise RequestError(f"A request's {name} must be a {wanted}, not {value!r:.60}.")


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Trades as arrays of one length: time int64 [ms since 1970], price and size float64, is_buy bool.

    Sizes are in base currency or, of inverse contracts, in US dollars.
    """

    time: NDArray[np.int64]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    is_buy: NDArray[np.bool_]
    inverse: bool = False

    def __post_init__(self) -> None:
        if not len(self.time) == len(self.price) == len(self.size) == len(self.is_buy):
            raise ValueError("the arrays of Trades differ in length")

    def __len__(self) -> int:
        return len(self.time)

    @property
    def notional(self) -> NDArray[np.float64]:
        """What the trades are worth in quote currency, from `notional_of`."""
        return notional_of(self.price, self.size, inverse=self.inverse)


def notional_of(
    price: NDArray[np.float64], size: NDArray[np.float64], *, inverse: bool
) -> NDArray[np.float64]:
    """Return what trades are worth in quote currency: price × size, or the size of inverse contracts.

    Rounded to twelve digits, because it is compared with a typed threshold: 0.57 × 100 must be 57.
    """
    return size if inverse else rounded(price * size)


@dataclass(frozen=True, slots=True)
class MarginRule:
    """How an exchange computes maintenance margin, for windows that end in [since, until).

    `fee` is the fee for closing, where the exchange counts it as maintenance margin: a share of the value.
    """

    valuation: Valuation
    since: date | None = None
    until: date | None = None
    fee: float = 0.0


@dataclass(frozen=True, slots=True)
class LackingBrackets:
    """The brackets that are not known: those of `symbol` at `exchange` (its label).

    `contracts` names the kind of contract, such as `Binance COIN-M`, if the exchange publishes none of it.
    """

    exchange: str
    symbol: str
    contracts: str | None = None


@dataclass(frozen=True, slots=True)
class SweepBasis:
    """Which price swept a map's levels.

    `share` is the part of the window's minutes in which it did; in the others it was the traded price.
    """

    price: SweepPrice
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class PositionBasis:
    """What a map by open interest was computed with.

    `known_from` is where open interest is known from on, None where that is the whole window; trades before
    it are taken as not opened. Of `judged` intervals, `unfit` had a change of it beyond their volume.
    """

    turnover: float
    judged: int
    unfit: int = 0
    known_from: datetime | None = None


@dataclass(frozen=True, slots=True)
class OpenInterest:
    """The one-sided open interest of a market at a window's start and end, in the unit of its sizes.

    The start's is None where it is not known. `notional` is what that at the end is worth in quote currency;
    `share_long` and `share_short` are the standing notional of each side as shares of it.
    """

    start: float | None
    end: float
    notional: float
    share_long: float
    share_short: float

    @property
    def share_standing(self) -> float:
        """The standing notional of both sides as a share of the open interest of both sides."""
        return (self.share_long + self.share_short) / 2

    @property
    def is_exceeded(self) -> bool:
        """Whether more of a side stands than is open at all."""
        return max(self.share_long, self.share_short) > 1


@dataclass(frozen=True, slots=True)
class RealisedSums:
    """What an exchange reported of liquidations in a window: notional and number of each side.

    Where it is not `complete`, the exchange reports a sample only. `covered` is the share of the window in
    which its reports were received. Prices are those of the fills (`at_fills`) or bankruptcy prices.
    """

    long: float
    short: float
    longs: int
    shorts: int
    complete: bool
    at_fills: bool
    covered: float = 1.0

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing from the sums."""
        return self.complete and self.covered >= WHOLE_FEED


@dataclass(frozen=True, slots=True)
class MarginBasis:
    """What a map's levels were computed with: the model and the date of its brackets.

    `earliest` means that the window is older than the oldest known brackets, which were used. `rule` is the
    exchange's rule, if it has had several. `lacking` says why the simple model replaces the requested one.
    `sweep` is which price swept the levels, None where none did, and `positions` how open interest weighed
    them, None where all that was traded counts.
    """

    model: MarginModel
    brackets: date | None = None
    source: str = ""
    lacking: LackingBrackets | None = None
    earliest: bool = False
    rule: MarginRule | None = None
    sweep: SweepBasis | None = None
    positions: PositionBasis | None = None


LEAST_HOLE_MS: Final = 10_000
"""Shorter holes are no gaps; their trades are only counted."""


class Hole(NamedTuple):
    """A stretch between two trades in a row [ms since 1970] between whose ids `lost` others are missing."""

    start_ms: int
    end_ms: int
    lost: int

    @property
    def is_gap(self) -> bool:
        """Whether the stretch is long enough to be a gap."""
        return self.end_ms - self.start_ms >= LEAST_HOLE_MS


class GapKind(StrEnum):
    """Why a part of a window has no trades; `liqmap.text` words each."""

    BEING_FETCHED = "being_fetched"
    NOT_FETCHED_YET = "not_fetched_yet"
    NOT_REACHED_YET = "not_reached_yet"
    NOT_PUBLISHED_YET = "not_published_yet"
    NOT_PUBLISHED = "not_published"
    NOT_RECORDED = "not_recorded"
    RECORDING_STARTS_NOW = "recording_starts_now"
    RECORDING_STARTED_LATER = "recording_started_later"
    RECORDING_INTERRUPTED = "recording_interrupted"
    NOT_STORED_YET = "not_stored_yet"
    DAMAGED = "damaged"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a window without trades, and why.

    Kinds about a recording or the newest hours name the `exchange`. `since` is the start of a recording that
    started after the gap began. `problem` says why fetching failed (`LiqmapError.problem`). `lost` is the
    number of trades that are missing, according to the exchange's ids. In a map of several exchanges, `of` is
    the one that lacks the part.
    """

    window: TimeWindow
    kind: GapKind
    exchange: Exchange | None = None
    since: datetime | None = None
    problem: str = ""
    lost: int = 0
    of: Exchange | None = None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which part of a window the store really has.

    `covered` and `missing` are disjoint, ordered in time, and together make up the window. The counts are
    those of the whole segments that the covered parts are read from: `lost_ids` trades that are known to be
    missing (the exchange skips their ids, or they came too late from a stream), `zero_sizes` rows of size 0
    that were left out, `unverified` days whose checksums are not published yet. `last_trade` is the second of
    the newest trade, None until trades have been read. If this window stays incomplete until days are
    published, `whole_end` is the end of the newest complete window of the same length.
    """

    window: TimeWindow
    covered: tuple[TimeWindow, ...]
    missing: tuple[Gap, ...] = ()
    sources: tuple[str, ...] = ()
    lost_ids: int = 0
    zero_sizes: int = 0
    unverified: int = 0
    simulated: bool = False
    last_trade: datetime | None = None
    whole_end: datetime | None = None

    @property
    def fraction(self) -> float:
        """Covered share of the window, 0 to 1."""
        return sum((part.length for part in self.covered), timedelta()) / self.window.length

    @property
    def end_gap(self) -> Gap | None:
        """The gap that lasts to the window's end, None if its end is covered."""
        last = self.missing[-1] if self.missing else None
        return last if last and last.window.end == self.window.end else None


@dataclass(frozen=True, slots=True)
class Cluster:
    """A run of buckets that stand out: its bounds, the mean price of what stands there, and the sum.

    `side` is that of the trades: buys opened longs. `distance` is the relative distance of `price` from the
    last price, negative below it; `near` is that of the nearest level. Of each side that has clusters, one is
    the largest and one the nearest large one; they can be the same. If neither lies in the narrowest band
    that holds anything, a cluster that does is the nearest small one.
    """

    side: Side
    low: float
    high: float
    price: float
    distance: float
    near: float
    notional: float
    is_largest: bool = False
    is_nearest_large: bool = False
    is_nearest_small: bool = False

    @property
    def is_named(self) -> bool:
        """Whether words and pictures name it."""
        return self.is_largest or self.is_nearest_large or self.is_nearest_small


@dataclass(frozen=True, slots=True)
class Band:
    """Standing notional within a relative distance (0.01 = 1 %) of the last price, longs and shorts."""

    distance: float
    long: float
    short: float

    def of(self, side: Side) -> float:
        """Return the standing notional of one side's trades."""
        return self.long if side is Side.BUY else self.short


class LeftOutKind(StrEnum):
    """Why an exchange is left out of a map of several."""

    STALE = "stale"
    OFF = "off"
    FAILED = "failed"
    BEING_FETCHED = "being_fetched"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A market that is left out of a map of several, and why.

    `since` is its newest trade if its price is stale, `off` how far its price is from the reference's, as a
    share of that, and `problem` why its trades are not available.
    """

    market: Market
    kind: LeftOutKind
    since: datetime | None = None
    off: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class MarketSummary:
    """One market's own numbers in a map of several: sums as it has them, and prices as it trades."""

    market: Market
    last_price: float
    trades: int
    selected_buy: int
    selected_sell: int
    selected_notional_buy: float
    selected_notional_sell: float
    standing_long: float
    standing_short: float
    swept_long: float
    swept_short: float
    unplaced: float
    margin: MarginBasis
    coverage: Coverage
    not_opened: float = 0.0
    closed: float = 0.0


@dataclass(frozen=True, slots=True)
class MapSummary:
    """The numbers that a person reads beside a map; `clusters` are the map's.

    `newest_low` and `newest_high` are the extremes of the price path's last bin, which begins at
    `newest_since` and ends with the last price. Prices of clusters are exact to `bucket_size`. By open
    interest, `not_opened` is the selected notional that opened nothing and `closed` what was closed since;
    `open_interest` is None where it is not known, and `realised` where no liquidations were received. A map
    of several markets has each one's own numbers `by_market`, and says which are `left_out`.
    """

    last_price: float
    newest_low: float
    newest_high: float
    newest_since: datetime
    trades: int
    selected_buy: int
    selected_sell: int
    selected_notional_buy: float
    selected_notional_sell: float
    standing_long: float
    standing_short: float
    swept_long: float
    swept_short: float
    unplaced: float
    margin: MarginBasis
    bucket_size: float
    bands: tuple[Band, ...]
    clusters: tuple[Cluster, ...] = ()
    not_opened: float = 0.0
    closed: float = 0.0
    open_interest: OpenInterest | None = None
    realised: RealisedSums | None = None
    by_market: tuple[MarketSummary, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def long_share(self) -> float | None:
        """Longs' share of everything standing, 0 to 1; None where nothing stands."""
        total = self.standing_long + self.standing_short
        return self.standing_long / total if total else None

    @property
    def largest_long(self) -> Cluster | None:
        """The longs' largest cluster; None where none stand."""
        return next((each for each in self._of(Side.BUY) if each.is_largest), None)

    @property
    def largest_short(self) -> Cluster | None:
        """The shorts' largest cluster."""
        return next((each for each in self._of(Side.SELL) if each.is_largest), None)

    @property
    def nearest_long(self) -> Cluster | None:
        """The longs' nearest large cluster."""
        return next((each for each in self._of(Side.BUY) if each.is_nearest_large), None)

    @property
    def nearest_short(self) -> Cluster | None:
        """The shorts' nearest large cluster."""
        return next((each for each in self._of(Side.SELL) if each.is_nearest_large), None)

    def _of(self, side: Side) -> Iterator[Cluster]:
        return (each for each in self.clusters if each.side is side)


_TELLING_SHARE: Final = 0.05  # the pace is meaningful after this share of the work, or this time
_TELLING_SECONDS: Final = 30.0
_TELLING_BUDGET_SECONDS: Final = 75.0  # more than the minute in which a budget is spent
_SMALLEST_SHARE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a request has come: a short sentence, and the share that is done (None if unknown).

    `left` is the least time that the rest will take [s], if an exchange's request limit determines it.
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
