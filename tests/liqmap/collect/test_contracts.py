from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from liqmap.collect.clients import rest_clients
from liqmap.collect.contracts import KEPT_FOR, LOOKED_AGAIN_AFTER, Contracts
from liqmap.errors import DataError, RequestError, UnreadableStore
from liqmap.model import Exchange
from liqmap.net.session import open_session
from liqmap.settings import ExchangesSettings, NetworkSettings, OkxSettings, Settings, StorageSettings
from liqmap.simulator import SimulatedClock
from liqmap.simulator.listings import LISTINGS
from liqmap.simulator.okx_messages import okx_instrument
from tests.served import served

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
OKX = Exchange.OKX


class Okx:
    """OKX's list of instruments on this machine."""

    def __init__(self) -> None:
        self.changes: dict[str, str] = {}
        self.asked = 0
        self.status = 200

    async def serve(self, request: web.Request) -> web.Response:
        assert request.query["instType"] == "SWAP"
        self.asked += 1
        rows = [okx_instrument("BTCUSDT", LISTINGS["BTCUSDT"]) | self.changes]
        return web.json_response({"code": "0", "msg": "", "data": rows}, status=self.status)


@pytest.fixture
def okx() -> Okx:
    return Okx()


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOW)


@pytest.fixture
async def made(tmp_path: Path, okx: Okx, clock: SimulatedClock) -> AsyncIterator[Any]:
    """Make one reader of the kept contracts after another, over one folder."""
    app = web.Application()
    app.router.add_get("/api/v5/public/instruments", okx.serve)
    async with served(app) as url:
        settings = Settings(
            storage=StorageSettings(path=tmp_path),
            network=NetworkSettings(attempts=1, retry_wait=0),
            exchanges=ExchangesSettings(okx=OkxSettings(api_url=url)),
        )
        async with open_session(settings.network) as session:
            clients = rest_clients(settings, session=session, clock=clock)
            yield lambda: Contracts(settings, clients=clients, clock=clock)


async def test_days_before_a_change_count_by_what_was(made: Any, okx: Okx, clock: SimulatedClock):
    contracts = made()
    assert await contracts.unit(OKX, "BTCUSDT", on=date(2022, 1, 1)) == 0.01
    okx.changes = {"ctVal": "0.001", "ctMult": "10"}  # the same
    await clock.advance(KEPT_FOR.total_seconds())
    assert await contracts.unit(OKX, "BTCUSDT", on=date(2026, 6, 2)) == 0.01
    okx.changes = {"ctVal": "0.1"}
    await clock.advance(KEPT_FOR.total_seconds())
    for each in (contracts, made()):
        assert await each.unit(OKX, "BTCUSDT", on=date(2026, 6, 2)) == 0.01
        assert await each.unit(OKX, "BTCUSDT", on=date(2026, 6, 3)) == 0.1
    assert okx.asked == 3


async def test_days_between_what_was_seen_before_a_change_and_after_it_are_refused(
    made: Any, okx: Okx, clock: SimulatedClock
):
    await made().of(OKX, "BTCUSDT", on=NOW.date())
    okx.changes = {"lever": "50"}  # which changes no size
    await clock.advance(3 * KEPT_FOR.total_seconds())
    assert await made().unit(OKX, "BTCUSDT", on=date(2026, 6, 2)) == 0.01
    okx.changes = {"ctVal": "0.1"}
    await clock.advance(3 * KEPT_FOR.total_seconds())
    for _ in range(2):
        contracts = made()
        assert await contracts.unit(OKX, "BTCUSDT", on=date(2026, 6, 4)) == 0.01
        for day in (5, 6):
            with pytest.raises(DataError, match=f"so the sizes of 2026-06-0{day} are not known"):
                await contracts.unit(OKX, "BTCUSDT", on=date(2026, 6, day))
        assert await contracts.unit(OKX, "BTCUSDT", on=date(2026, 6, 7)) == 0.1


