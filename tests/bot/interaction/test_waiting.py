from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
import simcord
from sqlalchemy.exc import OperationalError

from bot.interaction import waiting
from bot.interaction.waiting import Restarting, Waiting
from bot.request.pending import PendingAnswer
from bot.store import Store
from bot.views import progress
from liqmap.model import MapRequest, Progress
from liqmap.run.result import MapResult
from tests.bot.conftest import NOW, REQUEST, FakeDraw, Floor, result_of

# An error that has become a sentence still counts as one to the simulation.
EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)
SENTENCE = "The bot is restarting; ask again in a minute."


async def under_way(floor: Floor, asking: Any) -> asyncio.Task[simcord.InteractionResult]:
    """Let somebody ask for a map that does not come."""
    floor.draw.gate = asyncio.Event()
    before = len(floor.draw.requests)
    task = asyncio.create_task(asking)
    while len(floor.draw.requests) == before:
        await asyncio.sleep(0)
    return task


async def owed(floor: Floor, store: Store) -> list[PendingAnswer]:
    return await store.pending.of(floor.bot.application_id or 0)


@EXPECTS_ERRORS
async def test_stopping_bot_answers_waiting_people_and_forgets_the_token(floor: Floor, store: Store):
    asking = await under_way(floor, floor.liqmap())
    assert len(await owed(floor, store)) == 1
    await floor.bot.waiting.close()
    (sentence,) = (await asking).followups
    assert (sentence.content, sentence.ephemeral) == (SENTENCE, True)
    assert floor.channel.history() == []
    assert await owed(floor, store) == []


@EXPECTS_ERRORS
async def test_stopping_bot_leaves_the_map_whose_button_was_pressed(
    floor: Floor, monkeypatch: pytest.MonkeyPatch
):
    message = (await floor.liqmap()).response
    assert message is not None
    monkeypatch.setattr(progress, "PROGRESS_EVERY", 0.0)
    floor.draw.news = [Progress("Drawing")]
    pressing = await under_way(floor, floor.member.click(message.message, label="1h"))
    await floor.bot.waiting.close()
    assert [each.content for each in (await pressing).followups] == [SENTENCE]
    shown = floor.channel.last_message
    assert shown is not None
    assert (shown.content, len(shown.attachments)) == ("", 2)


@EXPECTS_ERRORS
async def test_stopping_bot_accepts_no_new_commands(floor: Floor):
    message = (await floor.liqmap()).response
    assert message is not None
    await floor.bot.waiting.close()
    for asked in (await floor.liqmap(), await floor.member.click(message.message, label="1h")):
        assert asked.response is not None
        assert (asked.response.content, asked.response.ephemeral) == (SENTENCE, True)
    assert len(floor.draw.requests) == 1


async def test_answered_person_is_owed_nothing(floor: Floor, store: Store):
    await floor.liqmap()
    await floor.env.settle()
    assert await owed(floor, store) == []


@EXPECTS_ERRORS
async def test_refused_person_is_owed_nothing(floor: Floor, store: Store):
    floor.draw.error = ValueError()
    await floor.liqmap()
    await floor.env.settle()
    assert await owed(floor, store) == []


@EXPECTS_ERRORS
async def test_command_that_hangs_elsewhere_is_cut_off_and_answered(
    floor: Floor, store: Store, monkeypatch: pytest.MonkeyPatch
):
    reached = asyncio.Event()

    async def hangs(_: object) -> list[object]:
        reached.set()
        return await asyncio.Future()

    monkeypatch.setattr(store.subscriptions, "of_guild", hangs)
    monkeypatch.setattr(waiting, "_ENDING_SECONDS", 0.0)
    mona = floor.manager()
    asking = asyncio.create_task(mona.slash(floor.channel, "subscriptions"))
    await reached.wait()
    await floor.bot.waiting.close()
    answer = (await asking).response
    assert answer is not None
    assert answer.content == SENTENCE
    assert await owed(floor, store) == []


@EXPECTS_ERRORS
async def test_person_who_cannot_be_answered_in_time_is_left_to_the_next_start(
    floor: Floor, store: Store, monkeypatch: pytest.MonkeyPatch
):
    asking = await under_way(floor, floor.liqmap())

    async def hangs(*_: object, **__: object) -> None:
        await asyncio.Future()

    monkeypatch.setattr("discord.Interaction.edit_original_response", hangs)
    for name in ("_ENDING_SECONDS", "_UNWINDING_SECONDS", "_TELLING_SECONDS"):
        monkeypatch.setattr(waiting, name, 0.0)
    await floor.bot.waiting.close()
    asking.cancel()
    assert len(await owed(floor, store)) == 1


class BrokenTable:
    """A database that is not there."""

    async def put(self, answer: PendingAnswer) -> None:
        del answer
        raise OperationalError("INSERT", {}, OSError())

    async def remove(self, interaction_id: int) -> None:
        del interaction_id
        raise OperationalError("DELETE", {}, OSError())


@EXPECTS_ERRORS
async def test_broken_database_keeps_nobody_from_an_answer(floor: Floor, caplog: pytest.LogCaptureFixture):
    floor.bot.waiting = Waiting(BrokenTable(), now=lambda: NOW)
    answer = await floor.liqmap()
    assert answer.response is not None
    assert len(answer.response.attachments) == 2
    reported = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert {record.getMessage() for record in reported} == {
        "what was promised could not be noted in the database: OperationalError"
    }
    assert not any(record.exc_info for record in reported)


async def test_drawing_ends_when_the_bot_stops_and_as_it_would_otherwise():
    here, draw = Waiting(BrokenTable(), now=lambda: NOW), FakeDraw()
    drawing = here.until_stopped(draw)
    assert await drawing(REQUEST) == result_of()
    draw.gate = asyncio.Event()
    given_up = asyncio.create_task(drawing(REQUEST))
    waited_for = asyncio.create_task(drawing(REQUEST))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    await here.close()
    with pytest.raises(Restarting):
        await waited_for


async def test_drawing_that_begins_while_the_bot_stops_is_refused():
    async def never(request: MapRequest, **_: object) -> MapResult:
        raise AssertionError(request)

    here = Waiting(BrokenTable(), now=lambda: NOW)
    await here.close()
    with pytest.raises(Restarting):
        await here.until_stopped(never)(REQUEST)
