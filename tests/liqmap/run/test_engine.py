from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from liqmap.compute.scan import ScanRequest
from liqmap.errors import DamagedSegment, EngineBusy, JobFailed, RequestError, UnreadableStore
from liqmap.model import (
    ALL_PICTURES,
    Exchange,
    GapKind,
    GrossValue,
    LeftOutKind,
    LevelFilter,
    MapRequest,
    MarginModel,
    Market,
    Picture,
    Portion,
    Progress,
    Selection,
    SweepPrice,
    TopN,
)
from liqmap.model.window import TimeWindow
from liqmap.run.engine import Engine
from liqmap.run.joint import run_job
from liqmap.run.result import MapResult
from liqmap.run.scanner import Scanner
from liqmap.settings import EngineSettings, ExchangesSettings, RecorderSettings, Settings, StorageSettings
from liqmap.simulator import Fault, MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.segments import segment_paths
from liqmap.text import lacking_text, margin_text
from tests.conftest import BTCUSDT
from tests.liqmap.market_time import until
from tests.served import served

END = datetime(2023, 8, 1, 6, tzinfo=UTC)
SHARED = Path(__file__).parents[4] / "shared" / "data" / "binance"


DAY_FILE = "/binance/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2023-08-01.zip"
TEN = TopN(10)
CENT = 0.00500001  # as far as rounding in the table of levels goes


def request(selection: Selection = TEN, *, hours: int = 6, **options: Any) -> MapRequest:
    return MapRequest(
        (Market(options.pop("exchange", Exchange.BINANCE), "BTCUSDT"),),
        TimeWindow.ending(END, timedelta(hours=hours)),
        selection,
        **options,
    )


class Gate(Executor):
    """Runs jobs in a thread, maps only while it is open, and counts them."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(4)
        self.open = threading.Event()
        self.open.set()
        self.maps = 0
        self.before_each_map: Callable[[], object] | None = None
        self.before_next_map: Callable[[], object] | None = None

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        if function is not run_job:
            return self._threads.submit(function, *arguments, **options)
        self.maps += 1
        return self._threads.submit(self._wait_and_run, function, *arguments)

    def _wait_and_run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        self.open.wait()
        before, self.before_next_map = self.before_next_map or self.before_each_map, None
        if before:
            before()
        return function(*arguments)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self.open.set()
        self._threads.shutdown(wait, cancel_futures=cancel_futures)


@asynccontextmanager
async def running(folder: Path, executor: Executor | None, **engine: Any):
    settings = Settings(storage=StorageSettings(path=folder), engine=EngineSettings(**engine))
    async with (
        MarketServer(SimulatedMarket(scale=0.005)) as server,
        Engine(server.redirect(settings), executor=executor) as made,
    ):
        yield made, server


@pytest.fixture
def gate():
    with Gate() as made:
        yield made


@pytest.mark.parametrize("exchange", Exchange)
@pytest.mark.parametrize("selection", [TopN(100), GrossValue(5e3), Portion(0.01)])
async def test_request_becomes_two_pictures_and_numbers(
    tmp_path: Path, gate: Gate, exchange: Exchange, selection: Selection
):
    async with running(tmp_path, gate) as (engine, _):
        result = await engine.draw(request(selection, exchange=exchange))
    assert result.pictures[Picture.MAP].startswith(b"\x89PNG")
    assert result.pictures[Picture.DEPTH].startswith(b"\x89PNG")
    assert result.summary.trades > 0
    assert result.coverage.fraction == 1
    assert result.coverage.simulated
    assert list(result.timings_ms) == ["collect", "load", "compute", "map", "depth", "total"]


@pytest.mark.parametrize(("resident", "pages"), [(False, 1), (True, 3)])
async def test_current_brackets_are_fetched_for_a_map(tmp_path: Path, gate: Gate, resident: bool, pages: int):
    settings = Settings(storage=StorageSettings(path=tmp_path))
    ether = replace(request(), markets=(Market(Exchange.BYBIT, "ETHUSDT"),), model=MarginModel.BYBIT)
    async with (
        MarketServer(SimulatedMarket(scale=0.005)) as server,
        Engine(server.redirect(settings), executor=gate, resident=resident) as engine,
    ):
        if resident:
            await until((tmp_path / "simulated" / "brackets" / "checked.json").exists)
        for _ in range(2):
            margin = (await engine.draw(ether)).summary.margin
            assert (margin.model, margin.earliest) == (MarginModel.BYBIT, True)
        assert server.requests["/bybit/v5/market/risk-limit"] == pages


async def test_map_drawn_without_brackets_is_drawn_again_with_them(tmp_path: Path, gate: Gate):
    ether = replace(request(), markets=(Market(Exchange.BYBIT, "ETHUSDT"),), model=MarginModel.BYBIT)
    async with running(tmp_path, gate) as (engine, server):
        server.plan("risk-limit", Fault.NOT_FOUND)
        margin = (await engine.draw(ether)).summary.margin
        assert (margin.model, lacking_text(margin)) == (
            MarginModel.SIMPLE,
            "no Bybit brackets of ETHUSDT are known",
        )
        engine._parts.sources.brackets._failed_at.clear()
        assert (await engine.draw(ether)).summary.margin.model is MarginModel.BYBIT


@pytest.mark.parametrize(
    ("exchange", "symbol", "source", "rate"),
    [
        (Exchange.BINANCE, "BTCUSD_PERP", "Binance COIN-M daily files", 0.0),  # publishes no brackets of it
        (Exchange.BYBIT, "BTCUSD", "Bybit inverse daily files", 0.005),
    ],
)
async def test_inverse_contracts_are_drawn(
    tmp_path: Path, gate: Gate, exchange: Exchange, symbol: str, source: str, rate: float
):
    async with running(tmp_path, gate) as (engine, _):
        window = TimeWindow.ending(END, timedelta(hours=6))
        result = await engine.draw(MapRequest((Market(exchange, symbol),), window, TopN(10), levels_csv=True))
    assert result.coverage.sources == (source,)
    assert result.levels_csv is not None
    side, leverage, _, entry, level, *_ = result.levels_csv.decode().splitlines()[1].split(",")
    # In coin, a long of value 1 has lost entry / level - 1. Its margin of 1/10 may shrink to `rate`.
    assert (side, leverage) == ("buy", "10")
    assert float(level) == pytest.approx(float(entry) / (1 + 1 / 10 - rate), rel=0, abs=CENT)
    assert result.summary.selected_notional_buy == round(result.summary.selected_notional_buy)


async def test_window_across_a_month_s_end_spans_three_days(tmp_path: Path, gate: Gate):
    async with running(tmp_path, gate) as (engine, server):
        result = await engine.draw(request(hours=72))
        assert len({path for path in server.requests if "aggTrades" in path and path.endswith(".zip")}) == 4
    assert result.coverage.fraction == 1


async def test_equal_requests_under_way_share_one_job(tmp_path: Path, gate: Gate):
    gate.open.clear()
    async with running(tmp_path, gate) as (engine, _):
        tasks = [asyncio.create_task(engine.draw(request())) for _ in range(5)]
        await until(lambda: gate.maps == 1)
        assert engine.jobs_under_way == 1
        gate.open.set()
        results = await asyncio.gather(*tasks)
    assert all(result is results[0] for result in results)
    assert gate.maps == 1


async def test_request_drawn_before_is_not_drawn_again(tmp_path: Path, gate: Gate):
    async with running(tmp_path, gate) as (engine, _):
        first = await engine.draw(request())
        assert await engine.draw(request()) is first
        await engine.draw(request(TopN(11)))
    assert gate.maps == 2


async def test_engine_without_a_cache_draws_again(tmp_path: Path, gate: Gate):
    async with running(tmp_path, gate, cached_results=0) as (engine, _):
        await engine.draw(request())
        await engine.draw(request())
    assert gate.maps == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "swept by mark price"),
        ({"sweep": SweepPrice.TRADED}, "swept by traded prices"),
        ({"levels": LevelFilter.ALL}, "brackets of 2023-08-01"),
    ],
)
async def test_mark_prices_sweep_levels_unless_the_request_says_otherwise(
    tmp_path: Path, gate: Gate, options: dict[str, Any], words: str
):
    async with running(tmp_path, gate) as (engine, server):
        drawn = await engine.draw(request(**options))
        asked = any("markPrice" in path for path in server.requests)
    assert margin_text(drawn.summary.margin).endswith(words)
    assert asked == (not options)


async def test_map_without_mark_prices_is_swept_by_trades_and_drawn_again_later(tmp_path: Path, gate: Gate):
    async with running(tmp_path, gate) as (engine, server):
        server.plan("markPrice", Fault.FORBIDDEN, times=100)
        drawn = await engine.draw(request())
        with pytest.raises(RequestError, match="are not known in this window; use sweep traded"):
            await engine.draw(request(sweep=SweepPrice.MARK))
        await engine.draw(request())
    assert margin_text(drawn.summary.margin).endswith("swept by traded prices")
    assert engine.answered_from_memory == 0


async def test_incomplete_window_is_drawn_again(tmp_path: Path, gate: Gate):
    async with running(tmp_path, gate) as (engine, server):
        server.plan("aggTrades-2023-07-31", Fault.FORBIDDEN)
        partial = await engine.draw(request(hours=12))
        assert partial.coverage.fraction == 0.5
        assert (await engine.draw(request(hours=12))).coverage.fraction == 1


async def test_queue_is_bounded(tmp_path: Path, gate: Gate):
    gate.open.clear()
    async with running(tmp_path, gate, queue_size=2) as (engine, _):
        waiting = [asyncio.create_task(engine.draw(request(TopN(count)))) for count in (1, 2)]
        await until(lambda: engine.jobs_under_way == 2)
        with pytest.raises(EngineBusy, match="2 maps are being drawn already; please try again"):
            await engine.draw(request(TopN(3)))
        joined = asyncio.create_task(engine.draw(request(TopN(1))))  # shares a job, so it needs no place
        await until(lambda: gate.maps == 2)
        gate.open.set()
        await asyncio.gather(*waiting, joined)


async def test_every_listener_receives_the_progress(tmp_path: Path, gate: Gate):
    news: list[list[Progress]] = [[], []]
    async with running(tmp_path, gate) as (engine, _):
        await asyncio.gather(*(engine.draw(request(), progress=each.append) for each in news))
    assert news[0] == news[1]
    assert [each.text for each in news[0]][-1] == "Drawing"
    assert news[0][0].text == "Fetching 1 day of BTCUSDT from Binance"


async def test_job_is_dropped_when_nobody_waits_any_more(tmp_path: Path, gate: Gate):
    gate.open.clear()
    async with running(tmp_path, gate) as (engine, _):
        tasks = [asyncio.create_task(engine.draw(request())) for _ in range(2)]
        await until(lambda: gate.maps == 1)
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        assert engine.jobs_under_way == 1
        tasks[1].cancel()
        await asyncio.wait(tasks[1:])
        assert engine.jobs_under_way == 0
        gate.open.set()
        assert (await engine.draw(request())).summary.trades > 0


async def test_failure_reaches_everyone_and_is_not_kept(tmp_path: Path, gate: Gate):
    async with running(tmp_path, gate) as (engine, _):
        impossible = request(GrossValue(1e12))
        outcomes = await asyncio.gather(
            engine.draw(impossible), engine.draw(impossible), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [RequestError, RequestError]
        with pytest.raises(RequestError, match="Try gross_value"):
            await engine.draw(impossible)
    assert gate.maps == 2


async def test_engine_closes_with_jobs_under_way(tmp_path: Path, gate: Gate):
    gate.open.clear()
    async with running(tmp_path, gate) as (engine, _):
        task = asyncio.create_task(engine.draw(request()))
        await until(lambda: gate.maps == 1)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_log_has_one_line_a_request_drawn(tmp_path: Path, gate: Gate, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "liqmap.run.engine")
    async with running(tmp_path, gate) as (engine, _):
        await engine.draw(request())
    (line,) = [record.getMessage() for record in caplog.records if record.name == "liqmap.run.engine"]
    assert line.startswith("drew binance BTCUSDT 2023-08-01T00:00:00/2023-08-01T06:00:00 top_n 10 in ")


async def test_real_workers_draw_die_and_are_replaced(tmp_path: Path):
    async with running(tmp_path, None, workers=1) as (engine, _):
        await engine.draw(request())
        (worker,) = engine._parts.pool._executor._processes
        os.kill(worker, signal.SIGKILL)
        assert (await engine.draw(request(TopN(11)))).summary.selected_buy == 11


async def test_segment_found_damaged_while_drawing_is_fetched_again(tmp_path: Path, gate: Gate):
    async with running(tmp_path, gate, cached_results=0) as (engine, server):
        first = await engine.draw(request())
        gate.before_next_map = lambda: spoil(engine._parts.store.root)
        second = await engine.draw(request())
    assert second.pictures == first.pictures
    assert gate.maps == 3
    assert (
        server.requests["/binance/data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2023-08-01.zip"]
        == 2
    )


async def test_segment_damaged_repeatedly_raises_one_sentence(tmp_path: Path, gate: Gate):
    async with running(tmp_path, gate, cached_results=0) as (engine, _):
        await engine.draw(request())
        gate.before_each_map = lambda: spoil(engine._parts.store.root)
        with pytest.raises(DamagedSegment, match="Some stored trades are damaged; please ask again"):
            await engine.draw(request())
    assert gate.maps == 3


async def test_store_unreadable_for_a_moment_is_read_again(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("liqmap.run.engine._STORE_WAIT", 0)
    async with running(tmp_path, gate, cached_results=0) as (engine, _):
        await engine.draw(request())
        errors = iter([UnreadableStore("one"), UnreadableStore("two"), UnreadableStore("three")])

        def fail() -> None:
            raise next(errors)

        gate.before_next_map = fail
        assert (await engine.draw(request())).coverage.fraction == 1
        gate.before_next_map = None
        gate.before_each_map = fail
        with pytest.raises(UnreadableStore, match="three"):
            await engine.draw(request())


@pytest.mark.parametrize("name", ["scan", "_fetched"])
async def test_scan_of_a_named_market_fetches_what_is_damaged_or_gone_again(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch, name: str
):
    plain = getattr(Scanner, name)

    async def spoilt(*arguments: Any) -> Any:
        monkeypatch.undo()
        found = await plain(*arguments) if name == "_fetched" else None
        for path in segment_paths(engine._parts.store.root):
            for table in path.glob("*.arrow"):
                table.write_bytes(bytes(table.stat().st_size))
        return found or await plain(*arguments)

    wanted = ScanRequest(END, request().markets, within=1.0, pictured=False)
    async with running(tmp_path, gate) as (engine, _):
        expected = await engine.scan(wanted)
        monkeypatch.setattr(Scanner, name, spoilt)
        found = await engine.scan(wanted)
    assert found.failed == ()
    assert found.markets == expected.markets
    assert found.scanned == 1


def spoil(root: Path) -> None:
    """Damage the only segment in the store."""
    (path,) = segment_paths(root)
    (path / "buy.arrow").unlink()


async def test_job_past_its_time_raises_one_sentence(tmp_path: Path, gate: Gate):
    async with running(tmp_path, gate) as (engine, _):
        await engine.draw(request())  # storing the day may take longer than a map may here
    gate.open.clear()
    async with running(tmp_path, gate, job_timeout=0.2) as (engine, _):
        with pytest.raises(JobFailed, match="try a shorter window"):
            await engine.draw(request())


@pytest.fixture
async def published_days(tmp_path: Path):
    """Serve two real, partial days of BTCUSDT as zips with their checksums."""
    if not SHARED.is_dir():
        pytest.skip("the real trades of ../shared/data are not here")
    files = {}
    for day in ("2023-04-04", "2023-04-05"):
        name = f"BTCUSDT-aggTrades-{day}"
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(SHARED / f"{name}.csv", f"{name}.csv")
        files[path.name] = path.read_bytes()
        files[f"{path.name}.CHECKSUM"] = f"{sha256(files[path.name]).hexdigest()}  {path.name}\n".encode()

    async def serve(asked: web.Request) -> web.Response:
        return web.Response(body=files[asked.path.rpartition("/")[2]])

    app = web.Application()
    app.router.add_get("/data/futures/um/daily/aggTrades/BTCUSDT/{name}", serve)
    async with served(app) as url:
        yield url


def by_hand(window: TimeWindow) -> dict[str, list[tuple[float, float]]]:
    """Return (price, notional) of each side's real trades in `window`, as made, the plain way."""
    sides: dict[str, list[tuple[float, float]]] = {"buy": [], "sell": []}
    for day in ("2023-04-04", "2023-04-05"):
        for line in (SHARED / f"BTCUSDT-aggTrades-{day}.csv").read_text().splitlines()[1:]:
            _, price, quantity, _, _, time, maker = line.split(",")
            if window.start_ms <= int(time) < window.end_ms:
                sides["sell" if maker == "true" else "buy"].append(
                    (float(price), float(price) * float(quantity))
                )
    return sides


