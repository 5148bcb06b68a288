from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.collect.day import Day
from liqmap.collect.days import ABSENT_FOR, VERIFIED_AGAIN, DayFiles
from liqmap.errors import DataError, JobFailed, NotPublished
from liqmap.exchanges import EXCHANGES
from liqmap.model import Exchange
from liqmap.simulator import Fault, MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.reading import read_table
from liqmap.store.segments import Segment, segment_paths
from liqmap.store.writer import restate_origin
from tests.liqmap.market_time import until
from tests.liqmap.supplies import supplies

NOW = datetime(2023, 8, 3, 12, 0, 30, tzinfo=UTC)
AUGUST = date(2023, 8, 1)
ZIP = "/binance/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-{}.zip"


class Setup:
    """Day files of a simulated market, and all that a test may want to touch."""

    def __init__(self, days: DayFiles, server: MarketServer, root: Path, clock: SimulatedClock) -> None:
        self.days = days
        self.server = server
        self.root = root
        self.clock = clock
        self.news: list[float] = []

    async def obtain(
        self, day: date = AUGUST, *, symbol: str = "BTCUSDT", exchange: Exchange = Exchange.BINANCE
    ) -> Segment | DataError:
        return await self.days.obtain(Day(exchange, symbol, day), self.news.append)

    def left_behind(self) -> list[Path]:
        return list((self.root / "incoming").iterdir())


@asynccontextmanager
async def running(root: Path):
    clock = SimulatedClock(NOW)
    async with (
        MarketServer(SimulatedMarket(scale=0.002), clock=clock, pump_every=None) as server,
        supplies(root, server, clock) as by,
    ):
        yield Setup(by.days, server, by.store.root, clock)


@pytest.fixture
async def setup(tmp_path: Path):
    async with running(tmp_path) as made:
        yield made


@pytest.mark.parametrize("exchange", Exchange)
async def test_day_is_fetched_once_and_found_in_the_store_then(setup: Setup, exchange: Exchange):
    segment = await setup.obtain(exchange=exchange)
    assert isinstance(segment, Segment)
    assert segment.origin.window == EXCHANGES[exchange].files.span(AUGUST)
    assert segment.origin.simulated
    requests_before, heard = sum(setup.server.requests.values()), len(setup.news)
    assert await setup.obtain(exchange=exchange) == segment
    assert sum(setup.server.requests.values()) == requests_before
    assert len(setup.news) == heard
    assert setup.left_behind() == []


async def test_requests_for_the_same_day_share_its_download(setup: Setup):
    segments = await asyncio.gather(*(setup.obtain() for _ in range(5)))
    assert all(segment == segments[0] for segment in segments)
    assert setup.server.requests[ZIP.format("2023-08-01")] == 1


async def test_requester_who_gives_up_does_not_take_the_day_from_others(setup: Setup):
    first, second = (asyncio.create_task(setup.obtain()) for _ in range(2))
    await until(lambda: bool(setup.days._fetches))
    first.cancel()
    assert isinstance(await second, Segment)
    assert setup.server.requests[ZIP.format("2023-08-01")] == 1


async def stalled(setup: Setup, count: int) -> list[asyncio.Task[Segment | DataError]]:
    """Fill Binance's slots with downloads that come no further."""
    setup.server.plan("zip$", Fault.STALL, times=count)
    days = [AUGUST - timedelta(days=back) for back in range(1, count + 1)]
    tasks = [asyncio.create_task(setup.obtain(day)) for day in days]
    await until(lambda: len(setup.left_behind()) == count)
    return tasks


async def test_downloads_of_one_exchange_that_stall_keep_no_other_waiting(setup: Setup):
    tasks = await stalled(setup, 4)
    assert isinstance(await setup.obtain(exchange=Exchange.BYBIT), Segment)
    assert not any(task.done() for task in tasks)


async def test_download_that_nobody_waits_for_any_more_is_cancelled(setup: Setup):
    tasks = await stalled(setup, 4)
    late = asyncio.create_task(setup.obtain())
    await until(lambda: len(setup.days._fetches) == 5)
    tasks[0].cancel()
    assert isinstance(await late, Segment)
    assert len(setup.left_behind()) == 3
    again = asyncio.create_task(setup.obtain(AUGUST - timedelta(days=1)))
    assert isinstance(await again, Segment)


async def test_day_is_fetched_again_right_after_the_last_waiting_caller_gave_up(setup: Setup):
    (first,) = await stalled(setup, 1)
    first.cancel()
    await asyncio.sleep(0)  # the download has been cancelled, but has not ended yet
    assert isinstance(await setup.obtain(AUGUST - timedelta(days=1)), Segment)


async def test_progress_never_goes_back(setup: Setup):
    await setup.obtain()
    assert setup.news == sorted(setup.news)
    assert 0.5 < setup.news[-1] <= 1


