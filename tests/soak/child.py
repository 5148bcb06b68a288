"""The bot of the soak: the real one, by a clock that runs fast, with maps that are drawn already."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Self

import apscheduler.schedulers.base

from bot.app import point_at, stay
from bot.client import LiqmapBot
from bot.ops.logs import set_up_logging
from bot.settings import BotSettings, load_bot_settings
from bot.store import open_store
from liqmap import Picture
from liqmap.model import MapRequest
from liqmap.run.result import MapResult
from tests.bot.conftest import result_of
from tests.bot.discord_server import TOKEN

SPEED = 20.0
GALLERY = sorted((Path(__file__).parents[2] / "docs" / "gallery").glob("*top_n_100*.png"))


class FastClock:
    """A clock that has run `SPEED` times as fast since `began` [s since 1970], also across restarts."""

    def __init__(self, began: float) -> None:
        self.began = began

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.began + (time.time() - self.began) * SPEED, UTC)

    def steady(self) -> float:
        return time.monotonic() * SPEED

    async def sleep(self, seconds: float, /) -> None:
        await asyncio.sleep(seconds)


CLOCK = FastClock(float(os.environ.get("SOAK_BEGAN", "0")))


class FastDatetime(datetime):
    """What APScheduler takes for the time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(CLOCK.now().timestamp(), tz)


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop in which waiting is as fast as the clock."""

    def call_later(  # type: ignore[override] # passed on as it comes, whatever the types are
        self, delay: float, *args: Any, **options: Any
    ) -> asyncio.TimerHandle:
        return super().call_later(delay / SPEED, *args, **options)


class Draw:
    """Takes a moment, and answers with pictures of the size of real ones."""

    def __init__(self) -> None:
        self._map, self._depth = (path.read_bytes() for path in GALLERY[:2])

    async def __call__(self, request: MapRequest, **listeners: object) -> MapResult:
        del listeners
        await asyncio.sleep(SPEED * 0.05)
        return replace(result_of(request), pictures={Picture.MAP: self._map, Picture.DEPTH: self._depth})


def say_up() -> None:
    """Tell the soak that this process is up: from now on it may be stopped or killed."""
    sys.stdout.write("up\n")
    sys.stdout.flush()


async def run(settings: BotSettings) -> None:
    point_at(settings.discord)
    async with open_store(settings) as store:
        bot = LiqmapBot(settings, draw=Draw(), store=store, clock=CLOCK)
        async with bot:
            say_up()
            await stay(bot, TOKEN)


def main() -> None:
    vars(apscheduler.schedulers.base)["datetime"] = FastDatetime
    settings = load_bot_settings(Path(sys.argv[1]))
    set_up_logging(settings.logging)
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        try:
            runner.run(run(settings))
        except asyncio.CancelledError:
            return


if __name__ == "__main__":
    main()