@pytest.mark.shared
@pytest.mark.parametrize("selection", [TopN(25), GrossValue(50_000.0), Portion(0.02)])
async def test_real_trades_across_midnight_equal_levels_by_hand(
    tmp_path: Path, gate: Gate, published_days: str, selection: Selection
):
    window = TimeWindow(datetime(2023, 4, 4, 23, 59, tzinfo=UTC), datetime(2023, 4, 5, 0, 5, tzinfo=UTC))
    settings = Settings(
        storage=StorageSettings(path=tmp_path / "store"),
        exchanges=ExchangesSettings.model_validate({"binance": {"archive_url": published_days}}),
    )
    simple = MarginModel.SIMPLE
    asked = MapRequest(BTCUSDT, window, selection, model=simple, levels_csv=True)
    async with Engine(settings, executor=gate) as engine:
        result = await engine.draw(asked)
    assert result.levels_csv is not None
    assert not result.coverage.simulated
    found = [line.split(",") for line in result.levels_csv.decode().splitlines()[1:]]
    expected = []
    for side, made in by_hand(window).items():
        largest_first = sorted(made, key=lambda row: -row[1])
        match selection:
            case TopN(count):
                rows = largest_first[:count]
            case GrossValue(minimum):
                rows = [row for row in made if row[1] >= minimum]
            case Portion(fraction):
                rows = largest_first[: int(len(made) * fraction)]
        sign = -1 if side == "buy" else 1
        expected += [
            (side, leverage, price * (1 + sign / leverage), notional)
            for leverage in (10, 25, 50, 100)
            for price, notional in rows
        ]
    assert [(row[0], int(row[1])) for row in found] == [row[:2] for row in expected]
    assert [float(row[4]) for row in found] == pytest.approx([row[2] for row in expected], rel=0, abs=CENT)
    assert [float(row[5]) for row in found] == pytest.approx([row[3] for row in expected], rel=0, abs=CENT)
    assert len(expected) > 50


