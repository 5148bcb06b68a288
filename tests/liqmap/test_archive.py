from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from liqmap.archive import ABSENT_FOR, Archive, Holdings
from liqmap.errors import DataError, NotPublished
from liqmap.model import Exchange, Progress, TimeWindow
from liqmap.pool import WorkerPool
from liqmap.segments import segment_paths
from liqmap.settings import DownloadSettings, Settings, StorageSettings
from liqmap.simulator import Fault, Market, MarketServer
from liqmap.store import Store

NOW = datetime(2023, 8, 3, 12, 0, 30, tzinfo=UTC)
ZIP = "/binance/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-{}.zip"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


class Setup:
    """An archive over a simulated market, and all that a test may want to touch."""

    def __init__(self, archive: Archive, server: MarketServer, root: Path, clock: Clock) -> None:
        self.archive = archive
        self.server = server
        self.root = root
        self.clock = clock
        self.news: list[Progress] = []

    async def collect(
        self, first: str, last: str, *, symbol: str = "BTCUSDT", exchange: Exchange = Exchange.BINANCE
    ) -> Holdings:
        start, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))
        return await self.archive.collect(
            exchange, symbol, window=TimeWindow(start, end), progress=self.news.append
        )

    def left_behind(self) -> list[Path]:
        return list((self.root / "incoming").iterdir())


@asynccontextmanager
async def running(root: Path):
    settings = Settings(
        storage=StorageSettings(path=root),
        download=DownloadSettings(attempts=2, retry_wait=0, retry_wait_max=0),
    )
    clock = Clock()
    async with MarketServer(Market(scale=0.002), published_until=date(2023, 8, 2)) as server:
        settings = server.redirect(settings)
        store = Store(settings.storage.path, max_size=settings.storage.max_size)
        store.open(now=clock.now)
        with ThreadPoolExecutor(2) as executor:
            async with (
                WorkerPool(workers=2, timeout=60, executor=executor) as pool,
                aiohttp.ClientSession() as session,
            ):
                archive = Archive(settings, store=store, session=session, run=pool.run, now=clock)
                yield Setup(archive, server, store.root, clock)
                await archive.close()


@pytest.fixture
async def setup(tmp_path: Path):
    async with running(tmp_path) as made:
        yield made


@pytest.mark.parametrize("exchange", Exchange)
async def test_days_are_fetched_once_and_come_back_oldest_first(setup: Setup, exchange: Exchange):
    holdings = await setup.collect("2023-07-31T22:00", "2023-08-02T03:00", exchange=exchange)
    assert [segment.origin.window.start.day for segment in holdings.segments] == [31, 1, 2]
    assert holdings.coverage.fraction == 1
    assert holdings.coverage.covered == (holdings.coverage.window,)
    assert holdings.coverage.simulated
    asked = sum(setup.server.requests.values())
    again = await setup.collect("2023-07-31T22:00", "2023-08-02T03:00", exchange=exchange)
    assert again.segments == holdings.segments
    assert sum(setup.server.requests.values()) == asked
    assert setup.left_behind() == []


async def test_requests_for_the_same_day_share_its_download(setup: Setup):
    holdings = await asyncio.gather(*(setup.collect("2023-08-01", "2023-08-02") for _ in range(5)))
    assert len({each.segments for each in holdings}) == 1
    assert setup.server.requests[ZIP.format("2023-08-01")] == 1


async def test_requester_who_gives_up_does_not_take_the_day_from_others(setup: Setup):
    first = asyncio.create_task(setup.collect("2023-08-01", "2023-08-02"))
    second = asyncio.create_task(setup.collect("2023-08-01", "2023-08-02"))
    while not setup.archive._fetches:
        await asyncio.sleep(0)
    first.cancel()
    assert (await second).coverage.fraction == 1
    assert setup.server.requests[ZIP.format("2023-08-01")] == 1


async def test_progress_counts_days_and_never_goes_back(setup: Setup):
    await setup.collect("2023-07-31", "2023-08-03")
    assert setup.news[-1].text == "Fetching 3 of 3 days of BTCUSDT from Binance"
    fractions = [each.fraction or 0.0 for each in setup.news]
    assert fractions == sorted(fractions)
    assert 0.5 < fractions[-1] <= 1


async def test_day_not_published_yet_is_a_gap_with_its_reason(setup: Setup):
    holdings = await setup.collect("2023-08-02T18:00", "2023-08-03T06:00")
    (gap,) = holdings.coverage.missing
    assert gap.reason == "not published yet"
    assert (gap.window.start, gap.window.end) == (
        datetime(2023, 8, 3, tzinfo=UTC),
        datetime(2023, 8, 3, 6, tzinfo=UTC),
    )
    assert holdings.coverage.fraction == 0.5


