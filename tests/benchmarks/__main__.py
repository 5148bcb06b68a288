from __future__ import annotations

import asyncio
import platform
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.burst import measure_burst
from tests.benchmarks.maps import measure_maps


async def main() -> None:
    sys.stdout.write(f"Python {platform.python_version()}, {platform.machine()}; medians, with the range\n\n")
    for measure in (measure_maps, measure_burst):
        with tempfile.TemporaryDirectory() as folder:
            async for line in measure(Path(folder)):
                sys.stdout.write(line + "\n")
                sys.stdout.flush()


asyncio.run(main())
