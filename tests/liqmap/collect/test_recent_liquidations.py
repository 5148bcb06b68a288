from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from liqmap.collect.recent_liquidations import RecentLiquidations
from liqmap.collect.supply import Supply
from liqmap.errors import DataError
from liqmap.exchanges.messages import Liquidation
from liqmap.model import Exchange, Market, Side
from liqmap.model.window import TimeWindow
from liqmap.simulator import Fault, MarketServer, SimulatedClock, SimulatedMarket
from liqmap.simulator.liquidations import Liquidations
from liqmap.simulator.okx_messages import okx_liquidations
from liqmap.store.damaged import files_aside
from liqmap.store.feeds import feed_coverage, note_feed
from liqmap.store.liquidations import liquidations_path, merge_liquidations, read_liquidations
from tests.liqmap.market_time import driven
from tests.liqmap.supplies import supplies

NOW = datetime(2026, 7, 2, 7, 33, 20, tzinfo=UTC)
MARKET = SimulatedMarket(scale=0.002)
OKX = Market(Exchange.OKX, "BTCUSDT")


@asynccontextmanager
async def fetching(
    folder: Path, now: datetime = NOW
) -> AsyncIterator[tuple[RecentLiquidations, Supply, SimulatedClock, MarketServer]]:
    clock = SimulatedClock(now)
    async with (
        MarketServer(MARKET, clock=clock, pump_every=None) as server,
        supplies(folder, server, clock) as its,
    ):
        recent = RecentLiquidations(
            its.settings, store=its.store, clients=its.clients, contracts=its.contracts, clock=clock
        )
        yield recent, its, clock, server
        await recent.close()


def held(its: Supply, window: TimeWindow) -> list[Liquidation]:
    rows = [
        each
        for day in window.days
        for each in read_liquidations(its.store.root, OKX.exchange, OKX.symbol, day)
    ]
    return sorted(rows, key=lambda each: (each.time, each.price, each.size))


def reported(window: TimeWindow) -> list[tuple[int, bool, float, float]]:
    """Return what the market has liquidated, as it is stored."""
    days = [MARKET.liquidations("BTCUSDT", day) for day in window.days]
    inside = [day.between(window.start_ms, window.end_ms) for day in days]
    rows = [
        (int(time), bool(is_long), float(price), float(f"{size:.12g}"))
        for each in inside
        for time, is_long, price, size in zip(each.time, each.is_long, each.price, each.size, strict=True)
    ]
    return sorted(rows)


async def test_last_day_is_whole_across_pages_that_are_empty_at_first(tmp_path: Path):
    window = TimeWindow.ending(NOW.replace(second=0), timedelta(hours=36))
    async with fetching(tmp_path) as (recent, its, clock, server):
        await driven(clock, recent.obtain(OKX, window))
        told = TimeWindow(NOW - timedelta(hours=24), NOW - timedelta(minutes=1))
        told = told.overlap(window) or told
        found = [(each.time, each.position is Side.BUY, each.price, each.size) for each in held(its, window)]
        assert sorted(found) == reported(told)
        assert len(found) > 200
        assert feed_coverage(its.store.root, OKX.exchange, OKX.symbol, told) == pytest.approx(1, abs=2e-5)
        asked = server.requests["/okx/api/v5/public/liquidation-orders"]
        await driven(clock, recent.obtain(OKX, window.overlap(told) or told))
        assert server.requests["/okx/api/v5/public/liquidation-orders"] == asked  # nothing is lacking


async def test_what_was_recorded_is_neither_fetched_nor_kept_twice(tmp_path: Path):
    window = TimeWindow.ending(NOW.replace(second=0) - timedelta(hours=8), timedelta(hours=6))
    made = MARKET.liquidations("BTCUSDT", window.start.date()).between(window.start_ms, window.end_ms)
    first = Liquidation(
        *("BTCUSDT", int(made.time[0]), Side.BUY if made.is_long[0] else Side.SELL),
        *(float(made.price[0]), float(made.size[0])),
    )
    async with fetching(tmp_path) as (recent, its, clock, server):
        root = its.store.root
        for _ in range(2):
            merge_liquidations(root, OKX.exchange, [first], complete=False)
        await driven(clock, recent.obtain(OKX, window))
        found = [each for each in held(its, window) if window.start_ms <= each.time < window.end_ms]
        assert [each.time for each in found] == [row[0] for row in reported(window)]
        assert found.count(first) == 1
        note_feed(root, Exchange.OKX, "ETHUSDT", TimeWindow.of_day(window.start.date()))
        asked = server.requests.total()
        await driven(clock, recent.obtain(Market(Exchange.OKX, "ETHUSDT"), window))
        await driven(clock, recent.obtain(Market(Exchange.BYBIT, "BTCUSDT"), window))
        assert server.requests.total() == asked


