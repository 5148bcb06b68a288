from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from liqmap.collect.collector import Collector
from liqmap.collect.day import file_days
from liqmap.collect.days import ABSENT_FOR, VERIFIED_AGAIN
from liqmap.collect.holdings import Holdings
from liqmap.collect.recent import RecentTrades
from liqmap.errors import DataError, JobFailed, NotCovered, NotPublished, RequestError, UnreadableStore
from liqmap.exchanges.rows import no_trades
from liqmap.model import Coverage, Exchange, Progress
from liqmap.model.window import TimeWindow
from liqmap.simulator import Fault, MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.bundles import bundle_files
from liqmap.store.bundling import Journal
from liqmap.store.local import SegmentStore
from liqmap.store.segments import VIA_STREAM, Origin, segment_path, segment_paths
from liqmap.store.writer import recorded, write_segment
from liqmap.text import gap_text
from tests.liqmap.market_time import WrongClock, driven, held, traded, until
from tests.liqmap.store.bundled import broken_disk
from tests.liqmap.supplies import supplies

NOW = datetime(2023, 8, 3, 12, 0, 30, 250_000, tzinfo=UTC)
MARKET = SimulatedMarket(scale=0.002)
ZIP = "/binance/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-{}.zip"
PAGES = "/binance/fapi/v1/aggTrades"
COIN = "BTCUSD_PERP"


def window(first: str, last: str) -> TimeWindow:
    return TimeWindow(*(datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last)))


def reasons(coverage: Coverage) -> list[tuple[str, str, str]]:
    """Return the gaps of a coverage as short as they can be compared."""
    return [
        (f"{gap.window.start:%d %H:%M}", f"{gap.window.end:%d %H:%M}", gap_text(gap))
        for gap in coverage.missing
    ]


class Setup:
    """A collector over a simulated market, and all that a test may want to touch."""

    def __init__(
        self,
        collector: Collector,
        server: MarketServer,
        store: SegmentStore,
        clock: SimulatedClock,
        recent: Mapping[Exchange, RecentTrades],
        recorded: set[tuple[Exchange, str]],
    ) -> None:
        self.collector = collector
        self.recent = recent
        self.server = server
        self.store = store
        self.root = store.root
        self.clock = clock
        self.news: list[Progress] = []
        self.recorded = recorded

    async def collect(
        self, first: str, last: str, *, symbol: str = "BTCUSDT", exchange: Exchange = Exchange.BINANCE
    ) -> Holdings:
        collecting = self.collector.collect(
            exchange, symbol, window=window(first, last), progress=self.news.append
        )
        return await driven(self.clock, collecting)

    def record(
        self,
        first: str,
        last: str,
        *,
        exchange: Exchange = Exchange.BYBIT,
        symbol: str = "BTCUSDT",
        journal: Journal | None = None,
    ) -> None:
        """Store a recorded segment without trades, in a folder or in a journal."""
        origin = Origin(exchange, symbol, window(first, last), "wss://", "", True, via=(VIA_STREAM,))
        path = segment_path(self.root, exchange, symbol, origin.window)
        if journal is None:
            write_segment(path, origin, no_trades(), incoming=self.store.incoming)
        else:
            journal.append(recorded(path, origin, no_trades()), now=origin.window.start)

    def left_behind(self) -> list[Path]:
        return list((self.root / "incoming").iterdir())


@asynccontextmanager
async def running(
    root: Path, *, longest_fill: timedelta = timedelta(hours=1), ahead: timedelta = timedelta()
):
    """Run a market at `NOW`, and a collector on a machine whose clock is `ahead` of it."""
    clock = SimulatedClock(NOW)
    machine = WrongClock(clock, ahead)
    recorded: set[tuple[Exchange, str]] = set()
    async with (
        MarketServer(MARKET, clock=clock, weight_limit=100_000, pump_every=None) as server,
        supplies(root, server, machine) as by,
    ):
        collector = Collector(
            store=by.store,
            days=by.days,
            recent=by.recent,
            clock=machine,
            longest_fill=longest_fill,
            is_recorded=lambda exchange, symbol: (exchange, symbol) in recorded,
        )
        yield Setup(collector, server, by.store, clock, by.recent, recorded)


