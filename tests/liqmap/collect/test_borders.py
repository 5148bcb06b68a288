from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from liqmap.collect.collector import Collector
from liqmap.collect.holdings import Holdings
from liqmap.errors import DataError
from liqmap.model import Exchange, GapKind, Side, Trades
from liqmap.model.window import TimeWindow
from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket
from liqmap.simulator.listings import MarketDay
from liqmap.store.reading import read_table
from liqmap.store.segments import Segment
from liqmap.text import gap_text
from tests.liqmap.market_time import driven
from tests.liqmap.supplies import supplies

NOW = datetime(2023, 8, 6, 12, tzinfo=UTC)
FIRST, SECOND, THIRD, FOURTH = (date(2023, 8, number) for number in (1, 2, 3, 4))
MARKET = SimulatedMarket(scale=0.002)


@dataclass(frozen=True, slots=True)
class Published(SimulatedMarket):
    """A market whose exchange has published some days otherwise than they were."""

    files: dict[date, MarketDay] = field(default_factory=dict)

    def day(self, symbol: str, day: date) -> MarketDay:
        return self.files.get(day) or MARKET.day(symbol, day)


def whole(day: date) -> MarketDay:
    return MARKET.day("BTCUSDT", day)


def until(day: date, hour: int) -> MarketDay:
    """Return a day whose file ends before its time."""
    found = whole(day)
    return found.part(0, int(np.searchsorted(found.trades.time, at(day, hour))))


def since(day: date, hour: float) -> MarketDay:
    found = whole(day)
    return found.part(int(np.searchsorted(found.trades.time, at(day, hour))), len(found.trades))


def at(day: date, hour: float) -> int:
    return TimeWindow.of_day(day).start_ms + round(hour * 3_600_000)


def hours(day: date, first: float, last: float) -> TimeWindow:
    start = TimeWindow.of_day(day).start
    return TimeWindow(start + timedelta(hours=first), start + timedelta(hours=last))


def followed_by(one: MarketDay, other: MarketDay) -> MarketDay:
    """Return a file of both, named after the first."""
    assert one.first_id + len(one.trades) == other.first_id
    time, price, size, is_buy = (
        np.concatenate([getattr(each.trades, name) for each in (one, other)])
        for name in ("time", "price", "size", "is_buy")
    )
    return replace(one, trades=Trades(time, price, size, is_buy))


class Setup:
    def __init__(self, collector: Collector, server: MarketServer, clock: SimulatedClock) -> None:
        self.collector = collector
        self.server = server
        self.clock = clock

    async def collect(self, window: TimeWindow, exchange: Exchange = Exchange.BINANCE) -> Holdings:
        collecting = self.collector.collect(exchange, "BTCUSDT", window=window, progress=lambda _: None)
        return await driven(self.clock, collecting)

    async def day(self, day: date) -> Segment:
        (part,) = (await self.collect(TimeWindow.of_day(day))).parts
        return part.segment


@asynccontextmanager
async def running(root: Path, files: dict[date, MarketDay]):
    clock = SimulatedClock(NOW)
    async with (
        MarketServer(Published(scale=0.002, files=files), clock=clock, pump_every=None) as server,
        supplies(root, server, clock) as by,
    ):
        yield Setup(
            Collector(store=by.store, days=by.days, recent=by.recent, clock=clock, longest_fill=timedelta(0)),
            server,
            clock,
        )


def gaps(holdings: Holdings) -> list[tuple[TimeWindow, GapKind]]:
    return [(gap.window, gap.kind) for gap in holdings.coverage.missing]


@pytest.mark.parametrize(
    ("files", "day", "window"),
    [
        ({FIRST: until(FIRST, 18)}, FIRST, hours(FIRST, 20, 22)),
        ({SECOND: since(SECOND, 6)}, SECOND, hours(SECOND, 2, 4)),
    ],
)
async def test_window_inside_the_missing_end_of_a_day_is_a_gap_with_a_count(
    tmp_path: Path, files: dict[date, MarketDay], day: date, window: TimeWindow
):
    async with running(tmp_path, files) as setup:
        holdings = await setup.collect(window)
    assert gaps(holdings) == [(window, GapKind.LOST)]
    lost = len(whole(day).trades) - len(files[day].trades)
    assert gap_text(holdings.coverage.missing[0]) == f"the exchange's ids skip {lost:,} trades"
    assert holdings.coverage.fraction == 0


