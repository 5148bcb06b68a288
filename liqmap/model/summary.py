"""What a map shows, in numbers: sums, clusters, bands, and those of each market of several."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from liqmap.model.market import Side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from liqmap.model.coverage import Coverage
    from liqmap.model.margin import MarginBasis
    from liqmap.model.market import Exchange, Market


WHOLE_FEED: Final = 0.999
"""From this covered share of a window on, its reported liquidations count as all that there were."""


@dataclass(frozen=True, slots=True)
class OpenInterest:
    """The one-sided open interest of a market at a window's start and end, in the unit of its sizes.

    The start's is None where it is not known. `notional` is what that at the end is worth in quote currency;
    `share_long` and `share_short` are the standing notional of each side as shares of it. In a map of several
    exchanges it is the sum over those where it is known, and the shares are of what stands there; `of` names
    them if they are not all.
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
        return (self.share_long + self.share_short) / 2

    @property
    def is_exceeded(self) -> bool:
        """Whether more of a side stands than is open at all."""
        return max(self.share_long, self.share_short) > 1


@dataclass(frozen=True, slots=True)
class RealisedSums:
    """What an exchange reported of liquidations in a window: notional and number of each side.

    Where it is not `complete`, the exchange reports a sample only. `covered` is the share of the window in
    which its reports were received. Prices are those of the fills (`at_fills`), bankruptcy prices, or of both
    kinds (None). In a map of several exchanges, `of` names those whose reports were received, unless all
    were.
    """

    long: float
    short: float
    longs: int
    shorts: int
    complete: bool
    at_fills: bool | None
    covered: float = 1.0
    of: tuple[Exchange, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing from the sums."""
        return self.complete and self.covered >= WHOLE_FEED and not self.of


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNumbers:
    """The numbers of one market, or of all the markets of a map.

    By open interest, `not_opened` is the selected notional that opened nothing and `closed` what was closed
    since. `open_interest` is None where it is not known, and `realised` where no liquidations were received.
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
    """One market's own numbers in a map of several: sums as it has them, and prices as it trades."""

    market: Market
    coverage: Coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSummary(MapNumbers):
    """The numbers that a person reads beside a map; `clusters` are the map's.

    `newest_low` and `newest_high` are the extremes of the price path's last bin, which begins at
    `newest_since` and ends with the last price. Prices of clusters are exact to `bucket_size`. A map of
    several markets has each one's own numbers `by_market`, and says which are `left_out`.
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
