"""What becomes of a sealed window, decided in the right order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from liqmap.exchanges.messages import Liquidation
from liqmap.ledger.buckets import COUNT
from liqmap.ledger.lines import Outcome, Seal, State
from liqmap.ledger.score import Feed, Standing, Travelled, outcome_of, seal_of
from liqmap.model import Exchange, Market, Side

MARKET = Market(Exchange.BYBIT, "BTCUSDT")
TIME = datetime(2026, 1, 1, 8, tzinfo=UTC)


def sealed(*, coverage: float = 1.0, notional: float = 1.0) -> Seal:
    standing = Standing(np.full(COUNT, notional), 100.0, 0.01, coverage=coverage, simulated=False)
    return seal_of(MARKET, TIME, standing, before=[], written=TIME)


def longs(count: int, *, price: float = 99.0) -> list[Liquidation]:
    return [Liquidation("BTCUSDT", 0, Side.BUY, price, 1.0)] * count


def scored(seal: Seal, liquidations: Sequence[Liquidation], *, covered: float = 1.0) -> Outcome:
    reported = Feed(covered, complete=True, read=lambda: liquidations)
    return outcome_of(seal, reported, Travelled(98.0, 100.0, covered), known=())


@pytest.mark.parametrize(("seal", "feed", "path"), [(1.0, 0.949, 1.0), (1.0, 1.0, 0.949), (0.949, 1.0, 1.0)])
def test_a_window_below_95_percent_is_void_before_any_liquidation_is_read(
    seal: float, feed: float, path: float
):
    def read() -> list[Liquidation]:
        raise AssertionError("the outcome was looked at")

    found = outcome_of(
        sealed(coverage=seal),
        Feed(feed, complete=True, read=read),
        Travelled(98.0, 100.0, path),
        known=(99.0,),
    )
    assert (found.state, found.usd, found.events, found.known) == (State.VOID, None, 0, (99.0,))


def test_a_window_of_95_percent_is_read():
    assert scored(sealed(coverage=0.95), longs(10), covered=0.95).state is State.WARMING


@pytest.mark.parametrize(("events", "state"), [(9, State.FEW), (10, State.WARMING)])
def test_a_window_of_nine_liquidations_is_counted_and_not_scored(events: int, state: State):
    # Those closer than 0.2 % or farther than 5 % lie in no bucket, and do not count as events.
    found = scored(sealed(), [*longs(events), *longs(30, price=99.9), *longs(30, price=90.0)])
    assert (found.state, found.events) == (state, events)
    assert found.usd is not None
    assert found.usd.sum() == pytest.approx(99.0 * events)
    assert found.outside == pytest.approx(30 * 99.9 + 30 * 90.0)


def test_a_map_in_which_nothing_stands_marks_nothing_and_is_not_scored():
    empty = sealed(notional=0.0)
    assert empty.marked == ()
    assert scored(empty, longs(40)).state is State.FEW