async def test_missing_end_is_a_gap_in_longer_windows_too(tmp_path: Path):
    async with running(tmp_path, {FIRST: until(FIRST, 18)}) as setup:
        both = await setup.collect(hours(FIRST, 12, 30))
        alone = await setup.collect(hours(FIRST, 12, 24))
    assert (
        17.9 < (both.coverage.missing[0].window.start - hours(FIRST, 0, 1).start) / timedelta(hours=1) < 18.1
    )
    assert alone.coverage.missing[0].window.start == both.coverage.missing[0].window.start
    assert alone.coverage.lost_ids == both.coverage.lost_ids == len(since(FIRST, 18).trades)


async def test_end_of_a_day_without_trades_is_quiet_where_the_ids_go_on(tmp_path: Path):
    quiet = until(SECOND, 18)
    first_id = quiet.first_id + len(quiet.trades)
    files = {SECOND: quiet, THIRD: replace(whole(THIRD), first_id=first_id)}
    async with running(tmp_path, files) as setup:
        holdings = await setup.collect(hours(SECOND, 20, 22))
    assert gaps(holdings) == []


async def test_rows_that_only_the_file_beside_has_move_to_their_own_day(tmp_path: Path):
    second, third = whole(SECOND), whole(THIRD)
    count = len(second.trades)
    end = replace(second.part(count - 30, count), first_id=third.first_id - 30)
    files = {
        FIRST: followed_by(whole(FIRST), second.part(0, 40)),
        SECOND: second.part(40, count - 30),
        THIRD: replace(followed_by(end, third), day=THIRD),
    }
    async with running(tmp_path / "torn", files) as setup:
        together = await setup.collect(hours(FIRST, 0, 72))
        torn = [part.segment for part in together.parts]
    async with running(tmp_path / "whole", {}) as setup:
        sound = [part.segment for part in (await setup.collect(hours(FIRST, 0, 72))).parts]
    assert together.coverage.lost_ids == 0
    for one, other in zip(torn, sound, strict=True):
        assert (one.buys, one.sells, one.origin.first_id) == (other.buys, other.sells, other.origin.first_id)
        for name in ("bars", *Side):
            found, expected = read_table(one, name), read_table(other, name)
            for column, values in found.items():
                np.testing.assert_array_equal(values, expected[column], err_msg=f"{name} {column}")


@pytest.mark.parametrize("order", [(FIRST, SECOND), (SECOND, FIRST)])
async def test_rows_move_whichever_day_is_fetched_first(tmp_path: Path, order: tuple[date, date]):
    second = whole(SECOND)
    files = {
        FIRST: followed_by(whole(FIRST), second.part(0, 40)),
        SECOND: second.part(40, len(second.trades)),
    }
    async with running(tmp_path, files) as setup:
        for each in order:
            await setup.day(each)
        stored = await setup.day(SECOND)
        requests_before = sum(setup.server.requests.values())
        await setup.day(FIRST)
        assert sum(setup.server.requests.values()) == requests_before
    assert stored.buys + stored.sells == len(second.trades)


async def test_empty_files_between_contiguous_ids_are_quiet_days(tmp_path: Path):
    none = whole(SECOND).part(0, 0)
    follows = replace(whole(FOURTH), first_id=whole(FIRST).first_id + len(whole(FIRST).trades))
    files = {SECOND: none, THIRD: replace(none, day=THIRD), FOURTH: follows}
    async with running(tmp_path, files) as setup:
        holdings = await setup.collect(hours(FIRST, 12, 84))
        assert (gaps(holdings), holdings.coverage.lost_ids) == ([], 0)
        assert len(holdings.parts) == 4
        assert (await setup.day(THIRD)).buys == 0


@pytest.mark.parametrize("days", [1, 2])
async def test_empty_files_where_ids_are_skipped_are_a_gap(tmp_path: Path, days: int):
    none = {day: whole(day).part(0, 0) for day in (SECOND, THIRD)[:days]}
    async with running(tmp_path, none) as setup:
        holdings = await setup.collect(hours(FIRST, 12, 84))
        with pytest.raises(DataError, match="is empty, but by the exchange's ids"):
            await setup.day(SECOND)
    lost = sum(len(whole(day).trades) for day in none)
    assert f"is empty, but by the exchange's ids {lost:,} trades are missing there" in gap_text(
        holdings.coverage.missing[0]
    )
    assert {kind for _, kind in gaps(holdings)} == {GapKind.FAILED}


async def test_empty_file_of_an_exchange_without_ids_is_a_gap(tmp_path: Path):
    async with running(tmp_path, {SECOND: whole(SECOND).part(0, 0)}) as setup:
        holdings = await setup.collect(hours(FIRST, 12, 60), exchange=Exchange.BYBIT)
    assert gaps(holdings) == [(TimeWindow.of_day(SECOND), GapKind.FAILED)]
