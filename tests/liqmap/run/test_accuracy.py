from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from liqmap.errors import DataError, NotPublished, RequestError, SettingsError, UnreadableStore
from liqmap.exchanges.messages import Liquidation
from liqmap.exchanges.rows import no_trades
from liqmap.ledger.buckets import COUNT
from liqmap.ledger.file import BrokenLedger, read_ledger, verify_ledger
from liqmap.ledger.lines import LedgerOrigin, State, windows_of
from liqmap.ledger.score import Feed, Standing, Travelled
from liqmap.model import Exchange, Market, Progress, Side
from liqmap.model.window import TimeWindow
from liqmap.run import accuracy as accuracy_module
from liqmap.run.accuracy import Accuracy, at_traded_prices
from liqmap.run.accuracy_report import ReportJob, earlier_ledgers, run_report_job
from liqmap.run.backtest import CANDIDATES, Backtest
from liqmap.run.engine import Engine
from liqmap.run.gathering import Sources
from liqmap.run.realised import Reported
from liqmap.run.terms import ledger_path
from liqmap.settings import LedgerSettings, Settings, StorageSettings
from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.bars import Bars
from liqmap.store.feeds import feed_path
from liqmap.store.segments import VIA_STREAM, Origin, segment_path, segment_paths
from liqmap.store.writer import write_segment
from tests.liqmap.market_time import until

PERP = Market(Exchange.BINANCE, "BTCUSD_PERP")
END = datetime(2023, 8, 2, 8, tzinfo=UTC)
NOW = datetime(2023, 8, 20, tzinfo=UTC)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    settings = Settings(storage=StorageSettings(path=tmp_path))
    market = SimulatedMarket(scale=0.1)
    with ThreadPoolExecutor(2) as threads:
        async with (
            MarketServer(market, clock=SimulatedClock(NOW), pump_every=None) as server,
            Engine(server.redirect(settings), executor=threads, clock=SimulatedClock(NOW)) as engine,
        ):
            yield engine


async def test_a_map_is_sealed_once_scored_once_and_watched(engine: Engine):
    accuracy, path = engine.accuracy, engine.accuracy.path
    seal = await accuracy.seal(PERP, END, path=path)
    assert (await accuracy.seal(PERP, END, path=path)).digest == seal.digest
    assert (seal.simulated, seal.coverage, len(seal.marked)) == (True, 1.0, 10)
    assert seal.density.sum() == pytest.approx(1)
    assert 0.003 < seal.sigma < 0.04
    (outcome,) = await accuracy.score(path)
    assert (outcome.seal, outcome.feed, outcome.complete) == (seal.digest, 1.0, False)
    assert outcome.state in {State.FEW, State.WARMING}
    assert outcome.low < seal.price < outcome.high
    assert outcome.margin_gap == pytest.approx(0.004, rel=0.01)
    assert await accuracy.score(path) == []
    assert [line["kind"] for line in verify_ledger(path).lines] == ["begin", "seal", "outcome"]
    path.write_bytes(path.read_bytes().replace(b'"events":', b'"events":1', 1))
    with pytest.raises(BrokenLedger, match=r"Line 3 of .*\.jsonl is not as it was written"):
        await accuracy.score(path)


async def test_outcome_is_what_the_market_liquidated(engine: Engine):
    accuracy = engine.accuracy
    await accuracy.seal(PERP, END, path=accuracy.path)
    (outcome,) = await accuracy.score(accuracy.path)
    made = SimulatedMarket(scale=0.1).liquidations("BTCUSD_PERP", END.date()).latest_a_second()
    start = int(END.timestamp() * 1000)
    inside = made.between(start, start + 8 * 3_600_000)
    assert outcome.usd is not None
    assert outcome.usd.sum() + outcome.outside == pytest.approx(inside.size.sum())


async def test_a_day_whose_liquidations_are_not_published_is_void(engine: Engine):
    end = datetime(2023, 6, 24, 8, tzinfo=UTC)
    await engine.accuracy.seal(PERP, end, path=engine.accuracy.path)
    (outcome,) = await engine.accuracy.score(engine.accuracy.path)
    assert (outcome.state, outcome.feed, outcome.usd) == (State.VOID, 0.0, None)


