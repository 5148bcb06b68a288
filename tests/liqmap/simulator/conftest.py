"""A market on a clock that tests move on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest

from liqmap.simulator import MarketServer, SimulatedClock, SimulatedMarket

NOON = datetime(2023, 8, 1, 12, tzinfo=UTC)
SMALL = SimulatedMarket(scale=0.01)  # BTCUSDT: some 8 trades a minute


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOON)


@pytest.fixture
async def server(clock: SimulatedClock) -> AsyncIterator[MarketServer]:
    """Serve a small market at noon; trades are only sent when a test says so."""
    async with MarketServer(SMALL, clock=clock, pump_every=None) as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened
