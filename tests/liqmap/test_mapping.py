from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import zipfile
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from aiohttp import web

from liqmap.errors import LiqmapError, RequestError
from liqmap.mapping import HistoricalMapping
from liqmap.simulator import SimulatedMarket
from liqmap.simulator.formats import binance_checksum
from tests.conftest import LoopThread
from tests.served import served

TITLE = "BTCUSDT_2023-08-01_00-00-00-2023-08-01_06-00-00"
LEVERAGES = (10, 25, 50, 100)
SHARED = Path(__file__).parents[3] / "shared" / "data" / "binance"


@pytest.fixture(autouse=True)
def working_directory(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LIQMAP_CONFIG", str(config))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def mapping(exchange: str = "binance") -> HistoricalMapping:
    return HistoricalMapping(
        start_datetime="2023-08-01 00:00:00",
        end_datetime="2023-08-01 06:00:00",
        symbol="BTCUSDT",
        exchange=exchange,
    )


def names(stem: str) -> set[str]:
    tables = {f"{stem}_{each}x_Leveraged_{side}.csv" for each in LEVERAGES for side in ("buy", "sell")}
    return {f"{stem}.png", *tables}


@pytest.mark.parametrize(
    ("exchange", "mode", "thresholds", "ending"),
    [
        ("binance", "top_n", {"threshold_top_n": 50}, "top_n_50"),
        ("binance", "gross_value", {"threshold_gross_value": 3000}, "gross_value_3000"),
        ("bybit", "portion", {"threshold_portion": 0.02}, "portion_0.02"),
    ],
)
def test_both_methods_leave_the_seed_library_s_files(
    exchange: str, mode: str, thresholds: dict[str, Any], ending: str, working_directory: Path
):
    mapping(exchange).liquidation_map_from_historical(mode=mode, **thresholds)
    left = {path.name for path in working_directory.iterdir()}
    assert left == names(f"{TITLE}_{ending}")
    mapping(exchange).liquidation_map_depth_from_historical(mode=mode, **thresholds)
    left = {path.name for path in working_directory.iterdir()}
    assert left == names(f"{TITLE}_{ending}") | names(f"{TITLE}_{ending}_depth")


def test_tables_hold_the_level_and_notional_of_every_selected_trade(working_directory: Path):
    mapping().liquidation_map_from_historical(mode="top_n", threshold_top_n=20)
    day = SimulatedMarket(scale=0.005).day("BTCUSDT", pd.Timestamp("2023-08-01").date())
    first_hours = day.trades.time < pd.Timestamp("2023-08-01 06:00", tz="UTC").value // 10**6
    for side, is_buy, sign in (("buy", True, -1), ("sell", False, 1)):
        mine = first_hours & (day.trades.is_buy == is_buy)
        notional = day.trades.price[mine] * day.trades.size[mine]
        largest = np.argsort(-notional, kind="stable")[:20]
        for leverage in LEVERAGES:
            table = pd.read_csv(
                working_directory / f"{TITLE}_top_n_20_{leverage}x_Leveraged_{side}.csv", index_col=0
            )
            assert list(table) == ["price", "amount"]
            assert table.index.tolist() == list(range(20))
            entry = day.trades.price[mine][largest]
            assert table["price"].to_numpy() == pytest.approx(entry * (1 + sign / leverage), rel=1e-12)
            assert table["amount"].to_numpy() == pytest.approx(notional[largest], rel=1e-12)


def test_rows_of_gross_value_come_in_the_order_of_time(working_directory: Path):
    mapping().liquidation_map_from_historical(threshold_gross_value=3000)
    day = SimulatedMarket(scale=0.005).day("BTCUSDT", pd.Timestamp("2023-08-01").date())
    notional = day.trades.notional
    end = pd.Timestamp("2023-08-01 06:00", tz="UTC").value // 10**6
    expected = notional[(day.trades.time < end) & day.trades.is_buy & (notional >= 3000)]
    table = pd.read_csv(working_directory / f"{TITLE}_gross_value_3000_10x_Leveraged_buy.csv")
    assert table["amount"].tolist() == expected.tolist()


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="the real trades of ../shared/data are not here")
@pytest.mark.parametrize("threshold", [500, 20_000])
def test_tables_of_a_real_day_are_those_of_the_seed_library(
    loop_thread: LoopThread,
    tmp_path: Path,
    working_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    threshold: int,
):
    """Row by row, and number by number: what it does with pandas, written down again."""
    name = "BTCUSDT-aggTrades-2023-04-05"
    body = (SHARED / f"{name}.csv").read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(f"{name}.csv", body)
    app, content = web.Application(), packed.getvalue()
    for ending, answer in ((".zip", content), (".zip.CHECKSUM", binance_checksum(content, f"{name}.zip"))):
        app.router.add_get(
            f"/data/futures/um/daily/aggTrades/BTCUSDT/{name}{ending}", partial(_answered, answer)
        )
    server = served(app)
    url = loop_thread.run(server.__aenter__())
    config = tmp_path / "real.toml"
    config.write_text(
        f'storage.path = "{tmp_path / "real"}"\nnetwork.retry_wait = 0\n'
        f'exchanges.binance.archive_url = "{url}"\nexchanges.binance.api_url = "{url}"\n'
    )
    monkeypatch.setenv("LIQMAP_CONFIG", str(config))
    try:
        HistoricalMapping(
            "BTCUSDT", "2023-04-05 00:00:00", "2023-04-05 00:07:00", "binance"
        ).liquidation_map_from_historical(mode="gross_value", threshold_gross_value=threshold)
    finally:
        loop_thread.run(server.__aexit__(None, None, None))
    rows = pd.read_csv(io.BytesIO(body))
    for side, is_maker, sign in (("buy", False, -1), ("sell", True, 1)):
        mine = rows[rows["is_buyer_maker"] == is_maker]
        # In decimals, as they were on paper.
        price, size = (mine[each].map(lambda value: Decimal(str(value))) for each in ("price", "quantity"))
        kept = price * size >= threshold
        for leverage in LEVERAGES:
            (path,) = working_directory.glob(f"*_{leverage}x_Leveraged_{side}.csv")
            table = pd.read_csv(path, index_col=0)
            factor = 1 + Decimal(sign) / leverage
            assert table["price"].tolist() == [float(each * factor) for each in price[kept]]
            assert table["amount"].tolist() == [float(each) for each in (price * size)[kept]]
            assert len(table) > 10