async def test_maps_are_sealed_at_three_times_a_day_only(engine: Engine):
    with pytest.raises(RequestError, match="00:00, 08:00 and 16:00 UTC"):
        await engine.accuracy.seal(PERP, END + timedelta(hours=1), path=engine.accuracy.path)


async def test_a_back_test_chooses_on_the_first_half_and_goes_on_where_it_was(engine: Engine, tmp_path: Path):
    path, heard = tmp_path / "past.jsonl", list[Progress]()
    window = TimeWindow(datetime(2023, 8, 1, tzinfo=UTC), datetime(2023, 8, 3, tzinfo=UTC))

    async def run() -> LedgerSettings:
        backtest = Backtest(engine.accuracy, PERP, window, clock=SimulatedClock(NOW), progress=heard.append)
        return (await backtest.run(path)).ledger

    assert await run() == CANDIDATES[0]  # nothing is scored of so few days
    content = verify_ledger(path)
    windows = windows_of(content.lines)
    assert [each.seal.time.day for each in windows] == [2, 2, 2]
    assert all(each.outcome is not None for each in windows)
    assert content.lines[0]["origin"] == LedgerOrigin.BACKTEST
    assert len([*tmp_path.glob("past.first-*.jsonl")]) == len(CANDIDATES)
    assert heard[-1].fraction == 1
    assert await run() == CANDIDATES[0]
    assert verify_ledger(path).last_hash == content.last_hash
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    await run()
    again = windows_of(verify_ledger(path).lines)
    assert [each.seal.time for each in again] == [each.seal.time for each in windows]


class Invented(Accuracy):
    """Knows at once what stands and what came."""

    simulated = False
    trouble: DataError | None = None
    feed = Feed(1.0, complete=True, read=tuple)
    travelled = Travelled(99.0, 101.0, 1.0)

    async def standing(self, *_: Any, **__: Any) -> Standing:
        return Standing(np.ones(COUNT), 100.0, 0.01, coverage=1.0, simulated=self.simulated)

    async def came(self, *_: Any, **__: Any) -> tuple[Feed, Travelled]:
        if self.trouble is not None:
            raise self.trouble
        return self.feed, self.travelled


def test_bankruptcy_prices_are_replaced_by_those_that_were_traded():
    ones = np.ones(3, np.uint32)
    price = np.array([100.0, 101.0, 102.0])
    bars = Bars(np.array([1000, 2000, 4000]), price, price, price, ones, ones)
    reported = [Liquidation("BTCUSDT", time, Side.BUY, 99.0, 1.0) for time in (2999, 3500, 500)]
    assert [each.price for each in at_traded_prices(reported, [bars])] == [101.0, 101.0, 100.0]
    assert at_traded_prices(reported, []) == reported


BYBIT = Market(Exchange.BYBIT, "BTCUSDT")


def invented(root: Path, clock: SimulatedClock, off: timedelta | None = None, **ledger: Any) -> Invented:
    settings = Settings(storage=StorageSettings(path=root), ledger=LedgerSettings(**ledger))
    nothing = cast(Any, None)
    return Invented(
        settings,
        Sources(nothing, nothing, nothing, nothing, clock),
        run=nothing,
        is_recorded=lambda exchange, symbol: (exchange, symbol) == (Exchange.BYBIT, "BTCUSDT"),
        machine_off=lambda _: off,
    )


async def test_real_trades_are_sealed_within_half_an_hour_or_not_at_all(tmp_path: Path):
    clock = SimulatedClock(END + timedelta(minutes=31))
    accuracy = invented(tmp_path, clock)
    with pytest.raises(RequestError, match="partly known already"):
        await accuracy.seal(BYBIT, END, path=accuracy.path)
    with pytest.raises(RequestError, match="partly known already"):
        await accuracy.seal(BYBIT, END + timedelta(hours=8), path=accuracy.path)
    assert not accuracy.path.exists()
    soon = invented(tmp_path, SimulatedClock(END + timedelta(minutes=30)))
    assert (await soon.seal(BYBIT, END, path=soon.path)).written == END + timedelta(minutes=30)


