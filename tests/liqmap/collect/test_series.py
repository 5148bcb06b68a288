from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from liqmap.collect.series import SeriesCollector, SeriesHoldings
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange, GapKind, MapRequest, Market, TopN
from liqmap.model.series import Series, SeriesKind
from liqmap.model.window import HOUR, TimeWindow, at_ms
from liqmap.run.series import MapSeries, SeriesFetch
from liqmap.simulator import Fault, MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.series import Piece
from tests.liqmap.market_time import driven, until
from tests.liqmap.supplies import supplies

NOW = datetime(2026, 6, 27, 7, 33, 20, tzinfo=UTC)
INTEREST, MARK = SeriesKind.OPEN_INTEREST, SeriesKind.MARK_PRICE
MARKET = SimulatedMarket(scale=0.002)
HAVE_SERIES = [exchange for exchange, row in EXCHANGES.items() if row.series]


@asynccontextmanager
async def collecting(
    folder: Path, clock: SimulatedClock | None = None, *, retry_wait: float = 0
) -> AsyncIterator[tuple[SeriesCollector, MarketServer]]:
    clock = clock or SimulatedClock(NOW)
    async with (
        MarketServer(MARKET, clock=clock, pump_every=None) as server,
        supplies(folder, server, clock, retry_wait=retry_wait) as its,
    ):
        series = SeriesCollector(its.settings, session=its.session, clients=its.clients, clock=clock)
        yield series, server
        await series.close()


