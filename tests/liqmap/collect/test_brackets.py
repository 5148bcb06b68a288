from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from aiohttp import web

from liqmap.brackets import find_brackets
from liqmap.cli.main import main
from liqmap.clock import SystemClock
from liqmap.collect.brackets import refresh_bybit
from liqmap.collect.clients import rest_clients
from liqmap.errors import DataError
from liqmap.model import Exchange
from liqmap.net.session import open_session
from liqmap.settings import BybitSettings, ExchangesSettings, NetworkSettings, Settings, StorageSettings
from liqmap.simulator import LISTINGS, Fault, MarketServer, SimulatedMarket
from tests.served import served

TODAY = date(2027, 1, 1)


def settings_for(folder: Path, url: str) -> Settings:
    return Settings(
        storage=StorageSettings(path=folder),
        network=NetworkSettings(retry_wait=0),
        exchanges=ExchangesSettings(bybit=BybitSettings(api_url=url)),
    )


async def refreshed(folder: Path, url: str) -> Path:
    settings, clock = settings_for(folder, url), SystemClock()
    async with open_session(settings.network) as session:
        clients = rest_clients(settings, session=session, clock=clock)
        return await refresh_bybit(clients[Exchange.BYBIT], settings, today=TODAY)


async def test_pages_of_both_categories_become_a_table(tmp_path: Path):
    async with MarketServer(SimulatedMarket()) as server:
        path = await refreshed(tmp_path, server.bybit_url)
    assert path == tmp_path / "brackets" / "bybit-2027-01-01.txt"
    folders = (path.parent,)
    for symbol in LISTINGS:
        found = find_brackets(Exchange.BYBIT, symbol, on=TODAY, folders=folders)
        assert found is not None
        assert found.date == TODAY
        assert found.source == "Bybit's risk limits (GET /v5/market/risk-limit), fetched on 2027-01-01"
    linear = find_brackets(Exchange.BYBIT, "BTCUSDT", on=TODAY, folders=folders)
    assert linear is not None
    assert linear.brackets.cap.tolist() == [3e5, 2e6]
    assert linear.brackets.deduction.tolist() == pytest.approx([0, 510])


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [(Fault.HTML, "cannot be read"), (Fault.FORBIDDEN, "refuses to answer"), (Fault.UNAVAILABLE, "busy")],
)
async def test_fault_leaves_the_tables_as_they_were(tmp_path: Path, fault: Fault, sentence: str):
    async with MarketServer(SimulatedMarket()) as server:
        server.plan("risk-limit", fault, times=100)
        with pytest.raises(DataError, match=sentence):
            await refreshed(tmp_path, server.bybit_url)
    assert not (tmp_path / "brackets").exists()


ROW = {
    "symbol": "BTCUSDT",
    "riskLimitValue": "1000",
    "maintenanceMargin": "0.01",
    "maxLeverage": "50",
    "mmDeduction": "",
}


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"retCode": 10006, "result": {"list": []}}, r"refuses to tell its risk limits \(code 10006\)"),
        ({"retCode": 0}, "cannot be read"),
        ({"retCode": 0, "result": {"list": [{"symbol": "BTCUSDT"}]}}, "cannot be read"),
        ({"retCode": 0, "result": {"list": [ROW | {"maintenanceMargin": "50"}]}}, "make no sense"),
        ({"retCode": 0, "result": {"list": [ROW | {"mmDeduction": "7"}]}}, "BTCUSDT make no sense"),
    ],
)
async def test_answer_that_makes_no_sense_is_one_sentence(
    tmp_path: Path, answer: dict[str, object], sentence: str
):
    async def serve(_: web.Request) -> web.Response:
        return web.json_response(answer)

    app = web.Application()
    app.router.add_get("/v5/market/risk-limit", serve)
    async with served(app) as url:
        with pytest.raises(DataError, match=sentence):
            await refreshed(tmp_path, url)


def test_command_saves_the_table_of_today(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["brackets", "--config", str(config)]) == 0
    (path,) = (tmp_path / "store" / "brackets").iterdir()
    assert capsys.readouterr().out == f"saved {path}\n"
    assert date.fromisoformat(path.stem.removeprefix("bybit-")) <= datetime.now(UTC).date()


def test_command_s_errors_are_sentences(
    config: Path, market_server: MarketServer, capsys: pytest.CaptureFixture[str]
):
    market_server.plan("risk-limit", Fault.FORBIDDEN, times=100)
    assert main(["brackets", "--config", str(config)]) == 1
    assert main(["brackets", "--config", "nowhere.toml"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