@pytest.fixture
async def setup(tmp_path: Path):
    async with running(tmp_path) as made:
        yield made


@pytest.mark.parametrize("exchange", Exchange)
async def test_days_are_fetched_once_and_come_back_oldest_first(setup: Setup, exchange: Exchange):
    holdings = await setup.collect("2023-07-31T22:00", "2023-08-02T03:00", exchange=exchange)
    days = file_days(exchange, holdings.coverage.window)
    assert [part.segment.origin.window for part in holdings.parts] == [each.window for each in days]
    assert len(days) == (2 if exchange is Exchange.OKX else 3)
    assert holdings.coverage.fraction == 1
    assert holdings.coverage.covered == (holdings.coverage.window,)
    assert holdings.coverage.simulated
    requests = sum(setup.server.requests.values())
    again = await setup.collect("2023-07-31T22:00", "2023-08-02T03:00", exchange=exchange)
    assert again.parts == holdings.parts
    assert sum(setup.server.requests.values()) == requests
    assert setup.left_behind() == []


async def test_day_without_a_checksum_is_verified_when_it_is_drawn_again(setup: Setup):
    setup.server.plan("CHECKSUM$", Fault.NOT_FOUND)
    holdings = await setup.collect("2023-08-01", "2023-08-02")
    assert [part.segment.origin.unverified for part in holdings.parts] == [True]
    await setup.clock.advance(VERIFIED_AGAIN.total_seconds())
    await setup.collect("2023-08-01", "2023-08-02")
    await asyncio.gather(*setup.collector._days._verifying)
    holdings = await setup.collect("2023-08-01", "2023-08-02")
    assert [part.segment.origin.unverified for part in holdings.parts] == [False]


async def test_empty_file_between_days_with_trades_is_a_gap_with_a_reason(setup: Setup):
    setup.server.plan("2023-08-01", Fault.EMPTY)
    holdings = await setup.collect("2023-07-31", "2023-08-03", exchange=Exchange.BYBIT)
    assert reasons(holdings.coverage) == [
        ("01 00:00", "02 00:00", "the file of BTCUSDT trades of 2023-08-01 is empty")
    ]


async def test_requests_for_the_same_day_share_its_download(setup: Setup):
    holdings = await asyncio.gather(*(setup.collect("2023-08-01", "2023-08-02") for _ in range(5)))
    assert len({each.parts for each in holdings}) == 1
    assert setup.server.requests[ZIP.format("2023-08-01")] == 1


async def test_progress_counts_days_and_never_goes_back(setup: Setup):
    await setup.collect("2023-07-31", "2023-08-03")
    assert setup.news[0].text == "Fetching 3 days of BTCUSDT from Binance"
    assert setup.news[-1].text == "Storing 3 of 3 days of BTCUSDT from Binance"
    fractions = [each.fraction or 0.0 for each in setup.news]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


async def test_day_that_cannot_be_fetched_is_a_gap_beside_others(setup: Setup):
    setup.server.plan("07-29.zip$", Fault.UNAVAILABLE, times=100)
    holdings = await setup.collect("2023-07-28", "2023-07-31")
    (gap,) = holdings.coverage.missing
    assert gap_text(gap) == "127.0.0.1 is busy (HTTP 503)"
    assert [covered.start.day for covered in holdings.coverage.covered] == [28, 30]
    assert setup.left_behind() == []


async def test_day_whose_conversion_fails_is_a_gap_beside_others(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
):
    run = setup.collector._days._published._run

    async def failing_once(function: Any, job: Any) -> Any:
        if job.origin.window.start.day == 29:
            raise JobFailed("Drawing took longer than 120 s and was stopped; try a shorter window.")
        return await run(function, job)

    monkeypatch.setattr(setup.collector._days._published, "_run", failing_once)
    holdings = await setup.collect("2023-07-28", "2023-07-31")
    assert reasons(holdings.coverage) == [
        ("29 00:00", "30 00:00", "the BTCUSDT trades of 2023-07-29 could not be read")
    ]
    assert not setup.collector._days._fetches


