from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liqmap.compute.aggregate import Quote, Source, build_joint_map, comparable
from liqmap.compute.heatmap import build_joint_heatmap
from liqmap.compute.joint_series import Prices
from liqmap.compute.levels import all_levels
from liqmap.compute.map import build_map
from liqmap.compute.margin import Brackets, MarginRules
from liqmap.compute.values import Aftermath, Entries, LiquidationMap, PricePath, SideTrades
from liqmap.exchanges.thousands import counted
from liqmap.model import (
    Coverage,
    Exchange,
    LeftOutKind,
    MapRequest,
    MarginBasis,
    MarginModel,
    Market,
    Side,
    TopN,
    Valuation,
)
from liqmap.model.window import TimeWindow

START = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW = TimeWindow(START, START + timedelta(minutes=10))
MARKETS = tuple(Market(each, "BTCUSDT") for each in Exchange)
REQUEST = MapRequest(MARKETS, WINDOW, TopN(100), leverages=(50,))
# At 50x without maintenance margin a long is liquidated 2 % below its entry.
SIMPLE = MarginRules()


def source(
    market: Market, last: float, entries: Entries, rules: MarginRules = SIMPLE, *, price: float | None = None
) -> Source:
    """Return a market whose price was `last` in every second, less what its entries paid.

    Its last minute's median is `price`, if that is another.
    """
    prices = np.concatenate([[last], *(each.price for each in entries.trades.values())])
    time = np.array([WINDOW.start_ms, WINDOW.end_ms - 1000])
    path = PricePath(time, np.full(2, prices.min()), np.full(2, prices.max()), np.full(2, last))
    coverage = Coverage(WINDOW, (WINDOW,))
    basis = MarginBasis(MarginModel.SIMPLE)
    return Source(market, coverage, path, price or last, 1000, lambda: [entries], rules, basis)


def bought(*trades: tuple[float, float], swept: float = 0.0) -> Entries:
    """Return longs of (entry price, notional), whose extreme afterwards was a share below the entry."""
    price, notional = (np.array(each, np.float64) for each in zip(*trades, strict=True))
    order = np.argsort(-notional, kind="stable")
    time = np.full(len(price), WINDOW.start_ms + 500)
    extreme = price[order] * (1 - swept)
    return Entries(
        {
            Side.BUY: SideTrades(Side.BUY, time, price[order], notional[order]),
            Side.SELL: SideTrades.none(Side.SELL),
        },
        {Side.BUY: Aftermath(extreme, extreme), Side.SELL: Aftermath(np.empty(0), np.empty(0))},
    )


def joint(*sources: Source, request: MapRequest = REQUEST) -> LiquidationMap:
    return build_joint_map(request, Coverage(WINDOW, (WINDOW,)), sources)


def test_levels_two_percent_below_three_prices_fall_into_one_bucket():
    # Prices 60,000, 60,030 and 59,976; levels 58,800.00, 58,829.40 and 58,776.48; 2, 1 and 0.5 million.
    prices, notionals = (60_000.0, 60_030.0, 59_976.0), (2e6, 1e6, 0.5e6)
    sources = [
        source(market, price, bought((price, notional)))
        for market, price, notional in zip(MARKETS, prices, notionals, strict=True)
    ]
    own = [
        next(iter(all_levels(each.entries(), REQUEST, SIMPLE, last_price=each.last_price)))[0].price
        for each in sources
    ]
    assert np.concatenate(own).tolist() == [58_800.0, 58_829.4, 58_776.48]
    drawn = joint(*sources)
    (held,) = np.nonzero(drawn.buckets.long.sum(axis=0))
    assert len(held) == 1
    assert drawn.buckets.edges[held[0]] <= 58_800.0 < drawn.buckets.edges[held[0] + 1]
    assert drawn.buckets.long.sum() == 3.5e6
    assert [share.buckets.long.sum() for share in drawn.shares] == list(notionals)
    assert drawn.clusters[0].notional == 3.5e6
    assert drawn.last_price == 60_000.0


