import asyncio
from datetime import timedelta

import aiohttp

from liqmap.simulator import MarketServer, SimulatedClock, remote_clock
from tests.liqmap.simulator.conftest import NOON


async def test_remote_clock_shows_the_server_s_time_at_once(server: MarketServer, clock: SimulatedClock):
    await clock.advance(1.5)
    async with remote_clock(server.clock_url) as remote:
        assert remote.now() == NOON + timedelta(seconds=1.5)


async def test_tick_returns_when_all_remote_sleepers_have_been_woken_in_order(
    server: MarketServer, clock: SimulatedClock
):
    async with remote_clock(server.clock_url) as remote, remote_clock(server.clock_url) as other:
        woken = []

        async def beat(period: float) -> None:
            while True:
                await remote.sleep(period)
                woken.append((remote.now() - NOON).total_seconds())

        beats = [asyncio.create_task(beat(period)) for period in (0.5, 0.8)]
        await clock.advance(2)
        assert woken == []
        await server.tick()
        assert woken == [0.5, 0.8, 1.0, 1.5, 1.6, 2.0]
        assert remote.now() == other.now() == clock.now()
        await server.tick()
        assert len(woken) == 6
        for task in beats:
            task.cancel()


async def test_tick_does_not_wait_for_followers_that_are_gone(server: MarketServer, clock: SimulatedClock):
    await server.tick()
    async with remote_clock(server.clock_url):
        pass
    async with aiohttp.ClientSession() as session, session.ws_connect(server.clock_url) as socket:
        await socket.receive()
        ticking = asyncio.create_task(server.tick())
        await socket.receive()
        assert not ticking.done()
        await socket.close()
        await ticking
    await clock.advance(1)
    await server.tick()
