"""`liqmap brackets`: fetch the brackets that an exchange publishes for everybody."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from liqmap.clock import SystemClock
from liqmap.collect.brackets import refresh_bybit
from liqmap.collect.clients import rest_clients
from liqmap.model import Exchange
from liqmap.net.session import open_session
from liqmap.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def brackets(words: Sequence[str]) -> int:
    """Fetch Bybit's risk limits into the store and return the exit code. Raises LiqmapError."""
    parser = argparse.ArgumentParser(
        prog="liqmap brackets",
        description="Fetch Bybit's risk limits of today, for maps of windows that end from today on.",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
    options = parser.parse_args(words)
    path = asyncio.run(_refresh(options.config))
    sys.stdout.write(f"saved {path}\n")
    return 0


async def _refresh(config: Path | None) -> Path:
    settings = load_settings(config)
    clock = SystemClock()
    async with open_session(settings.network) as session:
        clients = rest_clients(settings, session=session, clock=clock)
        return await refresh_bybit(clients[Exchange.BYBIT], settings, today=clock.now().date())
