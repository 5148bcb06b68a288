"""What goes wrong with a cluster, played by a scheduler and workers in this process."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="the extra dask is not installed")

from liqmap.errors import ClusterAway, JobFailed, RequestError, SettingsError, StoreError
from liqmap.exchanges.messages import Liquidation
from liqmap.model import Coverage, Exchange, MapRequest, MarginModel, Picture, Side, TopN
from liqmap.model.window import TimeWindow
from liqmap.run import dask, dask_link, dask_worker, reach
from liqmap.run.dask import DaskPool
from liqmap.run.engine import Engine
from liqmap.run.job import MapJob, run_map_job
from liqmap.run.joint import JointJob, run_job
from liqmap.run.reach import reach_cluster
from liqmap.simulator import MarketServer, SimulatedMarket
from liqmap.store.liquidations import append_liquidations
from liqmap.store.segments import Part
from liqmap.store.shared import SharedStore
from tests.conftest import BTCUSDT
from tests.liqmap.conftest import DAY, Stored, random_trades
from tests.liqmap.run.dask_in_process import (
    _dask,
    certificates,
    forget_settings,
    scheduler,
    security_of,
    settings_of,
    until_it_draws,
    until_seen,
    worker,
)
from tests.liqmap.run.test_dask import REQUEST
from tests.liqmap.store.test_shared import sharing

pytestmark = pytest.mark.dask


@pytest.fixture(autouse=True)
def _quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("FIRST_WAIT", "LONGEST_WAIT", "LOOK_SECONDS"):
        monkeypatch.setattr(dask_link, name, 0.01)
    monkeypatch.setattr(dask_link, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(dask, "_LOOK_SECONDS", 0.01)
    monkeypatch.setenv("LIQMAP__STORAGE__PATH", str(tmp_path / "worker"))
    forget_settings()
    yield
    forget_settings()


@pytest.fixture
async def address() -> AsyncIterator[str]:
    async with scheduler() as running:
        yield running.address


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


class Job:
    """What the jobs of this process share with the test."""

    begun = threading.Event()
    go_on = threading.Event()
    failed: list[str]


@pytest.fixture(autouse=True)
def _fresh_job() -> None:
    Job.begun.clear()
    Job.go_on.clear()
    Job.failed = []


def name_of(_: int) -> str:
    from distributed import get_worker  # noqa: PLC0415

    return str(get_worker().address)


def name_after_waiting(_: int) -> str:
    Job.begun.set()
    Job.go_on.wait(10)
    return name_of(0)


def name_of_second(_: int) -> str:
    here = name_of(0)
    if not Job.failed:
        Job.failed.append(here)
        raise OSError(errno.ENOSPC, "No space left on device")
    return here


def fail_by_the_store(_: int) -> str:
    """Fail on the first worker by an error whose causes have no end, which cannot be pickled."""
    try:
        return name_of_second(0)
    except OSError as error:
        error.__cause__ = error
        raise StoreError("The shared store cannot be read (No space left on device).") from error


def refuse(_: int) -> None:
    raise RequestError("No trade reaches that.")


async def test_scheduler_that_is_away_for_long_is_found_again(tmp_path: Path):
    async with scheduler() as first:
        address, port = first.address, first.port
        async with DaskPool(settings_of(address, tmp_path), shared=None) as pool:
            async with worker(address):
                await until_it_draws(pool)
                assert await pool.run(name_of, 0)
            await first.close()
            await until_seen(pool, lambda: not pool.status.connected)
            with pytest.raises(ClusterAway, match="cannot be reached"):
                pool._reached()
            async with scheduler(port), worker(address):
                await until_seen(pool, lambda: pool.status.connected)
                await until_it_draws(pool)
                assert await pool.run(name_of, 0)


async def test_map_is_drawn_by_this_machine_while_the_cluster_is_away(
    tmp_path: Path, threads: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
):
    nowhere = settings_of("tcp://127.0.0.1:9", tmp_path / "store")
    async with MarketServer(SimulatedMarket(scale=0.005)) as server:
        async with Engine(server.redirect(nowhere), executor=threads) as engine:
            result = await engine.draw(REQUEST)
            assert (engine.drawn_instead, engine.cluster and engine.cluster.connected) == (1, False)
        assert result.summary.selected_buy == 10
        assert "there is no Dask scheduler at tcp://127.0.0.1:9; it is tried again" in caplog.messages
        refusing = settings_of("tcp://127.0.0.1:9", tmp_path / "store", fallback="none")
        async with Engine(server.redirect(refusing), executor=threads) as engine:
            with pytest.raises(JobFailed, match="cluster that draws cannot be reached; try again"):
                await engine.draw(REQUEST)


async def test_check_lets_a_worker_run_something_or_says_why_none_does(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = settings_of(address, tmp_path)
    async with worker(address):
        assert await reach_cluster(settings) == "1 worker draws"
    monkeypatch.setattr(reach, "TRIAL_SECONDS", 0.2)
    monkeypatch.setattr(
        dask_worker, "draw_small_map", small_map_fails(OSError(errno.EROFS, "Read-only file system"))
    )
    async with worker(address):
        with pytest.raises(SettingsError, match=r"No worker .* draws \(tcp://.*: Read-only file system"):
            await reach_cluster(settings)


async def test_cluster_accepts_only_clients_with_its_authority_s_certificate(tmp_path: Path):
    tls = certificates(tmp_path)
    security = security_of(tls)
    async with scheduler(security=security) as running, worker(running.address, security=security):
        assert running.address.startswith("tls://")
        async with DaskPool(settings_of(running.address, tmp_path, **tls), shared=None) as pool:
            await until_it_draws(pool)
            assert await pool.run(name_of, 0)
        (tmp_path / "stranger").mkdir()
        stranger = certificates(tmp_path / "stranger")
        async with DaskPool(settings_of(running.address, tmp_path, **stranger), shared=None) as pool:
            with pytest.raises(ClusterAway, match="cannot be reached"):
                await pool.run(name_of, 0)


@pytest.mark.parametrize("broken", ["dask_tls_ca", "dask_tls_cert", "dask_tls_key"])
@pytest.mark.parametrize("content", [None, "", "garbage"])
async def test_certificates_that_cannot_be_read_are_a_sentence(
    tmp_path: Path, broken: str, content: str | None
):
    tls = certificates(tmp_path)
    file = Path(tls[broken])
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=rf"engine\.{broken}.* cannot be used \(.+\)"):
        async with DaskPool(settings_of("tls://127.0.0.1:9", tmp_path, **tls), shared=None):
            pass


async def test_cluster_is_found_again_after_any_error_of_its_library(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    count = dask_link.DaskLink._count
    # The first comes while the workers are counted, the others while the connection is made again.
    troubles = [RuntimeError("invented"), asyncio.CancelledError(), AttributeError("identity")]

    async def troubled(self: dask_link.DaskLink, client: Any) -> str:
        if troubles:
            raise troubles.pop()
        return await count(self, client)

    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool, worker(address):
        await until_it_draws(pool)
        monkeypatch.setattr(dask_link.DaskLink, "_count", troubled)
        async with asyncio.timeout(30):
            await pool._link.until(lambda: not troubles and pool.status.workers > 0)
        assert await pool.run(name_of, 0)
    assert "the Dask scheduler is gone (AttributeError('identity')); it is tried again" in caplog.messages
    assert "RuntimeError('invented')" in caplog.text


async def test_cluster_without_workers_is_reported(address: str, tmp_path: Path):
    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool:
        with pytest.raises(ClusterAway, match="has no workers"):
            await pool.run(name_of, 0)


def small_map_fails(error: Exception) -> Any:
    def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EROFS, "Read-only file system"), "OSError: Read-only file system"),
        (StoreError("The worker's disk is full (3 MB free); check storage.path."), "disk is full"),
        (ImportError("No module named 'matplotlib'"), "No module named"),
    ],
)
async def test_worker_that_fails_its_trial_gets_no_job(
    address: str,
    tmp_path: Path,
    error: Exception,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setattr(dask_worker, "draw_small_map", small_map_fails(error))
    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool, worker(address) as bad:
        await until_seen(pool, lambda: pool.status.retired > 0)
        with pytest.raises(ClusterAway, match="has no workers"):
            await pool.run(name_of, 0)
        assert any(
            f"the worker {bad.address} draws nothing for now" in line and reason in line
            for line in caplog.messages
        )


@pytest.mark.parametrize("lie", ["another version", "another build"])
async def test_worker_of_another_version_gets_no_job(
    address: str, tmp_path: Path, lie: str, monkeypatch: pytest.MonkeyPatch
):
    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool:
        monkeypatch.setattr(dask_worker, "build_id", lambda: lie)
        async with worker(address):
            await until_seen(pool, lambda: pool.status.retired == 1)
            with pytest.raises(ClusterAway, match="has no workers"):
                await pool.run(name_of, 0)


async def test_job_of_another_version_is_refused_by_the_worker(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool, worker(address):
        await until_it_draws(pool)
        monkeypatch.setattr(dask_worker, "build_id", lambda: "another")
        with pytest.raises(ClusterAway, match="fail one after the other"):
            await pool.run(name_of, 0)
        assert pool.status.retries == 3


@pytest.mark.parametrize("job", [name_of_second, fail_by_the_store])
async def test_job_that_fails_by_its_worker_goes_to_another_one(
    address: str, tmp_path: Path, job: Callable[[int], str]
):
    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool:
        async with worker(address), worker(address):
            await until_it_draws(pool, workers=2)
            good = await pool.run(job, 0)
            assert [good] != Job.failed
            await until_it_draws(pool, workers=1)
            assert [await pool.run(name_of, 0) for _ in range(20)] == [good] * 20
            assert pool.status.retries
        assert pool.status.retired == 1


async def test_refusal_of_the_request_costs_no_worker(address: str, tmp_path: Path):
    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool, worker(address):
        await until_it_draws(pool)
        with pytest.raises(RequestError, match="No trade reaches that"):
            await pool.run(refuse, 0)
        assert (pool.status.workers, pool.status.retired) == (1, 0)


async def test_time_that_a_job_waits_does_not_count(address: str, tmp_path: Path):
    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool, worker(address):
        await until_it_draws(pool)
        first = asyncio.create_task(pool.run(name_after_waiting, 0))
        await until_seen(pool, Job.begun.is_set)
        pool._settings = settings_of(address, tmp_path, job_timeout=0.2)
        second = asyncio.create_task(pool.run(name_of, 0))
        # Longer than the limit, which would end the second one if it counted this.
        await asyncio.wait({second}, timeout=0.3)
        assert not second.done()
        Job.go_on.set()
        assert await first == await second


async def test_cancelled_job_frees_its_worker(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stopped: list[str] = []

    async def stop(_: object, name: str) -> None:
        stopped.append(name)

    monkeypatch.setattr(dask, "CANCEL_GRACE", 0.0)
    monkeypatch.setattr(dask_link.DaskLink, "stop", stop)
    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool, worker(address) as busy:
        await until_it_draws(pool)
        job = asyncio.create_task(pool.run(name_after_waiting, 0))
        await until_seen(pool, lambda: any(each.done() for each in pool._link._started.values()))
        waiting = asyncio.create_task(pool.run(name_of, 0))
        await until_seen(pool, lambda: len(pool._link._started) == 2)
        waiting.cancel()
        job.cancel()
        await until_seen(pool, lambda: not pool._link._started)
        assert stopped == [busy.address]
        Job.go_on.set()


async def test_job_of_a_bot_that_has_died_is_stopped_on_its_worker(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ended = asyncio.Event()
    monkeypatch.setattr(dask_worker, "ABANDONED_GRACE", 0.0)
    monkeypatch.setattr(dask_worker, "end_process", ended.set)
    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool, worker(address):
        await until_it_draws(pool)
        resources = {dask_worker.resource_of(dask_worker.build_id()): 1}
        bot = await _dask.Client(address, asynchronous=True)
        job = bot.submit(name_after_waiting, 0, key=f"{dask_worker.JOB}1", resources=resources)
        await until_seen(pool, Job.begun.is_set)
        assert not ended.is_set()
        await bot.close()
        del job
        await until_seen(pool, ended.is_set)
        Job.go_on.set()
        assert await pool.run(name_of, 0)


async def test_job_under_way_is_given_in_again_after_its_scheduler(tmp_path: Path):
    async with scheduler() as first:
        address, port = first.address, first.port
        async with DaskPool(settings_of(address, tmp_path), shared=None) as pool:
            async with worker(address) as lost:
                await until_it_draws(pool)
                job = asyncio.create_task(pool.run(name_after_waiting, 0))
                await until_seen(pool, Job.begun.is_set)
                before = lost.address
                await first.close()
                Job.go_on.set()
            async with scheduler(port), worker(address):
                assert await job != before
            assert pool.status.retries >= 1


def job_of(stored: Stored) -> MapJob:
    segment, window = stored(random_trades(2000)), TimeWindow.of_day(DAY)
    request = MapRequest(BTCUSDT, window, TopN(10), model=MarginModel.BINANCE)
    return MapJob(request, (Part(segment, window),), Coverage(window, (window,)))


async def test_each_worker_has_its_own_store(address: str, tmp_path: Path, stored: Stored):
    job = job_of(stored)
    shared = SharedStore(str(tmp_path / "shared"))
    settings = sharing(settings_of(address, tmp_path), str(tmp_path / "shared"))
    async with DaskPool(settings, shared=shared) as pool, worker(address):
        await until_it_draws(pool)
        drawn = await pool.draw(job)
    assert drawn.pictures == run_map_job(job).pictures
    (copy,) = (tmp_path / "worker").rglob("v3/*/*/*")
    assert copy.name == job.parts[0].segment.path.name


async def test_map_of_several_exchanges_is_drawn_in_the_cluster_with_what_the_bot_knows(
    address: str, tmp_path: Path, stored: Stored
):
    alone, root = job_of(stored), tmp_path / "bot"
    append_liquidations(
        root,
        Exchange.BINANCE,
        [Liquidation("BTCUSDT", TimeWindow.of_day(DAY).start_ms, Side.BUY, 28_000, 1)],
        complete=False,
    )
    alone = replace(alone, root=root)
    job = JointJob(alone.request, (alone, alone))
    shared = SharedStore(str(tmp_path / "shared"))
    settings = sharing(settings_of(address, tmp_path), str(tmp_path / "shared"))
    async with DaskPool(settings, shared=shared) as pool, worker(address):
        await until_it_draws(pool)
        drawn = await pool.draw(job)
    assert drawn.pictures == run_job(job).pictures
    assert [each.realised and each.realised.longs for each in drawn.summary.by_market] == [1, 1]


async def test_brackets_of_the_bot_s_machine_are_those_of_the_worker(
    address: str, tmp_path: Path, stored: Stored
):
    folder = tmp_path / "brackets"
    folder.mkdir()
    tiers = "100000,0.01,20 1000000,0.05,10"
    (folder / "binance-2023-08-02.txt").write_text(f"# invented\nBTCUSDT {tiers}\n")
    job = replace(job_of(stored), bracket_folders=(folder,))
    shared = SharedStore(str(tmp_path / "shared"))
    settings = sharing(settings_of(address, tmp_path), str(tmp_path / "shared"))
    async with DaskPool(settings, shared=shared) as pool, worker(address):
        await until_it_draws(pool)
        drawn = await pool.draw(job)
    assert drawn.pictures[Picture.MAP] == run_map_job(job).pictures[Picture.MAP]
    assert drawn.pictures[Picture.MAP] != run_map_job(job_of(stored)).pictures[Picture.MAP]


async def test_trades_that_no_worker_can_read_are_reported(address: str, tmp_path: Path, stored: Stored):
    async with DaskPool(settings_of(address, tmp_path), shared=None) as pool, worker(address):
        await until_it_draws(pool)
        with pytest.raises(ClusterAway, match=r"set storage\.shared_url"):
            await pool.draw(job_of(stored))


@pytest.mark.parametrize("damage", ["missing", "cut", "garbage"])
async def test_bucket_heals_from_the_machine_that_has_the_day(
    address: str, tmp_path: Path, stored: Stored, damage: str
):
    job, root = job_of(stored), tmp_path / "shared"
    shared = SharedStore(str(root))
    settings = sharing(settings_of(address, tmp_path), str(root))
    shared.publish([job.parts[0].segment])
    (there,) = root.rglob("buy.arrow")
    whole = there.read_bytes()
    match damage:
        case "missing":
            there.unlink()
        case "cut":
            there.write_bytes(whole[:100])
        case "garbage":
            there.write_bytes(bytes(len(whole)))
    async with DaskPool(settings, shared=shared) as pool, worker(address):
        await until_it_draws(pool)
        drawn = await pool.draw(job)
    assert drawn.pictures == run_map_job(job).pictures
    assert there.read_bytes() == whole
