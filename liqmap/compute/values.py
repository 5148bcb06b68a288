"""Values that one stage of computing passes to the next, and that drawing shows: frozen holders of arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from liqmap.model import Side

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from liqmap.model import (
        Band,
        Cluster,
        Coverage,
        Exchange,
        Gap,
        LeftOut,
        MapRequest,
        MarginBasis,
        Market,
        OpenInterest,
        RealisedSums,
    )

WORST: Final = {Side.BUY: np.minimum, Side.SELL: np.maximum}
"""What returns the worst price for a side's positions, which sweeps most of their levels."""

NEVER: Final = {Side.BUY: np.inf, Side.SELL: -np.inf}
"""The prices that sweep no level of a side."""


@dataclass(frozen=True, slots=True, eq=False)
class SideTrades:
    """Selected trades of one taker side, largest notional first; of equal ones the earlier first.

    Arrays of one length: time int64 [ms since 1970], price and notional float64, and `turn`, each trade's
    rank among those of its side and millisecond, None where nobody needs it.
    """

    side: Side
    time: NDArray[np.int64]
    price: NDArray[np.float64]
    notional: NDArray[np.float64]
    turn: NDArray[np.int64] | None = None

    @classmethod
    def none(cls, side: Side) -> Self:
        """Return an empty list of a side's trades."""
        return cls(side, np.empty(0, np.int64), np.empty(0), np.empty(0))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return the trades of several lists of one side one behind the other: not largest first."""
        time, price, notional = (
            np.concatenate([getattr(each, name) for each in parts]) for name in ("time", "price", "notional")
        )
        turns = [each.turn for each in parts if each.turn is not None]
        return cls(
            parts[0].side, time, price, notional, np.concatenate(turns) if len(turns) == len(parts) else None
        )

    def __len__(self) -> int:
        return len(self.time)

    def chosen(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> SideTrades:
        """Return the trades at `rows`; a mask or a slice keeps their order."""
        turn = None if self.turn is None else self.turn[rows]
        return SideTrades(self.side, self.time[rows], self.price[rows], self.notional[rows], turn)


@dataclass(frozen=True, slots=True, eq=False)
class Aftermath:
    """The worst price for each of some trades after its entry: arrays, one element a trade.

    `extreme` is the lowest low (for buys) or the highest high (for sells) of all seconds after the entry's.
    `soon` is the same until the end of the entry's bin of the price path, None where only the extreme was
    computed. Both are infinite where no second follows in the window. `own` are the extremes of traded prices
    in the rest of the entry's own minute, for open interest: infinite, or None, where they reach no level.
    """

    extreme: NDArray[np.float64]
    soon: NDArray[np.float64] | None = None
    own: NDArray[np.float64] | None = None

    @classmethod
    def joined(cls, parts: Sequence[Self], side: Side) -> Self:
        """Return the aftermaths of several lists of a side's trades one behind the other."""
        soon = [each.soon for each in parts if each.soon is not None]
        own = None
        if any(each.own is not None for each in parts):
            filled = [
                np.full(len(each.extreme), NEVER[side]) if each.own is None else each.own for each in parts
            ]
            own = np.concatenate(filled)
        return cls(
            np.concatenate([each.extreme for each in parts]),
            np.concatenate(soon) if len(soon) == len(parts) else None,
            own,
        )

    def chosen(self, rows: NDArray[np.bool_] | NDArray[np.int64] | slice) -> Aftermath:
        """Return the aftermath of the trades at `rows`."""
        soon, own = (None if each is None else each[rows] for each in (self.soon, self.own))
        return Aftermath(self.extreme[rows], soon, own)


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """The selected trades of one stretch of a window, for both sides, and what the price did after each."""

    trades: Mapping[Side, SideTrades]
    after: Mapping[Side, Aftermath]


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """All selected trades of one side: their count, their total notional, and the largest of them."""

    count: int
    notional: float
    largest: SideTrades


