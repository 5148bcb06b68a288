"""Run the soak and print what came of it: nothing lost, nothing doubled, memory flat; exit 1 otherwise."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from bot.request.due import Schedule
from bot.request.spec import MapSpec, decode_number
from bot.settings import BotSettings
from bot.store import open_store
from bot.store.subscriptions import NewSubscription
from liqmap.model import TopN
from liqmap.settings import StorageSettings
from tests.bot.conftest import REQUEST
from tests.bot.discord_gateway import CHANNEL_ID, GUILD_ID
from tests.bot.discord_server import DiscordServer
from tests.soak.child import SPEED, FastClock
from tests.soak.recorded import Recorded, live

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
SUBSCRIPTIONS, CHANNELS = 500, 100
KILLED_EVERY = (15.0, 40.0)
UNTOUCHED = 0.4  # the share at the end without kills, in which memory is watched
FAULTS = 0.03
STOPS_WITHIN = 20.0
SCHEDULES = (
    Schedule(timedelta(minutes=15)),
    Schedule(timedelta(minutes=30)),
    Schedule(timedelta(hours=1)),
    Schedule(timedelta(hours=1), timedelta(minutes=20), timezone="Asia/Kolkata"),
    # Today's weekdays only, in zones that are there before and after UTC.
    Schedule(timedelta(minutes=30), days=frozenset({0, 2, 4, 6}), timezone="Pacific/Auckland"),
    Schedule(timedelta(hours=1), timedelta(minutes=45), frozenset({1, 3, 5}), "America/Los_Angeles"),
)


class Soak:
    """One run, with its own Discord, database and chance."""

    def __init__(self, folder: Path, server: DiscordServer, clock: FastClock) -> None:
        self._server = server
        self._clock = clock
        self._chance = random.Random(1)
        self._config = folder / "liqmap.toml"
        self._settings = BotSettings(storage=StorageSettings(path=folder / "store"))
        self._running: dict[int, tuple[datetime, Schedule]] = {}
        self._published: set[int] = set()
        self.kills = self.stops = self.drops = 0
        self.memory: list[tuple[float, float]] = []
        self._config.write_text(
            f'storage.path = "{folder / "store"}"\n{server.settings}logging.level = "error"\n'
            "subscriptions.posts_per_second = 50\nsubscriptions.posts_at_once = 16\n"
        )

    async def subscribe(self) -> None:
        """Store the subscriptions: a few different maps, many channels, several schedules, some published."""
        spec = MapSpec(REQUEST)
        async with open_store(self._settings) as store:
            for place in range(SUBSCRIPTIONS):
                schedule, publish = SCHEDULES[place % len(SCHEDULES)], place % 10 == 0
                chosen = MapSpec(replace(spec.request, selection=TopN(100 + place // CHANNELS)))
                channel = CHANNEL_ID + place % CHANNELS
                number = await store.subscriptions.draft(
                    NewSubscription(GUILD_ID, channel, 42, chosen, schedule, publish=publish),
                    now=self._clock.now(),
                )
                if publish:
                    self._published.add(number)
                active = self._clock.now()
                await store.subscriptions.activate(number, now=active)
                self._running[number] = (active, schedule)

    async def run(self) -> None:
        """Let the bot live and die until the time is over."""
        over = time.time() + SECONDS
        calm = time.time() + SECONDS * (1 - UNTOUCHED)
        self._server.chance = lambda: self._chance.random() < FAULTS
        while time.time() < over:
            killed = time.time() < calm
            length = self._chance.uniform(*KILLED_EVERY) if killed else over - time.time()
            await self._live(min(length, max(over - time.time(), 1)), killed=killed)

    async def _live(self, seconds: float, *, killed: bool) -> None:
        async def look(process: psutil.Process) -> None:
            if not killed:
                self.memory.append((time.time(), process.memory_info().rss / 2**20))
            if self._chance.random() < 0.1:
                self.drops += 1
                await self._server.gateway.drop(4000)

        gently = not killed or self.kills > self.stops
        await live(
            *("tests.soak.child", self._config, seconds),
            began=self._clock.began,
            gently=gently,
            stops_within=STOPS_WITHIN,
            every=5.0,
            look=look,
        )
        self.stops += killed and gently
        self.kills += killed and not gently

    def due(self) -> set[tuple[int, datetime]]:
        """Return what had to be posted, the last minutes left out: they may still be on their way."""
        end = self._clock.now() - timedelta(minutes=15)
        wanted = set()
        for number, (active, schedule) in self._running.items():
            moment = schedule.due_after(active)
            while moment <= end:
                wanted.add((number, moment))
                moment = schedule.due_after(moment)
        return wanted

    def unpublished(self) -> int:
        """Return how many posts were not published though their subscription says so."""
        posts = [post for post in self._server.posts if _number_and_due(post)[0] in self._published]
        return sum(not post["published"] for post in posts)

    async def what_became(self, lost: list[tuple[int, datetime]]) -> list[str]:
        """Return what the database says of snapshots that were lost."""
        async with open_store(self._settings) as store:
            found = [await store.snapshots.claim(number, due, now=self._clock.now()) for number, due in lost]
        return [f"  {each}" for each in found]

    def posted(self) -> Counter[tuple[int, datetime]]:
        """Return how often each was posted, as Discord saw it."""
        return Counter(_number_and_due(post) for post in self._server.posts)


def _number_and_due(post: dict[str, Any]) -> tuple[int, datetime]:
    number, due = str(post["nonce"]).split("-")
    return decode_number(number), datetime.fromtimestamp(decode_number(due), UTC)


async def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        clock = FastClock(time.time())
        recorded = Recorded(Path(folder), clock)
        async with DiscordServer(now=clock.now, channels=CHANNELS) as server:
            soak = Soak(Path(folder), server, clock)
            await soak.subscribe()
            await asyncio.gather(
                soak.run(),
                recorded.run(seconds=SECONDS, calm=SECONDS * UNTOUCHED, killed_every=KILLED_EVERY),
            )
            wanted, posted, unpublished = soak.due(), soak.posted(), soak.unpublished()
        lost = sorted(each for each in wanted if not posted[each])
        details = await soak.what_became(lost[:20])
        record, is_whole = recorded.report()
    doubled = [each for each, count in posted.items() if count > 1]
    half = len(soak.memory) // 2
    early = max(each for _, each in soak.memory[max(0, half // 4) : half])
    late = max(each for _, each in soak.memory[half:])
    sys.stdout.write(
        f"{SUBSCRIPTIONS} subscriptions, {CHANNELS} channels, {SECONDS:.0f} s at {SPEED:.0f}x speed\n"
        f"{soak.kills} kills, {soak.stops} stops, {soak.drops} dropped connections,"
        f" {server.faults} faults of requests, of which a fifth drip\n"
        f"{len(wanted)} due, {sum(posted.values())} posted, {len(lost)} lost, {len(doubled)} doubled,"
        f" {unpublished} not published\n"
        + "".join(f"{line}\n" for line in details)
        + f"memory: {early:.0f} MiB at most in the first half of the calm, {late:.0f} MiB in the second\n"
        + record
    )
    return int(bool(lost or doubled) or late > early * 1.1 or not is_whole)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
