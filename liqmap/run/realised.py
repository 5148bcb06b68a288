"""Read from the store, for the pictures of a window, the liquidations that an exchange reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from liqmap.compute.values import Realised
from liqmap.errors import DataError, UnreadableStore
from liqmap.exchanges import EXCHANGES
from liqmap.model import RealisedSums, Side, notional_of
from liqmap.store.feeds import feed_coverage
from liqmap.store.liquidations import read_liquidations

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from liqmap.exchanges.messages import Liquidation
    from liqmap.model import Market
    from liqmap.model.window import TimeWindow


def realised_in(root: Path, market: Market, window: TimeWindow) -> Realised | None:
    """Return the liquidations of a window, None if none were received or they are damaged.

    Raises UnreadableStore.
    """
    row = EXCHANGES[market.exchange]
    covered = feed_coverage(root, market.exchange, market.symbol, window)
    try:
        found = [
            each
            for day in window.days
            for each in read_liquidations(root, market.exchange, market.symbol, day)
            if window.start_ms <= each.time < window.end_ms
        ]
    except UnreadableStore:  # it may pass, and the map is tried again
        raise
    except DataError:  # reported by `liqmap status`; the rows that are left would look like all of them
        return None
    # No rows from a feed that was received mean that nobody was liquidated, which is worth saying.
    if not found and not covered:
        return None
    return _realised(
        sorted(found, key=lambda each: each.time),
        inverse=row.contract(market.symbol).inverse,
        reported=reported_as(market, window.start.date()),
        covered=covered,
    )


class Reported(NamedTuple):
    """Whether the liquidations of a day are all that there were, and at the prices of their fills."""

    complete: bool
    at_fills: bool


def reported_as(market: Market, day: date) -> Reported:
    """Return how the liquidations of `day` are reported: in published files, else by the streams."""
    row = EXCHANGES[market.exchange]
    files = row.liquidations.files_of(market.symbol, day)
    if files is None:
        return Reported(row.live.complete_liquidations, row.live.reports_fills)
    return Reported(files.complete, at_fills=True)


def _realised(found: list[Liquidation], *, inverse: bool, reported: Reported, covered: float) -> Realised:
    price, size = np.array([(each.price, each.size) for each in found], np.float64).reshape(-1, 2).T
    notional = notional_of(price, size, inverse=inverse)
    is_long = np.array([each.position is Side.BUY for each in found], np.bool_)
    sums = RealisedSums(
        long=float(notional[is_long].sum()),
        short=float(notional[~is_long].sum()),
        longs=int(np.count_nonzero(is_long)),
        shorts=int(np.count_nonzero(~is_long)),
        complete=reported.complete,
        at_fills=reported.at_fills,
        covered=covered,
    )
    return Realised(np.array([each.time for each in found], np.int64), price, notional, is_long, sums)
