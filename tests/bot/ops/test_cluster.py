from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot.ops.check import check
from bot.ops.cluster import cluster_draws, trouble_text, watch_cluster
from bot.ops.metrics import Metrics
from bot.settings import BotSettings
from liqmap.errors import SettingsError
from liqmap.run.dask import ClusterStatus
from liqmap.run.reach import reach_cluster, reach_shared_store
from liqmap.settings import EngineSettings, Settings, StorageSettings


def engine(*, shared_is_away: bool = False, **status: Any) -> Any:
    cluster = ClusterStatus(
        **{"connected": True, "workers": 2, "jobs": 1, "retries": 4, "retired": 3} | status
    )
    return SimpleNamespace(cluster=cluster, drawn_instead=5, shared_is_away=shared_is_away)


def test_metrics_show_the_cluster_and_the_shared_store():
    metrics = Metrics()
    watch_cluster(metrics, engine())
    metrics.count_shared(0.3, True)
    metrics.count_shared(15.0, False)
    page = metrics.page().decode()
    for line in (
        "liqmap_cluster_connected 1.0",
        "liqmap_cluster_workers 2.0",
        "liqmap_cluster_jobs 1.0",
        "liqmap_cluster_retries 4.0",
        "liqmap_cluster_unfit 3.0",
        "liqmap_drawn_instead 5.0",
        "liqmap_shared_store_away 0.0",
        "liqmap_shared_store_failures_total 1.0",
        'liqmap_shared_store_seconds_bucket{le="0.5"} 1.0',
    ):
        assert f"{line}\n" in page


def test_alarms_that_the_documents_recommend_are_metrics():
    metrics = Metrics()
    watch_cluster(metrics, engine())
    text = (Path(__file__).parents[3] / "docs" / "operating.md").read_text()
    alarms = set(re.findall(r"^\| `(liqmap_\w+)`", text, re.MULTILINE)) - {"liqmap_queue"}
    assert len(alarms) >= 7
    page = metrics.page().decode()
    assert [each for each in alarms if f"\n{each} " not in page] == []


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ({}, ""),
        ({"connected": False, "workers": 0}, "the cluster's scheduler is away"),
        ({"workers": 0}, "the cluster has no workers"),
        (
            {"workers": 0, "shared_is_away": True},
            "the cluster has no workers; the shared store does not answer",
        ),
    ],
)
def test_health_names_what_is_away(status: dict[str, Any], text: str):
    assert trouble_text(engine(**status)) == text
    assert cluster_draws(engine(**status)) == (not text)


async def test_check_tries_the_shared_store_and_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def reached(_: Settings) -> str:
        return "2 workers draw"

    monkeypatch.setattr("bot.ops.check.reach_cluster", reached)
    nowhere = {"archive_url": "http://127.0.0.1:1", "api_url": "http://127.0.0.1:1"}
    settings = BotSettings.model_validate(
        {
            "storage": {"path": tmp_path, "shared_url": str(tmp_path / "shared")},
            "engine": {"executor": "dask", "dask_address": "tcp://127.0.0.1:9"},
            "discord": {"api_url": "http://127.0.0.1:1"},
            "exchanges": {"binance": nowhere, "bybit": nowhere},
        }
    )
    lines: list[str] = []
    await check(settings, say=lines.append)
    assert "ok     shared store: writable" in lines
    assert "ok     cluster: 2 workers draw" in lines


async def test_shared_store_that_cannot_be_written_is_a_sentence(tmp_path: Path):
    (tmp_path / "shared").write_text("a file where a folder should be")
    settings = Settings(storage=StorageSettings(path=tmp_path, shared_url=str(tmp_path / "shared")))
    with pytest.raises(SettingsError, match=r"Setting storage\.shared_url: that store cannot be written"):
        await reach_shared_store(settings)


async def test_scheduler_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setattr("liqmap.run.dask_link.CONNECT_SECONDS", 0.2)
    settings = Settings(
        storage=StorageSettings(path=tmp_path),
        engine=EngineSettings(executor="dask", dask_address="tcp://127.0.0.1:9"),
    )
    with pytest.raises(SettingsError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9; check that it runs"):
        await reach_cluster(settings)
