"""Make the seal of what stands, and the outcome of what came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from liqmap.ledger.buckets import (
    LEAST_WINDOWS,
    baseline,
    bucket_of,
    cells,
    first_touches,
    mask,
    reach,
    still_known,
    summed,
    top_buckets,
    touched,
)
from liqmap.ledger.lines import Outcome, Seal, State, Window, market_name
from liqmap.ledger.metrics import DIFFERENCE, contrast, counts_of, margin_gap
from liqmap.model import Side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from liqmap.exchanges.messages import Liquidation
    from liqmap.model import Market

LEAST_COVERAGE: Final = 0.95
"""A window is void if less than this share of its trades or of its feed was received."""

LEAST_EVENTS: Final = 10
"""A window with fewer liquidations in its buckets is counted, but not scored."""


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What stands at a map's end: notional by bucket, last price, volatility of eight hours, coverage.

    `rate` is the maintenance margin rate of the first bracket, None without brackets.
    """

    notional: NDArray[np.float64]
    price: float
    sigma: float
    coverage: float
    simulated: bool
    rate: float | None = None


class Feed(NamedTuple):
    """The liquidations of a window, which are read only if the feed covers it well enough.

    `worth` is what a size of 1 is worth in US dollars, None where that is its price.
    """

    coverage: float
    complete: bool
    read: Callable[[], Sequence[Liquidation]]
    worth: float | None = None


class Travelled(NamedTuple):
    """How far the price went in a window, and the share of the window that has trades."""

    low: float
    high: float
    coverage: float


def seal_of(
    market: Market, time: datetime, standing: Standing, *, before: Iterable[Window], written: datetime
) -> Seal:
    """Return the seal of a map; `before` are the windows of this market that the baseline may know."""
    # A window that is still open at `time` is left out: what comes of it was not known when this was sealed.
    preceding = [
        (each.seal.sigma, each.outcome)
        for each in before
        if each.seal.window.end <= time and each.outcome is not None
        if each.outcome.state in {State.SCORED, State.WARMING}
    ]
    total = float(standing.notional.sum())
    density = standing.notional / total if total else np.zeros(len(standing.notional))
    cell, chance, likely = cells(standing.sigma), None, None
    counts: dict[str, NDArray[np.float64]] = {}
    if len(preceding) >= LEAST_WINDOWS:
        liquidated = [(sigma, outcome.usd) for sigma, outcome in preceding if outcome.usd is not None]
        chance = baseline(liquidated, standing.sigma)
        touches = [(sigma, mask(outcome.touched)) for sigma, outcome in preceding]
        likely = reach(touches, standing.sigma)
        counts = counts_of(density, likely, chance, cell)
        # Named by the market as well, so that a reader of the lines gets each market's own figure.
        counts[market_name(market)] = counts[DIFFERENCE]
    return Seal(
        market=market,
        time=time,
        written=written,
        price=standing.price,
        sigma=standing.sigma,
        coverage=standing.coverage,
        standing=total,
        density=density,
        baseline=chance,
        reach=likely,
        counts=counts,
        cells=cell,
        marked=tuple(top_buckets(density).tolist()),
        simulated=standing.simulated,
        rate=standing.rate,
    )


def outcome_of(seal: Seal, feed: Feed, path: Travelled, *, known: Sequence[float]) -> Outcome:
    """Return what came of a seal.

    `known` are the prices of earlier seals' buckets from which the price has not been 1 % away since.
    """
    # Before any liquidation is read, so that nobody can drop a window because of its result.
    if min(feed.coverage, path.coverage, seal.coverage) < LEAST_COVERAGE:
        return Outcome(seal.digest, State.VOID, feed.coverage, feed.complete, known=tuple(known))
    liquidations = feed.read()
    usd, outside, events = _by_bucket(seal, liquidations, feed.worth)
    counted, seen = first_touches(seal.price, known=known)
    state = State.SCORED if seal.baseline is not None else State.WARMING
    # A map in which nothing stands marks no bucket, so there is nothing to compare.
    if events < LEAST_EVENTS or not seal.marked:
        state = State.FEW
    reported = [(each.price, each.bankruptcy) for each in liquidations if each.bankruptcy is not None]
    # In two columns even if nothing was reported.
    price, bankruptcy = np.array(reported, np.float64).reshape(-1, 2).T
    return Outcome(
        seal=seal.digest,
        state=state,
        feed=feed.coverage,
        complete=feed.complete,
        events=events,
        usd=usd,
        outside=outside,
        low=path.low,
        high=path.high,
        touched=tuple(np.flatnonzero(touched(path.low, path.high, last_price=seal.price)).tolist()),
        fresh=contrast(seal.marked, seal.cells, among=counted),
        known=tuple(still_known(seen, low=path.low, high=path.high)),
        margin_gap=margin_gap(price, bankruptcy),
    )


def known_levels(windows: Iterable[Window]) -> tuple[float, ...]:
    """Return the known prices of the newest outcome among one market's windows."""
    known: tuple[float, ...] = ()
    for window in windows:
        if window.outcome is not None:
            known = window.outcome.known
    return known


def _by_bucket(
    seal: Seal, liquidations: Sequence[Liquidation], worth: float | None
) -> tuple[NDArray[np.float64], float, int]:
    """Return USD a bucket, USD outside of them, and the number of liquidations inside."""
    usd, outside, events = np.zeros(len(seal.density)), 0.0, 0
    for side in Side:
        chosen = [each for each in liquidations if each.position is side]
        price = np.array([each.price for each in chosen], np.float64)
        size = np.array([each.size for each in chosen], np.float64)
        value = size * price if worth is None else size * worth
        bucket = bucket_of(price, side, last_price=seal.price)
        usd += summed(bucket, value)
        outside += float(value[bucket < 0].sum())
        events += int(np.count_nonzero(bucket >= 0))
    return usd, outside, events