NOON = datetime(2023, 8, 3, 12, 0, 30, 250_000, tzinfo=UTC)


@asynccontextmanager
async def live(folder: Path, executor: Executor, **options: Any):
    """Run an engine over a market whose time stands still at noon."""
    clock = SimulatedClock(NOON)
    settings = Settings(storage=StorageSettings(path=folder), recorder=RecorderSettings(silence=3600))
    async with (
        MarketServer(
            SimulatedMarket(scale=0.05), clock=clock, weight_limit=100_000, pump_every=None
        ) as server,
        Engine(server.redirect(settings), executor=executor, clock=clock, **options) as made,
    ):
        yield made, server, clock


def slowed(engine: Engine, *, but: Exchange | None = None) -> asyncio.Event:
    """Let the exchanges take their time: an engine fetches no trades until the returned event is set.

    From the exchange `but`, they are fetched at once.
    """
    collector: Any = engine._parts.sources.collector
    fetch, go_on = collector._fetch, asyncio.Event()

    async def slow(wanted: Any, *arguments: Any) -> None:
        if wanted.exchange is not but:
            await go_on.wait()
        await fetch(wanted, *arguments)

    collector._fetch = slow
    return go_on


def collecting() -> int:
    """Return of how many markets trades are being collected."""
    return sum(getattr(each.get_coro(), "__name__", "") == "collect" for each in asyncio.all_tasks())