async def test_absent_day_is_requested_again_only_after_a_while(setup: Setup):
    today, checksum = NOW.date(), ZIP.format("2023-08-03") + ".CHECKSUM"
    for _ in range(3):
        outcome = await setup.obtain(today)
        assert isinstance(outcome, NotPublished)
        assert str(outcome) == "Binance USD-M has published no BTCUSDT trades of 2023-08-03."
    assert setup.server.requests[checksum] == 1
    await setup.clock.advance((ABSENT_FOR + timedelta(seconds=1)).total_seconds())
    await setup.obtain(today)
    assert setup.server.requests[checksum] == 2
    setup.clock._now -= timedelta(hours=6)  # set back
    await setup.obtain(today)
    assert setup.server.requests[checksum] == 3


async def unverified(setup: Setup) -> Segment:
    """Return the segment of a day whose checksum is not published."""
    setup.server.plan("CHECKSUM$", Fault.NOT_FOUND)
    segment = await setup.obtain()
    assert isinstance(segment, Segment)
    assert segment.origin.unverified
    return segment


async def verified(setup: Setup, segment: Segment) -> Segment:
    """Return what the store has of a segment's day after the next look for its checksum."""
    await setup.clock.advance(VERIFIED_AGAIN.total_seconds())
    setup.days.verify_later([segment])
    await asyncio.gather(*setup.days._verifying)
    stored = await setup.obtain()
    assert isinstance(stored, Segment)
    return stored


async def test_day_whose_checksum_is_missing_is_stored_and_verified_once_it_is_there(setup: Setup):
    segment = await unverified(setup)
    stored = await verified(setup, segment)
    assert stored == replace(segment, origin=replace(segment.origin, unverified=False))
    requests_before = sum(setup.server.requests.values())
    assert await verified(setup, stored) == stored
    assert sum(setup.server.requests.values()) == requests_before
    assert setup.left_behind() == []


@pytest.mark.parametrize("fault", [Fault.NOT_FOUND, Fault.UNAVAILABLE, Fault.HTML, Fault.FORBIDDEN])
async def test_day_stays_unverified_while_its_checksum_cannot_be_read(setup: Setup, fault: Fault):
    segment = await unverified(setup)
    setup.server.plan("CHECKSUM$", fault, times=2)
    assert await verified(setup, segment) == segment


async def test_missing_checksum_is_looked_for_once_an_hour(setup: Setup):
    segment, checksum = await unverified(setup), ZIP.format("2023-08-01") + ".CHECKSUM"
    for _ in range(3):
        setup.days.verify_later([segment])
    await setup.clock.advance(VERIFIED_AGAIN.total_seconds() - 1)
    setup.days.verify_later([segment])
    await asyncio.gather(*setup.days._verifying)
    assert setup.server.requests[checksum] == 1
    setup.clock._now -= timedelta(hours=6)  # set back
    setup.days.verify_later([segment])
    assert len(setup.days._verifying) == 1


async def test_day_that_is_not_as_its_checksum_says_is_replaced(setup: Setup):
    segment = await unverified(setup)
    foreign = replace(segment.origin, sha256="ab" * 32)
    restate_origin(segment, foreign, incoming=setup.root / "incoming")
    stored = await verified(setup, replace(segment, origin=foreign))
    assert stored == replace(segment, origin=replace(segment.origin, unverified=False))
    assert setup.server.requests[ZIP.format("2023-08-01")] == 2
    assert setup.left_behind() == []


async def test_day_whose_replacement_is_cut_off_by_the_end_of_a_command_is_fetched_by_the_next(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
):
    segment = await unverified(setup)
    foreign = replace(segment.origin, sha256="ab" * 32)
    restate_origin(segment, foreign, incoming=setup.root / "incoming")
    begun = asyncio.Event()

    async def fetch_for_ever(*_: object, **__: object) -> Segment:
        begun.set()
        return await asyncio.Future()

    with monkeypatch.context() as patched:
        patched.setattr(setup.days, "_fetch_whole", fetch_for_ever)
        await setup.clock.advance(VERIFIED_AGAIN.total_seconds())
        setup.days.verify_later([replace(segment, origin=foreign)])
        await begun.wait()
        await setup.days.close()
    stored = await setup.obtain()
    assert stored == replace(segment, origin=replace(segment.origin, unverified=False))


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.CORRUPT])
async def test_day_whose_replacement_cannot_be_fetched_stays_and_is_known_to_differ(
    setup: Setup, fault: Fault
):
    segment = await unverified(setup)
    foreign = replace(segment.origin, sha256="ab" * 32)
    restate_origin(segment, foreign, incoming=setup.root / "incoming")
    setup.server.plan("zip$", fault, times=2)
    differing = replace(segment, origin=replace(foreign, differs=True))
    assert await verified(setup, replace(segment, origin=foreign)) == differing
    whole = replace(segment, origin=replace(segment.origin, unverified=False))
    assert await verified(setup, differing) == whole


