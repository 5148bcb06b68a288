"""Serve the simulated market until Ctrl-C: python -m liqmap.simulator [--port N] [--seed N] [--scale X]."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import suppress

from liqmap.simulator.market import Market
from liqmap.simulator.server import MarketServer


async def serve(market: Market, *, port: int) -> None:
    """Serve `market` on `port` (0: any free one) and print the addresses to put into the settings."""
    async with MarketServer(market, port=port) as server:
        sys.stdout.write(
            f'exchanges.binance.archive_url = "{server.binance_url}"\n'
            f'exchanges.bybit.archive_url = "{server.bybit_url}"\n'
        )
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m liqmap.simulator", description="Serve a simulated market."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one (default)")
    parser.add_argument("--seed", type=int, default=Market().seed)
    parser.add_argument("--scale", type=float, default=Market().scale, help="multiplies the number of trades")
    arguments = parser.parse_args()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(Market(arguments.seed, arguments.scale), port=arguments.port))


if __name__ == "__main__":
    main()
