"""The recording half of the soak: fifty markets of each exchange, whose recorder lives and dies."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil

from liqmap.live.registry import Recordings
from liqmap.model import Exchange
from liqmap.model.window import merged
from liqmap.simulator import CrashServer
from liqmap.store.check import check_store
from liqmap.store.segments import segment_windows
from tests.soak.child import FastClock
from tests.soak.recorder import MOST_TRADED

RATE = 10.0  # trades a second of the fast clock, of each exchange
STARTS_WITHIN, STOPS_WITHIN = 120.0, 60.0
_MOST_GROWTH = 1.2


async def live(
    module: str,
    config: Path,
    seconds: float,
    *,
    began: float,
    gently: bool,
    stops_within: float,
    every: float,
    look: Callable[[psutil.Process], Awaitable[None]],
) -> None:
    """Run a module with these settings, look at its process `every` few seconds, and stop it, or kill it.

    Exits with a sentence if it ends by itself, or with an error when it is told to stop.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, str(config)),
        env={**os.environ, "SOAK_BEGAN": str(began)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    # Its first line says that it is up. None comes if it has ended.
    await asyncio.wait_for(process.stdout.readline(), STARTS_WITHIN)
    end, watched = time.time() + seconds, psutil.Process(process.pid)
    while time.time() < end and process.returncode is None:
        await asyncio.sleep(min(every, max(0.0, end - time.time())))
        if process.returncode is None:
            await look(watched)
    if process.returncode is not None:
        raise SystemExit(f"{module} ended by itself with {process.returncode}")
    process.send_signal(signal.SIGTERM if gently else signal.SIGKILL)
    if await asyncio.wait_for(process.wait(), stops_within) and gently:
        raise SystemExit(f"{module} ended with {process.returncode} when it was told to stop")


class Recorded:
    """Markets that trade, a recorder that is killed again and again, and what its store holds then."""

    def __init__(self, folder: Path, clock: FastClock) -> None:
        self._root, self._config = folder / "recorded", folder / "recorder.toml"
        self._clock = clock
        self._chance = random.Random(2)
        self._calm_since = datetime.now(UTC)
        self.kills = self.stops = 0
        self.memory: list[float] = []

    async def run(self, *, seconds: float, calm: float, killed_every: tuple[float, float]) -> None:
        """Let the recorder live and die until the last `calm` seconds, in which it only lives."""
        over = time.time() + seconds
        async with CrashServer(rate=RATE, symbols=MOST_TRADED, clock=self._clock) as server:
            urls = "".join(f'{key} = "{url}"\n' for key, url in server.host.settings.items())
            self._config.write_text(
                f'storage.path = "{self._root}"\nengine.workers = 1\nrecorder.backfill = "0h"\n'
                f"recorder.most_traded = {MOST_TRADED}\n{urls}"
            )
            while time.time() < over - calm:
                await self._live(self._chance.uniform(*killed_every), gently=self.kills > self.stops)
            self._calm_since = self._clock.now()
            await self._live(over - time.time(), gently=True, calm=True)

    async def _live(self, seconds: float, *, gently: bool, calm: bool = False) -> None:
        async def look(process: psutil.Process) -> None:
            if calm:
                self.memory.append(process.memory_info().rss / 2**20)

        await live(
            *("tests.soak.recorder", self._config, seconds),
            began=self._clock.began,
            gently=gently,
            stops_within=STOPS_WITHIN,
            every=2.0,
            look=look,
        )
        self.stops += gently and not calm
        self.kills += not gently

    def report(self) -> tuple[str, bool]:
        """Return what the store holds in words, and whether all is well."""
        found = list(Recordings(self._root).all())
        problems = [each for each in check_store(self._root, deep=True) if each.problem is not None]
        holes = lacking = 0
        for each in found:
            windows = merged(segment_windows(self._root, each.exchange, each.symbol))
            late = [window for window in windows if window.end > self._calm_since]
            holes += max(0, len(late) - 1)
            lacking += not late
        files = sum(path.is_file() for path in self._root.rglob("*"))
        half = len(self.memory) // 2
        early = max(self.memory[half // 2 : half], default=0.0)
        later = max(self.memory[half:], default=0.0)
        lines = (
            f"{len(found)} markets recorded through {self.kills} kills and {self.stops} stops: {lacking}"
            f" without minutes of the calm, {holes} holes in it, {len(problems)} damaged, {files} files\n"
            f"memory of the recorder: {early:.0f} MiB in the first half of the calm, {later:.0f} MiB in the"
            " second\n"
        )
        lines += "".join(f"  {each}\n" for each in problems[:10])
        whole = len(found) == MOST_TRADED * len(Exchange) and not lacking and not holes and not problems
        return lines, whole and later <= early * _MOST_GROWTH
