"""A project that uses liqmap and checks its types strictly finds them, and finds its own mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from mypy import api

import liqmap

# Only liqmap's own types are wanted, and a run that reads those of numpy and the others takes half a minute.
CONFIG = """
[mypy]
strict = true
[mypy-aiohttp.*,aiolimiter.*,cachetools.*,distributed.*,filelock.*,fontTools.*,matplotlib.*,numpy.*]
follow_imports = skip
[mypy-pandas.*,PIL.*,platformdirs.*,pyarrow.*,pydantic.*,pydantic_settings.*,tenacity.*,tqdm.*,xxhash.*,yarl.*]
follow_imports = skip
"""
MAPS = """
import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import assert_type

import liqmap
from liqmap import Cluster, Coverage, Engine, Exchange, LiqmapError, MapRequest, MapResult, Market, Picture
from liqmap import ScanRequest, ScannedMarket, Side, SymbolStatus, TimeWindow, TopN, load_settings


def largest(result: MapResult, side: Side) -> Cluster | None:
    return next((each for each in result.summary.clusters if each.side is side and each.is_largest), None)


def once() -> float:
    result = liqmap.draw(
        "BTCUSDT", "6h", "top_n 100", end="2023-08-01 06:00", leverages={10: 35, 25: 65},
        pictures="map,heatmap", tables=True, simulated=True, settings=None,
    )
    assert_type(result, MapResult)
    assert_type(result.pictures, Mapping[Picture, bytes])
    assert_type(result.coverage, Coverage)
    assert_type(result.summary.standing_long, float)
    return result.coverage.fraction


async def many() -> list[ScannedMarket]:
    window = TimeWindow.ending(datetime(2023, 8, 1, tzinfo=UTC), timedelta(hours=6))
    market = Market(Exchange.OKX, "BTCUSDT")
    async with Engine(load_settings()) as engine:
        assert_type(await engine.draw(MapRequest((market,), window, TopN(100))), MapResult)
        assert_type(engine.status(), list[SymbolStatus])
        found = await engine.scan(ScanRequest(window.end, (market,)))
    try:
        assert_type(await liqmap.adraw("BTCUSDT", timedelta(hours=6), TopN(10), each=True), MapResult)
    except LiqmapError as error:
        assert_type(error.problem, str)
    return list(found.markets)


def main() -> None:
    asyncio.run(many())
"""
MISTAKES = """
from liqmap import GrossValue, Market, draw

draw("BTCUSDT", 6)
draw("BTCUSDT", "6h", leverage="10")
draw("BTCUSDT", "6h", tables="yes")
draw("BTCUSDT", "6h").summary.longs
Market("binance", "BTCUSDT")
GrossValue("100k")
"""


def test_strict_project_of_a_user_finds_every_public_name_and_its_own_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "project"
    package.mkdir()
    (tmp_path / "mypy.ini").write_text(CONFIG)
    (package / "__init__.py").touch()
    every_name = "".join(f"from liqmap import {name} as {name}\n" for name in liqmap.__all__)
    (package / "names.py").write_text(every_name)
    (package / "maps.py").write_text(MAPS)
    (package / "mistakes.py").write_text(MISTAKES)
    monkeypatch.chdir(tmp_path)
    found, trouble, _ = api.run(["--config-file", "mypy.ini", "--no-error-summary", "project"])
    assert trouble == ""
    lines = found.splitlines()
    wrong = [
        line.split(":")[1] for line in lines if line.startswith("project/mistakes.py") and "error" in line
    ]
    assert wrong == ["4", "5", "6", "7", "8", "9"]
    assert [line for line in lines if not line.startswith("project/mistakes.py")] == []
