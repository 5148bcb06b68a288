from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liqmap.collect.coverage import coverage_of
from liqmap.collect.recent import RecentTrades
from liqmap.collect.trade_pages import chosen
from liqmap.errors import DataError, RequestError
from liqmap.exchanges.messages import Page
from liqmap.model import Exchange, Gap, GapKind
from liqmap.model.window import TimeWindow
from liqmap.simulator import Fault, MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.local import SegmentStore
from liqmap.store.segments import segment_windows
from tests.liqmap.market_time import WrongClock, driven, held, traded, until
from tests.liqmap.supplies import supplies

NOW = datetime(2023, 8, 3, 12, 0, 30, 250_000, tzinfo=UTC)
PAGES = "/binance/fapi/v1/aggTrades"
HOUR = timedelta(hours=1)


def ending(end: datetime, length: timedelta) -> TimeWindow:
    return TimeWindow.ending(end.replace(second=0, microsecond=0), length)


class Setup:
    """Recent trades of a simulated market, and all that a test may want to touch."""

    def __init__(
        self,
        recent: RecentTrades,
        server: MarketServer,
        store: SegmentStore,
        clock: SimulatedClock,
        market: SimulatedMarket,
    ) -> None:
        self.recent = recent
        self.server = server
        self.store = store
        self.clock = clock
        self.market = market
        self.news: list[float] = []
        self.left: list[float] = []

    def fill(self, *windows: TimeWindow, symbol: str = "BTCUSDT", until: datetime | None = None):
        return driven(self.clock, self.recent.fill(symbol, list(windows), report=self.report, until=until))

    def report(self, share: float, left: float) -> None:
        self.news.append(share)
        self.left.append(left)

    def windows(self, symbol: str = "BTCUSDT") -> list[TimeWindow]:
        windows = segment_windows(self.store.root, Exchange.BINANCE, symbol)
        return sorted(windows, key=lambda each: each.start)

    def exact(self, window: TimeWindow, symbol: str = "BTCUSDT") -> bool:
        parts = self.store.parts(Exchange.BINANCE, symbol, window)
        assert self.store.missing(Exchange.BINANCE, symbol, window) == []
        return bool(held(parts).tolist() == traded(self.market, symbol, window).tolist())


@asynccontextmanager
async def running(
    root: Path,
    *,
    scale: float = 0.05,
    now: datetime = NOW,
    ahead: timedelta = timedelta(),
    budget: int = 500_000,
) -> AsyncIterator[Setup]:
    """Run a market at `now`, and a store on a machine whose clock is `ahead` of it."""
    clock, market = SimulatedClock(now), SimulatedMarket(scale=scale)
    async with (
        MarketServer(market, clock=clock, weight_limit=2 * budget, pump_every=None) as server,
        supplies(root, server, WrongClock(clock, ahead)) as by,
    ):
        yield Setup(by.recent[Exchange.BINANCE], server, by.store, clock, market)


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    async with running(tmp_path) as made:
        yield made


async def test_hours_across_midnight_are_just_the_trades_that_were_made(setup: Setup):
    window = ending(NOW, timedelta(hours=14))
    await setup.fill(window)
    assert setup.exact(window)
    assert len(setup.windows()) == 14
    assert all(
        not part.segment.origin.lost_ids for part in setup.store.parts(Exchange.BINANCE, "BTCUSDT", window)
    )
    assert setup.news == sorted(setup.news)
    assert setup.news[-1] == 1
    # The rest lasts as long as the budget of half a million a minute makes it: 25,000 pages.
    hour = len(traded(setup.market, "BTCUSDT", ending(NOW, HOUR)))
    assert setup.left[0] == pytest.approx(hour * 14 / (25_000_000 / 60), rel=0.2)
    assert setup.left[-1] == 0


async def test_ids_that_cannot_be_are_a_sentence(setup: Setup, monkeypatch: pytest.MonkeyPatch):
    answers = iter([5, 2**61])

    async def first_id(*_: object) -> int:
        return next(answers)

    monkeypatch.setattr(setup.recent._pages, "first_id", first_id)
    with pytest.raises(DataError, match="The ids of Binance's trades are not in order; try again later"):
        await setup.fill(ending(NOW, HOUR))


@pytest.mark.parametrize("fault", [Fault.SKIP_ROWS, Fault.DUPLICATE_ROWS, Fault.TRUNCATE, Fault.UNAVAILABLE])
async def test_page_that_is_not_as_it_should_be_is_repaired(setup: Setup, fault: Fault):
    window = ending(NOW, 2 * HOUR)
    for _ in range(3):
        setup.server.plan(PAGES, fault)
        await setup.fill(window)
        assert setup.exact(window)
        for each in setup.windows():
            setup.store.remove(setup.store.get(Exchange.BINANCE, "BTCUSDT", each).path)  # type: ignore[union-attr] # it is there


async def test_missing_rows_of_a_page_are_requested_again(setup: Setup):
    window = ending(NOW, HOUR)
    between = setup.recent._pages.between

    async def spoilt(*arguments: Any, **options: Any) -> Page:
        setup.server.plan(PAGES, Fault.SKIP_ROWS, times=2)
        return await between(*arguments, **options)

    setup.recent._pages.between = spoilt  # type: ignore[method-assign] # the ids at both ends are known by then
    await setup.fill(window)
    assert setup.exact(window)


async def test_id_lost_where_an_hour_ends_is_counted_once(setup: Setup):
    window = ending(NOW, 2 * HOUR)
    between = setup.recent._pages.between

    async def without_the_last(*arguments: Any, **options: Any) -> Page:
        found = await between(*arguments, **options)
        return chosen(found, np.arange(len(found.ids) - 1))

    setup.recent._pages.between = without_the_last  # type: ignore[method-assign] # so it is at the exchange
    await setup.fill(window)
    parts = setup.store.parts(Exchange.BINANCE, "BTCUSDT", window)
    lost = coverage_of(window, parts, market="x", explain=lambda part: Gap(part, GapKind.NOT_PUBLISHED))
    assert lost.lost_ids == 2


async def test_trade_whose_id_puts_it_on_the_other_side_of_an_hours_end_counts_as_lost(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
):
    window = ending(NOW, 2 * HOUR)
    border = int((window.start + HOUR).timestamp() * 1000)
    read_page = setup.recent._backfill.read_page

    def out_of_order(answer: Any) -> Page:
        page = read_page(answer)
        # The last trade before the full hour is one of the millisecond at which the hour ends.
        after = np.flatnonzero(page.trades.time >= border)
        if (first := after[0] if len(after) else 0) > 0:
            page.trades.time[first - 1] = border
        return page

    monkeypatch.setattr(setup.recent._backfill, "read_page", out_of_order)
    await setup.fill(window)
    segments = {part.segment for part in setup.store.parts(Exchange.BINANCE, "BTCUSDT", window)}
    stored = sum(segment.buys + segment.sells for segment in segments)
    lost = sum(segment.origin.lost_ids for segment in segments)
    assert stored + lost == len(traded(setup.market, "BTCUSDT", window))


async def test_rows_of_size_0_cost_no_hour_and_are_left_out_and_counted(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
):
    window = ending(NOW, HOUR)
    read_page = setup.recent._backfill.read_page

    def of_size_0(answer: Any) -> Page:
        if len(answer) > 10:
            for row in answer[5:8]:
                row |= {"q": "0.0", "p": "0"}
        return read_page(answer)

    monkeypatch.setattr(setup.recent._backfill, "read_page", of_size_0)
    await setup.fill(window)
    segments = {part.segment for part in setup.store.parts(Exchange.BINANCE, "BTCUSDT", window)}
    left_out = sum(segment.origin.zero_sizes for segment in segments)
    assert left_out >= 3
    stored = sum(segment.buys + segment.sells for segment in segments)
    assert stored + left_out == len(traded(setup.market, "BTCUSDT", window))
    assert not any(segment.origin.lost_ids for segment in segments)


