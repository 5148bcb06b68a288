"""`liqmap brackets`: fetch the brackets that an exchange publishes for everybody."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from liqmap.collect.brackets import refresh_bybit
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
    async with aiohttp.ClientSession() as session:
        return await refresh_bybit(session, settings, today=datetime.now(UTC).date())