async def test_window_without_any_trades_raises_what_went_wrong(setup: Setup):
    setup.server.plan("2023-07-29.zip$", Fault.FORBIDDEN, times=100)
    with pytest.raises(DataError, match=r"refuses this network \(HTTP 403\)"):
        await setup.collect("2023-07-29", "2023-07-30")


async def test_unknown_symbol_of_long_ago_is_a_sentence(setup: Setup):
    with pytest.raises(
        NotPublished, match=r"^Binance USD-M has published no NOPEUSDT trades of 2023-01-01\.$"
    ):
        await setup.collect("2023-01-01", "2023-01-02", symbol="NOPEUSDT")


async def test_day_never_published_is_a_gap_that_says_so(setup: Setup):
    setup.server.plan("2023-07-29.zip", Fault.NOT_FOUND, times=100)
    holdings = await setup.collect("2023-07-28", "2023-07-30")
    assert reasons(holdings.coverage) == [("29 00:00", "30 00:00", "not published by the exchange")]


async def test_store_stays_below_its_size(tmp_path: Path):
    async with running(tmp_path) as setup:
        await setup.collect("2023-07-29", "2023-08-01")
        setup.store._max_size = 1
        # What was fetched is in use no more.
        await setup.clock.advance((datetime.now(UTC) + timedelta(hours=1) - NOW).total_seconds())
        await setup.collect("2023-08-01", "2023-08-02")
        assert list(segment_paths(setup.root)) == []


async def test_days_of_the_window_itself_are_not_evicted(setup: Setup):
    (old,) = (await setup.collect("2023-07-31", "2023-08-01")).parts
    os.utime(old.segment.path, (0, 0))
    setup.store._max_size = 1
    holdings = await setup.collect("2023-07-31", "2023-08-02")
    assert holdings.coverage.fraction == 1
    assert all(part.segment.path.exists() for part in holdings.parts)


async def test_two_collectors_share_one_store(tmp_path: Path):
    async with running(tmp_path) as one, running(tmp_path) as other:
        first, second = await asyncio.gather(
            one.collect("2023-08-01", "2023-08-03"), other.collect("2023-08-01", "2023-08-03")
        )
        assert [part.segment.path for part in first.parts] == [part.segment.path for part in second.parts]
        assert len(list(segment_paths(one.root))) == 2
        assert one.left_behind() == []


async def test_hours_of_today_come_by_rest_and_days_before_from_files(setup: Setup):
    holdings = await setup.collect("2023-08-02T18:00", "2023-08-03T12:00")
    assert holdings.coverage.fraction == 1
    assert holdings.coverage.sources == ("Binance USD-M daily files, REST",)
    assert holdings.coverage.simulated
    assert setup.server.requests[ZIP.format("2023-08-02")] == 1
    assert np.array_equal(held(holdings.parts), traded(MARKET, "BTCUSDT", holdings.coverage.window))
    requests = sum(setup.server.requests.values())
    assert (await setup.collect("2023-08-02T18:00", "2023-08-03T12:00")).parts == holdings.parts
    assert sum(setup.server.requests.values()) == requests


async def test_yesterday_not_published_yet_comes_by_rest(setup: Setup):
    setup.server.published_until = date(2023, 8, 1)
    holdings = await setup.collect("2023-08-01T22:00", "2023-08-03T12:00")
    assert holdings.coverage.fraction == 1
    assert [part.window.length for part in holdings.parts] == [timedelta(hours=2), *[timedelta(hours=1)] * 36]
    assert np.array_equal(held(holdings.parts), traded(MARKET, "BTCUSDT", holdings.coverage.window))


async def test_trades_older_than_two_days_are_refused_with_advice(setup: Setup):
    setup.server.published_until = date(2023, 7, 31)
    with pytest.raises(
        NotPublished,
        match=r"no BTCUSDT trades of 2023-08-01\. Check the symbol, or ask for an earlier end\.$",
    ):
        await setup.collect("2023-08-01T06:00", "2023-08-01T12:00")


async def test_last_minutes_are_counted_in_minutes(setup: Setup):
    await setup.collect("2023-08-03T11:30", "2023-08-03T12:00")
    assert {each.text for each in setup.news} == {"Fetching the last 30 min of BTCUSDT from Binance"}
    assert setup.news[-1].fraction == 1