async def test_absent_day_is_asked_for_again_only_after_a_while(setup: Setup):
    for _ in range(3):
        await setup.collect("2023-08-02T18:00", "2023-08-03T06:00")
    assert setup.server.requests[ZIP.format("2023-08-03") + ".CHECKSUM"] == 1
    setup.clock.now += ABSENT_FOR + timedelta(seconds=1)
    await setup.collect("2023-08-02T18:00", "2023-08-03T06:00")
    assert setup.server.requests[ZIP.format("2023-08-03") + ".CHECKSUM"] == 2


async def test_nothing_published_yet_says_until_when_there_is_something(setup: Setup):
    with pytest.raises(
        NotPublished, match="ask for a window that ends by 2023-08-03 00:00, or check the symbol"
    ):
        await setup.collect("2023-08-03T00:00", "2023-08-03T06:00")


async def test_unknown_symbol_of_long_ago_is_a_sentence(setup: Setup):
    with pytest.raises(
        NotPublished, match=r"^Binance USD-M has published no NOPEUSDT trades of 2023-01-01\.$"
    ):
        await setup.collect("2023-01-01", "2023-01-02", symbol="NOPEUSDT")


async def test_day_that_cannot_be_fetched_is_a_gap_beside_others(setup: Setup):
    setup.server.plan("08-01.zip$", Fault.UNAVAILABLE, times=100)
    holdings = await setup.collect("2023-07-31", "2023-08-03")
    (gap,) = holdings.coverage.missing
    assert gap.reason == "could not be fetched"
    assert [window.start.day for window in holdings.coverage.covered] == [31, 2]
    assert setup.left_behind() == []


@pytest.mark.parametrize(
    ("fault", "exchange", "sentence"),
    [
        (Fault.UNAVAILABLE, Exchange.BINANCE, r"is busy \(HTTP 503\); try again"),
        (Fault.CUT, Exchange.BINANCE, "try again|check the network"),
        (Fault.TRUNCATE, Exchange.BYBIT, "broke off a download"),
        (Fault.CORRUPT, Exchange.BINANCE, "with a wrong checksum"),
        (Fault.CORRUPT, Exchange.BYBIT, r"BTCUSDT2023-08-01\.csv\.gz is not"),
        (Fault.HTML, Exchange.BYBIT, r"BTCUSDT2023-08-01\.csv\.gz is not a sound gzip file"),
        (Fault.FORBIDDEN, Exchange.BYBIT, r"refuses this network \(HTTP 403\)"),
        (Fault.BANNED, Exchange.BINANCE, "is limiting requests; try again in 60 min"),
    ],
)
async def test_day_that_cannot_be_had_is_a_sentence_and_leaves_nothing(
    setup: Setup, fault: Fault, exchange: Exchange, sentence: str
):
    setup.server.plan("2023-08-01.(zip|csv.gz)$", fault, times=100)
    with pytest.raises(DataError, match=sentence):
        await setup.collect("2023-08-01", "2023-08-02", exchange=exchange)
    assert setup.left_behind() == []
    assert list(segment_paths(setup.root)) == []


async def test_empty_day_is_stored_as_a_day_without_trades(setup: Setup):
    setup.server.plan("2023-08-01", Fault.EMPTY)
    holdings = await setup.collect("2023-08-01", "2023-08-02", exchange=Exchange.BYBIT)
    assert [(segment.buys, segment.sells) for segment in holdings.segments] == [(0, 0)]


async def test_damaged_day_is_fetched_again(setup: Setup):
    holdings = await setup.collect("2023-08-01", "2023-08-02")
    (holdings.segments[0].path / "bars.arrow").write_bytes(b"")
    repaired = await setup.collect("2023-08-01", "2023-08-02")
    assert repaired.segments == holdings.segments
    assert setup.server.requests[ZIP.format("2023-08-01")] == 2


async def test_close_stops_downloads_and_leaves_nothing(setup: Setup):
    setup.server.plan("zip$", Fault.STALL)
    task = asyncio.create_task(setup.collect("2023-08-01", "2023-08-02"))
    while not any(path.suffix == ".part" for path in setup.left_behind()):
        await asyncio.sleep(0)
    await setup.archive.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert setup.left_behind() == []


async def test_store_stays_below_its_size(tmp_path: Path):
    async with running(tmp_path) as setup:
        await setup.collect("2023-07-29", "2023-08-01")
        setup.archive._store._max_size = 1
        setup.clock.now = datetime.now(UTC) + timedelta(hours=1)  # what was fetched is in use no more
        await setup.collect("2023-08-01", "2023-08-02")
        assert list(segment_paths(setup.root)) == []


async def test_two_archives_share_one_store(tmp_path: Path):
    async with running(tmp_path) as one, running(tmp_path) as other:
        first, second = await asyncio.gather(
            one.collect("2023-08-01", "2023-08-03"), other.collect("2023-08-01", "2023-08-03")
        )
        assert [segment.path for segment in first.segments] == [segment.path for segment in second.segments]
        assert len(list(segment_paths(one.root))) == 2
        assert one.left_behind() == []
