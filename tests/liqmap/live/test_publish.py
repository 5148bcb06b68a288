from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from liqmap.collect.collector import Collector
from liqmap.collect.holdings import Holdings
from liqmap.live.publish import EVERY, RecordedHours
from liqmap.model import Exchange, GapKind, Market
from liqmap.model.window import HOUR, TimeWindow
from liqmap.simulator import MarketServer, SimulatedClock
from liqmap.store.shared import SharedStore
from tests.liqmap.market_time import until
from tests.liqmap.recording import Recording, market, recording
from tests.liqmap.supplies import supplies

BYBIT = Exchange.BYBIT  # its newest trades cannot be had in another way
BTCUSDT = Market(BYBIT, "BTCUSDT")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
WITHIN = timedelta(minutes=5)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return str(tmp_path / "shared")
    url: str = request.getfixturevalue("s3_url")
    return url.replace("PREFIX", tmp_path.name)


class There:
    """A machine that records nothing and reaches the shared store."""

    def __init__(self, collector: Collector, recording: Recording) -> None:
        self.collector = collector
        self.recording = recording

    async def collect(self, window: TimeWindow) -> Holdings:
        """Return what a map of `window` would be drawn from."""
        return await self.collector.collect(BYBIT, "BTCUSDT", window=window, progress=lambda _: None)


@asynccontextmanager
async def elsewhere(
    folder: Path, url: str, server: MarketServer, clock: SimulatedClock, one: Recording
) -> AsyncIterator[There]:
    async with supplies(folder, server, clock) as by:
        collector = Collector(
            store=by.store,
            days=by.days,
            recent=by.recent,
            clock=clock,
            longest_fill=timedelta(0),
            shared=SharedStore(url),
        )
        yield There(collector, Recording(one.recorder, server, by.store, clock))


@asynccontextmanager
async def published(folder: Path, url: str) -> AsyncIterator[tuple[Recording, RecordedHours]]:
    """Record Bybit's BTCUSDT on one machine, and publish what is recorded."""
    async with market() as (server, clock), recording(folder, server, clock, "bybit:BTCUSDT") as one:
        await one.until_subscribed(BYBIT)
        yield one, RecordedHours(SharedStore(url), one.store, clock=clock)


def packs(url: str) -> list[str]:
    """Return the names of the packs in a shared folder."""
    return sorted(path.name for path in Path(url).glob("recorded/**/*.tar"))


async def test_what_one_machine_records_is_on_another_within_five_minutes(tmp_path: Path, url: str):
    async with published(tmp_path / "one", url) as (one, hours):
        publishing = asyncio.create_task(hours.keep_published(one.recorder))
        begun = one.clock.now().replace(second=0, microsecond=0) + MINUTE
        async with elsewhere(tmp_path / "other", url, one.server, one.clock, one) as there:
            for _ in range(6):
                # Just before the next time, when what is there is as old as it gets.
                await one.live((EVERY - SECOND).total_seconds())
                settled = one.clock.now().replace(microsecond=0) - WITHIN
                if settled > begun:
                    holdings = await there.collect(TimeWindow(begun, settled))
                    assert holdings.coverage.fraction == 1
                await one.live(SECOND.total_seconds())
                # A thread publishes, and it takes no time of this clock.
                await until(lambda: one.clock.now() + EVERY in one.clock.alarms)
            assert there.recording.exact(BYBIT)
        publishing.cancel()


async def test_map_on_another_machine_says_that_the_newest_minutes_are_still_to_come(
    tmp_path: Path, url: str
):
    async with published(tmp_path / "one", url) as (one, hours):
        await one.live(5 * 60)
        await hours.publish([BTCUSDT])
        async with elsewhere(tmp_path / "other", url, one.server, one.clock, one) as there:
            await one.clock.advance(150)
            end = one.clock.now().replace(second=0, microsecond=0)
            coverage = (await there.collect(TimeWindow.ending(end, 4 * MINUTE))).coverage
            assert [gap.kind for gap in coverage.missing] == [GapKind.NOT_STORED_YET]
            assert coverage.missing[0].window.end == end
            await one.clock.advance(600)
            end = one.clock.now().replace(second=0, microsecond=0)
            coverage = (await there.collect(TimeWindow.ending(end, 16 * MINUTE))).coverage
            assert [gap.kind for gap in coverage.missing] == [GapKind.RECORDING_INTERRUPTED]


async def test_bot_beside_a_recorder_has_what_it_records_without_a_shared_store(tmp_path: Path):
    async with published(tmp_path, str(tmp_path / "unused")) as (one, _):
        await one.live(210)
        await one.until_stored(BYBIT, "12:00:00")
        async with supplies(tmp_path, one.server, one.clock) as by:
            bot = Collector(
                store=by.store,
                days=by.days,
                recent=by.recent,
                clock=one.clock,
                longest_fill=timedelta(0),
                is_recorded=one.recorder.is_recorded,
            )
            end = one.clock.now().replace(second=0, microsecond=0) - MINUTE  # the last one may be open
            held = await bot.collect(
                BYBIT, "BTCUSDT", window=TimeWindow.ending(end, MINUTE), progress=lambda _: None
            )
            assert held.coverage.fraction == 1


async def test_hour_that_grows_leaves_two_packs_and_one_at_last(tmp_path: Path):
    url = str(tmp_path / "shared")
    async with published(tmp_path / "one", url) as (one, hours):
        for count in (1, 2, 2):
            await one.live(60)
            await hours.publish([BTCUSDT])
            assert len([name for name in packs(url) if name.startswith("12-")]) <= count
        # What no longer changes is looked at no more.
        await one.clock.advance(3 * HOUR.total_seconds())
        await hours.publish([BTCUSDT])
        await one.clock.advance(60)
        await hours.publish([])
        assert len(packs(url)) == len({name.partition("-")[0] for name in packs(url)})


@pytest.mark.parametrize("content", [b"", b"no pack at all", b"\0" * 2048])
async def test_damaged_pack_is_passed_over_for_the_one_before_it(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    url = str(tmp_path / "shared")
    async with published(tmp_path / "one", url) as (one, hours):
        await one.live(30)
        for end in ("11:58:00", "11:59:00"):
            await one.live(60)
            await one.until_stored(BYBIT, end)
            await hours.publish([BTCUSDT])
        newest = max(Path(url).glob("recorded/**/*.tar"), key=lambda path: path.stat().st_mtime_ns)
        newest.write_bytes(content)
        async with elsewhere(tmp_path / "other", url, one.server, one.clock, one) as there:
            now = one.clock.now().replace(second=0, microsecond=0)
            holdings = await there.collect(TimeWindow.ending(now, 10 * MINUTE))
            assert holdings.parts
            assert there.recording.exact(BYBIT)
            assert "damaged and is not used" in caplog.text


async def test_nothing_is_published_again_that_has_not_changed(tmp_path: Path):
    url = str(tmp_path / "shared")
    async with published(tmp_path / "one", url) as (one, hours):
        await one.live(150)
        await one.until_stored(BYBIT, "11:59:00")
        await hours.publish([BTCUSDT])
        first = {path: path.stat().st_mtime_ns for path in Path(url).glob("recorded/**/*.tar")}
        await hours.publish([BTCUSDT])
        await RecordedHours(SharedStore(url), one.store, clock=one.clock).publish([BTCUSDT])
        assert {path: path.stat().st_mtime_ns for path in Path(url).glob("recorded/**/*.tar")} == first
        assert first
