"""A cluster of processes, as it would be on other machines."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

pytest.importorskip("distributed", reason="the extra dask is not installed")

from liqmap.errors import DataError, JobFailed, SettingsError
from liqmap.model import MapRequest, Picture, TopN
from liqmap.model.window import TimeWindow
from liqmap.run import dask
from liqmap.run.dask import DaskPool
from liqmap.run.engine import Engine
from liqmap.settings import Settings
from liqmap.simulator import MarketServer, SimulatedMarket
from tests.conftest import BTCUSDT
from tests.liqmap.run.dask_in_process import settings_of, until_it_draws, until_seen
from tests.liqmap.store.test_shared import sharing
from tests.liqmap.workers.test_pool import fail, pid

pytestmark = pytest.mark.dask

END = datetime(2023, 8, 1, 6, tzinfo=UTC)
REQUEST = MapRequest(BTCUSDT, TimeWindow.ending(END, timedelta(hours=6)), TopN(10))

SCHEDULER = """
import sys
from distributed import LocalCluster

if __name__ == "__main__":
    ports = {"dashboard_address": "127.0.0.1:0"}
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **ports) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a cluster of two worker processes, with a store of their own, beside its scheduler's."""
    folder = tmp_path_factory.mktemp("cluster")
    script = folder / "scheduler.py"
    script.write_text(SCHEDULER)
    process = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(script)],
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[3]),
            "LIQMAP__STORAGE__PATH": str(folder / "store"),
        },
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


@asynccontextmanager
async def drawing(settings: Settings, *, workers: int) -> AsyncIterator[DaskPool]:
    async with DaskPool(settings, shared=None) as pool:
        await until_it_draws(pool, workers=workers)
        yield pool


def die_noted(folder: Path) -> None:
    (folder / f"killed {uuid4().hex}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def hang_noted(mark: Path) -> None:
    mark.write_text(str(os.getpid()))
    threading.Event().wait()


async def test_cluster_draws_requests_and_equal_ones_once(address: str, tmp_path: Path):
    shared = str(tmp_path / "shared")
    async with MarketServer(SimulatedMarket(scale=0.005)) as server:
        settings = sharing(server.redirect(settings_of(address, tmp_path / "store")), shared)
        async with Engine(settings) as engine:
            cluster = engine._parts.cluster
            assert cluster is not None
            await until_it_draws(cluster, workers=2)
            first, second = await asyncio.gather(engine.draw(REQUEST), engine.draw(REQUEST))
            assert engine.drawn_instead == 0
    assert first is second
    assert first.pictures[Picture.MAP].startswith(b"\x89PNG")
    assert first.summary.selected_buy == 10
    assert sum(1 for _ in (tmp_path / "shared").glob("*/*/*/*/manifest.json")) == 1


async def test_jobs_run_elsewhere_and_killers_are_given_up_after_two_workers(address: str, tmp_path: Path):
    async with drawing(settings_of(address, tmp_path), workers=2) as cluster:
        assert await cluster.run(pid, 0) != os.getpid()
        with pytest.raises(DataError, match="as it was said"):
            await cluster.run(fail, "as it was said")
        with pytest.raises(JobFailed, match="failed twice in a row"):
            await cluster.run(die_noted, tmp_path)
        assert len(list(tmp_path.glob("killed *"))) == 2


async def test_job_past_its_time_is_stopped_on_its_worker(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dask, "CANCEL_GRACE", 0.0)
    mark = tmp_path / "mark"
    async with drawing(settings_of(address, tmp_path, job_timeout=0.2), workers=1) as cluster:
        with pytest.raises(JobFailed, match="took longer than"):
            await cluster.run(hang_noted, mark)
        await until_seen(cluster, lambda: not psutil.pid_exists(int(mark.read_text())))


async def test_cluster_without_its_library_raises_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("liqmap.run.dask_link", "liqmap.run.dask_worker"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SettingsError, match=r"pip install 'liqmap\[dask\]'"):
        async with DaskPool(settings_of("tcp://127.0.0.1:9", tmp_path), shared=None):
            pass
