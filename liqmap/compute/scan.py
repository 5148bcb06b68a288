"""What a scan asks and answers: the markets whose price is nearest to a large cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from liqmap.errors import RequestError
from liqmap.model import Side, Theme
from liqmap.model.window import DAY, TimeWindow

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from liqmap.model import Exchange, Market

SCANNED: Final = DAY
"""How far back a scan looks."""

LARGEST_TRADES: Final = 100
"""How many trades of each side a market's clusters come from."""

MOST_LISTED: Final = 50

CURRENT_FOR: Final = timedelta(minutes=10)
"""A price is not current any more if what traded since is unknown for longer than this. What another machine
records takes up to five minutes to get here."""


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What to scan: the `top` markets whose price is nearest to a large cluster, within a relative distance.

    `markets` are fetched as far as the store lacks them; without any, all recorded markets of `exchanges`
    are scanned as they are in the store. `side` looks at the clusters of one side's trades only. With `least`
    [quote currency], the nearest cluster of a side is the nearest of at least that size, whether it stands
    out in its market or not. A picture is drawn if `pictured`.
    """

    end: datetime
    markets: tuple[Market, ...] = ()
    exchanges: frozenset[Exchange] = frozenset()
    side: Side | None = None
    within: float = 0.05
    top: int = 10
    least: float = 0.0
    pictured: bool = True
    theme: Theme = Theme.DARK

    def __post_init__(self) -> None:
        if not 0 < self.within <= 1:
            raise RequestError("The distance is a share above 0 and up to 100%, such as 5%.")
        if not 1 <= self.top <= MOST_LISTED:
            raise RequestError(f"A scan lists from 1 to {MOST_LISTED} markets; try 10.")

    @property
    def window(self) -> TimeWindow:
        """The window that each market's map covers."""
        return TimeWindow.ending(self.end, SCANNED)


@dataclass(frozen=True, slots=True)
class NearCluster:
    """A side's nearest large cluster: its mean price, its relative distance (negative below), its notional.

    `hours` is the distance in hourly volatilities, and `share` the notional as a share of what traded in the
    last hour; None where price did not move, or where nobody traded or it is unknown who did.
    """

    price: float
    distance: float
    notional: float
    hours: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class ScannedMarket:
    """One market's last price, the nearest large cluster of each side, and the covered share of the window.

    `volatility` is that of an hour, relative; `hour_notional` what traded in the newest hour that is known
    [quote currency], None if that is not the last one or has a hole. `price_age` is how long before the
    window's end the newest trade was, and `unknown` how long before it the last known moment.
    """

    market: Market
    last_price: float
    bucket_size: float
    covered: float
    volatility: float | None
    hour_notional: float | None
    long: NearCluster | None
    short: NearCluster | None
    simulated: bool = False
    price_age: timedelta = timedelta()
    unknown: timedelta = timedelta()

    @property
    def is_current(self) -> bool:
        """Whether it is known what traded until the window's end, also if nobody did."""
        return self.unknown <= CURRENT_FOR

    def clusters(self, side: Side | None = None) -> list[NearCluster]:
        """Return the clusters of `side`, or of both, nearest first."""
        of_side = {Side.BUY: self.long, Side.SELL: self.short}
        found = [each for key, each in of_side.items() if each is not None and side in {None, key}]
        return sorted(found, key=lambda each: abs(each.distance))


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The markets found, the nearest to a cluster first, of `scanned`; those that failed, why; a picture."""

    request: ScanRequest
    markets: tuple[ScannedMarket, ...]
    scanned: int
    failed: tuple[tuple[Market, str], ...] = ()
    picture: bytes = field(default=b"", repr=False)


def nearest(found: Iterable[ScannedMarket], request: ScanRequest) -> tuple[ScannedMarket, ...]:
    """Return the markets that have a cluster of the requested side within the distance, the nearest first.

    Those whose price is not current come last: where theirs is by now is unknown.
    """
    near = [
        (not each.is_current, abs(clusters[0].distance), each)
        for each in found
        if (clusters := each.clusters(request.side)) and abs(clusters[0].distance) <= request.within
    ]
    near.sort(key=lambda row: (*row[:2], row[2].market.exchange, row[2].market.symbol))
    return tuple(each for *_, each in near[: request.top])
