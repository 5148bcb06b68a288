"""What a map shows, in numbers: sums, clusters and bands, and the sums of each of several markets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from liqmap.model.market import Side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from liqmap.model.coverage import Coverage
    from liqmap.model.margin import MarginBasis
    from liqmap.model.market import Exchange, Market


@dataclass(frozen=True, slots=True)
class OpenInterest:
    """The one-sided open interest of a market at a window's start and end, in the unit of its sizes.

    `start` is None if it is not known. `notional` is the value of `end` in quote currency; `share_long` and
    `share_short` are each side's standing notional as a share of it. In a map of several exchanges, all these
    numbers are sums over the exchanges whose open interest is known. `of` names these, unless it is all.
    """

    start: float | None
    end: float
    notional: float
    share_long: float
    share_short: float
    of: tuple[Exchange, ...] = ()

    @property
    def share_standing(self) -> float:
        """The standing notional of both sides as a share of the open interest of both sides."""
        # Every open contract has a long and a short, so open interest of both sides is twice the one-sided.
        return (self.share_long + self.share_short) / 2

    @property
    def is_exceeded(self) -> bool:
        """Whether more stands on a side than is open at all: then many positions have been closed since."""
        return max(self.share_long, self.share_short) > 1


@dataclass(frozen=True, slots=True)
class RealisedSums:
    """What an exchange reported of liquidations in a window: notional and number of each side.

    If it is not `complete`, the exchange reports only a sample. `covered` is the share of the window in which
    its reports were received. `at_fills` says whether prices are those of the fills, or bankruptcy prices, or
    of both kinds (None). In a map of several exchanges, `covered` is the least share and `most_covered` the
    largest, and `of` names those whose reports were received, unless it is all.
    """

    long: float
    short: float
    longs: int
    shorts: int
    complete: bool
    at_fills: bool | None
    covered: float = 1.0
    most_covered: float | None = None
    of: tuple[Exchange, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing from the sums."""
        return self.complete and self.covered == 1 and not self.of


@dataclass(frozen=True, slots=True)
class Cluster:
    """A run of buckets that stand out: its bounds, the mean price of what stands there, and the sum.

    `side` is that of the trades: buys opened longs. `distance` is the relative distance of `price` from the
    last price, negative below it; `near` is the distance of the nearest level. Each side that has clusters
    has a largest one and a nearest large one; they can be the same. If neither of them lies in the narrowest
    band that holds anything, the nearest small one is a cluster that does.
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
        """Whether replies and pictures name it."""
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

    `since` is the time of its newest trade if its price is stale. `off` is how far its price is from the
    reference's, as a share of the latter. `problem` says why its trades are not available.
    """

    market: Market
    kind: LeftOutKind
    since: datetime | None = None
    off: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNumbers:
    """The numbers of one market, or of all the markets of a map.

    In a map by open interest, `not_opened` is the selected notional that opened nothing, and `closed` what
    was closed since. `open_interest` is None if it is not known, and `realised` if no liquidations were
    received.
    """

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
    not_opened: float = 0.0
    closed: float = 0.0
    open_interest: OpenInterest | None = None
    realised: RealisedSums | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketSummary(MapNumbers):
    """One market's numbers in a map of several: its own sums, in its own prices and not the reference's."""

    market: Market
    coverage: Coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSummary(MapNumbers):
    """The numbers that a person reads beside a map.

    `newest_low` and `newest_high` are the extremes of the prices that sweep levels in the last bin, which
    begins at `newest_since`: mark prices if those do, else traded prices. Prices of clusters are exact to
    `bucket_size`. A map of several markets has each one's own numbers `by_market`, and says which are
    `left_out`.
    """

    newest_low: float
    newest_high: float
    newest_since: datetime
    bucket_size: float
    bands: tuple[Band, ...]
    clusters: tuple[Cluster, ...] = ()
    by_market: tuple[MarketSummary, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def long_share(self) -> float | None:
        """Longs' share of everything standing, 0 to 1; None if nothing stands."""
        total = self.standing_long + self.standing_short
        return self.standing_long / total if total else None

    @property
    def largest_long(self) -> Cluster | None:
        """The longs' largest cluster; None if no longs stand."""
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
