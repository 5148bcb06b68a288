"""The recorder of the soak: a process of its own for fifty markets of each exchange, by a fast clock."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from liqmap import Engine, load_settings
from tests.soak.child import CLOCK, FastLoop, say_up

MOST_TRADED = 50


async def record(config: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    with ThreadPoolExecutor(1) as executor:
        async with Engine(load_settings(config), executor=executor, clock=CLOCK, record=True):
            say_up()
            await stop.wait()


def main() -> None:
    logging.basicConfig(level=logging.ERROR, format="recorder: %(name)s: %(message)s")
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        runner.run(record(Path(sys.argv[1])))


if __name__ == "__main__":
    main()
