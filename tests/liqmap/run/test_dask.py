from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.errors import DataError, JobFailed, SettingsError
from liqmap.model import Coverage, MapRequest, Picture, TopN
from liqmap.run.dask import DaskPool, RemoteMapJob, run_remote_map_job
from liqmap.run.engine import Engine
from liqmap.run.job import MapJob
from liqmap.settings import EngineSettings, Settings, StorageSettings
from liqmap.simulator import MarketServer, SimulatedMarket
from liqmap.store.segments import Part
from liqmap.store.shared import SharedStore
from liqmap.window import TimeWindow
from tests.conftest import BTCUSDT
from tests.liqmap.conftest import DAY, Stored, random_trades
from tests.liqmap.store.test_shared import sharing
from tests.liqmap.workers.test_pool import die, die_once, fail, hang, pid

END = datetime(2023, 8, 1, 6, tzinfo=UTC)
REQUEST = MapRequest(BTCUSDT, TimeWindow.ending(END, timedelta(hours=6)), TopN(10))

SCHEDULER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a cluster of two worker processes beside its scheduler's, as it would on other machines."""
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    script = tmp_path_factory.mktemp("cluster") / "scheduler.py"
    script.write_text(SCHEDULER)
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.stdin.close()
    process.wait()
    process.stdout.close()


def settings_of(address: str, folder: Path) -> Settings:
    return Settings(
        storage=StorageSettings(path=folder),
        engine=EngineSettings(workers=1, executor="dask", dask_address=address),
    )


@pytest.mark.dask
async def test_cluster_draws_requests_and_equal_ones_once(address: str, tmp_path: Path):
    shared = str(tmp_path / "shared")
    async with MarketServer(SimulatedMarket(scale=0.005)) as server:
        settings = sharing(server.redirect(settings_of(address, tmp_path / "store")), shared)
        async with Engine(settings) as engine:
            first, second = await asyncio.gather(engine.draw(REQUEST), engine.draw(REQUEST))
    assert first is second
    assert first.pictures[Picture.MAP].startswith(b"\x89PNG")
    assert first.summary.selected_buy == 10
    assert sum(1 for _ in (tmp_path / "shared").glob("*/*/*/*/manifest.json")) == 1


@pytest.mark.dask
async def test_jobs_run_elsewhere_and_their_errors_are_raised_here(address: str, tmp_path: Path):
    async with DaskPool(settings_of(address, tmp_path), shared=None) as cluster:
        assert await cluster.run(pid, 0) != os.getpid()
        with pytest.raises(DataError, match="as it was said"):
            await cluster.run(fail, "as it was said")


@pytest.mark.dask
async def test_job_of_a_lost_worker_is_tried_again_by_another(address: str, tmp_path: Path):
    async with DaskPool(settings_of(address, tmp_path), shared=None) as cluster:
        assert await cluster.run(die_once, tmp_path / "mark") != os.getpid()
        with pytest.raises(JobFailed, match="failed twice in a row"):
            await cluster.run(die, 0)
        assert await cluster.run(pid, 0) != os.getpid()


@pytest.mark.dask
async def test_job_past_its_time_raises_one_sentence(address: str, tmp_path: Path):
    settings = settings_of(address, tmp_path)
    engine = settings.engine.model_copy(update={"job_timeout": 0.2})
    async with DaskPool(settings.model_copy(update={"engine": engine}), shared=None) as cluster:
        with pytest.raises(JobFailed, match="took longer than"):
            await cluster.run(hang, tmp_path / "mark")


async def test_address_without_a_scheduler_raises_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setattr("liqmap.run.dask._CONNECT_TIMEOUT", 0.2)
    with pytest.raises(SettingsError, match="no Dask scheduler at tcp://127"):
        async with DaskPool(settings_of("tcp://127.0.0.1:9", tmp_path), shared=None):
            pass


async def test_cluster_without_its_library_raises_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"pip install 'liqmap\[dask\]'"):
        async with DaskPool(settings_of("tcp://127.0.0.1:9", tmp_path), shared=None):
            pass


def test_worker_copies_the_segments_that_its_machine_lacks(stored: Stored, tmp_path: Path):
    segment, window = stored(random_trades(5000)), TimeWindow.of_day(DAY)
    request = MapRequest(BTCUSDT, window, TopN(10))
    job = MapJob(request, (Part(segment, window),), Coverage(window, (window,)))
    shared_url = str(tmp_path / "shared")
    SharedStore(shared_url).publish(segment)
    shutil.rmtree(segment.path)
    remote = RemoteMapJob(job, tmp_path, 10**9, shared_url)
    result = run_remote_map_job(remote)
    assert result.summary.selected_buy == 10
    assert segment.path.is_dir()
    shutil.rmtree(tmp_path / "shared")
    assert run_remote_map_job(remote).pictures[Picture.MAP] == result.pictures[Picture.MAP]


def test_segment_in_no_store_raises_one_sentence(stored: Stored, tmp_path: Path):
    segment, window = stored(random_trades(500)), TimeWindow.of_day(DAY)
    request = MapRequest(BTCUSDT, window, TopN(10))
    job = MapJob(request, (Part(segment, window),), Coverage(window, (window,)))
    shutil.rmtree(segment.path)
    with pytest.raises(DataError, match="ask again"):
        run_remote_map_job(RemoteMapJob(job, tmp_path, 10**9, str(tmp_path / "shared")))
