"""Invented markets of which it is known how much a map of them knows.

Positions stand at the map's levels. A world's `knowledge` is the share of liquidated USD that falls where
positions stand; the rest falls by a law that knows only the distance from the price. Volatility differs from
day to day and decides how much is liquidated, so that a few days outweigh the others, as on real markets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from liqmap.exchanges.messages import Liquidation
from liqmap.ledger.book import opened
from liqmap.ledger.buckets import A_SIDE, COUNT, IS_SHORT, LEAST_WINDOWS, NEAR_EDGES, STEP, bucket_of, touched
from liqmap.ledger.chance import Interval, interval
from liqmap.ledger.lines import HORIZON, LedgerOrigin, State, Window
from liqmap.ledger.metrics import bits, reachable
from liqmap.ledger.report import Scored
from liqmap.ledger.score import Feed, Standing, Travelled, known_levels, outcome_of, seal_of
from liqmap.model import Exchange, Market, Side

MARKET = Market(Exchange.BYBIT, "BTCUSDT")
START = datetime(2026, 1, 1, tzinfo=UTC)
PRICE = 50_000.0
WINDOWS_A_DAY = 3

_CLUSTERS = 12  # of positions, a side
_POSITIONS = 60  # a side
_EVENTS = 40  # liquidations a window
_LUMPS = 6  # places where the law puts them, a window
_MIDDLES = NEAR_EDGES + STEP / 2
_LAW = 0.7  # sigmas over which the law's density falls to 1/e


@dataclass(frozen=True)
class World:
    """A market in which `knowledge` of the liquidated USD falls where the map's positions stand."""

    knowledge: float
    seed: int


def scored_windows(world: World, days: int) -> list[Scored]:
    """Return the scored windows of so many days, which begin after the baseline has its thirty."""
    return [Scored.of(each) for each in _scored(world, days)]


def mixed_gain(world: World, days: int, *, map_share: float) -> float:
    """Return the mean information gain if the map had another share of the mixed density than 95 %."""
    gains = []
    for seal, outcome in _scored(world, days):
        assert outcome is not None
        assert outcome.usd is not None
        assert seal.baseline is not None
        assert seal.reach is not None
        each = bits(reachable(seal.density, seal.reach), seal.baseline, map_share=map_share)
        gains.append(outcome.usd @ each / outcome.usd.sum())
    return float(np.mean(gains))


def _scored(world: World, days: int) -> list[Window]:
    windows: list[Window] = []
    for number, (standing, liquidations, path) in enumerate(_windows(world, days)):
        time = START + HORIZON * number
        seal = seal_of(MARKET, time, standing, before=windows, written=time)
        feed = Feed(1.0, complete=True, read=lambda reported=liquidations: reported)  # type: ignore[misc]
        windows.append(Window(seal, outcome_of(seal, feed, path, known=known_levels(windows[-1:]))))
    return [each for each in windows if each.outcome and each.outcome.state is State.SCORED]


def written(
    world: World, days: int, path: Path, *, feed: float = 1.0, markets: Sequence[Market] = (MARKET,)
) -> None:
    """Write the ledger of such windows, those before the baseline as well; `feed` is the feeds' coverage.

    The same comes in each of the `markets`.
    """
    with opened(path) as book:
        book.begin(
            origin=LedgerOrigin.SIMULATED, version="0", terms={"knowledge": world.knowledge}, now=START
        )
        for number, (standing, liquidations, path_) in enumerate(_windows(world, days)):
            time = START + HORIZON * number
            reported = Feed(feed, complete=True, read=lambda reported=liquidations: reported)  # type: ignore[misc]
            for market in markets:
                book.outcome(book.seal(market, time, standing, now=time), reported, path_)


def lift_after(scored: Sequence[Scored], days: int, *, level: float = 0.95) -> Interval:
    """Return the capture lift of the first so many days."""
    end = scored[0].day + timedelta(days)
    return _mean([each for each in scored if each.day < end], lambda each: each.capture.lift, level)


def gain_after(scored: Sequence[Scored], days: int, *, matched: bool = False) -> Interval:
    """Return the information gain of the first so many days, or what is left of it at equal distance."""
    end = scored[0].day + timedelta(days)
    some = [each for each in scored if each.day < end]
    return _mean(some, lambda each: each.matched_gain if matched else each.gain, 0.95)


def empty_share(world: World, days: int) -> float:
    """Return the mean share of liquidated USD that falls into buckets in which nothing stands."""
    shares = []
    for standing, liquidations, _ in _windows(world, days):
        empty = [
            standing.notional[bucket_of(np.array([each.price]), each.position, last_price=PRICE)[0]] == 0
            for each in liquidations
        ]
        shares.append(np.mean(empty))
    return float(np.mean(shares))


def _mean(scored: Sequence[Scored], value: Callable[[Scored], float], level: float) -> Interval:
    days, values = [each.day for each in scored], np.array([value(each) for each in scored])
    return interval(days, values, np.ones(len(scored)), level=level)


def _windows(world: World, days: int) -> Iterator[tuple[Standing, list[Liquidation], Travelled]]:
    rng = np.random.default_rng([world.seed, round(world.knowledge * 100)])
    for _ in range(days + LEAST_WINDOWS // WINDOWS_A_DAY):
        sigma = 0.01 * float(np.exp(rng.normal(0, 0.35)))
        unit = 25_000 * float(np.exp(rng.normal(0, 1.0)))  # a day is rich or poor as a whole
        notional = _positions(rng)
        for _ in range(WINDOWS_A_DAY):
            low, high = (PRICE * (1 + sign * sigma * abs(rng.normal(0, 1))) for sign in (-1, 1))
            share = _by_law(rng, sigma)
            reached = notional * touched(low, high, last_price=PRICE)
            if reached.any():
                share = (1 - world.knowledge) * share + world.knowledge * reached / reached.sum()
            counts = rng.multinomial(_EVENTS, share)
            standing = Standing(notional, PRICE, sigma, coverage=1.0, simulated=True)
            yield standing, _liquidations(counts, unit), Travelled(low, high, 1.0)


def _positions(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the notional that stands in each bucket: clusters of uneven size on both sides."""
    notional = np.zeros(COUNT)
    for side in range(2):
        middles = rng.uniform(0, A_SIDE, _CLUSTERS)
        place = np.rint(rng.choice(middles, _POSITIONS) + rng.normal(0, 0.7, _POSITIONS)).astype(np.int64)
        inside = (place >= 0) & (place < A_SIDE)
        np.add.at(notional, place[inside] + side * A_SIDE, rng.pareto(1.5, int(inside.sum())) + 0.1)
    return notional


def _by_law(rng: np.random.Generator, sigma: float) -> NDArray[np.float64]:
    """Return shares of USD a bucket that fall by the distance alone, in lumps as liquidations do."""
    density = np.exp(-_MIDDLES / (_LAW * sigma))
    return rng.multinomial(_LUMPS, density / density.sum()) / _LUMPS


def _liquidations(counts: NDArray[np.int64], unit: float) -> list[Liquidation]:
    """Return so many liquidations of `unit` USD in the middle of each bucket."""
    prices = PRICE * (1 + np.where(IS_SHORT, _MIDDLES, -_MIDDLES))
    return [
        Liquidation("BTCUSDT", 0, Side.SELL if is_short else Side.BUY, price, unit / price)
        for price, is_short, count in zip(prices.tolist(), IS_SHORT.tolist(), counts.tolist(), strict=True)
        for _ in range(count)
    ]
