"""Serve the simulated market, or a crash, until Ctrl-C: python -m liqmap.simulator --help."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import TYPE_CHECKING

from liqmap.console import call_at_signals
from liqmap.simulator.crash import CrashServer
from liqmap.simulator.market import SimulatedMarket
from liqmap.simulator.server import MarketServer

if TYPE_CHECKING:
    from liqmap.simulator.host import Host


async def serve(market: SimulatedMarket, *, weight_limit: int, port: int) -> None:
    """Serve `market` on `port` (0: any free one) and print the addresses to put into the settings."""
    async with MarketServer(market, weight_limit=weight_limit, port=port) as server:
        await _serve_until_stopped(server.host)


async def serve_crash(*, rate: float, symbols: int, port: int) -> None:
    """Serve streams of a crash on `port` (0: any free one), and print the settings to use and the symbols."""
    async with CrashServer(rate=rate, symbols=symbols, port=port) as server:
        await _serve_until_stopped(server.host, f"# symbols: {' '.join(server.symbols)}")


def main() -> None:
    """Parse the arguments and serve."""
    arguments = _parser().parse_args()
    if arguments.crash:
        serving = serve_crash(rate=arguments.rate, symbols=arguments.symbols, port=arguments.port)
    else:
        market = SimulatedMarket(arguments.seed, arguments.scale)
        serving = serve(market, weight_limit=arguments.weight_limit, port=arguments.port)
    asyncio.run(serving)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m liqmap.simulator", description="Serve a simulated market."
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one (default)")
    parser.add_argument("--seed", type=int, default=SimulatedMarket().seed)
    parser.add_argument(
        "--scale", type=float, default=SimulatedMarket().scale, help="multiplies the number of trades"
    )
    parser.add_argument(
        "--weight-limit", type=int, default=2400, help="request weight that Binance's API grants a minute"
    )
    parser.add_argument("--crash", action="store_true", help="serve only streams, with very many trades")
    parser.add_argument("--rate", type=float, default=50_000, help="a crash's trades a second, in total")
    parser.add_argument("--symbols", type=int, choices=range(1, 501), metavar="1-500", default=20)
    return parser


async def _serve_until_stopped(host: Host, *more: str) -> None:
    stopped = asyncio.Event()
    # A shell starts what runs in the background with SIGINT ignored; this program ends by it all the same.
    call_at_signals(stopped.set, signal.SIGINT, signal.SIGTERM)
    lines = [f'{key} = "{url}"' for key, url in host.settings.items()]
    sys.stdout.write("\n".join([*lines, *more]) + "\n")
    sys.stdout.flush()
    await stopped.wait()


if __name__ == "__main__":
    main()