@pytest.mark.parametrize(
    ("fault", "exchange", "sentence"),
    [
        (Fault.UNAVAILABLE, Exchange.BINANCE, r"is busy \(HTTP 503\); try again"),
        (Fault.CUT, Exchange.BINANCE, "try again|check the network"),
        (Fault.TRUNCATE, Exchange.BYBIT, "broke off a download"),
        (Fault.CORRUPT, Exchange.BINANCE, "with a wrong checksum"),
        (Fault.CORRUPT, Exchange.BYBIT, r"BTCUSDT2023-08-01\.csv\.gz is not"),
        (Fault.HTML, Exchange.BYBIT, r"BTCUSDT2023-08-01\.csv\.gz is not a valid gzip file"),
        (Fault.FORBIDDEN, Exchange.BYBIT, r"refuses this network \(HTTP 403\)"),
        (Fault.BANNED, Exchange.BINANCE, "is limiting requests; try again in 60 min"),
    ],
)
async def test_unavailable_day_is_a_sentence_and_leaves_nothing(
    setup: Setup, fault: Fault, exchange: Exchange, sentence: str
):
    setup.server.plan("2023-08-01.(zip|csv.gz)$", fault, times=100)
    outcome = await setup.obtain(exchange=exchange)
    with pytest.raises(DataError, match=sentence):
        raise outcome if isinstance(outcome, DataError) else AssertionError(outcome)
    assert setup.left_behind() == []
    assert list(segment_paths(setup.root)) == []


async def test_day_whose_conversion_fails_is_a_sentence_and_leaves_nothing(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
):
    async def failed(*_: object) -> None:
        raise JobFailed("Drawing took longer than 120 s and was stopped; try a shorter window.")

    with monkeypatch.context() as patched:
        patched.setattr(setup.days._published, "_run", failed)
        outcome = await setup.obtain()
    assert isinstance(outcome, DataError)
    assert str(outcome) == "The BTCUSDT trades of 2023-08-01 could not be read; try again later."
    assert setup.left_behind() == []
    assert isinstance(await setup.obtain(), Segment)


async def test_empty_file_does_not_count_as_a_quiet_day_and_is_fetched_again(setup: Setup):
    setup.server.plan("2023-08-01", Fault.EMPTY)
    outcome = await setup.obtain(exchange=Exchange.BYBIT)
    assert str(outcome) == "The file of BTCUSDT trades of 2023-08-01 is empty; try again later."
    stored = [path.name.partition("-")[0] for path in segment_paths(setup.root)]
    assert stored == ["20230731T000000Z"]  # the day before, whose ids might have shown more
    segment = await setup.obtain(exchange=Exchange.BYBIT)
    assert isinstance(segment, Segment)
    assert segment.buys + segment.sells


async def test_damaged_day_is_fetched_again(setup: Setup):
    segment = await setup.obtain()
    assert isinstance(segment, Segment)
    (segment.path / "bars.arrow").write_bytes(b"")
    assert await setup.obtain() == segment
    assert setup.server.requests[ZIP.format("2023-08-01")] == 2


async def test_close_stops_downloads_and_leaves_nothing(setup: Setup):
    setup.server.plan("zip$", Fault.STALL)
    task = asyncio.create_task(setup.obtain())
    await until(lambda: any(path.suffix == ".part" for path in setup.left_behind()))
    await setup.days.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert setup.left_behind() == []


@pytest.mark.parametrize("exchange", Exchange)
async def test_published_day_is_known_without_fetching_it(setup: Setup, exchange: Exchange):
    assert await setup.days.is_published(Day(exchange, "BTCUSDT", AUGUST))
    assert not await setup.days.is_published(Day(exchange, "BTCUSDT", NOW.date()))
    assert list(segment_paths(setup.root)) == []


async def test_stored_day_is_published_whatever_the_exchange_says(setup: Setup):
    await setup.obtain()
    setup.server.plan("zip$", Fault.NOT_FOUND, times=100)
    assert await setup.days.is_published(Day(Exchange.BINANCE, "BTCUSDT", AUGUST))


async def test_day_of_an_unreachable_exchange_counts_as_not_published(setup: Setup):
    setup.server.plan("zip$", Fault.FORBIDDEN, times=100)
    assert not await setup.days.is_published(Day(Exchange.BINANCE, "BTCUSDT", AUGUST))


async def test_day_of_okx_that_is_only_in_a_file_of_all_swaps_is_that_of_the_symbol(setup: Setup):
    days = [date(2023, 3, 1), date(2023, 3, 2)]
    segments = [await setup.obtain(day, exchange=Exchange.OKX) for day in days]
    every, own = segments
    assert isinstance(every, Segment)
    assert isinstance(own, Segment)
    assert every.origin.source.endswith("/20230301/allswap-trades-2023-03-01.zip")
    assert own.origin.source.endswith("/20230302/BTC-USDT-SWAP-trades-2023-03-02.zip")
    assert await setup.days.is_published(Day(Exchange.OKX, "ETHUSDT", days[0]))
    window = every.origin.window
    traded = [SimulatedMarket(scale=0.002).day("BTCUSDT", day).trades for day in window.days]
    coins = sum(
        float(each.size[(each.time >= window.start_ms) & (each.time < window.end_ms)].sum())
        for each in traded
    )
    stored = sum(float(read_table(every, side)["size"].sum()) for side in ("buy", "sell"))
    assert stored == pytest.approx(coins)
