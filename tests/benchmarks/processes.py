"""The bot as a process of its own, and the CPU time that processes take."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psutil

from tests.bot.discord_server import TOKEN

ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Of measured processes: in it Python keeps the modules that it has compiled, as it does for every user."""


@asynccontextmanager
async def bot_process(config: Path) -> AsyncIterator[psutil.Process]:
    """Run the bot with the settings of a file, and stop it in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "--config", str(config)),
        env=ENVIRONMENT | {"DISCORD_TOKEN": TOKEN},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


def cpu_seconds(*processes: psutil.Process) -> float:
    """Return the seconds of CPU that processes and those which they started have taken."""
    every = [each for process in processes for each in (process, *process.children(recursive=True))]
    return sum(sum(each.cpu_times()[:2]) for each in every)