def of_today(hours: int, exchange: Exchange = Exchange.BINANCE) -> MapRequest:
    end = NOON.replace(second=0, microsecond=0)
    return MapRequest((Market(exchange, "BTCUSDT"),), TimeWindow.ending(end, timedelta(hours=hours)), TEN)


async def test_partial_map_is_shown_when_patience_is_over(tmp_path: Path, gate: Gate):
    async with live(tmp_path, gate) as (engine, _, clock):
        await engine.draw(of_today(2))
        go_on = slowed(engine)
        partial: list[list[MapResult]] = [[], []]
        first = asyncio.create_task(engine.draw(of_today(6), partial=partial[0].append))
        await until(lambda: bool(clock.alarms))
        await clock.advance(16)
        await until(lambda: bool(partial[0]))
        late = asyncio.create_task(engine.draw(of_today(6), partial=partial[1].append))
        await until(lambda: bool(partial[1]))
        go_on.set()
        whole = await first
        assert await late is whole
    assert partial[0] == partial[1]
    assert [each.coverage.fraction for each in partial[0]] == [pytest.approx(1 / 3)]
    assert [gap.kind for gap in partial[0][0].coverage.missing] == [GapKind.BEING_FETCHED]
    assert whole.coverage.fraction == 1


async def test_slow_exchange_keeps_nobody_from_the_others_and_completes_the_map(tmp_path: Path, gate: Gate):
    async with live(tmp_path, gate) as (engine, _, clock):
        markets = (Market(Exchange.BINANCE, "BTCUSDT"), Market(Exchange.BYBIT, "BTCUSDT"))
        midnight = NOON.replace(hour=0, minute=0, second=0, microsecond=0)
        asked = MapRequest(markets, TimeWindow.ending(midnight, timedelta(hours=2)), TEN)
        await engine.draw(asked.alone(markets[0]))
        go_on = slowed(engine)  # Binance's trades are in the store
        partial: list[MapResult] = []
        drawing = asyncio.create_task(engine.draw(asked, partial=partial.append))
        await until(lambda: bool(clock.alarms))
        await clock.advance(16)
        await until(lambda: bool(partial))
        go_on.set()
        whole = await drawing
    (shown,) = partial
    assert [each.market for each in shown.summary.by_market] == [markets[0]]
    assert [(each.market, each.kind) for each in shown.summary.left_out] == [
        (markets[1], LeftOutKind.BEING_FETCHED)
    ]
    assert [each.market for each in whole.summary.by_market] == list(markets)
    assert whole.summary.left_out == ()


