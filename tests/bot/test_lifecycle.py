"""The bot as a process that stops, or is killed, while people wait: each of them gets an answer."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import discord
import pytest

from bot.interaction.waiting import RESTARTED, Restarting
from bot.request.pending import PendingAnswer
from bot.settings import BotSettings
from bot.store import Store, open_store
from liqmap.settings import StorageSettings
from liqmap.simulator import Fault, MarketServer
from tests.bot.conftest import SimulatedClock, new_bot
from tests.bot.discord_server import APPLICATION_ID, TOKEN, Answered, DiscordServer
from tests.bot.test_app import bot_process, ended, running_bot, surroundings

ASKED = {"symbol": "btc", "window": "6h", "mode": "top_n", "value": "100", "end": "2023-08-01 06:00"}
PEOPLE = 30


async def waiting_people(server: DiscordServer, market: MarketServer) -> list[Answered]:
    """Let people ask for a map whose trades do not come."""
    market.plan(r"aggTrades.*\.zip$", Fault.STALL)
    waiting = [await server.command("liqmap", user=number, **ASKED) for number in range(PEOPLE)]
    for each in waiting:
        await each.acknowledged
    return waiting


async def pending(folder: Path) -> int:
    async with open_store(BotSettings(storage=StorageSettings(path=folder / "store"))) as store:
        return len(await store.pending.of(APPLICATION_ID))


async def test_sigterm_answers_everybody_who_waits(tmp_path: Path):
    async with running_bot(tmp_path) as (server, market, process):
        waiting = await waiting_people(server, market)
        process.send_signal(signal.SIGTERM)
        code, log = await ended(process)
        assert [each.deleted.done() for each in waiting] == [True] * PEOPLE
    assert [each.message["content"] for each in waiting] == [str(Restarting())] * PEOPLE
    assert {each.message["flags"] for each in waiting} == {64}
    assert await pending(tmp_path) == 0
    assert code == 0
    assert "Traceback" not in log


async def test_answer_after_a_kill_is_private_and_keeps_finished_maps(tmp_path: Path):
    async with surroundings(tmp_path) as (server, market, config):
        async with bot_process(config) as process:
            shown = await server.command("liqmap", **ASKED)
            await shown.done
            for symbol in ("BTCUSDT", "ETHUSDT"):
                market.plan(rf"{symbol}-aggTrades.*\.zip$", Fault.STALL)
            pressed = await server.press(shown, "7d")
            private = await server.command("liqmap", **ASKED | {"symbol": "eth"}, private=True)
            for each in (pressed, private):
                await each.acknowledged
            process.kill()
            await process.wait()
        async with bot_process(config) as process:
            while not (pressed.follow_ups and private.edits and private.edits[-1]["content"] == RESTARTED):
                await server.turn()
            process.terminate()
            await process.wait()
    assert [(each["content"], each["flags"]) for each in pressed.follow_ups] == [(RESTARTED, 64)]
    # What said how far the next map was is gone, and nothing else of the message is touched.
    assert pressed.edits[-1].keys() & {"content", "embeds", "attachments", "components"} == {"content"}
    assert pressed.edits[-1]["content"] is None
    assert private.follow_ups == []
    assert not any(each.deleted.done() for each in (pressed, private, shown))


async def test_kill_is_made_good_by_the_next_start(tmp_path: Path):
    async with surroundings(tmp_path) as (server, market, config):
        async with bot_process(config) as process:
            waiting = await waiting_people(server, market)
            process.kill()
            await process.wait()
        async with bot_process(config) as process:
            await asyncio.gather(*(each.deleted for each in waiting))
            process.terminate()
            code, log = await ended(process)
    assert [each.message["content"] for each in waiting] == [RESTARTED] * PEOPLE
    assert [[sent["content"] for sent in each.follow_ups] for each in waiting] == [[RESTARTED]] * PEOPLE
    assert await pending(tmp_path) == 0
    assert code == 0
    assert "Traceback" not in log


def owed_by(application_id: int) -> PendingAnswer:
    now = SimulatedClock().now().replace(microsecond=0)
    return PendingAnswer(
        5001, application_id, "interaction-1", "public", edits=False, content=None, asked_at=now
    )


async def test_second_process_leaves_the_people_of_the_first_alone(
    settings: BotSettings, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    owed = PendingAnswer(
        5001,
        APPLICATION_ID,
        "interaction-1",
        "public",
        edits=False,
        content=None,
        asked_at=SimulatedClock().now().replace(microsecond=0),
    )
    await store.pending.put(owed)
    async with DiscordServer() as server, open_store(settings) as first:
        assert await first.processes.take(APPLICATION_ID)
        monkeypatch.setattr(discord.http.Route, "BASE", server.api_url)
        async with new_bot(settings, store) as second:
            await second.login(TOKEN)
        assert server.answers == {}
    assert await store.pending.of(APPLICATION_ID) == [owed]
    assert "another process runs this bot on the same database; stop one of them, or" in caplog.text


async def test_answer_of_another_application_is_left_to_it(
    settings: BotSettings, store: Store, monkeypatch: pytest.MonkeyPatch
):
    owed = PendingAnswer(
        5001,
        APPLICATION_ID + 1,
        "interaction-1",
        "public",
        edits=False,
        content=None,
        asked_at=SimulatedClock().now().replace(microsecond=0),
    )
    await store.pending.put(owed)
    async with DiscordServer() as server:
        monkeypatch.setattr(discord.http.Route, "BASE", server.api_url)
        async with new_bot(settings, store) as bot:
            await bot.login(TOKEN)
        assert server.answers == {}
    assert await store.pending.of(APPLICATION_ID + 1) == [owed]
