"""Two hundred people at once, through the bot as a process: how long Discord waits for its answer."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from liqmap.settings import Settings
from tests.benchmarks.table import Table
from tests.bot.discord_server import TOKEN, Answered, DiscordServer

PEOPLE = 200


async def measure_burst(folder: Path, settings: Settings, table: Table) -> None:
    """Let two hundred people ask for fifty different maps of one day."""
    table.heading("A burst of commands, through the bot as a process")
    async with DiscordServer() as server:
        config = folder / "liqmap.toml"
        config.write_text(
            f'storage.path = "{folder / "burst"}"\nengine.queue_size = {PEOPLE}\n{server.settings}'
            f'exchanges.binance.archive_url = "{settings.exchanges.binance.archive_url}"\n'
        )
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "--config", str(config)),
            env={**os.environ, "DISCORD_TOKEN": TOKEN},
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            acknowledged, answered = await _burst(server)
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
    table.row(f"{PEOPLE} commands at once: until acknowledged", acknowledged)
    table.row(f"{PEOPLE} commands at once: until answered", answered)


async def _burst(server: DiscordServer) -> tuple[list[float], list[float]]:
    await (
        await server.command("liqmap", symbol="BTC", window="6h", mode="top_n", end="2023-08-31 06:00")
    ).done
    loop = asyncio.get_running_loop()
    acknowledged: list[float] = []
    answered: list[float] = []
    sent: list[Answered] = []

    def note(event: asyncio.Future[None], times: list[float]) -> None:
        start = loop.time()
        event.add_done_callback(lambda _: times.append(1000 * (loop.time() - start)))

    for person in range(PEOPLE):
        # Fifty different maps of one day, each wanted by four people.
        end = f"2023-08-31 {7 + person % 10:02}:{10 * (person % 5):02}"
        answer = await server.command("liqmap", user=person, symbol="BTC", window="6h", mode="top_n", end=end)
        note(answer.acknowledged, acknowledged)
        note(answer.done, answered)
        sent.append(answer)
    await asyncio.gather(*(answer.done for answer in sent))
    await asyncio.sleep(0)  # the last one's callback
    assert all(answer.files for answer in sent)
    return acknowledged, answered
