"""Serve an invented market on this machine, to try everything without a network."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING

from liqmap.settings.simulated import GENEROUS, simulated_exchanges

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from liqmap.settings import Settings


@asynccontextmanager
async def simulated_market(settings: Settings, *, scale: float = 1.0) -> AsyncIterator[Settings]:
    """Yield `settings` with an invented market's server as the exchanges, for as long as it runs.

    Its trades are kept apart, in the folder `simulated` of the store. `scale` multiplies their number.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    port = listener.getsockname()[1]
    serving = asyncio.create_task(_serve(listener, scale))
    serving.add_done_callback(lambda _: listener.close())
    try:
        yield simulated_exchanges(settings, port=port, weight_limit=GENEROUS)
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def _serve(listener: socket.socket, scale: float) -> None:
    """Serve from the first connection on. What draws stored trades needs no server, and does not load one."""
    accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
    with ExitStack() as stack:
        stack.enter_context(accepted)
        from liqmap.simulator import MarketServer, SimulatedMarket  # noqa: PLC0415 - takes half a second, rarely needed

        market = SimulatedMarket(scale=scale)
        async with MarketServer(market, weight_limit=GENEROUS, listener=listener) as server:
            await server.host.serve(accepted)
            stack.pop_all()  # from now on, the server closes it
            await asyncio.Event().wait()