async def test_a_clock_that_was_set_back_seals_nothing_whose_outcome_is_known(tmp_path: Path):
    day = timedelta(days=1)
    back = invented(tmp_path, SimulatedClock(END), off=-day)
    with pytest.raises(RequestError, match="partly known already"):
        await back.seal(BYBIT, END, path=back.path)
    assert not back.path.exists()
    # What was sealed bears the exchange's time, whatever this machine's clock shows.
    seal = await back.seal(BYBIT, END + day, path=back.path)
    assert seal.written == END + day
    # Where the exchange's time is not known, the ledger's own lines show that the clock was set back.
    unknown = invented(tmp_path, SimulatedClock(END))
    with pytest.raises(RequestError, match="clock shows 2023-08-02 08:00 UTC, but the ledger"):
        await unknown.seal(BYBIT, END, path=back.path)
    assert len(read_ledger(back.path).lines) == 2


async def test_a_ledger_of_other_settings_is_named_by_the_report_of_these(tmp_path: Path):
    old, new = (
        invented(tmp_path, SimulatedClock(END), selection=each) for each in ("top_n 50", "portion 1%")
    )
    await old.seal(BYBIT, END, path=old.path)
    said = "Being measured since 2023-08-02: 0 of 90 days. No verdict yet."
    for _ in range(2):  # before anything is sealed, and after
        found = run_report_job(ReportJob(new.path, earlier=earlier_ledgers(new.path)))
        assert found.earlier == ((old.path.stem, said),)
        await new.seal(BYBIT, END, path=new.path)
    old.path.write_bytes(old.path.read_bytes().replace(b"seal", b"sea1", 1))
    found = run_report_job(ReportJob(new.path, "BTCUSDT", earlier_ledgers(new.path)))
    assert "is not as it was written" in found.earlier[0][1]


def test_a_folder_of_ledgers_that_cannot_be_listed_does_not_pass_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fails(_: Path) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "listdir", fails)
    monkeypatch.setattr(os, "scandir", fails)
    with pytest.raises(UnreadableStore, match="Input/output error"):
        earlier_ledgers(tmp_path / "new.jsonl")


async def test_another_setting_begins_another_ledger_and_refuses_this_one(tmp_path: Path):
    clock = SimulatedClock(END)
    accuracy, other = invented(tmp_path, clock), invented(tmp_path, clock, selection="top_n 100")
    await accuracy.seal(BYBIT, END, path=accuracy.path)
    assert other.path != accuracy.path
    with pytest.raises(RequestError, match="begun with other settings; name another file"):
        await other.seal(BYBIT, END, path=accuracy.path)
    accuracy.simulated = True
    with pytest.raises(RequestError, match="begun with other data"):
        await accuracy.seal(BYBIT, END, path=accuracy.path)


def stored(root: Path, end: datetime, *, exchange: Exchange = Exchange.BYBIT) -> None:
    """Put the minute into the store that ends a minute before `end`."""
    window = TimeWindow.ending(end - timedelta(minutes=1), timedelta(minutes=1))
    origin = Origin(exchange, "BTCUSDT", window, "wss://", "", via=(VIA_STREAM,))
    path = segment_path(root, exchange, "BTCUSDT", window)
    write_segment(path, origin, no_trades(), incoming=root / "incoming")


async def test_a_recording_that_has_only_just_begun_is_not_sealed(tmp_path: Path):
    accuracy = invented(tmp_path, SimulatedClock(END))
    stored(tmp_path, END - timedelta(minutes=1))
    stored(tmp_path, END, exchange=Exchange.BINANCE)  # which is not recorded any more
    await accuracy.seal_recorded(END)
    assert not accuracy.path.exists()
    stored(tmp_path, END)
    await accuracy.seal_recorded(END)
    assert len(read_ledger(accuracy.path).lines) == 2


