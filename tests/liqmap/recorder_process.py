"""A recorder as a process of its own, by the clock of a simulated market: what a test can kill.

It prints a line for each time that it has stored something: the exchange, and until when [ms since 1970].
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from liqmap import Engine, load_settings
from liqmap.live.buffer import Chunk
from liqmap.live.writer import SegmentWriter
from liqmap.simulator import remote_clock

write = SegmentWriter.write


async def write_and_report(
    self: SegmentWriter, symbol: str, chunks: Sequence[Chunk], *rest: Any, **options: Any
) -> list[Chunk]:
    stored = await write(self, symbol, chunks, *rest, **options)
    for chunk in stored[-1:]:
        sys.stdout.write(f"{self._exchange} {chunk.window.end_ms}\n")
        sys.stdout.flush()
    return stored


async def record(config: Path, clock_url: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with ThreadPoolExecutor(1) as executor:
        async with (
            remote_clock(clock_url) as clock,
            Engine(load_settings(config), executor=executor, clock=clock, record=True),
        ):
            await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    SegmentWriter.write = write_and_report  # type: ignore[method-assign] # prints what a test waits for
    asyncio.run(record(Path(sys.argv[1]), sys.argv[2]))