async def test_progress_of_days_and_hours_together_never_goes_back(setup: Setup):
    setup.server.published_until = date(2023, 8, 1)
    await setup.collect("2023-08-01T00:00", "2023-08-03T12:00")
    texts = {each.text for each in setup.news}
    assert "Fetching the last 12 h of BTCUSDT from Binance" in texts
    assert any("days of BTCUSDT" in text for text in texts)
    fractions = [each.fraction or 0.0 for each in setup.news]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1


async def test_jobs_share_the_hours_that_both_want(setup: Setup):
    first, second = await asyncio.gather(
        setup.collect("2023-08-03T06:00", "2023-08-03T12:00"),
        setup.collect("2023-08-03T08:00", "2023-08-03T12:00"),
    )
    shared = setup.server.requests[PAGES]
    assert first.coverage.fraction == second.coverage.fraction == 1
    async with running(setup.root.parent / "alone") as alone:
        await alone.collect("2023-08-03T06:00", "2023-08-03T12:00")
        assert alone.server.requests[PAGES] == shared


async def test_fill_past_its_deadline_gives_the_newest_hours(tmp_path: Path):
    async with running(tmp_path, longest_fill=timedelta(seconds=50)) as setup:
        # Each hour waits for a minute of its own.
        budget = setup.recent[Exchange.BINANCE]._client._budget
        budget._a_period = 70
        holdings = await setup.collect("2023-08-03T06:00", "2023-08-03T12:00")
        assert reasons(holdings.coverage) == [
            ("03 06:00", "03 10:00", "not fetched yet, ask again to continue")
        ]
        budget._a_period = 100_000
        assert (await setup.collect("2023-08-03T06:00", "2023-08-03T12:00")).coverage.fraction == 1


@pytest.mark.parametrize("minutes", [1, 20])
async def test_what_the_exchange_has_not_reached_yet_is_a_gap_with_its_reason(tmp_path: Path, minutes: int):
    ahead = timedelta(minutes=minutes)
    async with running(tmp_path, ahead=ahead) as setup:
        end = (NOW + ahead).replace(second=0, microsecond=0)
        holdings = await setup.collect("2023-08-03T11:00", f"{end:%Y-%m-%dT%H:%M}")
        (gap,) = holdings.coverage.missing
        assert timedelta(0) <= NOW - gap.window.start <= timedelta(seconds=6)
        assert gap_text(gap) == "Binance's clock has not reached it: this machine's clock is ahead"
        # Later it can be had, and is fetched.
        await setup.clock.advance(ahead.total_seconds() + 60)
        again = await setup.collect("2023-08-03T11:00", f"{end:%Y-%m-%dT%H:%M}")
        assert again.coverage.fraction == 1


async def test_slow_machine_requests_nothing_that_is_too_old(tmp_path: Path):
    async with running(tmp_path, ahead=timedelta(minutes=-40)) as setup:
        setup.server.published_until = NOW.date() - timedelta(days=4)
        holdings = await setup.collect("2023-08-01T11:30", "2023-08-01T15:00")
        assert reasons(holdings.coverage) == [("01 11:30", "01 12:10", "not published yet")]


async def test_ban_is_a_gap_with_its_reason(setup: Setup):
    setup.server.plan(PAGES, Fault.IP_BAN)
    holdings = await setup.collect("2023-08-02T18:00", "2023-08-03T06:00")
    assert reasons(holdings.coverage) == [
        ("03 00:00", "03 06:00", "the exchange limits requests until 12:02:30 UTC")
    ]


async def test_symbol_that_is_no_longer_listed_keeps_its_published_days(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
):
    backfill = setup.recent[Exchange.BINANCE]._backfill
    ask = backfill.page_url
    monkeypatch.setattr(
        backfill, "page_url", lambda base_url, _, **options: ask(base_url, "NOPEUSDT", **options)
    )
    holdings = await setup.collect("2023-08-02T18:00", "2023-08-03T06:00")
    assert reasons(holdings.coverage) == [("03 00:00", "03 06:00", "Binance has no future named BTCUSDT")]
    assert holdings.coverage.fraction == 0.5