async def test_recorded_markets_are_sealed_and_scored_by_the_clock(tmp_path: Path):
    clock = SimulatedClock(END - timedelta(minutes=5))
    accuracy = invented(tmp_path, clock)
    for end in (END, END + timedelta(hours=8)):
        stored(tmp_path, end)
    path = accuracy.path
    running = asyncio.create_task(accuracy.run())

    async def kinds(count: int) -> list[str]:
        await until(lambda: len(read_ledger(path).lines) == count)
        return [line["kind"] for line in read_ledger(path).lines]

    await until(lambda: bool(clock.alarms))
    assert read_ledger(path).lines == []  # the last boundary is long over
    await clock.advance(300)
    assert await kinds(2) == ["begin", "seal"]
    for _ in range(49):  # it looks at the clock every ten minutes
        await until(lambda: bool(clock.alarms))
        await clock.advance(600)
    assert await kinds(4) == ["begin", "seal", "seal", "outcome"]
    running.cancel()
    seals = [each.seal for each in windows_of(read_ledger(path).lines)]
    assert [(each.market, each.time) for each in seals] == [(BYBIT, END), (BYBIT, END + timedelta(hours=8))]


async def test_unavailable_trades_are_waited_for_two_days(tmp_path: Path):
    clock = SimulatedClock(END)
    accuracy = invented(tmp_path, clock)
    await accuracy.seal(BYBIT, END, path=accuracy.path)
    await clock.advance(9 * 3600)
    accuracy.trouble = NotPublished("Bybit has published no BTCUSDT trades.")
    assert await accuracy.score(accuracy.path) == []
    accuracy.trouble = None
    accuracy.travelled = Travelled(99.0, 101.0, 0.5)
    assert await accuracy.score(accuracy.path) == []
    await clock.advance(2 * 86_400)
    (outcome,) = await accuracy.score(accuracy.path)
    assert outcome.state is State.VOID


@pytest.mark.parametrize(
    "ledger",
    [
        {"markets": ["BTCUSD_PERP"]},
        {"markets": ["nowhere:BTCUSDT"]},
        {"window": "soon"},
        {"selection": "all"},
    ],
)
def test_wrong_settings_are_named_at_the_start(tmp_path: Path, ledger: dict[str, Any]):
    with pytest.raises(SettingsError, match="Setting ledger"):
        invented(tmp_path, SimulatedClock(END), **ledger).check_settings()


def test_default_settings_are_right(tmp_path: Path):
    invented(tmp_path, SimulatedClock(END)).check_settings()


def test_a_prior_ledger_is_part_of_the_settings(tmp_path: Path):
    prior = str(tmp_path / "prior.jsonl")
    alone, informed = (ledger_path(tmp_path, LedgerSettings(prior=each)) for each in ("", prior))
    assert alone != informed


async def test_liquidations_of_a_day_are_fetched_once(engine: Engine, tmp_path: Path):
    root = tmp_path / "simulated"
    for _ in range(2):
        await engine.accuracy.came(PERP, TimeWindow(END, END + timedelta(hours=8)), price=1.0)
    path = feed_path(root, PERP.exchange, PERP.symbol, date(2023, 8, 2))
    assert path.read_text().splitlines()[-1] == "1690934400000,1691020800000"


@pytest.mark.parametrize("name", ["run_standing_job", "_extremes", "_write_outcome"])
async def test_a_segment_that_is_gone_once_it_is_read_changes_no_line(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    plain = getattr(accuracy_module, name)

    def gone(*arguments: Any) -> Any:
        monkeypatch.setattr(accuracy_module, name, plain)
        for path in segment_paths(engine.settings.storage.path):
            shutil.rmtree(path)
        return plain(*arguments)

    # As of an exchange that reports bankruptcy prices, in whose place come traded ones.
    monkeypatch.setattr(accuracy_module, "reported_as", lambda *_: Reported(complete=True, at_fills=False))
    lines = []
    for folder in ("untouched", "gone"):
        if folder == "gone":
            monkeypatch.setattr(accuracy_module, name, gone)
        path = tmp_path / folder / "ledger.jsonl"
        await engine.accuracy.seal(PERP, END, path=path)
        (outcome,) = await engine.accuracy.score(path)
        lines.append((outcome.feed, outcome.state, outcome.events, outcome.low, outcome.high))
    assert lines[0] == lines[1]
    assert lines[0][0] == 1.0
