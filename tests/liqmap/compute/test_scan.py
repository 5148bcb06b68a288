from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from liqmap.compute.scan import NearCluster, ScannedMarket, ScanRequest, nearest
from liqmap.errors import RequestError
from liqmap.model import Exchange, Market, Side

REQUEST = ScanRequest(datetime(2023, 8, 2, tzinfo=UTC))


def cluster(distance: float) -> NearCluster:
    return NearCluster(100 * (1 + distance), distance, 1e6, None, None)


def market(symbol: str, long: float | None, short: float | None) -> ScannedMarket:
    return ScannedMarket(
        market=Market(Exchange.BINANCE, symbol),
        last_price=100.0,
        bucket_size=0.1,
        covered=1.0,
        volatility=0.01,
        hour_notional=1e6,
        long=None if long is None else cluster(long),
        short=None if short is None else cluster(short),
    )


FOUND = [
    market("A", -0.03, 0.01),
    market("B", -0.002, 0.2),
    market("C", None, None),
    market("D", -0.07, None),
]


def names(request: ScanRequest) -> list[str]:
    return [each.market.symbol for each in nearest(FOUND, request)]


def test_markets_are_ranked_by_their_nearest_cluster():
    assert names(REQUEST) == ["B", "A"]
    assert names(replace(REQUEST, within=0.1)) == ["B", "A", "D"]
    assert names(replace(REQUEST, top=1)) == ["B"]


def test_side_ranks_by_that_side_alone():
    assert names(replace(REQUEST, side=Side.SELL)) == ["A"]
    assert names(replace(REQUEST, side=Side.BUY)) == ["B", "A"]


def test_equally_near_markets_are_in_the_order_of_their_names():
    found = [market("Z", -0.01, None), market("A", 0.01, None)]
    assert [each.market.symbol for each in nearest(found, REQUEST)] == ["A", "Z"]


def test_market_whose_price_is_not_current_comes_after_all_others():
    stopped = replace(market("A", -0.001, None), unknown=timedelta(hours=3))
    quiet = replace(market("B", -0.02, None), price_age=timedelta(hours=3))
    assert [each.market.symbol for each in nearest([stopped, quiet], REQUEST)] == ["B", "A"]


@pytest.mark.parametrize("change", [{"within": 0.0}, {"within": 1.5}, {"top": 0}, {"top": 51}])
def test_scan_of_nothing_or_too_much_is_refused(change: dict[str, float]):
    with pytest.raises(RequestError):
        replace(REQUEST, **change)  # type: ignore[arg-type]
