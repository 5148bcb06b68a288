"""A bot in a simulated Discord, with a draw function that tests hold in their hands."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import discord
import pytest
import simcord

from bot.client import LiqmapBot
from bot.request.drawing import Draw, EngineFacts, Scan
from bot.request.symbols import Symbols
from bot.settings import BotSettings
from bot.store import Store, open_store
from bot.store.database import SQLITE_FILE
from liqmap import Picture
from liqmap.collect.symbols import KnownSymbols
from liqmap.model import (
    Band,
    Cluster,
    Coverage,
    MapRequest,
    MapSummary,
    MarginBasis,
    MarginModel,
    Progress,
    Side,
    TopN,
)
from liqmap.model.window import TimeWindow
from liqmap.run.result import MapResult
from liqmap.settings import StorageSettings
from tests.conftest import BTCUSDT

CSV = b"side,leverage,entry_time,entry_price,level,notional\n"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAGCAIAAABxZ0isAAAAFElEQVR4nGNkZGJmwAaYsIrSSQIAB5AAEkFQNsMAAAAASUVORK5CYII="
)
NOW = datetime(2026, 1, 1, 9, 30, 15, tzinfo=UTC)
SIMULATION_STARTS = datetime(2026, 1, 1, tzinfo=UTC)
APPLICATION = discord.utils.time_snowflake(SIMULATION_STARTS)
"""The bot's id in the simulated Discord: the first one given out."""
WINDOW = TimeWindow.ending(datetime(2023, 8, 1, 6, tzinfo=UTC), timedelta(hours=6))
REQUEST = MapRequest(BTCUSDT, WINDOW, TopN(100))
KNOWN = KnownSymbols(Path("a store that is not there"))
NAMED: Any = {"is_largest": True, "is_nearest_large": True}
BELOW = Cluster(Side.BUY, 26_600.0, 26_700.0, 26_650.0, -0.0875, -0.0858, 4.5e6, **NAMED)
ABOVE = Cluster(Side.SELL, 30_900.0, 31_000.0, 30_950.0, 0.0598, 0.0581, 1.25e6, **NAMED)
SUMMARY = MapSummary(
    last_price=29_205.1,
    newest_low=29_190.0,
    newest_high=29_210.0,
    newest_since=datetime(2023, 8, 1, 5, 58, tzinfo=UTC),
    trades=412_345,
    selected_buy=100,
    selected_sell=100,
    selected_notional_buy=2.5e7,
    selected_notional_sell=1.5e7,
    standing_long=6e7,
    standing_short=4e7,
    swept_long=3e6,
    swept_short=2e6,
    unplaced=0.0,
    margin=MarginBasis(MarginModel.BINANCE, date(2026, 9, 1)),
    bucket_size=50.0,
    bands=(Band(0.01, 0.0, 1e6), Band(0.02, 5e6, 2e6), Band(0.05, 2e7, 1e7)),
    clusters=(BELOW, ABOVE),
)


def result_of(request: MapRequest = REQUEST, **changes: Any) -> MapResult:
    """Return what the engine would answer to `request`, without drawing it."""
    fields: dict[str, Any] = {
        "request": request,
        "pictures": {Picture.MAP: PNG + b"map", Picture.DEPTH: PNG + b"depth"},
        "summary": SUMMARY,
        "coverage": Coverage(request.window, (request.window,), sources=("daily files of Binance USD-M",)),
        "timings_ms": {"total": 100.0},
    }
    return MapResult(**fields | changes)


def labels(message: discord.Message) -> list[list[str]]:
    """Return what stands on the buttons under a message, row by row."""
    return [
        [getattr(item, "label", "menu") or "" for item in row.children]
        for row in message.components
        if isinstance(row, discord.ActionRow)
    ]


class FakeDraw:
    """Stands in for `Engine.draw`: remembers requests, and answers, fails or waits as it is set up to."""

    def __init__(self) -> None:
        self.requests: list[MapRequest] = []
        self.error: BaseException | None = None
        self.news: list[Progress] = []
        self.partial: MapResult | None = None
        self.coverage: Coverage | None = None
        self.gate: asyncio.Event | None = None
        self.errors: list[BaseException] = []

    async def __call__(
        self,
        request: MapRequest,
        *,
        progress: Callable[[Progress], None] | None = None,
        partial: Callable[[MapResult], None] | None = None,
    ) -> MapResult:
        self.requests.append(request)
        if partial is not None and self.partial is not None:
            partial(self.partial)
        if progress is not None:
            for each in self.news:
                progress(each)
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        if self.error is not None:
            raise self.error
        changes = {} if self.coverage is None else {"coverage": self.coverage}
        return result_of(request, levels_csv=CSV if request.levels_csv else None, **changes)


class SimulatedClock:
    """NOW, and from then on the time that passes in the simulated Discord, less what it is `back`."""

    back: ClassVar[timedelta] = timedelta()

    def now(self) -> datetime:
        return NOW + (discord.utils.utcnow() - SIMULATION_STARTS) - self.back

    def steady(self) -> float:
        # Since some moment before: discord.py's cooldowns take 0 for no time at all.
        return (discord.utils.utcnow() - SIMULATION_STARTS + timedelta(hours=1)).total_seconds()

    async def sleep(self, seconds: float, /) -> None:
        await asyncio.sleep(seconds)


class SimulatedDatetime(datetime):
    """What APScheduler takes for the time: it has no clock that could be handed in."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return cls.fromtimestamp(SimulatedClock().now().timestamp(), tz)


@pytest.fixture(autouse=True)
def _simulated_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", SimulatedDatetime)


@pytest.fixture
def resets(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Return a list of what is raised, one each, when the bot acknowledges."""
    return _shaky(monkeypatch, discord.InteractionResponse, "defer")