def test_odd_last_trade_of_one_exchange_moves_no_level():
    # OKX's last trade was 0.5 % below its last minute's median, and nothing had been liquidated by it.
    sources = [
        source(market, last, bought((price, notional)), price=price)
        for market, last, price, notional in zip(
            MARKETS,
            (60_000.0, 60_030.0, 59_676.0),
            (60_000.0, 60_030.0, 59_976.0),
            (2e6, 1e6, 5e5),
            strict=True,
        )
    ]
    drawn = joint(*sources)
    (held,) = np.nonzero(drawn.buckets.long.sum(axis=0))
    assert drawn.buckets.edges[held].tolist() == [58_800.0]
    assert drawn.buckets.long.sum() == 3.5e6
    assert [share.ratio for share in drawn.shares] == [1.0, 60_000 / 60_030, 60_000 / 59_976]


def test_odd_last_trade_of_the_reference_is_the_last_price_and_moves_no_level_of_the_others():
    # Its own longs are liquidated by that trade; those of the others keep their distance from its median.
    swept = bought((60_000.0, 2e6), swept=0.021)
    sources = [source(MARKETS[0], 58_740.0, swept, price=60_000.0)]
    sources += [source(market, 60_000.0, bought((60_000.0, 1e6))) for market in MARKETS[1:]]
    drawn = joint(*sources)
    assert drawn.last_price == 58_740.0
    assert (drawn.swept_long, drawn.buckets.long.sum()) == (2e6, 2e6)
    (held,) = np.nonzero(drawn.buckets.long.sum(axis=0))
    assert [drawn.buckets.edges[each] <= 58_800.0 < drawn.buckets.edges[each + 1] for each in held] == [True]
    # Above the last price and so within every distance of it, in the sums as in the named cluster.
    assert {band.long for band in drawn.bands} == {2e6}
    assert [each.notional for each in drawn.clusters] == [2e6]
    assert drawn.long_depth.notional[-1] == 2e6
    assert drawn.long_depth.price.max() == 58_740.0


TRADE = st.tuples(st.floats(0.97, 1.03), st.floats(1e3, 5e6))
RULES = [
    MarginRules(Brackets.of([(3e5, 0.004, 150), (2e6, 0.005, 100), (1e7, 0.01, 25)])),
    MarginRules(Brackets.of([(2e6, 0.0033, 150), (1e7, 0.005, 10)]), Valuation.ENTRY),
    MarginRules(Brackets.of([(10, 0.004, 100), (50, 0.005, 66.66)]), Valuation.SIZE, fee=0.0005),
]


@settings(max_examples=40, deadline=None)
@given(
    trades=st.lists(st.lists(TRADE, min_size=1, max_size=8), min_size=2, max_size=3),
    basis=st.lists(st.floats(0.993, 1.007), min_size=3, max_size=3),
    swept=st.sampled_from([0.0, 0.005, 0.03]),
    odd=st.sampled_from([(1.0, 1.0, 1.0), (1.0, 0.99, 1.02), (0.985, 1.0, 1.0), (1.03, 1.001, 0.9)]),
)
def test_each_market_shows_what_its_own_map_shows_and_the_total_is_their_sum(
    trades: list[list[tuple[float, float]]],
    basis: list[float],
    swept: float,
    odd: tuple[float, float, float],
):
    request = MapRequest(MARKETS[: len(trades)], WINDOW, TopN(100))
    sources = []
    for market, rows, off, rules, moved in zip(MARKETS, trades, basis, RULES, odd, strict=False):
        price = round(60_000 * off, 1)
        entries = bought(*((round(price * move, 1), round(notional)) for move, notional in rows), swept=swept)
        sources.append(source(market, round(price * moved, 1), entries, rules, price=price))
    drawn = joint(*sources, request=request)
    alone = [
        build_map(
            request.alone(each.market),
            each.coverage,
            path=each.path,
            trade_count=each.trade_count,
            entries=each.entries(),
            rules=each.rules,
            basis=each.basis,
        )
        for each in sources
    ]
    for share, own in zip(drawn.shares, alone, strict=True):
        assert share.buckets.long.sum() == pytest.approx(own.buckets.long.sum(), rel=1e-12)
        assert share.swept_long == pytest.approx(own.swept_long, rel=1e-12)
        assert share.unplaced == own.unplaced
        assert (share.buys.count, share.buys.notional) == (own.buys.count, own.buys.notional)
        whole = share.buckets.long.sum() + share.swept_long + share.unplaced
        assert whole == pytest.approx(share.buys.notional, rel=1e-9)
    total = sum(share.buckets.long for share in drawn.shares)
    assert drawn.buckets.long == pytest.approx(total, rel=1e-9)
    assert drawn.swept_long == pytest.approx(sum(each.swept_long for each in alone), rel=1e-9)
    assert drawn.unplaced == pytest.approx(sum(each.unplaced for each in alone), rel=1e-9)
    assert drawn.buys.count == sum(each.buys.count for each in alone)
    # Where no last trade is odd, distances from the last price are kept, so bands add up too.
    for number, band in enumerate(drawn.bands if set(odd) == {1.0} else ()):
        assert band.long == pytest.approx(sum(each.bands[number].long for each in alone), rel=1e-9)