async def test_unknown_symbol_of_today_is_a_sentence(setup: Setup):
    with pytest.raises(RequestError, match=r"^Binance has no future named NOPEUSDT; check the symbol\.$"):
        await setup.collect("2023-08-03T06:00", "2023-08-03T12:00", symbol="NOPEUSDT")


async def test_bybit_without_a_recording_has_the_days_and_says_why_not_today(setup: Setup):
    holdings = await setup.collect("2023-08-02T18:00", "2023-08-03T06:00", exchange=Exchange.BYBIT)
    assert reasons(holdings.coverage) == [
        ("03 00:00", "03 06:00", "Bybit publishes trades by day, and they are not recorded here")
    ]
    assert holdings.coverage.fraction == 0.5
    assert holdings.coverage.whole_end == datetime(2023, 8, 3, tzinfo=UTC)


async def test_bybit_of_today_without_a_recording_offers_the_newest_whole_window(setup: Setup):
    setup.server.published_until = date(2023, 8, 1)
    setup.recorded.add((Exchange.BYBIT, "BTCUSDT"))
    with pytest.raises(NotCovered) as raised:
        await setup.collect("2023-08-03T06:00", "2023-08-03T12:00", exchange=Exchange.BYBIT)
    assert str(raised.value) == (
        "The BTCUSDT trades of this window are not available: Bybit publishes trades by day; recording"
        " starts now. The newest complete window of this length ends 2023-08-02 00:00 UTC; ask for that end."
    )
    assert raised.value.whole_end == datetime(2023, 8, 2, tzinfo=UTC)


async def test_window_of_days_is_whole_only_if_all_of_them_are_there(setup: Setup):
    setup.server.plan("2023-07-31.csv.gz", Fault.NOT_FOUND, times=100)
    holdings = await setup.collect("2023-07-31T12:00", "2023-08-03T12:00", exchange=Exchange.BYBIT)
    assert holdings.coverage.missing[0].window == window("2023-07-31T12:00", "2023-08-01T00:00")
    assert holdings.coverage.whole_end == datetime(2023, 7, 31, tzinfo=UTC)


async def test_days_before_a_window_are_requested_to_offer_a_complete_one(setup: Setup):
    setup.server.published_until = date(2023, 8, 1)
    holdings = await setup.collect("2023-08-01T12:00", "2023-08-03T12:00", exchange=Exchange.BYBIT)
    assert holdings.coverage.whole_end == datetime(2023, 8, 2, tzinfo=UTC)
    requested = {path: count for path, count in setup.server.requests.items() if "2023-07-" in path}
    assert requested == {"/bybit/trading/BTCUSDT/BTCUSDT2023-07-31.csv.gz": 1}


async def test_newest_whole_window_of_many_days_takes_few_questions(setup: Setup):
    setup.record("2023-07-01T00:00", "2023-08-02T00:00")
    holdings = await setup.collect("2023-07-01T12:00", "2023-08-03T12:00", exchange=Exchange.BYBIT)
    assert holdings.coverage.whole_end == datetime(2023, 8, 3, tzinfo=UTC)
    assert sum(setup.server.requests.values()) == 1


async def test_bybit_with_nothing_published_lately_says_what_to_do(setup: Setup):
    with pytest.raises(
        NotPublished, match=r"Bybit linear has published no NOPEUSDT trades of 2023-08-03\. Check"
    ):
        await setup.collect(
            "2023-08-03T06:00", "2023-08-03T12:00", symbol="NOPEUSDT", exchange=Exchange.BYBIT
        )


async def test_recording_that_has_begun_says_when(setup: Setup):
    setup.record("2023-08-03T11:30", "2023-08-03T12:00")
    holdings = await setup.collect("2023-08-02T18:00", "2023-08-03T12:00", exchange=Exchange.BYBIT)
    assert reasons(holdings.coverage) == [
        ("03 00:00", "03 11:30", "Bybit publishes trades by day; recording started Aug 03 11:30 UTC")
    ]
    assert holdings.coverage.sources == ("Bybit linear daily files, live stream",)


