from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any
from unittest.mock import AsyncMock, Mock

import aiohttp
import discord
import pytest
import simcord

from bot.store import Store
from bot.views import progress
from liqmap.model import Progress
from tests.bot.commands.test_maps import HALF
from tests.bot.conftest import Floor, result_of

EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)


class Interaction:
    """As much of an interaction as a ticker uses, with edits that take until they are let through."""

    def __init__(self) -> None:
        self.edits: list[str] = []
        self.extras: dict[str, object] = {}
        self.message = None
        self.user = Mock(id=1)
        self.client = Mock(waiting=Mock(remember=AsyncMock()))
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def edit_original_response(self, *, content: str, **_: object) -> None:
        self.edits.append(content)
        await self.gate.wait()
        if self.error:
            raise self.error


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [0.0]
    monkeypatch.setattr(progress.ProgressTicker, "_time", lambda _: time[0])
    return time


async def test_progress_is_shown_not_at_once_and_not_too_often(clock: list[float]):
    interaction: Any = Interaction()
    interaction.gate.set()
    async with progress.ProgressTicker(interaction) as ticker:
        for time, fraction in ((0.5, 0.1), (2.0, 0.5), (2.5, 0.6), (4.5, 0.75)):
            clock[0] = time
            ticker.show(Progress("Fetching 1 of 1 days", fraction))
            await asyncio.sleep(0)
    assert interaction.edits == [
        "Fetching 1 of 1 days ▓▓▓▓▓▓░░░░░░ 50 %, about 2 s left",
        "Fetching 1 of 1 days ▓▓▓▓▓▓▓▓▓░░░ 75 %, about 2 s left",
    ]


async def test_progress_waits_for_the_edit_before(clock: list[float]):
    interaction: Any = Interaction()

    async def work() -> None:
        async with progress.ProgressTicker(interaction) as ticker:
            for time in (2.0, 4.0, 6.0):
                clock[0] = time
                ticker.show(Progress("Drawing"))
                await asyncio.sleep(0)

    working = asyncio.create_task(work())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not working.done()
    interaction.gate.set()
    await working
    assert interaction.edits == ["Drawing …"]


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (discord.HTTPException(Mock(status=503), "unavailable"), "503"),
        (ConnectionResetError(104, "reset"), "ConnectionResetError"),
        (aiohttp.ServerDisconnectedError(), "ServerDisconnectedError"),
    ],
)
async def test_progress_that_cannot_be_shown_is_logged_and_tried_less_often(
    clock: list[float], caplog: pytest.LogCaptureFixture, error: Exception, reported: str
):
    caplog.set_level(logging.INFO)
    interaction: Any = Interaction()
    interaction.gate.set()
    interaction.error = error
    async with progress.ProgressTicker(interaction) as ticker:
        for time in (2.0, 4.0, 24.0):
            clock[0] = time
            ticker.show(Progress("Drawing"))
            await asyncio.sleep(0)
    assert len(interaction.edits) == 2
    assert caplog.messages == [f"progress could not be shown: {reported}"] * 2


async def test_progress_goes_on_above_a_partial_map(clock: list[float]):
    interaction: Any = Interaction()
    interaction.gate.set()
    async with progress.ProgressTicker(interaction) as ticker:
        ticker.show_partial(result_of(coverage=HALF))
        await asyncio.sleep(0)
        clock[0] = 2.0
        ticker.show(Progress("Fetching the last 6 h", 0.5))
    assert interaction.edits == [progress._SO_FAR, "Fetching the last 6 h ▓▓▓▓▓▓░░░░░░ 50 %, about 2 s left"]


TYPED = {
    "liqmap": {"symbol": "btc", "window": "6h", "mode": "top_n"},
    "subscribe": {"symbol": "btc", "window": "6h", "mode": "top_n", "every": "1h"},
    "alert near": {"symbol": "btc", "distance": "1%", "notional": "1m"},
}
DRAWING = pytest.mark.parametrize("name", [*TYPED, "CSV"])


async def ask(floor: Floor, person: simcord.MemberActor, name: str) -> simcord.InteractionResult:
    """Let somebody use a command, or press a button under the map that is there."""
    if name in TYPED:
        return await person.slash(floor.channel, name, **TYPED[name])
    shown = floor.channel.last_message
    assert shown is not None
    return await person.click(shown, label=name)


def seen(floor: Floor, person: simcord.MemberActor) -> list[str]:
    return [message.content for message in floor.channel.history(viewer=person)]


@DRAWING
async def test_progress_is_shown_whatever_is_drawn_for(
    floor: Floor, monkeypatch: pytest.MonkeyPatch, name: str
):
    mona = floor.manager()
    await floor.liqmap()
    monkeypatch.setattr(progress, "PROGRESS_EVERY", 0.0)
    floor.draw.news, floor.draw.gate = [Progress("Drawing")], asyncio.Event()
    asking = asyncio.create_task(ask(floor, mona, name))
    while "Drawing …" not in seen(floor, mona):
        await asyncio.sleep(0)
    floor.draw.gate.set()
    await asking
    assert "Drawing …" not in seen(floor, mona)


@EXPECTS_ERRORS
@DRAWING
async def test_draw_that_outlasts_discord_s_patience_ends_as_a_sentence(
    floor: Floor, store: Store, monkeypatch: pytest.MonkeyPatch, name: str
):
    mona = floor.manager()
    await floor.liqmap()
    monkeypatch.setattr(progress, "ANSWER_WITHIN", timedelta(0))
    floor.draw.gate = asyncio.Event()
    answer = await ask(floor, mona, name)
    reported = answer.response or answer.followups[0]
    assert reported.ephemeral
    assert reported.content == (
        "This took longer than the 15 minutes that Discord waits for an answer; the data fetched so far"
        " is kept, so ask again to continue."
    )
    assert await store.alerts.all() == []
    assert await store.subscriptions.get(1) is None