async def test_contract_that_changes_between_two_looks_of_a_day_is_known(
    made: Any, okx: Okx, clock: SimulatedClock
):
    contracts = made()
    await contracts.of(OKX, "BTCUSDT", on=NOW.date())
    okx.changes = {"ctVal": "0.1"}
    await clock.advance(LOOKED_AGAIN_AFTER.total_seconds())
    with pytest.raises(RequestError):  # so the list is fetched again
        await contracts.of(OKX, "NOPEUSDT", on=NOW.date())
    for days in (0, 1, 2):
        assert await contracts.unit(OKX, "BTCUSDT", on=NOW.date() + timedelta(days=days)) == 0.1


async def test_exchange_that_counts_coins_is_not_asked(made: Any, okx: Okx):
    assert await made().unit(Exchange.BINANCE, "BTCUSDT", on=NOW.date()) == 1
    assert okx.asked == 0


async def test_unknown_symbol_is_refused(made: Any):
    with pytest.raises(RequestError, match="OKX has no linear swap NOPEUSDT"):
        await made().of(OKX, "NOPEUSDT", on=NOW.date())


async def test_contract_that_was_listed_since_is_found(made: Any, okx: Okx, clock: SimulatedClock):
    contracts = made()
    await contracts.of(OKX, "BTCUSDT", on=NOW.date())
    okx.changes = {"instId": "NEW-USDT-SWAP", "instFamily": "NEW-USDT", "ctValCcy": "NEW", "ctVal": "10"}
    for _ in range(2):
        with pytest.raises(RequestError):
            await contracts.of(OKX, "NEWUSDT", on=NOW.date())
    assert okx.asked == 1
    await clock.advance(LOOKED_AGAIN_AFTER.total_seconds())
    assert await contracts.unit(OKX, "NEWUSDT", on=NOW.date()) == 10
    assert await contracts.unit(OKX, "BTCUSDT", on=NOW.date()) == 0.01
    assert okx.asked == 2


async def test_what_is_kept_serves_while_the_exchange_is_away(made: Any, okx: Okx, clock: SimulatedClock):
    okx.status = 503
    with pytest.raises(DataError):
        await made().of(OKX, "BTCUSDT", on=NOW.date())
    okx.status = 200
    await made().of(OKX, "BTCUSDT", on=NOW.date())
    okx.status, asked = 503, okx.asked
    await clock.advance(timedelta(days=2).total_seconds())
    later = made()
    assert await later.unit(OKX, "BTCUSDT", on=NOW.date()) == 0.01
    assert await later.unit(OKX, "BTCUSDT", on=NOW.date()) == 0.01
    assert okx.asked == asked + 1


async def test_damaged_file_is_fetched_again(made: Any, okx: Okx, tmp_path: Path):
    await made().of(OKX, "BTCUSDT", on=NOW.date())
    for damage in (b"{", b'{"fetched": "2026-06-01T12:00:00+00:00", "contracts": {"BTCUSDT": {}}}'):
        (tmp_path / "contracts" / "okx.json").write_bytes(damage)
        assert await made().unit(OKX, "BTCUSDT", on=NOW.date()) == 0.01
    assert okx.asked == 3


async def test_file_that_cannot_be_read_is_not_replaced(made: Any, okx: Okx, tmp_path: Path):
    (tmp_path / "contracts" / "okx.json").mkdir(parents=True)
    with pytest.raises(UnreadableStore):
        await made().unit(OKX, "BTCUSDT", on=NOW.date())
    assert okx.asked == 0


async def test_day_of_a_change_that_another_process_saw_is_kept(made: Any, okx: Okx, clock: SimulatedClock):
    first, second = made(), made()
    for each in (first, second):
        assert await each.unit(OKX, "BTCUSDT", on=date(2026, 6, 1)) == 0.01
    okx.changes = {"ctVal": "0.1"}
    await clock.advance(KEPT_FOR.total_seconds())
    assert await second.unit(OKX, "BTCUSDT", on=date(2026, 6, 2)) == 0.1
    await clock.advance(KEPT_FOR.total_seconds() - 1)
    assert await first.unit(OKX, "BTCUSDT", on=date(2026, 6, 2)) == 0.1
    await clock.advance(KEPT_FOR.total_seconds())
    for each in (first, second, made()):
        assert await each.unit(OKX, "BTCUSDT", on=date(2026, 6, 2)) == 0.1
        assert await each.unit(OKX, "BTCUSDT", on=date(2026, 6, 1)) == 0.01