async def test_recording_that_was_interrupted_says_so(setup: Setup):
    setup.record("2023-08-03T09:00", "2023-08-03T09:30")
    setup.record("2023-08-03T10:00", "2023-08-03T12:00")
    holdings = await setup.collect("2023-08-03T08:00", "2023-08-03T12:00", exchange=Exchange.BYBIT)
    assert reasons(holdings.coverage) == [
        ("03 08:00", "03 09:00", "Bybit publishes trades by day; recording started Aug 03 09:00 UTC"),
        ("03 09:30", "03 10:00", "recording was interrupted"),
    ]


async def test_recorded_minute_that_is_being_stored_is_waited_for(setup: Setup):
    setup.recorded.add((Exchange.BYBIT, "BTCUSDT"))
    setup.record("2023-08-03T11:00", "2023-08-03T11:59")
    collecting = asyncio.create_task(
        setup.collector.collect(
            Exchange.BYBIT,
            "BTCUSDT",
            window=window("2023-08-03T11:00", "2023-08-03T12:00"),
            progress=setup.news.append,
        )
    )
    await setup.clock.advance(3)
    assert not collecting.done()
    setup.record("2023-08-03T11:59", "2023-08-03T12:00")
    assert (await driven(setup.clock, collecting)).coverage.fraction == 1
    assert sum(setup.server.requests.values()) == 0


async def test_recorded_minute_is_not_waited_for_for_long(setup: Setup):
    setup.recorded.add((Exchange.BINANCE, "BTCUSDT"))
    setup.record("2023-08-03T11:00", "2023-08-03T11:59", exchange=Exchange.BINANCE)
    holdings = await setup.collect("2023-08-03T11:00", "2023-08-03T12:00")
    assert setup.clock.now() - NOW == pytest.approx(timedelta(seconds=4), abs=timedelta(seconds=0.2))
    assert [part.window.end.minute for part in holdings.parts] == [59, 0]


async def test_newest_minutes_that_are_not_stored_yet_are_no_interruption(setup: Setup):
    setup.recorded.add((Exchange.BYBIT, "BTCUSDT"))
    setup.record("2023-08-03T11:00", "2023-08-03T11:58")
    holdings = await setup.collect("2023-08-03T11:00", "2023-08-03T12:00", exchange=Exchange.BYBIT)
    assert reasons(holdings.coverage) == [("03 11:58", "03 12:00", "recorded, but not stored yet")]
    setup.recorded.clear()
    holdings = await setup.collect("2023-08-03T11:00", "2023-08-03T12:00", exchange=Exchange.BYBIT)
    assert reasons(holdings.coverage) == [("03 11:58", "03 12:00", "recording was interrupted")]


async def test_stored_parts_are_held_without_waiting(setup: Setup):
    assert (
        setup.collector.held(
            Exchange.BYBIT, "BTCUSDT", window=window("2023-08-03T08:00", "2023-08-03T12:00")
        ).parts
        == ()
    )
    setup.record("2023-08-03T10:00", "2023-08-03T11:00")
    holdings = setup.collector.held(
        Exchange.BYBIT, "BTCUSDT", window=window("2023-08-03T10:30", "2023-08-03T12:00")
    )
    assert reasons(holdings.coverage) == [("03 11:00", "03 12:00", "still being fetched")]


async def test_absent_day_that_appears_replaces_the_gap(setup: Setup):
    setup.server.published_until = date(2023, 8, 1)
    await setup.collect("2023-08-01T18:00", "2023-08-02T06:00", exchange=Exchange.BYBIT)
    setup.server.published_until = None
    await setup.clock.advance(ABSENT_FOR.total_seconds() + 1)
    whole = await setup.collect("2023-08-01T18:00", "2023-08-02T06:00", exchange=Exchange.BYBIT)
    assert whole.coverage.fraction == 1
    assert whole.coverage.whole_end is None


async def test_second_half_of_a_day_is_a_gap_until_its_file_appears(setup: Setup):
    setup.server.plan("/okx/api/v5/market/history-trades", Fault.UNAVAILABLE, times=100)
    halved = await setup.collect("2023-08-02", "2023-08-03", exchange=Exchange.OKX)  # Hong Kong's 2nd and 3rd
    assert reasons(halved.coverage) == [("02 16:00", "03 00:00", "127.0.0.1 is busy (HTTP 503)")]
    await setup.clock.advance(timedelta(hours=5).total_seconds())
    whole = await setup.collect("2023-08-02", "2023-08-03", exchange=Exchange.OKX)
    assert whole.coverage.fraction == 1
    assert len(whole.parts) == 2


