"""Invent a market from a seed: the same symbol, day and seed always give the same trades.

It resembles real ones: sizes have a fat tail, volatility comes in clusters, trades arrive in bursts, and the
largest of them occur in fast moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from liqmap.model import Trades
from liqmap.simulator.liquidations import Liquidations, liquidation_days, liquidations_of
from liqmap.simulator.listings import LISTINGS, Listing, MarketDay
from liqmap.simulator.series import SeriesDay, series_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SECONDS: Final = 86_400
_EPOCH = date(2015, 1, 1).toordinal()  # before the first day that any exchange publishes

# Days over which the price wanders, and by how much of a day's volatility each adds to its level.
_OCTAVES = ((1, 0.7), (4, 1.6), (16, 3.2), (64, 6.0), (256, 12.0))
_INTEREST: Final = 0.4  # open interest wanders around this share of a day's volume
_INTEREST_SPREAD: Final = 0.05
_MEAN_TO_MEDIAN: Final = 5.5  # of notionals: exp(1.85² / 2), by the spread of `_sizes`


@dataclass(frozen=True, slots=True)
class SimulatedMarket:
    """All symbols on all days. `scale` multiplies the number of trades: tests need few."""

    seed: int = 7
    scale: float = 1.0

    def day(self, symbol: str, day: date) -> MarketDay:
        """Return the trades of a UTC day. Raises KeyError for a symbol that is not listed."""
        listing = LISTINGS[symbol]
        ordinal = day.toordinal()
        counts = self._counts(symbol, listing, ordinal)
        count = int(counts[-1])
        rng = np.random.default_rng([self.seed, *symbol.encode(), ordinal])
        pace = _pace(rng)
        path = self._path(rng, symbol, listing, ordinal=ordinal, pace=pace)
        second, time = _arrivals(rng, count, pace)
        drift = np.diff(path, append=path[-1])[second] / (
            pace[second] * listing.volatility / np.sqrt(SECONDS)
        )
        # While the price rises, more of the takers buy.
        is_buy = rng.random(count) < 0.5 + 0.2 * np.tanh(drift)
        price = _prices(rng, path, listing, time=time, is_buy=is_buy)
        size = _sizes(rng, listing, price, pace=pace[second])
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
        first_id = 1 + int(counts[:-1].sum())
        trades = Trades(time + midnight, price, size, is_buy, inverse=listing.dollars is not None)
        return MarketDay(symbol, day, listing, trades, first_id)

    def liquidations(self, symbol: str, day: date) -> Liquidations:
        """Return the liquidations of a UTC day. Raises KeyError for a symbol that is not listed."""
        return self.liquidations_in([self.day(symbol, each) for each in liquidation_days(day)])

    def liquidations_in(self, days: Sequence[MarketDay]) -> Liquidations:
        """Return the liquidations of the last of the `liquidation_days`, which are made already."""
        return liquidations_of([(each, self.series_in(each)) for each in days], seed=self.seed)

    def series_in(self, day: MarketDay) -> SeriesDay:
        """Return open interest and mark prices of a day that is made already."""
        ordinal = day.day.toordinal()
        opening, closing = (self._interest(day.symbol, day.listing, each) for each in (ordinal, ordinal + 1))
        rng = np.random.default_rng([self.seed, *f"{day.symbol} open interest".encode(), ordinal])
        return series_of(day, rng=rng, opening_interest=opening, closing_interest=closing)

    def first_id(self, symbol: str, day: date) -> int:
        """Return the id of a day's first trade, without making the day."""
        return 1 + int(self._counts(symbol, LISTINGS[symbol], day.toordinal())[:-1].sum())

    def _counts(self, symbol: str, listing: Listing, ordinal: int) -> NDArray[np.int64]:
        """Return the trades of each day from the epoch to `ordinal`: what makes ids contiguous."""
        days = np.arange(min(_EPOCH, ordinal), ordinal + 1)
        spread = 0.8 + 0.4 * self._noise(symbol, "count", days)
        return np.maximum(listing.trades_a_day * self.scale * spread, 2).astype(np.int64)

    def _path(
        self,
        rng: np.random.Generator,
        symbol: str,
        listing: Listing,
        *,
        ordinal: int,
        pace: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the price at the start of each second and at the day's end, from open to close."""
        open_, close = (self._level(symbol, listing, each) for each in (ordinal, ordinal + 1))
        steps = rng.standard_t(4, SECONDS) / np.sqrt(2) * pace * listing.volatility / np.sqrt(SECONDS)
        walk = np.r_[0.0, np.cumsum(steps)]
        # Both ends are fixed, so that the next day opens where this one closes, whichever is made first.
        clock = np.r_[0.0, np.cumsum(pace**2)] / np.sum(pace**2)
        walk += (np.log(close / open_) - walk[-1]) * clock
        path: NDArray[np.float64] = open_ * np.exp(walk)
        return path

    def _level(self, symbol: str, listing: Listing, ordinal: int) -> float:
        """Return the price at a midnight: smooth noise of several lengths around the typical price."""
        return listing.price * float(np.exp(listing.volatility * self._drift(symbol, "level", ordinal)))

    def _interest(self, symbol: str, listing: Listing, ordinal: int) -> float:
        """Return the open interest at a midnight, in the unit of sizes: a part of a typical day's volume."""
        volume = listing.trades_a_day * self.scale * listing.median_notional * _MEAN_TO_MEDIAN
        size = volume if listing.dollars is not None else volume / listing.price
        drift = self._drift(symbol, "interest", ordinal)
        return _INTEREST * size * float(np.exp(_INTEREST_SPREAD * drift))

    def _drift(self, symbol: str, name: str, ordinal: int) -> float:
        """Return smooth noise of several lengths around 0, at a midnight."""
        total = 0.0
        for period, weight in _OCTAVES:
            at, rest = divmod(ordinal, period)
            near, far = self._noise(symbol, f"{name} {period}", np.array([at, at + 1])) * 2 - 1
            share = rest / period
            total += weight * (near + (far - near) * share * share * (3 - 2 * share))
        return total

    def _noise(self, symbol: str, name: str, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return a number in [0, 1) for each index, independent of the others (splitmix64's mixing)."""
        salt = int(
            np.random.SeedSequence([self.seed, *f"{symbol} {name}".encode()]).generate_state(1, np.uint64)[0]
        )
        # Each value depends on its index alone, so a day can be made without those before it.
        with np.errstate(over="ignore"):
            mixed = index.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
            mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            mixed ^= mixed >> np.uint64(31)
        return mixed / 2.0**64


def _pace(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return how active the market is in each second, around 1, in clusters of minutes and a daily rhythm."""
    minutes = SECONDS // 60
    shocks = rng.normal(0, 0.16, minutes) + (rng.random(minutes) < 0.004) * rng.uniform(0.8, 1.8, minutes)
    log_pace = np.empty(minutes)
    level = 0.0
    for minute, shock in enumerate(shocks):
        level = 0.96 * level + shock
        log_pace[minute] = level
    hour = np.arange(minutes) / 60
    log_pace += 0.25 * np.sin((hour - 9) / 24 * 2 * np.pi)  # busiest when Europe and America trade
    pace = np.exp(np.interp(np.arange(SECONDS) / 60, np.arange(minutes), log_pace))
    normalised: NDArray[np.float64] = pace / np.sqrt(np.mean(pace**2))
    return normalised


def _arrivals(
    rng: np.random.Generator, count: int, pace: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return each trade's second and its time [ms of the day], ascending; many share a millisecond."""
    # In bursts: most seconds get few trades, and some get very many.
    intensity = pace * rng.gamma(0.6, 1 / 0.6, SECONDS)
    per_second = rng.multinomial(count, intensity / intensity.sum())
    second = np.repeat(np.arange(SECONDS), per_second)
    time = np.sort(second * 1000 + rng.integers(0, 1000, count))
    # Part of the trades fills together with the one before them, within the same second.
    follows = np.r_[False, (rng.random(count - 1) < 0.4) & (second[1:] == second[:-1])]
    return second, np.maximum.accumulate(np.where(follows, 0, time))


def _prices(
    rng: np.random.Generator,
    path: NDArray[np.float64],
    listing: Listing,
    *,
    time: NDArray[np.int64],
    is_buy: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return prices on the tick grid: interpolated on the path, and on the taker's side of the spread."""
    scale = 10.0**listing.price_decimals
    middle = np.interp(time, np.arange(SECONDS + 1) * 1000, path)
    spread = rng.exponential(0.6, len(time)) * np.where(is_buy, 1, -1)
    return np.maximum(np.rint(middle * scale + spread), 1) / scale


def _sizes(
    rng: np.random.Generator, listing: Listing, price: NDArray[np.float64], *, pace: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return sizes on the step grid or in whole contracts; notionals have a fat tail and follow the pace."""
    scale = 10.0**listing.size_decimals
    notional = listing.median_notional * pace**0.4 * np.exp(1.85 * rng.standard_normal(len(price)))
    if listing.dollars is not None:
        return np.maximum(np.rint(notional / listing.dollars), 1) * listing.dollars
    return np.maximum(np.rint(notional / price * scale), 1) / scale