def test_heatmap_is_aligned_column_by_column_and_ends_as_the_map():
    sources = [
        source(market, price, bought((price, 1e6)))
        for market, price in zip(MARKETS, (60_000.0, 60_300.0, 59_700.0), strict=True)
    ]
    drawn = joint(*sources)
    levels = [all_levels(each.entries(), REQUEST, SIMPLE, last_price=each.last_price) for each in sources]

    def doubled_at_first(price: float) -> Prices:
        """Return the prices of a market that was twice as dear in the first of the ten minutes."""
        return lambda moments: np.where(moments <= WINDOW.start_ms + 60_000, 2 * price, price)

    heatmap = build_joint_heatmap(
        drawn,
        levels,
        bin_seconds=60,
        swept_by=[None] * 3,
        open_shares=[None] * 3,
        prices=[doubled_at_first(60_000.0), lambda _: np.full(10, 60_300.0), lambda _: np.full(10, 59_700.0)],
    )
    (held,) = np.nonzero(heatmap.value[:, -1])
    assert heatmap.value[held, -1].sum() == 3e6
    assert heatmap.edges[held[0]] <= 58_800 <= heatmap.edges[held[-1] + 1]
    assert heatmap.edges[held[-1] + 1] - heatmap.edges[held[0]] < 60  # 300 apart before
    # In the first column those of the others lie at twice the price, beyond the picture.
    assert heatmap.value[:, 0].sum() == 1e6
    assert heatmap.value[:, 1:].sum(axis=0).tolist() == [3e6] * 9


def quote(exchange: Exchange, price: float, minutes: float = 0, symbol: str = "BTCUSDT") -> Quote:
    when = START - timedelta(minutes=minutes)
    return Quote(Market(exchange, symbol), price, when, counted(symbol).factor)


@pytest.mark.parametrize(
    ("quotes", "left_out"),
    [
        ([(60_000, 0), (60_500, 0), (59_500, 5)], {}),
        ([(60_000, 0), (60_700, 0), (60_000, 0)], {Exchange.BYBIT: LeftOutKind.OFF}),
        ([(60_000, 0), (60_000, 5.1), (60_000, 0)], {Exchange.BYBIT: LeftOutKind.STALE}),
        ([(60_000, 3), (60_000, 6), (60_000, 4)], {Exchange.BYBIT: LeftOutKind.STALE}),
        # The next one is the reference then.
        ([(50_000, 6), (60_000, 0), (60_100, 0)], {Exchange.BINANCE: LeftOutKind.STALE}),
        # Where nobody trades often, prices of one time are compared.
        ([(60_000, 30), (60_000, 34), (60_000, 36)], {Exchange.OKX: LeftOutKind.STALE}),
    ],
)
def test_stale_or_odd_price_leaves_an_exchange_out(
    quotes: list[tuple[float, float]], left_out: dict[Exchange, LeftOutKind]
):
    every = [quote(exchange, *each) for exchange, each in zip(Exchange, quotes, strict=True)]
    assert {each.market.exchange: each.kind for each in comparable(every, at=START)} == left_out


def test_prices_are_compared_coin_by_coin():
    thousand = quote(Exchange.BINANCE, 0.0123, symbol="1000PEPEUSDT")
    assert comparable([thousand, quote(Exchange.OKX, 0.0000123, symbol="PEPEUSDT")], at=START) == []
    (off,) = comparable([thousand, quote(Exchange.OKX, 0.0000126, symbol="PEPEUSDT")], at=START)
    assert off.off == pytest.approx(0.0244, abs=1e-4)
