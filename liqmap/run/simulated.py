"""Serve an invented market on this machine, to try everything without a network."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from liqmap.settings import Settings


@asynccontextmanager
async def simulated_market(settings: Settings, *, scale: float = 1.0) -> AsyncIterator[Settings]:
    """Yield `settings` with an invented market's server as the exchanges, for as long as it runs.

    Its trades are kept apart, in the folder `simulated` of the store. `scale` multiplies their number.
    """
    from liqmap.simulator import GENEROUS, MarketServer, SimulatedMarket  # noqa: PLC0415 - takes half a second, rarely needed

    async with MarketServer(SimulatedMarket(scale=scale), weight_limit=GENEROUS) as server:
        yield server.redirect(settings)