async def test_symbol_that_nobody_has_traded_since_is_whole(tmp_path: Path):
    async with running(tmp_path, scale=0.0002) as setup:
        last = setup.market.day("SHIBUSDT", NOW.date()).trades.time
        last = last[last < NOW.timestamp() * 1000]
        end = datetime.fromtimestamp(last[-1] // 1000 + 1, UTC)
        window = TimeWindow(end - timedelta(minutes=30), NOW.replace(microsecond=0))
        await setup.fill(window, symbol="SHIBUSDT")
        assert setup.exact(window, "SHIBUSDT")
        nothing = TimeWindow(end, NOW.replace(microsecond=0))
        assert len(traded(setup.market, "SHIBUSDT", nothing)) == 0


async def test_newest_second_is_closed_only_when_no_more_trades_can_appear(tmp_path: Path):
    now = NOW.replace(second=30, microsecond=1000)
    async with running(tmp_path, scale=0.0002, now=now) as setup:
        await setup.fill(
            TimeWindow(NOW.replace(minute=0, second=0, microsecond=0), now.replace(microsecond=0))
        )
        assert setup.clock.now() >= now.replace(microsecond=0) + timedelta(seconds=1)


@pytest.mark.parametrize("seconds", [-900, -25, -3, 3, 25, 900, 259_200])
async def test_machine_with_a_wrong_clock_stores_only_seconds_that_are_over(tmp_path: Path, seconds: int):
    ahead = timedelta(seconds=seconds)
    async with running(tmp_path, ahead=ahead) as setup:
        for _ in range(3):
            # A map of the last ten minutes by this machine's clock, which the windows of the store go by.
            await setup.fill(ending(setup.clock.now() + ahead, timedelta(minutes=10)))
            await setup.clock.advance(100)
        for window in setup.windows():
            assert window.end <= setup.clock.now()
            assert setup.exact(window)
        lacking = setup.store.missing(Exchange.BINANCE, "BTCUSDT", ending(NOW, timedelta(minutes=5)))
        assert (lacking == []) == (abs(seconds) < 900)


async def test_clock_set_while_hours_are_fetched_costs_no_trade(tmp_path: Path):
    async with running(tmp_path) as setup:
        machine = setup.recent._clock.machine
        assert isinstance(machine, WrongClock)
        for seconds in (25, -25, 3600, -3600, 0):
            machine.ahead = timedelta(seconds=seconds)
            await setup.fill(ending(setup.clock.now() + machine.ahead, timedelta(minutes=10)))
            await setup.clock.advance(70)
        assert setup.windows() != []
        assert all(setup.exact(window) for window in setup.windows())


async def test_several_pages_are_in_flight_but_not_all(tmp_path: Path):
    async with running(tmp_path, scale=1.0) as setup:
        most = 0
        client = setup.recent._client
        ask = client.get

        async def counted(url: str, **options: Any) -> object:
            nonlocal most
            free = setup.recent._pages._in_flight._value
            most = max(most, 8 - free)
            return await ask(url, **options)

        client.get = counted  # type: ignore[method-assign] # looks only
        window = ending(NOW, timedelta(minutes=30))
        await setup.fill(window)
        assert most == 8
        assert setup.exact(window)


async def test_newest_hour_comes_first_and_killed_whole_hours_stay(setup: Setup):
    window = ending(NOW, timedelta(hours=6))
    task = asyncio.create_task(setup.recent.fill("BTCUSDT", [window], report=setup.report))
    await until(lambda: len(setup.windows()) == 2)
    task.cancel()
    await asyncio.wait([task])
    assert [each.start.hour for each in setup.windows()][-2:] == [10, 11]
    assert all(each.length == HOUR for each in setup.windows())
    requests_before = setup.server.requests[PAGES]
    await setup.fill(window)
    assert setup.exact(window)
    assert setup.server.requests[PAGES] > requests_before


async def test_no_hour_is_begun_after_the_deadline(setup: Setup):
    await setup.fill(ending(NOW, timedelta(hours=6)), until=NOW)
    assert setup.windows() == []


async def test_what_is_held_already_is_not_fetched(setup: Setup):
    await setup.fill(ending(NOW, HOUR))
    requests_before = setup.server.requests[PAGES]
    await setup.fill(ending(NOW, HOUR))
    assert setup.server.requests[PAGES] == requests_before


async def test_unknown_symbol_is_a_sentence(setup: Setup):
    with pytest.raises(RequestError, match=r"^Binance has no future named NOPEUSDT; check the symbol\.$"):
        await setup.fill(ending(NOW, HOUR), symbol="NOPEUSDT")


async def test_window_too_long_ago_is_a_sentence(setup: Setup):
    with pytest.raises(DataError, match="recent trades of the last two days only"):
        await setup.fill(ending(NOW - timedelta(days=3), HOUR))


async def test_reach_is_a_whole_minute_inside_two_days(setup: Setup):
    reach = setup.recent.reaches_back_to
    assert reach == datetime(2023, 8, 1, 12, 10, tzinfo=UTC)
    await setup.fill(TimeWindow(reach, reach + HOUR))
    assert setup.exact(TimeWindow(reach, reach + HOUR))


async def test_ban_leaves_what_has_been_fetched(setup: Setup):
    await setup.fill(ending(NOW, HOUR))
    setup.server.plan(PAGES, Fault.IP_BAN)
    with pytest.raises(DataError, match="limits requests until 12:02:30 UTC"):
        await setup.fill(ending(NOW, 3 * HOUR))
    assert len(setup.windows()) == 1


async def test_repairs_of_many_symbols_let_a_request_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with running(tmp_path, budget=600) as setup:
        sent: list[str] = []
        client, get = setup.recent._client, setup.recent._client._get_once

        async def noted(url: str, *details: Any) -> object:
            answer = await get(url, *details)
            sent.append(url)
            return answer

        monkeypatch.setattr(client, "_get_once", noted)
        window = ending(NOW, HOUR)
        others = ("ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT")
        repairs = [asyncio.create_task(setup.recent.repair(each, [window])) for each in others]
        await until(lambda: len(sent) > 10)
        before = len(sent)
        await setup.fill(ending(NOW, HOUR))
        meanwhile = [url for url in sent[before:] if "symbol=BTCUSDT" not in url and "aggTrades" in url]
        assert len(meanwhile) <= 8  # those that were on their way
        for each in repairs:
            await driven(setup.clock, each)
        assert all(setup.exact(window, symbol=each) for each in others)


async def test_repair_goes_before_what_nobody_waits_for_and_never_blocks_its_own_symbol(tmp_path: Path):
    async with running(tmp_path, budget=600) as setup:
        pages, order = setup.recent._pages, []

        async def page(symbol: str) -> None:
            await pages._page(symbol, from_ms=int(NOW.timestamp() * 1000) - 3_600_000)
            order.append(symbol)

        async with pages.repairing("ETHUSDT"):
            other = asyncio.create_task(page("BTCUSDT"))
            await setup.clock.advance(5)
            assert not other.done()
            await page("ETHUSDT")  # also if the page was requested for somebody else
            with pages.waited_for("BTCUSDT"):  # now somebody waits for it after all
                await driven(setup.clock, other)
            left = asyncio.create_task(page("SOLUSDT"))
        await driven(setup.clock, left)
        assert order == ["ETHUSDT", "BTCUSDT", "SOLUSDT"]
