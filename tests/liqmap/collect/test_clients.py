from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from liqmap.collect.clients import learn_time, rest_clients
from liqmap.model import Exchange
from liqmap.net.session import open_session
from liqmap.settings import Settings
from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket
from tests.liqmap.market_time import WrongClock

NOW = datetime(2023, 8, 3, 12, 0, 30, 250_000, tzinfo=UTC)


async def learned(ahead: timedelta, *, warns: bool = True) -> list[timedelta | None]:
    """Ask each exchange for its time, twice, and return how far each says that this machine is ahead."""
    clock = SimulatedClock(NOW)
    async with MarketServer(SimulatedMarket(scale=0.001), clock=clock, pump_every=None) as server:
        settings = server.redirect(Settings())
        async with open_session(settings.network) as session:
            machine = WrongClock(clock, ahead)
            clients = rest_clients(settings, session=session, clock=machine, warns_of_clock=warns)
            for exchange in [*Exchange, *Exchange]:
                base_url = settings.exchanges.of(exchange).api_url
                await learn_time(clients[exchange], exchange, base_url=base_url)
            return [client.clock.machine_ahead for client in clients.values()]


@pytest.mark.parametrize("seconds", [-25, 0, 25, 86_400])
async def test_exchange_s_time_is_learned_to_the_millisecond(seconds: int):
    for found in await learned(timedelta(seconds=seconds)):
        assert found is not None
        assert abs(found.total_seconds() - seconds) < 0.001


@pytest.mark.parametrize(
    ("seconds", "warnings"),
    [
        (25, ["This machine's clock is about 25 s ahead of Binance's; set it, for example with NTP."]),
        (-7300, ["This machine's clock is about 2 h 1 min behind Binance's; set it, for example with NTP."]),
        (1.9, []),
    ],
)
async def test_log_says_once_that_the_clock_is_off(
    seconds: float, warnings: list[str], caplog: pytest.LogCaptureFixture
):
    await learned(timedelta(seconds=seconds))
    assert caplog.messages == warnings


async def test_log_says_nothing_where_somebody_else_does(caplog: pytest.LogCaptureFixture):
    await learned(timedelta(seconds=25), warns=False)
    assert caplog.messages == []