async def _answered(content: bytes, _: web.Request) -> web.Response:
    return web.Response(body=content)


def test_map_can_be_drawn_inside_a_running_event_loop(working_directory: Path):
    async def notebook_cell() -> None:
        mapping().liquidation_map_from_historical(mode="top_n", threshold_top_n=5)

    asyncio.run(notebook_cell())
    assert (working_directory / f"{TITLE}_top_n_5.png").exists()


def test_readme_s_script_runs_as_it_stands_without_a_main_guard(working_directory: Path):
    script = working_directory / "script.py"
    script.write_text(
        "from liqmap.mapping import HistoricalMapping\n"
        "mapping = HistoricalMapping(\n"
        "    start_datetime='2023-08-01 00:00:00',\n"
        "    end_datetime='2023-08-01 06:00:00',\n"
        "    symbol='BTCUSDT',\n"
        "    exchange='binance',\n"
        ")\n"
        'mapping.liquidation_map_from_historical(mode="gross_value", threshold_gross_value=3000)\n'
    )
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(script)], env=os.environ, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    left = {path.name for path in working_directory.iterdir()} - {"script.py"}
    assert left == names(f"{TITLE}_gross_value_3000")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("BTCUSDT", "2023-08-01", "2023-08-01 06:00:00", "binance"), "not written as 2023-08-01 06:00:00"),
        (("BTCUSDT", "2023-08-01 06:00:00", "2023-08-01 00:00:00", "binance"), "end"),
        (("BTCUSDT", "2023-08-01 00:00:00", "2023-08-01 06:00:00", "ftx"), "try binance, bybit or okx"),
    ],
)
def test_bad_input_raises_one_sentence(arguments: tuple[str, str, str, str], sentence: str):
    with pytest.raises(RequestError, match=re.escape(sentence)):
        HistoricalMapping(*arguments)


def test_inverse_contract_is_found_however_it_is_spelled(working_directory: Path):
    for symbol, exchange, spelled in (
        ("BTCUSD", "binance", "BTCUSD_PERP"),
        ("BTCUSD_PERP", "bybit", "BTCUSD"),
    ):
        HistoricalMapping(
            symbol, "2023-08-01 00:00:00", "2023-08-01 06:00:00", exchange
        ).liquidation_map_from_historical(mode="top_n", threshold_top_n=5)
        title = TITLE.replace("BTCUSDT", spelled)
        assert (working_directory / f"{title}_top_n_5.png").exists()


def test_bad_mode_raises_one_sentence():
    with pytest.raises(RequestError, match="try top_n, gross_value or portion"):
        mapping().liquidation_map_from_historical(mode="largest")


def test_nothing_selected_raises_and_leaves_no_file(working_directory: Path):
    with pytest.raises(LiqmapError, match="Try gross_value"):
        mapping().liquidation_map_from_historical(threshold_gross_value=1e12)
    assert list(working_directory.iterdir()) == []