async def test_failure_leaves_nothing_running(setup: Setup):
    setup.server.plan("zip$", Fault.STALL)
    setup.server.plan(PAGES, Fault.NOT_FOUND)
    collecting = asyncio.create_task(
        setup.collector.collect(
            Exchange.BINANCE,
            "BTCUSDT",
            window=window("2023-08-02T18:00", "2023-08-03T12:00"),
            progress=setup.news.append,
        )
    )
    await until(lambda: any(path.suffix == ".part" for path in setup.left_behind()))
    collecting.cancel()
    await asyncio.wait([collecting])
    assert not setup.collector._days._fetches


async def test_trades_in_neither_files_nor_rest_are_not_published_yet(setup: Setup):
    setup.server.published_until = date(2023, 7, 31)
    holdings = await setup.collect("2023-08-01T06:00", "2023-08-03T00:00")
    assert reasons(holdings.coverage) == [("01 06:00", "01 12:10", "not published yet")]


async def test_inverse_contract_of_today_offers_the_newest_whole_window(setup: Setup):
    holdings = await setup.collect("2023-08-02T18:00", "2023-08-03T06:00", symbol=COIN)
    assert reasons(holdings.coverage) == [("03 00:00", "03 06:00", "not published yet")]
    assert holdings.coverage.whole_end == datetime(2023, 8, 3, tzinfo=UTC)
    assert PAGES not in setup.server.requests


async def test_recorded_trades_that_are_damaged_are_a_gap_that_says_so(setup: Setup):
    setup.record("2023-08-03T06:00", "2023-08-03T07:00")
    setup.record("2023-08-03T07:00", "2023-08-03T08:00")
    damaged = segment_path(
        setup.root, Exchange.BYBIT, "BTCUSDT", window("2023-08-03T07:00", "2023-08-03T08:00")
    )
    os.truncate(damaged / "bars.arrow", 10)
    holdings = await setup.collect("2023-08-03T06:00", "2023-08-03T08:00", exchange=Exchange.BYBIT)
    assert reasons(holdings.coverage) == [("03 07:00", "03 08:00", "the stored trades are damaged")]


async def test_file_that_the_disk_does_not_give_is_a_gap_for_what_it_may_hold_alone(setup: Setup):
    six, seven, eight = (f"2023-08-03T0{hour}:00" for hour in (6, 7, 8))
    setup.record(six, eight, symbol="ETHUSDT")
    setup.record(six, seven)
    with closing(Journal(setup.root, Exchange.BYBIT)) as journal:
        setup.record(seven, eight, journal=journal)
    (file,) = bundle_files(setup.root)
    with broken_disk(file, from_byte=0):
        found = await setup.collect(six, eight, exchange=Exchange.BYBIT)
        other = await setup.collect(six, eight, exchange=Exchange.BYBIT, symbol="ETHUSDT")
    reason = "the disk cannot read some of the stored trades"
    assert reasons(found.coverage) == [("03 07:00", "03 08:00", reason)]
    assert reasons(other.coverage) == []
    assert reasons((await setup.collect(six, eight, exchange=Exchange.BYBIT)).coverage) == []


async def test_damaged_hours_that_the_exchange_still_has_are_fetched_again(setup: Setup):
    before = await setup.collect("2023-08-03T06:00", "2023-08-03T08:00")
    os.truncate(before.parts[0].segment.path / "buy.arrow", 10)
    after = await setup.collect("2023-08-03T06:00", "2023-08-03T08:00")
    assert after.coverage.fraction == 1
    assert np.array_equal(held(after.parts), traded(MARKET, "BTCUSDT", after.coverage.window))


async def test_unreadable_store_is_reported_and_not_fetched_again(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
):
    await setup.collect("2023-07-31", "2023-08-01")
    requests = sum(setup.server.requests.values())

    def broken(_: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(UnreadableStore, match="Input/output error"):
        await setup.collect("2023-07-31", "2023-08-01")
    assert sum(setup.server.requests.values()) == requests
