from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from liqmap.brackets import DatedBrackets, Table, find_brackets
from liqmap.brackets.save import Saved
from liqmap.cli.main import main
from liqmap.collect import brackets
from liqmap.collect.brackets import KEPT_FOR, PATIENCE, RETRIED_AFTER, BracketTables
from liqmap.collect.clients import rest_clients
from liqmap.collect.contracts import Contracts
from liqmap.errors import DataError
from liqmap.exchanges.messages import RiskTier, SymbolTiers
from liqmap.files import locked, replace_file
from liqmap.model import Exchange, MarginModel
from liqmap.net.session import open_session
from liqmap.settings import (
    BinanceSettings,
    BybitSettings,
    ExchangesSettings,
    NetworkSettings,
    OkxSettings,
    Settings,
    StorageSettings,
)
from liqmap.simulator import LISTINGS, Fault, MarketServer, SimulatedClock, SimulatedMarket
from liqmap.store.damaged import damage_in
from tests.liqmap.interleaved import begun_at
from tests.liqmap.market_time import until
from tests.served import served

NOW = datetime(2027, 1, 1, 12, tzinfo=UTC)
TODAY = NOW.date()
BINANCE, BYBIT = Exchange.BINANCE, Exchange.BYBIT


class Bybit:
    """Bybit's risk limits on this machine, one row a page."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.rows: dict[str, list[Any]] = {"linear": [row("BTCUSDT"), row("ETHUSDT", "2000")], "inverse": []}
        self.code = 0
        self.silent = False

    async def serve(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append(query)
        if self.silent:
            await asyncio.Event().wait()
        rows = self.rows[query["category"]]
        if "symbol" in query:
            page, cursor = [each for each in rows if each["symbol"] == query["symbol"]], ""
        else:
            place = int(query.get("cursor", "0"))
            page, cursor = rows[place : place + 1], str(place + 1) if place + 1 < len(rows) else ""
        result = {"category": query["category"], "list": page, "nextPageCursor": cursor}
        return web.json_response({"retCode": self.code, "result": result})


def row(symbol: str, limit: str = "1000", **changes: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "symbol": symbol,
        "riskLimitValue": limit,
        "maintenanceMargin": "0.01",
        "initialMargin": "0.02",
        "isLowestRisk": 1,
        "maxLeverage": "50.00",
        "mmDeduction": "",
        **changes,
    }


@asynccontextmanager
async def tables_of(
    folder: Path, url: str, clock: SimulatedClock, *, daily: bool = False, retry_wait: float = 0
) -> AsyncIterator[BracketTables]:
    settings = Settings(
        storage=StorageSettings(path=folder),
        network=NetworkSettings(retry_wait=retry_wait, retry_wait_max=retry_wait),
        exchanges=ExchangesSettings(
            bybit=BybitSettings(api_url=url),
            binance=BinanceSettings(api_url=url),
            okx=OkxSettings(api_url=url),
        ),
    )
    async with open_session(settings.network) as session:
        clients = rest_clients(settings, session=session, clock=clock)
        contracts = Contracts(settings, clients=clients, clock=clock)
        async with BracketTables(
            settings, clients=clients, contracts=contracts, clock=clock, daily=daily
        ) as tables:
            yield tables


@pytest.fixture
def bybit() -> Bybit:
    return Bybit()


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOW)


@pytest.fixture
async def url(bybit: Bybit) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/v5/market/risk-limit", bybit.serve)
    async with served(app) as url:
        yield url


@pytest.fixture
async def tables(tmp_path: Path, url: str, clock: SimulatedClock) -> AsyncIterator[BracketTables]:
    async with tables_of(tmp_path, url, clock) as tables:
        yield tables


def found(tables: BracketTables, symbol: str, exchange: Exchange = BYBIT, on: date = TODAY) -> DatedBrackets:
    brackets = find_brackets(exchange, symbol, on=on, folders=(tables.folder,))
    assert brackets is not None
    return brackets


async def test_pages_of_both_categories_become_a_table(tmp_path: Path, clock: SimulatedClock):
    async with (
        MarketServer(SimulatedMarket(), clock=clock) as server,
        tables_of(tmp_path, server.bybit_url, clock) as tables,
    ):
        refreshed = await tables.refresh(BYBIT)
        listed = frozenset(symbol for symbol, each in LISTINGS.items() if each.dollars in {None, 1})
        assert (refreshed.symbols, refreshed.saved.changed) == (len(listed), listed)
        for symbol in listed:
            assert found(tables, symbol).date == TODAY
            assert found(tables, symbol).source == (
                "Bybit's risk limits (GET /v5/market/risk-limit), 2027-01-01"
            )
        assert found(tables, "BTCUSDT").brackets.cap.tolist() == [3e5, 2e6]
        assert found(tables, "BTCUSDT").brackets.deduction.tolist() == pytest.approx([0, 510])
        # Documented in percent: 0.5 and 1.
        assert found(tables, "BTCUSD").brackets.rate.tolist() == pytest.approx([0.005, 0.01])


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [(Fault.HTML, "cannot be read"), (Fault.FORBIDDEN, "refuses to answer"), (Fault.UNAVAILABLE, "busy")],
)
async def test_fault_leaves_the_tables_as_they_were(
    tmp_path: Path, clock: SimulatedClock, fault: Fault, sentence: str
):
    async with (
        MarketServer(SimulatedMarket(), clock=clock) as server,
        tables_of(tmp_path, server.bybit_url, clock) as tables,
    ):
        server.plan("risk-limit", fault, times=100)
        with pytest.raises(DataError, match=sentence):
            await tables.refresh(BYBIT)
    assert not (tmp_path / "brackets").exists()


async def test_exchange_without_public_brackets_gets_no_request(tables: BracketTables, bybit: Bybit):
    with pytest.raises(DataError, match="Binance publishes its brackets only to account holders"):
        await tables.refresh(BINANCE)
    assert await tables.current(MarginModel.BINANCE, "BTCUSDT")
    assert await tables.current(MarginModel.SIMPLE, "BTCUSDT")
    assert bybit.asked == []


@pytest.mark.parametrize(
    ("rows", "code", "sentence"),
    [
        ([row("BTCUSDT")], 10006, r"refuses to answer about its risk limits \(code 10006\)"),
        ([{"id": 1}, "BTCUSDT"], 0, "are invalid"),
        ([], 0, "are invalid"),
        ([{"symbol": "BTCUSDT"}], 0, "are invalid"),
        ([row("BTCUSDT", maintenanceMargin="50")], 0, "are invalid"),
        ([row("BTCUSDT", initialMargin="0.05")], 0, "are invalid"),
        ([row("BTCUSDT", mmDeduction="7")], 0, "are invalid"),
        ([row("BTCUSDT", riskLimitValue="nan")], 0, "are invalid"),
        ([row("BTCUSDT", riskLimitValue=["1"])], 0, "are invalid"),
        ([row("../BTC USDT\n")], 0, "are invalid"),
    ],
)
async def test_answer_that_makes_no_sense_is_one_sentence(
    tables: BracketTables, bybit: Bybit, rows: list[Any], code: int, sentence: str
):
    bybit.rows["linear"], bybit.code = rows, code
    with pytest.raises(DataError, match=sentence):
        await tables.refresh(BYBIT)
    assert not list(tables.folder.glob("*.txt"))


async def test_symbol_with_invalid_brackets_keeps_its_older_ones(
    tables: BracketTables, bybit: Bybit, clock: SimulatedClock
):
    await tables.refresh(BYBIT)
    await clock.advance(86_400)
    bybit.rows["linear"] = [row("BTCUSDT", "3000"), row("ETHUSDT", "9000", mmDeduction="7"), row("XRPUSDT")]
    refreshed = await tables.refresh(BYBIT)
    assert refreshed.saved == Saved(frozenset({"BTCUSDT", "XRPUSDT"}), frozenset({"ETHUSDT"}))
    tomorrow = date(2027, 1, 2)
    assert found(tables, "BTCUSDT", on=tomorrow).brackets.cap.tolist() == [3000]
    assert found(tables, "ETHUSDT", on=tomorrow).brackets.cap.tolist() == [2000]
    assert found(tables, "ETHUSDT", on=tomorrow).date == TODAY
    assert found(tables, "BTCUSDT").brackets.cap.tolist() == [1000]


async def test_brackets_that_stay_the_same_are_not_stored_again(tables: BracketTables, clock: SimulatedClock):
    await tables.refresh(BYBIT)
    await clock.advance(86_400)
    assert (await tables.refresh(BYBIT)).saved.changed == frozenset()
    assert [path.name for path in tables.folder.glob("*.txt")] == ["bybit-2027-01-01.txt"]


async def test_brackets_are_fetched_at_the_start_and_once_a_day(
    tmp_path: Path, url: str, bybit: Bybit, clock: SimulatedClock
):
    async with tables_of(tmp_path, url, clock, daily=True) as tables:
        await until((tables.folder / "checked.json").exists)
        assert found(tables, "ETHUSDT").date == TODAY
        assert len(bybit.asked) == 3
        assert await tables.current(MarginModel.BYBIT, "ETHUSDT")
        assert len(bybit.asked) == 3
        bybit.rows["linear"].append(row("NEWUSDT"))
        await until(lambda: len(clock.alarms) == 2)  # Bybit's next round, and OKX's
        await clock.advance(KEPT_FOR.total_seconds())
        await until(lambda: b"2027-01-02" in (tables.folder / "checked.json").read_bytes())
        assert found(tables, "NEWUSDT", on=date(2027, 1, 2)).date == date(2027, 1, 2)
        assert len(bybit.asked) == 7
    bybit.rows["linear"][0] = row("BTCUSDT", "3000")
    async with tables_of(tmp_path, url, clock, daily=True) as tables:
        await until(lambda: found(tables, "BTCUSDT", on=date(2027, 1, 2)).brackets.cap.tolist() == [3000])
    assert len(bybit.asked) == 11


async def test_symbol_that_was_listed_after_the_daily_fetch_is_fetched_at_its_first_use(
    tmp_path: Path, url: str, bybit: Bybit, clock: SimulatedClock
):
    async with tables_of(tmp_path, url, clock, daily=True) as tables:
        await until((tables.folder / "checked.json").exists)
        bybit.rows["linear"].append(row("NEWUSDT", "700"))
        asked = len(bybit.asked)
        for _ in range(2):
            assert await tables.current(MarginModel.BYBIT, "NEWUSDT")
        assert bybit.asked[asked:] == [{"category": "linear", "symbol": "NEWUSDT"}]
        assert found(tables, "NEWUSDT").brackets.cap.tolist() == [700]


async def test_clock_that_was_set_back_leaves_no_brackets_current_for_ever(
    tables: BracketTables, bybit: Bybit, clock: SimulatedClock
):
    await tables.refresh(BYBIT)
    asked, clock._now = len(bybit.asked), clock.now() - 2 * KEPT_FOR
    assert await tables.current(MarginModel.BYBIT, "ETHUSDT")
    assert bybit.asked[asked:] == [{"category": "linear", "symbol": "ETHUSDT"}]


async def test_daily_fetch_that_fails_is_tried_again_soon(
    tmp_path: Path, url: str, bybit: Bybit, clock: SimulatedClock
):
    bybit.code = 10006
    async with tables_of(tmp_path, url, clock, daily=True) as tables:
        await until(lambda: len(clock.alarms) == 2)  # Bybit's next try, and OKX's
        bybit.code = 0
        await clock.advance(RETRIED_AFTER.total_seconds())
        await until(lambda: list(tables.folder.glob("bybit-*")) != [])


async def test_first_use_fetches_the_symbol_alone_and_once_a_day(
    tables: BracketTables, bybit: Bybit, clock: SimulatedClock
):
    for _ in range(2):
        assert await tables.current(MarginModel.BYBIT, "ETHUSDT")
    assert bybit.asked == [{"category": "linear", "symbol": "ETHUSDT"}]
    assert found(tables, "ETHUSDT").brackets.cap.tolist() == [2000]
    assert found(tables, "BTCUSDT").date == date(2026, 9, 1)
    await clock.advance(KEPT_FOR.total_seconds())
    assert await tables.current(MarginModel.BYBIT, "ETHUSDT")
    assert len(bybit.asked) == 2


async def test_first_use_of_several_at_once_asks_once(tables: BracketTables, bybit: Bybit):
    waiting = (tables.current(MarginModel.BYBIT, "ETHUSDT") for _ in range(3))
    assert await asyncio.gather(*waiting) == [True] * 3
    assert len(bybit.asked) == 1


async def test_inverse_symbol_is_looked_up_in_its_category(tables: BracketTables, bybit: Bybit):
    bybit.rows["inverse"] = [row("BTCUSD", "150", maintenanceMargin="0.5", initialMargin="2")]
    assert await tables.current(MarginModel.BYBIT, "BTCUSD")
    assert found(tables, "BTCUSD").brackets.rate.tolist() == [0.005]


async def test_first_use_waits_three_seconds_at_most(
    tables: BracketTables, bybit: Bybit, clock: SimulatedClock
):
    bybit.silent = True
    waiting = asyncio.create_task(tables.current(MarginModel.BYBIT, "ETHUSDT"))
    await until(lambda: len(bybit.asked) == 1)
    await clock.advance(PATIENCE.total_seconds() - 0.1)
    assert not waiting.done()
    await clock.advance(0.1)
    assert await waiting is False


@pytest.mark.parametrize(("symbol", "waits"), [("BTCUSDT", False), ("NEWUSDT", True)])
async def test_exchange_that_cannot_be_reached_is_waited_for_only_without_older_brackets(
    tmp_path: Path, clock: SimulatedClock, symbol: str, waits: bool
):
    nobody = "http://127.0.0.1:1"
    async with tables_of(tmp_path, nobody, clock, retry_wait=60) as tables:
        waiting = asyncio.create_task(tables.current(MarginModel.BYBIT, symbol))
        # Until it is to be tried again, and the map has given up or waits with patience.
        await until(lambda: len(clock.alarms) == (2 if waits else 1))
        if waits:
            assert not waiting.done()
            await clock.advance(PATIENCE.total_seconds())
        assert await waiting is False


async def test_symbol_that_the_exchange_refuses_is_not_requested_again_at_once(
    tables: BracketTables, bybit: Bybit, clock: SimulatedClock
):
    bybit.code = 10001
    for _ in range(2):
        assert not await tables.current(MarginModel.BYBIT, "NOPEUSDT")
    assert len(bybit.asked) == 1
    await clock.advance(RETRIED_AFTER.total_seconds())
    bybit.code = 0
    assert await tables.current(MarginModel.BYBIT, "NOPEUSDT")
    assert find_brackets(BYBIT, "NOPEUSDT", on=TODAY, folders=(tables.folder,)) is None


async def test_brackets_of_a_stream_are_kept_in_the_table_of_the_day(tables: BracketTables):
    new = SymbolTiers("0GUSDT", (RiskTier(2000, 0.02, 10, 10.0), RiskTier(1000, 0.01, 20, 0.0)))
    await tables.keep(BINANCE, [new])
    await tables.keep(
        BINANCE, [SymbolTiers("NEWUSDT", (RiskTier(5, 0.5, 1, 0.0),)), SymbolTiers("BADUSDT", ())]
    )
    assert found(tables, "0GUSDT", BINANCE).brackets.cap.tolist() == [1000, 2000]
    assert found(tables, "NEWUSDT", BINANCE).date == TODAY
    assert found(tables, "BTCUSDT", BINANCE).date == date(2026, 9, 1)
    assert find_brackets(BINANCE, "BADUSDT", on=TODAY, folders=(tables.folder,)) is None


async def test_damaged_note_of_checks_means_fetched_again(tables: BracketTables, bybit: Bybit):
    tables.folder.mkdir()
    for content in ("{", "[]", '{"bybit": 1}', '{"bybit": "2027-01-01T00:00:00"}', "[" * 100_000):
        (tables.folder / "checked.json").write_text(content)
        bybit.asked.clear()
        assert await tables.current(MarginModel.BYBIT, "ETHUSDT")
        assert len(bybit.asked) == 1
    assert list(json.loads((tables.folder / "checked.json").read_text())) == ["xxh3", "bybit:ETHUSDT"]


@pytest.mark.parametrize("exchange", [BYBIT, BINANCE])
async def test_damaged_table_is_set_aside_and_what_can_be_is_fetched_again(
    tables: BracketTables, bybit: Bybit, tmp_path: Path, exchange: Exchange
):
    await tables.refresh(BYBIT)
    await tables.keep(BINANCE, [SymbolTiers("ETHUSDT", (RiskTier(1000, 0.01, 20, 0.0),))])
    path = tables.folder / f"{exchange}-{TODAY}.txt"
    path.write_bytes(path.read_bytes().replace(b"0.01", b"0.02"))
    model = {BYBIT: MarginModel.BYBIT, BINANCE: MarginModel.BINANCE}[exchange]
    bybit.rows["linear"][1] = row("ETHUSDT", "2500")
    assert await tables.current(model, "ETHUSDT")
    assert [each.name.rpartition(".")[0] for each in (tmp_path / "damaged" / "brackets").iterdir()] == [
        path.name
    ]
    brackets = found(tables, "ETHUSDT", exchange)
    assert (brackets.date, brackets.brackets.cap[0]) == (
        (TODAY, 2500) if exchange is BYBIT else (date(2026, 9, 1), 300_000)
    )
    assert damage_in(tmp_path).count == 1


async def test_table_that_another_process_saves_anew_is_not_set_aside(
    tables: BracketTables, monkeypatch: pytest.MonkeyPatch
):
    await tables.refresh(BYBIT)
    (path,) = tables.folder.glob("bybit-*.txt")
    whole, judged = path.read_bytes(), BracketTables._is_damaged
    path.write_bytes(b"?" + whole)

    def judge(self: BracketTables, table: Table) -> bool:
        found = judged(self, table)
        replace_file(path, whole)
        return found

    monkeypatch.setattr(BracketTables, "_is_damaged", judge)
    await tables.current(MarginModel.BYBIT, "BTCUSDT")
    assert path.read_bytes() == whole
    assert damage_in(tables.folder.parent).count == 0


async def test_fetches_that_two_note_at_once_are_both_noted(
    tables: BracketTables, monkeypatch: pytest.MonkeyPatch
):
    def note(key: str) -> None:
        tables._checks.note(key, NOW)

    note("bybit")
    with begun_at(monkeypatch, brackets, "write_file", lambda: note("okx")) as other:
        monkeypatch.setattr("liqmap.collect.brackets.locked", other.watch(locked))
        note("binance")
    assert all(tables._checks.read(key) == NOW for key in ("bybit", "okx", "binance"))


def test_command_says_what_it_fetched_and_what_is_without_brackets(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["brackets", "--config", str(config)]) == 0
    (path,) = (tmp_path / "store" / "brackets").glob("bybit-*.txt")
    day = path.stem.removeprefix("bybit-")
    assert capsys.readouterr().out.splitlines() == [
        "Bybit: fetched 7 symbols, 7 of them changed",
        "OKX: fetched 6 symbols, 6 of them changed",
        "Binance: 956 symbols have brackets; the newest table is of 2026-09-01",
        "Binance: without brackets: Binance COIN-M; SHIBUSDT",
        f"Bybit: 7 symbols have brackets; the newest table is of {day}",
        f"OKX: 6 symbols have brackets; the newest table is of {day}",
    ]
    assert date.fromisoformat(day) <= datetime.now(UTC).date()


def test_command_s_errors_are_sentences(
    config: Path, market_server: MarketServer, capsys: pytest.CaptureFixture[str]
):
    market_server.plan("risk-limit", Fault.FORBIDDEN, times=100)
    assert main(["brackets", "--config", str(config)]) == 1
    assert main(["brackets", "--config", "nowhere.toml"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
