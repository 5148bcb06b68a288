"""Fetch the brackets that are public: python -m liqmap.brackets [--config FILE]."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from liqmap.brackets.refresh import refresh_bybit
from liqmap.errors import LiqmapError, SettingsError
from liqmap.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch Bybit's risk limits into the store and return the exit code, as the command line's."""
    parser = argparse.ArgumentParser(
        prog="python -m liqmap.brackets",
        description="Fetch Bybit's risk limits of today, for maps of windows that end from today on.",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
    options = parser.parse_args(arguments)
    try:
        path = asyncio.run(_refresh(options.config))
    except LiqmapError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    sys.stdout.write(f"saved {path}\n")
    return 0


async def _refresh(config: Path | None) -> Path:
    settings = load_settings(config)
    async with aiohttp.ClientSession() as session:
        return await refresh_bybit(session, settings, today=datetime.now(UTC).date())


if __name__ == "__main__":
    sys.exit(main())
