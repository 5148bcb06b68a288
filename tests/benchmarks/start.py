"""How long a process takes from its start until it is ready, and until it has answered.

The command line draws a map of the invented market, whose trades, prices and brackets its first call has
stored. So what is measured is a call that has nothing to fetch: the start of Python, imports, reading, both
pictures, and the end of the process. The bot's start is measured likewise, between a Discord and exchanges on
this machine. `python -m tests.benchmarks.start` measures these two alone.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.processes import ENVIRONMENT, bot_process
from tests.benchmarks.simulator import served
from tests.benchmarks.table import Table
from tests.bot.discord_server import DiscordServer

RUNS = 5

# As `python -m bot` does it: a main module that workers may import again at no cost.
PROGRAM = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from liqmap import Engine, Exchange, MapRequest, Market, Settings, TimeWindow, TopN
from liqmap.settings import StorageSettings

async def answer():
    window = TimeWindow.ending(datetime(2023, 8, 31, 12, tzinfo=UTC), timedelta(hours=6))
    async with Engine(Settings(storage=StorageSettings(path=Path(sys.argv[1])))) as engine:
        print("ready", flush=True)
        await engine.draw(MapRequest((Market(Exchange.BINANCE, "BTCUSDT"),), window, TopN(100)))
        print("answered", flush=True)

asyncio.run(answer())
"""


async def measure_start(store: Path, table: Table) -> None:
    """Start processes that draw one map from the store."""
    table.heading("Start of a process")
    ready: list[float] = []
    answered: list[float] = []
    for _ in range(RUNS):
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, str(store)),
            stdout=asyncio.subprocess.PIPE,
            env=ENVIRONMENT,
        )
        assert process.stdout is not None
        for times in (ready, answered):
            await process.stdout.readline()
            times.append((time.perf_counter() - started) * 1000)
        await process.wait()
    table.row("until the engine takes requests", ready)
    table.row("until the first answer, 6 h top_n 100", answered)
    await measure_bot(table)
    measure_command(table)


async def measure_bot(table: Table) -> None:
    """Start the bot, and type a wrong command, or one for a map, as soon as it is connected."""
    refused, drawn, cpu = [], [], []
    with TemporaryDirectory() as folder:
        async with served("--weight-limit", "1000000", "--scale", "0.01") as lines:
            # So many starts within a minute would use up the budget that an exchange really gives.
            settings = [*lines, "exchanges.binance.weight_a_minute = 1_000_000"]
            for number in range(RUNS + 1):
                wrong = await _first_answer(Path(folder), settings, number=2 * number, window="six")
                right = await _first_answer(Path(folder), settings, number=2 * number + 1, window="6h")
                if number:  # the first one makes the database and fetches the trades
                    refused.append(wrong[0])
                    cpu.append(wrong[1])
                    drawn.append(right[0])
    table.row("the bot: until it refuses a command", refused)
    table.row("… CPU time of its process until then, without workers", cpu)
    table.row("… until its first map, 6 h top_n 100", drawn)


async def _first_answer(
    folder: Path, lines: Sequence[str], *, number: int, window: str
) -> tuple[float, float]:
    """Return how long a bot takes from its start to its first answer, and its process's CPU time [ms]."""
    config = folder / "liqmap.toml"
    async with DiscordServer(interactions=number) as server:
        config.write_text(f'storage.path = "{folder / "store"}"\n{server.settings}{"".join(lines)}')
        started = time.perf_counter()
        async with bot_process(config) as process:
            answer = await server.command("liqmap", symbol="BTC", window=window, end="2023-08-01 06:00")
            await answer.done
            seconds, times = time.perf_counter() - started, process.cpu_times()
    return seconds * 1000, (times.user + times.system) * 1000


def measure_command(table: Table) -> None:
    """Call the command line for a map of which all is stored, by the clock and in CPU time."""
    with TemporaryDirectory() as folder:
        Path(folder, "liqmap.toml").write_text('storage.path = "store"')
        _called(folder)  # fetches
        calls = [_called(folder) for _ in range(RUNS)]
    table.row("one call of the command line, 6 h top_n 100 --simulated", [each[0] for each in calls])
    table.row("… CPU time of all its processes", [each[1] for each in calls])


def _called(folder: str) -> tuple[float, float]:
    """Draw a map by the command line; return how long that took and the CPU time [ms]."""
    words = ("BTCUSDT", "6h", "top_n", "100", "--end", "2023-08-01 06:00", "--simulated")
    command = [sys.executable, "-m", "liqmap", *words, "--config", "liqmap.toml"]
    started, before = time.perf_counter(), os.times()
    subprocess.run(  # noqa: S603
        command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, check=True
    )
    seconds, after = time.perf_counter() - started, os.times()
    cpu = sum(after[2:4]) - sum(before[2:4])  # of the processes that have ended, and of theirs
    return seconds * 1000, cpu * 1000


if __name__ == "__main__":
    alone = Table()
    alone.heading("Start of the bot, and one call of the command line")
    asyncio.run(measure_bot(alone))
    measure_command(alone)
