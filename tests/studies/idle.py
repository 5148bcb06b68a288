"""What a bot costs that has nothing to do: nine warm markets in a quiet hour, by this machine's clock.

Run by `make idle-study`. The bot is a process of its own, and so are the exchanges. Ten minutes hold one
maintenance of the store.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from liqmap import utc_now
from liqmap.live.registry import Recordings
from liqmap.model.window import DAY, TimeWindow
from liqmap.store.local import SegmentStore
from tests.benchmarks.processes import bot_process, cpu_seconds
from tests.benchmarks.simulator import served
from tests.bot.discord_server import DiscordServer

QUIET = 0.25  # of the trades of a busy day: three or four a second for BTCUSDT, on each exchange
SECONDS = float(os.environ.get("IDLE_SECONDS", "600"))
SETTLED_AFTER = 20.0  # seconds, in which the streams begin
MARKETS = 9


async def study() -> None:
    """Print which share of a core the bot takes."""
    with tempfile.TemporaryDirectory() as folder:
        async with served("--scale", str(QUIET)) as lines, DiscordServer() as server:
            config, store = Path(folder) / "liqmap.toml", Path(folder) / "store"
            config.write_text(
                f'storage.path = "{store}"\nrecorder.backfill = "0h"\n{server.settings}{"".join(lines)}'
            )
            async with bot_process(config) as process:
                await _recorded(store)
                await asyncio.sleep(SETTLED_AFTER)
                before = cpu_seconds(process)
                await asyncio.sleep(SECONDS)
                used = cpu_seconds(process) - before
                trades = _stored(store)
    sys.stdout.write(
        f"{MARKETS} warm markets in a quiet hour: {used / SECONDS:.2%} of one core,"
        f" over {SECONDS:.0f} s in which {trades:,} trades were stored\n"
    )


async def _recorded(store: Path) -> None:
    async with asyncio.timeout(120):
        while sum(each.connected for each in Recordings(store).all()) < MARKETS:
            await asyncio.sleep(0.5)


def _stored(root: Path) -> int:
    store = SegmentStore(root, max_size=10**12)
    day = TimeWindow.ending(utc_now().replace(microsecond=0), DAY)
    held = [store.parts(each.exchange, each.symbol, day) for each in Recordings(root).all()]
    return sum(part.segment.buys + part.segment.sells for parts in held for part in parts)


if __name__ == "__main__":
    asyncio.run(study())
