"""Two hundred people at once, through the bot as a process: how long Discord waits for its answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

from liqmap.live.registry import Recordings
from liqmap.settings import Settings
from tests.benchmarks.processes import bot_process
from tests.benchmarks.simulator import crashing_exchanges
from tests.benchmarks.table import Table
from tests.bot.discord_server import Answered, DiscordServer

PEOPLE = 200
RATE = 50_000
STREAMED_SECONDS = 65  # so that a minute has been stored when the burst comes


async def measure_burst(folder: Path, settings: Settings, table: Table) -> None:
    """Let two hundred people ask for fifty different maps of one day, at peace and in a crash."""
    table.heading("A burst of commands, through the bot as a process")
    await _measure(folder / "quiet", settings, table, f"{PEOPLE} commands at once")
    async with crashing_exchanges(rate=RATE) as (urls, symbols):
        streams = "".join(f"{line}\n" for line in urls.splitlines() if "archive_url" not in line)
        names = ", ".join(f'"binance:{symbol}"' for symbol in symbols)
        await _measure(
            folder / "crash",
            settings,
            table,
            f"… while the bot records {RATE:,} trades/s",
            more=f"recorder.symbols = [{names}]\n{streams}",
        )


async def _measure(folder: Path, settings: Settings, table: Table, name: str, *, more: str = "") -> None:
    folder.mkdir()
    async with DiscordServer() as server:
        config = folder / "liqmap.toml"
        config.write_text(
            f'storage.path = "{folder / "store"}"\nengine.queue_size = {PEOPLE}\n{server.settings}{more}'
            f'exchanges.binance.archive_url = "{settings.exchanges.binance.archive_url}"\n'
        )
        async with bot_process(config):
            acknowledged, answered = await _burst(server, after=STREAMED_SECONDS if more else 0)
            recorded = [each for each in Recordings(folder / "store").all() if each.last_trade]
    table.row(f"{name}: until acknowledged", acknowledged)
    table.row(f"{name}: until answered", answered)
    if more:
        cuts = sum(each.cuts for each in recorded)
        table.value(f"… of {len(recorded)} symbols, whose streams broke", cuts, unit="times")


async def _burst(server: DiscordServer, *, after: float) -> tuple[list[float], list[float]]:
    await (
        await server.command("liqmap", symbol="BTC", window="6h", mode="top_n", end="2023-08-31 06:00")
    ).done
    await asyncio.sleep(after)
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
