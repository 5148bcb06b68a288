from __future__ import annotations

import logging
import re
from typing import Any

import discord
import pytest
import simcord
from discord import app_commands

from bot.settings import BotSettings, DiscordSettings
from bot.store import Store
from liqmap.errors import DataError
from liqmap.settings import NetworkSettings
from tests.bot.conftest import Floor, new_bot

# An error that has become a sentence still counts as one to the simulation.
EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)


def syncs(env: simcord.Env) -> int:
    return sum(
        request.method == "PUT" and request.path.endswith("/commands") for request in env.http_requests
    )


@EXPECTS_ERRORS
async def test_unknown_error_is_answered_with_its_number_in_the_log(
    floor: Floor, caplog: pytest.LogCaptureFixture
):
    floor.draw.error = ValueError("/srv/secret/path")
    answer = await floor.liqmap()
    (sentence,) = answer.followups
    found = re.fullmatch(
        r"Something went wrong in the bot; please report this number to its operator: (\w{8})\.",
        sentence.content,
    )
    assert found
    (record,) = [
        record for record in caplog.records if record.name == "bot.interaction.errors" and record.exc_info
    ]
    assert found[1] in record.getMessage()


@EXPECTS_ERRORS
async def test_error_that_cannot_be_sent_is_logged_once(floor: Floor, caplog: pytest.LogCaptureFixture):
    floor.draw.error = DataError("Not there.")
    floor.env.inject_error("PATCH", "/webhooks/*/messages/@original", status=404, code=10015)
    await floor.liqmap()
    reported = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert reported == ["an error could not be sent: HTTP 404, code 10015"]


async def test_bot_needs_no_privileged_intent_and_mentions_nobody(settings: BotSettings, store: Store):
    bot = new_bot(settings, store)
    assert bot.intents == discord.Intents(guilds=True)
    assert bot.allowed_mentions is not None
    assert dict(bot.allowed_mentions.to_dict()) == {"parse": []}


async def test_bot_uses_the_proxy_of_the_settings_except_for_this_machine(
    settings: BotSettings, store: Store
):
    network = NetworkSettings.model_validate({"proxy": "http://proxy:3128"})
    for api_url, proxy in (
        ("https://discord.com/api/v10", "http://proxy:3128"),
        ("http://127.0.0.1:1", None),
    ):
        discord_settings = DiscordSettings(api_url=api_url)
        bot = new_bot(settings.model_copy(update={"network": network, "discord": discord_settings}), store)
        assert bot.http.proxy == proxy


async def test_commands_are_not_announced_if_the_settings_say_so(settings: BotSettings, store: Store):
    quiet = settings.model_copy(update={"discord": DiscordSettings(sync_commands=False)})
    bot = new_bot(quiet, store)
    async with simcord.run(bot, strict_sync=False) as env:
        assert syncs(env) == 0


async def test_commands_are_announced_although_the_first_try_breaks(
    settings: BotSettings, store: Store, monkeypatch: pytest.MonkeyPatch
):
    sync, errors = app_commands.CommandTree.sync, [ConnectionResetError(104, "reset")]

    async def shaky(tree: app_commands.CommandTree, **options: Any) -> list[app_commands.AppCommand]:
        if errors:
            raise errors.pop()
        return await sync(tree, **options)

    monkeypatch.setattr(app_commands.CommandTree, "sync", shaky)
    monkeypatch.setattr("bot.interaction.patience._wait", lambda _: 0)
    async with simcord.run(new_bot(settings, store), strict_sync=False) as env:
        assert syncs(env) == 1


async def test_bot_is_connected_while_no_shard_is_away(floor: Floor):
    bot = floor.bot
    states = [bot.connected]
    for event, shard in (
        ("shard_disconnect", 1),
        ("shard_disconnect", 0),
        ("shard_resumed", 0),
        ("shard_connect", 1),
    ):
        bot.dispatch("disconnect" if "dis" in event else "resumed")
        bot.dispatch(event, shard)
        await floor.env.settle()
        states.append(bot.connected)
    assert states == [True, False, False, False, True]


async def test_bot_is_not_connected_before_it_starts(settings: BotSettings, store: Store):
    assert not new_bot(settings, store).connected