@pytest.mark.parametrize("is_aside", [False, True])
async def test_damaged_table_of_today_is_fetched_again_once(tmp_path: Path, is_aside: bool):
    now = NOW.replace(hour=20)
    window = TimeWindow(now.replace(hour=0, minute=0, second=0), now - timedelta(minutes=1))
    async with fetching(tmp_path, now) as (recent, its, clock, server):
        root = its.store.root
        await driven(clock, recent.obtain(OKX, window))
        expected = held(its, window)
        assert len(expected) > 20
        table = liquidations_path(root, OKX.exchange, OKX.symbol, now.date())
        table.write_bytes(table.read_bytes().replace(b"long", b"lone", 1))
        # The recorder goes on: it begins a new table, and notes what it received.
        later = TimeWindow(now - timedelta(seconds=30), now)
        note_feed(root, OKX.exchange, OKX.symbol, later)
        news = [Liquidation("BTCUSDT", later.start_ms + 5, Side.BUY, 60_000.0, 0.5)] if is_aside else []
        merge_liquidations(root, OKX.exchange, news, complete=False)
        with pytest.raises(DataError, match="damaged"):
            held(its, window)
        await driven(clock, recent.obtain(OKX, window))
        assert held(its, window) == [*expected, *news]
        assert files_aside(root, table) == []
        # Of the last minute the damaged table may have had more than the exchange has told again.
        assert feed_coverage(root, OKX.exchange, OKX.symbol, window) == pytest.approx(1, abs=2e-5)
        assert feed_coverage(root, OKX.exchange, OKX.symbol, later) == 0
        asked = server.requests.total()
        await driven(clock, recent.obtain(OKX, window))
        assert server.requests.total() == asked


async def test_damaged_table_that_the_exchange_no_longer_reports_in_full_is_left_as_it_is(tmp_path: Path):
    yesterday = TimeWindow.of_day(NOW.date() - timedelta(days=1))
    window = TimeWindow(NOW - timedelta(hours=20), NOW - timedelta(minutes=1))
    async with fetching(tmp_path) as (recent, its, clock, server):
        root = its.store.root
        note_feed(root, OKX.exchange, OKX.symbol, yesterday)  # recorded from its midnight on
        await driven(clock, recent.obtain(OKX, window))
        table = liquidations_path(root, OKX.exchange, OKX.symbol, yesterday.start.date())
        early = Liquidation("BTCUSDT", yesterday.start_ms + 5, Side.BUY, 60_000.0, 0.5)
        merge_liquidations(root, OKX.exchange, [early], complete=False)
        broken = table.read_bytes().replace(b"long", b"lone", 1)
        table.write_bytes(broken)
        asked = server.requests.total()
        await driven(clock, recent.obtain(OKX, window))
        assert server.requests.total() == asked
        assert table.read_bytes() == broken  # its first hours exist nowhere else


async def test_fetch_goes_on_for_who_still_waits_and_a_failed_one_rests(tmp_path: Path):
    window = TimeWindow.ending(NOW.replace(second=0), timedelta(hours=3))
    async with fetching(tmp_path) as (recent, its, clock, server):
        waiting, other_one = (asyncio.create_task(recent.obtain(OKX, window)) for _ in range(2))
        await asyncio.sleep(0)
        waiting.cancel()
        await driven(clock, other_one)
        assert feed_coverage(its.store.root, OKX.exchange, OKX.symbol, window) > 0.98
        server.plan("liquidation-orders", Fault.NOT_FOUND, times=9)
        other = Market(Exchange.OKX, "ETHUSDT")
        with pytest.raises(DataError):
            await driven(clock, recent.obtain(other, window))
        asked = server.requests.total()
        await driven(clock, recent.obtain(other, window))
        assert server.requests.total() == asked


async def test_full_page_with_rows_that_do_not_count_is_not_taken_for_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    left_out: set[str] = set()

    def with_some_of_size_0(name: str, part: Liquidations) -> list[dict[str, Any]]:
        rows = okx_liquidations(name, part)
        for row in rows:
            for detail in row["details"][::40]:
                detail["sz"] = "0"
                left_out.add(detail["ts"])
        return rows

    monkeypatch.setattr("liqmap.simulator.okx_rest.okx_liquidations", with_some_of_size_0)
    window = TimeWindow(NOW - timedelta(hours=24), NOW - timedelta(minutes=1))
    async with fetching(tmp_path) as (recent, its, clock, _):
        await driven(clock, recent.obtain(OKX, window))
        told = {each.time for each in held(its, window)}
        assert told == {time for time, *_ in reported(window) if str(time) not in left_out}
        assert feed_coverage(its.store.root, OKX.exchange, OKX.symbol, window) == pytest.approx(1, abs=2e-5)