async def test_exchange_that_has_nothing_is_left_out_of_a_partial_map_with_its_reason(
    tmp_path: Path, gate: Gate
):
    async with live(tmp_path, gate) as (engine, _, clock):
        # Bybit publishes no hours of today, and says so at once.
        markets = tuple(Market(each, "BTCUSDT") for each in (Exchange.BINANCE, Exchange.BYBIT))
        asked = replace(of_today(6), markets=markets)
        await engine.draw(of_today(2))
        go_on = slowed(engine, but=Exchange.BYBIT)
        partial: list[MapResult] = []
        drawing = asyncio.create_task(engine.draw(asked, partial=partial.append))
        await until(lambda: bool(clock.alarms))
        await until(lambda: collecting() == 1)
        await clock.advance(16)
        await until(lambda: bool(partial))
        go_on.set()
        whole = await drawing
    assert [each.kind for each in partial[0].summary.left_out] == [LeftOutKind.FAILED]
    assert partial[0].summary.left_out == whole.summary.left_out


async def test_no_partial_map_is_shown_where_the_store_has_no_trades(tmp_path: Path, gate: Gate):
    async with live(tmp_path, gate) as (engine, _, clock):
        go_on = slowed(engine)
        partial: list[MapResult] = []
        drawing = asyncio.create_task(engine.draw(of_today(2), partial=partial.append))
        await until(lambda: bool(clock.alarms))
        await clock.advance(16)
        go_on.set()
        assert (await drawing).coverage.fraction == 1
    assert partial == []


@pytest.mark.parametrize("record", [True, False])
async def test_symbol_that_is_drawn_is_recorded_from_then_on(tmp_path: Path, gate: Gate, record: bool):
    async with live(tmp_path, gate, record=record) as (engine, _, clock):
        drawing = asyncio.create_task(engine.draw(of_today(2)))
        await until(drawing.done) if not record else None
        while not drawing.done():  # the recorder's open minute is waited for
            await clock.advance(0.1)
        assert drawing.result().coverage.fraction == 1
        assert engine._parts.recorder.is_recorded(Exchange.BINANCE, "BTCUSDT") is record


async def test_published_liquidations_are_dots_whose_sum_stands_in_the_words(tmp_path: Path, gate: Gate):
    async with running(tmp_path, gate) as (engine, _):
        asked = request(hours=48, pictures=ALL_PICTURES)
        drawn = await engine.draw(replace(asked, markets=(Market(Exchange.BINANCE, "BTCUSD_PERP"),)))
        again = await engine.draw(asked)
    assert drawn.summary.realised is not None
    assert drawn.summary.realised.longs + drawn.summary.realised.shorts > 0
    assert not drawn.summary.realised.complete
    assert again.summary.realised is None