@dataclass(frozen=True, slots=True, eq=False)
class PricePath:
    """The price over time, one element a bin that traded: time int64 [ms, start of bin], low, high, close."""

    time: NDArray[np.int64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    close: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LiquidationLevels:
    """The prices at which positions that one side's trades opened at one leverage would be liquidated.

    Arrays of one length, in the order of the selected trades that may have this leverage. `price` is the
    level, `notional` [quote currency] the part of the trade that counts at this leverage, `entry_time` int64
    [ms], `standing` whether the level stands; `after` and `turn` are those of the entries.

    By open interest, `selected` is the part of the trade at this leverage, `opened` what of it opened a
    position, and `notional` what of that had not been closed when the window ended or the level was swept.
    Without, both are None.
    """

    side: Side
    leverage: int
    price: NDArray[np.float64]
    notional: NDArray[np.float64]
    entry_time: NDArray[np.int64]
    entry_price: NDArray[np.float64]
    after: Aftermath
    standing: NDArray[np.bool_]
    turn: NDArray[np.int64] | None = None
    selected: NDArray[np.float64] | None = None
    opened: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LevelBuckets:
    """Standing notional by price bucket and leverage.

    Bucket i spans [edges[i], edges[i + 1]); every edge is a multiple of `size`. `long` and `short` have
    shape (leverages, buckets); all others have shape (buckets,). Longs are liquidated below the last price,
    shorts above it. `long_price` and `short_price` are the mean prices of what stands in each bucket,
    `long_near` and `short_near` the standing prices nearest to the last price, nan where nothing stands.
    `swept` is the notional that no longer stands, of both sides and all leverages.
    """

    size: float
    edges: NDArray[np.float64]
    leverages: tuple[int, ...]
    long: NDArray[np.float64]
    short: NDArray[np.float64]
    long_price: NDArray[np.float64]
    short_price: NDArray[np.float64]
    long_near: NDArray[np.float64]
    short_near: NDArray[np.float64]
    swept: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DepthCurve:
    """Running total of standing notional, starting with 0 at the last price.

    `price` moves monotonically away from the last price (down for longs, up for shorts), and `notional`
    never falls.
    """

    price: NDArray[np.float64]
    notional: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Realised:
    """The liquidations that an exchange reported in a window, in the order of time.

    Arrays of one length: time int64 [ms], price, notional [quote currency], whether a long was liquidated.
    """

    time: NDArray[np.int64]
    price: NDArray[np.float64]
    notional: NDArray[np.float64]
    is_long: NDArray[np.bool_]
    sums: RealisedSums

    def side(self, side: Side) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Return time, price and notional of the liquidated longs (`BUY`) or shorts."""
        rows = self.is_long == (side is Side.BUY)
        return self.time[rows], self.price[rows], self.notional[rows]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Computed:
    """What is computed of one market, or of all the markets of a map.

    `swept_long` and `swept_short` are the notional of levels that the price has touched since their entry.
    `unplaced` is the notional of selected trades that are too large for any of the leverages. `not_opened`,
    `closed` and `open_interest` are as in `MapSummary`; `realised` is None where no liquidations were
    received.
    """

    coverage: Coverage
    path: PricePath
    last_price: float
    buys: Selected
    sells: Selected
    trade_count: int
    buckets: LevelBuckets
    swept_long: float
    swept_short: float
    unplaced: float
    margin: MarginBasis
    not_opened: float = 0.0
    closed: float = 0.0
    open_interest: OpenInterest | None = None
    realised: Realised | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LiquidationMap(Computed):
    """All that the pictures show, computed; drawing adds no numbers.

    `swept_outside` is the part of what was swept that lies outside the buckets. `clusters` has the longs',
    nearest first, then the shorts'. `labelled` has those of them that get a label, the most important first.
    All pictures and words of an answer name clusters from this one list. `swept_by` is the path by mark
    price, in the bins of the price path, if that sweeps the levels. A map of several markets has their
    `shares`, the reference first, and says which are `left_out`; `swept_by` is then the reference's.
    """

    request: MapRequest
    long_depth: DepthCurve
    short_depth: DepthCurve
    swept_outside: float
    bands: tuple[Band, ...]
    clusters: tuple[Cluster, ...] = ()
    labelled: tuple[Cluster, ...] = ()
    swept_by: PricePath | None = None
    shares: tuple[MarketShare, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def market(self) -> Market:
        """The market whose prices are drawn: the first of those that are not left out."""
        return self.shares[0].market if self.shares else self.request.market

    @property
    def coverages(self) -> dict[Exchange, Coverage]:
        """The coverage of each exchange in the map."""
        own = {each.market.exchange: each.coverage for each in self.shares}
        return own or {self.request.market.exchange: self.coverage}

    @property
    def path_gaps(self) -> tuple[Gap, ...]:
        """The gaps of the price path, which is the reference's in a map of several markets."""
        return self.shares[0].coverage.missing if self.shares else self.coverage.missing


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class MarketShare(Computed):
    """One market's share of a map of several.

    `buckets` are what it has in those of the map, aligned: its own prices times `ratio`, so that distances
    from its own `last_price` are kept. `path`, `last_price`, `open_interest` and `realised` are its own.
    """

    market: Market
    ratio: float


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """Standing notional over price and time, as it was known at each moment.

    `value` has shape (buckets, columns): bucket i spans [edges[i], edges[i + 1]), column j the bin of the
    price path from time[j] to time[j + 1] [ms]. A column counts the trades up to its end, without levels that
    price has touched by then. `below` and `above` are the notional that stands beyond the edges.
    """

    edges: NDArray[np.float64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]
    below: float
    above: float
