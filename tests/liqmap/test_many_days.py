"""A window of many days: fetched side by side, but not too many, and never twice."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import liqmap.collect.published
from liqmap.model import MapRequest, Progress, TopN
from liqmap.model.window import TimeWindow
from liqmap.net.download import Downloaded, download
from liqmap.run.engine import Engine
from liqmap.settings import DownloadSettings, Settings, StorageSettings
from liqmap.simulator import MarketServer, SimulatedMarket
from tests.conftest import BTCUSDT

DAYS = 12
WINDOW = TimeWindow.ending(datetime(2023, 8, 13, tzinfo=UTC), timedelta(days=DAYS))
REQUEST = MapRequest(BTCUSDT, WINDOW, TopN(10))


async def test_days_are_fetched_side_by_side_within_bounds_and_go_on_where_they_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    under_way, most, done = 0, 0, 0
    half = asyncio.Event()

    async def watched(*arguments: Any, **options: Any) -> Downloaded:
        nonlocal under_way, most, done
        under_way += 1
        most = max(most, under_way)
        try:
            return await download(*arguments, **options)
        finally:
            under_way, done = under_way - 1, done + 1
            if done == DAYS // 2:
                half.set()

    monkeypatch.setattr(liqmap.collect.published, "download", watched)
    settings = Settings(storage=StorageSettings(path=tmp_path), download=DownloadSettings(concurrency=3))
    heard: list[Progress] = []
    async with MarketServer(SimulatedMarket(scale=0.002)) as server:
        # The first executor ends, and with it what was being stored, before what is kept is looked at.
        with ThreadPoolExecutor(2) as executor:
            async with Engine(server.redirect(settings), executor=executor) as engine:
                interrupted = asyncio.create_task(engine.draw(REQUEST))
                await half.wait()
            with pytest.raises(asyncio.CancelledError):
                await interrupted
        kept = {path.name[:8] for path in tmp_path.glob("simulated/v*/*/*/*")}
        server.requests.clear()
        with ThreadPoolExecutor(2) as executor:
            async with Engine(server.redirect(settings), executor=executor) as engine:
                result = await engine.draw(REQUEST, progress=heard.append)
        asked = {
            path[-14:-4].replace("-", "")
            for path in server.requests
            if path.endswith(".zip") and "aggTrades" in path
        }
    assert most == 3
    assert len(kept) >= DAYS // 2 - 3
    assert not kept & asked
    assert len(kept) + len(asked) == DAYS
    assert result.coverage.fraction == 1
    shares = [progress.fraction for progress in heard if progress.fraction is not None]
    assert shares == sorted(shares)
    assert shares[-1] > 0.7
    assert any(f"of {len(asked)} days" in progress.text for progress in heard)