@pytest.fixture
def followup_resets(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """Return a list of what is raised, one each, when the bot follows up."""
    return _shaky(monkeypatch, discord.Webhook, "send")


def _shaky(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[Exception]:
    steady, errors = getattr(owner, name), list[Exception]()

    async def shaky(*args: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return await steady(*args, **options)

    monkeypatch.setattr(owner, name, shaky)
    monkeypatch.setattr("bot.interaction.patience._wait", lambda _: 0)
    return errors


@pytest.fixture(autouse=True)
def _same_process() -> Iterator[None]:
    """Put back what the bot's start changes of its process: logging, and the rights of new files."""
    root = logging.getLogger()
    handlers, level, mask = root.handlers[:], root.level, os.umask(0o022)
    yield
    os.umask(mask)
    root.handlers[:] = handlers
    root.setLevel(level)


def new_bot(
    settings: BotSettings, store: Store, draw: Draw | None = None, scan: Scan | None = None
) -> LiqmapBot:
    """Return a bot whose clock is the simulated Discord's."""
    return LiqmapBot(
        settings,
        draw=draw or FakeDraw(),
        facts=EngineFacts(scan=scan) if scan else None,
        store=store,
        clock=SimulatedClock(),
        symbols=Symbols(completed=_completed),
    )


async def _completed(request: MapRequest) -> MapRequest:
    return replace(request, markets=tuple(map(KNOWN.completed, request.markets)))


class Floor(NamedTuple):
    """A guild with a channel and a member, and the bot in it."""

    env: simcord.Env
    channel: simcord.ChannelHandle
    member: simcord.MemberActor
    draw: FakeDraw

    @property
    def bot(self) -> LiqmapBot:
        """The bot itself."""
        assert isinstance(self.env.bot, LiqmapBot)
        return self.env.bot

    def manager(self, name: str = "mona", **rights: bool) -> simcord.MemberActor:
        """Add a member who may manage channels, and what else is named."""
        role = self.env.guild.create_role(
            name, permissions=discord.Permissions(manage_channels=True, **rights)
        )
        return self.env.guild.add_member(self.env.create_user(name), roles=[role])

    async def subscribed(self, manager: simcord.MemberActor, **options: Any) -> simcord.ResponseMessage:
        """Let the manager use /subscribe and confirm; return the message that says so."""
        preview = await self.subscribe(manager, **options)
        assert preview.response is not None
        await manager.click(preview.response.message, label="Confirm")
        return preview.response

    async def subscribe(self, manager: simcord.MemberActor, **options: Any) -> simcord.InteractionResult:
        """Let the manager use /subscribe; what is not said is BTCUSDT 6h top_n every 1h."""
        typed = {"symbol": "BTCUSDT", "window": "6h", "mode": "top_n", "every": "1h"} | options
        return await manager.slash(self.channel, "subscribe", **typed)

    async def liqmap(self, **options: Any) -> simcord.InteractionResult:
        """Let the member use /liqmap: BTCUSDT 6h top_n, other `options`, and without those that are None."""
        typed = {"symbol": "BTCUSDT", "window": "6h", "mode": "top_n"} | options
        said = {name: value for name, value in typed.items() if value is not None}
        return await self.member.slash(self.channel, "liqmap", **said)


def put_database(file: Path, settings: BotSettings) -> None:
    """Put a database's file where the bot looks for it, with the rights that it would give it."""
    settings.storage.path.mkdir(parents=True, exist_ok=True)
    path = settings.storage.path / SQLITE_FILE
    shutil.copyfile(file, path)
    path.chmod(0o600)


@pytest.fixture
def settings(tmp_path: Path) -> BotSettings:
    return BotSettings(storage=StorageSettings(path=tmp_path / "store"))


@pytest.fixture
def draw() -> FakeDraw:
    return FakeDraw()


@pytest.fixture(scope="session")
def new_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the file of a database without rows, once: that takes longer than most tests."""
    folder = tmp_path_factory.mktemp("database")

    async def make() -> None:
        async with open_store(BotSettings(storage=StorageSettings(path=folder))):
            pass

    asyncio.run(make())
    return folder / SQLITE_FILE


@pytest.fixture
async def store(settings: BotSettings, new_database: Path) -> AsyncIterator[Store]:
    put_database(new_database, settings)
    async with open_store(settings) as store:
        yield await store.of(APPLICATION)


@pytest.fixture
def simcord_bot(settings: BotSettings, store: Store, draw: FakeDraw) -> LiqmapBot:
    return new_bot(settings, store, draw)


@pytest.fixture
async def simcord_env(simcord_bot: LiqmapBot, request: pytest.FixtureRequest) -> AsyncIterator[simcord.Env]:
    """Replace the library's own: its five seconds for all that a day brings are few on a busy machine.

    More than ten, and it would wait for the schedule's timers, which are up to a minute away.
    """
    marker = request.node.get_closest_marker("simcord")
    env = simcord.Env(simcord_bot, settle_timeout=10, **(marker.kwargs if marker else {}))
    await env.start()
    try:
        yield env
    finally:
        await env.shutdown()
    if env.check_errors:
        env.raise_errors()


@pytest.fixture
def floor(simcord_env: simcord.Env, draw: FakeDraw) -> Floor:
    guild = simcord_env.create_guild()
    channel = guild.create_text_channel("trading")
    return Floor(simcord_env, channel, guild.add_member(simcord_env.create_user("alice")), draw)