def last(hours: float, end: datetime = NOW) -> TimeWindow:
    end = end.replace(minute=end.minute // 5 * 5, second=0)
    return TimeWindow(end - timedelta(hours=hours), end)


def sizes(held: SeriesHoldings) -> list[float]:
    found: list[float] = held.series.values[0].tolist()
    return found


@pytest.mark.parametrize(
    ("exchange", "kind"), [(each, kind) for each in HAVE_SERIES for kind in EXCHANGES[each].series]
)
async def test_series_across_midnight_and_a_change_of_labels_is_whole(
    tmp_path: Path, exchange: Exchange, kind: SeriesKind
):
    window = last(60)  # from files before and after 2026-06-25, and by REST
    clock = SimulatedClock(NOW)
    async with collecting(tmp_path, clock) as (series, _):
        # OKX's limit of requests makes this wait.
        held = await driven(clock, series.collect(Market(exchange, "BTCUSDT"), kind, window))
    assert held.missing == ()
    assert held.series.time.tolist() == [*range(window.start_ms, window.end_ms, kind.step_ms)]


async def test_open_interest_that_an_exchange_has_forgotten_is_a_gap_and_the_rest_is_there(tmp_path: Path):
    window = last(6 * 24)
    async with collecting(tmp_path, clock := SimulatedClock(NOW)) as (series, _):
        held = await driven(clock, series.collect(Market(Exchange.OKX, "BTCUSDT"), INTEREST, window))
    since = window.end - timedelta(days=5)  # 1,440 values
    assert [(gap.window, gap.kind) for gap in held.missing] == [
        (TimeWindow(window.start, since), GapKind.NOT_PUBLISHED)
    ]
    assert len(held.series) == 1440


async def test_open_interest_of_all_exchanges_is_one_sided_and_the_market_s(tmp_path: Path):
    window = last(3)
    async with collecting(tmp_path) as (series, _):
        held = [await series.collect(Market(each, "BTCUSDT"), INTEREST, window) for each in HAVE_SERIES]
    made = MARKET.series_in(MARKET.day("BTCUSDT", NOW.date()))
    first = (window.start_ms - made.start_ms) // INTEREST.step_ms
    expected = made.interest[first + 1 : first + 37].tolist()  # as known at the ends of the steps
    assert [sizes(each) for each in held] == [expected] * len(held)


@pytest.mark.parametrize(
    ("exchange", "kind"), [(each, kind) for each in HAVE_SERIES for kind in EXCHANGES[each].series]
)
async def test_page_that_lacks_rows_by_mistake_leaves_no_gap(
    tmp_path: Path, exchange: Exchange, kind: SeriesKind
):
    window = last(6)
    clock = SimulatedClock(NOW)
    async with collecting(tmp_path, clock) as (series, server):
        server.plan("(?i)open-?interest|mark-?price", Fault.SKIP_ROWS)
        await driven(clock, series.collect(Market(exchange, "BTCUSDT"), kind, TimeWindow(window.start, NOW)))
        held = series.held(Market(exchange, "BTCUSDT"), kind, window)
    assert held.missing == ()
    assert held.series.time.tolist() == [*range(window.start_ms, window.end_ms, kind.step_ms)]


@pytest.mark.parametrize("exchange", HAVE_SERIES)
@pytest.mark.parametrize("border", [7, 8, 9])
async def test_single_outlier_is_dropped_wherever_pieces_and_windows_end(
    tmp_path: Path, exchange: Exchange, border: int
):
    window = last(1)
    start = window.start_ms - INTEREST.step_ms
    values = [100.0, 101, 102, 103, 180, 102, 103, 104, 180, 105, 106, 107, 108, 109]
    rows = Series.of(
        INTEREST, [start + place * INTEREST.step_ms for place in range(14)], [(each,) for each in values]
    )
    market = Market(exchange, "BTCUSDT")
    async with collecting(tmp_path) as (series, _):
        split = at_ms(start + border * INTEREST.step_ms)
        for part in (TimeWindow(at_ms(start), split), TimeWindow(split, window.end + INTEREST.step)):
            series.store.write(Piece(market, part, rows.within(part), "https://example.org"))
        held = series.held(market, INTEREST, window)
        edge = series.held(market, INTEREST, TimeWindow(at_ms(rows.time[8]), at_ms(rows.time[12])))
    assert held.missing == edge.missing == ()
    assert sizes(held) == [101, 102, 103, 102, 103, 104, 105, 106, 107, 108]
    assert sizes(edge) == [105, 106, 107]


@pytest.mark.parametrize("run", [1, 2, 3])
async def test_window_says_of_its_first_and_last_values_what_a_longer_one_says(tmp_path: Path, run: int):
    market, day = (
        Market(Exchange.BYBIT, "BTCUSDT"),
        TimeWindow.ending(NOW.replace(hour=0, minute=0, second=0), 2 * HOUR),
    )
    values = [100.0 + place for place in range(24)]
    values[10 : 10 + run] = [200.0] * run
    starts = range(day.start_ms, day.end_ms, INTEREST.step_ms)
    async with collecting(tmp_path) as (series, _):
        rows = Series.of(INTEREST, starts, [(each,) for each in values])
        series.store.write(Piece(market, day, rows, "https://example.org"))
        for first in range(4, 14):
            window = TimeWindow(at_ms(starts[first]), at_ms(starts[first + 5]))
            expected = [each for each in values[first : first + 5] if each != 200]
            assert sizes(series.held(market, INTEREST, window)) == expected


@pytest.mark.parametrize("exchange", HAVE_SERIES)
async def test_open_interest_of_0_and_steps_without_a_row_are_gaps_with_a_reason(
    tmp_path: Path, exchange: Exchange
):
    window, market = last(2), Market(exchange, "BTCUSDT")
    zeros, rowless = {6, 7, 8, 9}, {15, 16}
    starts = [window.start_ms + place * INTEREST.step_ms for place in range(24) if place not in rowless]
    values = [(0.0 if place in zeros else 100.0 + place,) for place in range(24) if place not in rowless]
    async with collecting(tmp_path) as (series, _):
        # As versions stored it that took 0 for a value: everything seemed to have been closed.
        series.store.write(Piece(market, window, Series.of(INTEREST, starts, values), "https://example.org"))
        held = series.held(market, INTEREST, window)
    assert sizes(held) == [100.0 + place for place in range(24) if place not in zeros | rowless]
    parts = [
        TimeWindow(window.start + first * INTEREST.step, window.start + end * INTEREST.step)
        for first, end in ((6, 10), (15, 17))
    ]
    assert [(gap.window, gap.kind) for gap in held.missing] == [
        (part, GapKind.NOT_PUBLISHED) for part in parts
    ]


async def test_what_nobody_waits_for_is_fetched_after_what_somebody_waits_for(tmp_path: Path):
    clock, market = SimulatedClock(NOW), Market(Exchange.BINANCE, "BTCUSDT")
    async with (
        MarketServer(MARKET, clock=clock, pump_every=None) as server,
        supplies(tmp_path, server, clock) as its,
    ):
        one_slot = its.settings.download.model_copy(update={"concurrency": 1})
        settings = its.settings.model_copy(update={"download": one_slot})
        series = SeriesCollector(settings, session=its.session, clients=its.clients, clock=clock)
        with its.clients[market.exchange].hurry():
            kept = asyncio.create_task(series.collect(market, MARK, last(3), patiently=True))
            await until(lambda: bool(clock.alarms))  # it looks again later whether it may go
            await clock.advance(10)
            assert not server.requests
            # It takes the only slot from nobody, and once somebody waits for the same, it goes on.
            other = await driven(clock, series.collect(Market(market.exchange, "ETHUSDT"), MARK, last(3)))
            assert other.missing == ()
            assert not kept.done()
            held = await driven(clock, series.collect(market, MARK, last(3)))
            assert held.missing == ()
            await kept
        await series.close()


async def test_what_is_stored_is_not_fetched_again(tmp_path: Path):
    async with collecting(tmp_path) as (series, server):
        market = Market(Exchange.BINANCE, "BTCUSDT")
        await series.collect(market, MARK, last(4))
        requests_before = server.requests.total()
        await series.collect(market, MARK, last(2))
    assert server.requests.total() == requests_before


async def test_equal_windows_under_way_are_fetched_once_and_survive_a_caller_that_gives_up(tmp_path: Path):
    async with collecting(tmp_path) as (series, server):
        market = Market(Exchange.BYBIT, "BTCUSDT")
        first, second = (asyncio.create_task(series.collect(market, INTEREST, last(2))) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        held = await second
    assert len(held.series) == 24
    assert server.requests["/bybit/v5/market/open-interest"] == 1


async def test_series_that_nobody_waits_for_any_more_is_no_longer_fetched(tmp_path: Path):
    async with collecting(tmp_path) as (series, server):
        market, days = Market(Exchange.BINANCE, "BTCUSDT"), last(120)
        server.plan("metrics.*2026-06-2[34].*zip$", Fault.STALL, times=2)
        waiting = [asyncio.create_task(series.collect(market, INTEREST, days)) for _ in range(2)]
        await until(lambda: len(list(tmp_path.rglob("*.part"))) == 2 and len(series._fetches) == 2)
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        assert len(series._fetches) == 2  # the other one waits
        kept = series.held(market, INTEREST, days).series
        waiting[1].cancel()
        await until(lambda: not list(tmp_path.rglob("*.part")))
        assert not series._fetches
        assert all(slot._value == 4 for slot in series._slots.values())
        assert len(series.held(market, INTEREST, days).series) == len(kept) > 0
        asked = server.requests.total()
        assert (await series.collect(market, INTEREST, days)).missing == ()
        assert server.requests.total() == asked + 4  # the two days, and their checksums


async def test_map_that_is_given_up_stops_its_series_and_one_that_was_answered_does_not(tmp_path: Path):
    clock = SimulatedClock(NOW)
    async with collecting(tmp_path, clock) as (series, server):
        server.plan("markPrice.*zip$", Fault.STALL, times=9)
        request = MapRequest((Market(Exchange.BINANCE, "BTCUSDT"),), last(40), TopN(100))

        async def stalled() -> SeriesFetch:
            fetch = SeriesFetch(request, collector=series, clock=clock)
            await until(lambda: bool(list(tmp_path.rglob("*.part"))))
            return fetch

        given_up = await stalled()
        given_up.cancel()
        await until(lambda: not series._fetches)
        answered = await stalled()
        assert (await driven(clock, answered.result())).is_final is False
        answered.cancel()
        await asyncio.sleep(0)
        assert series._fetches
    assert not series._going_on


async def test_series_that_no_one_publishes_is_a_gap_with_its_reason(tmp_path: Path):
    async with collecting(tmp_path) as (series, _):
        market = Market(Exchange.BINANCE, "BTCUSD_PERP")  # of today, only by files
        held = await series.collect(market, INTEREST, last(2))
        unknown = await series.collect(Market(Exchange.BINANCE, "NEWUSDT"), INTEREST, last(2))
    assert [gap.kind for gap in held.missing] == [GapKind.NOT_FETCHED_YET]
    assert [gap.kind for gap in unknown.missing] == [GapKind.FAILED]


async def test_files_of_one_exchange_that_stall_keep_no_other_waiting(tmp_path: Path):
    async with collecting(tmp_path) as (series, server):
        server.plan("metrics.*zip$", Fault.STALL, times=4)
        waiting = asyncio.create_task(
            series.collect(Market(Exchange.BINANCE, "BTCUSDT"), INTEREST, last(120))
        )
        await until(lambda: len(list(tmp_path.rglob("*.part"))) == 4)
        held = await series.collect(Market(Exchange.BYBIT, "BTCUSDT"), INTEREST, last(2))
        assert not waiting.done()
        waiting.cancel()
    assert held.missing == ()


async def test_failed_day_is_tried_again_at_once_when_the_clock_was_set_back(tmp_path: Path):
    market = Market(Exchange.BYBIT, "BTCUSDT")
    async with collecting(tmp_path, clock := SimulatedClock(NOW)) as (series, server):
        server.plan("open-interest", Fault.HTML, times=2)
        for _ in range(2):
            held = await series.collect(market, INTEREST, last(7))
            assert [gap.kind for gap in held.missing] == [GapKind.FAILED]
        clock._now -= timedelta(hours=6)
        window = last(1, clock.now())
        assert (await series.collect(market, INTEREST, window)).missing == ()


async def test_simulated_interest_never_changes_by_more_than_the_volume():
    day = MARKET.day("BTCUSDT", NOW.date())
    made = MARKET.series_in(day)
    step = (day.trades.time - made.start_ms) // INTEREST.step_ms
    volume = np.bincount(step, weights=day.trades.size, minlength=288)
    assert (np.abs(np.diff(made.interest)) <= volume + 1e-9).all()
    following = MARKET.series_in(MARKET.day("BTCUSDT", NOW.date() + timedelta(days=1)))
    assert following.interest[0] == made.interest[-1]


async def test_map_waits_no_longer_for_series_where_the_exchange_cannot_be_reached(tmp_path: Path):
    clock = SimulatedClock(NOW)  # by which no patience ever ends
    async with collecting(tmp_path, clock, retry_wait=3600) as (series, server):
        await server.host.stop()
        request = MapRequest((Market(Exchange.BINANCE, "BTCUSDT"),), last(4), TopN(100))
        fetch = SeriesFetch(request, collector=series, clock=clock)
        assert await fetch.result() == MapSeries(None, None, is_final=False)
        fetch.cancel()
