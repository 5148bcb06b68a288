from __future__ import annotations

import copy
import logging
from collections.abc import AsyncIterator
from typing import Any

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.interaction.announce import are_same
from bot.settings import BotSettings
from bot.store import Store
from tests.bot.conftest import new_bot
from tests.bot.discord_server import TOKEN, DiscordServer, Fault

COMMAND: dict[str, Any] = {
    "name": "near",
    "description": "Post here",
    "type": 1,
    "nsfw": False,
    "dm_permission": False,
    "default_member_permissions": 16,
    "contexts": [0, 1],
    "integration_types": [0, 1],
    "options": [
        {
            "type": 2,
            "name": "group",
            "description": "Several",
            "options": [
                {
                    "type": 3,
                    "name": "mode",
                    "description": "Which",
                    "required": True,
                    "choices": [{"name": "one", "value": "1"}, {"name": "two", "value": "2"}],
                    "min_length": 1,
                    "max_length": 9,
                },
                {"type": 4, "name": "count", "description": "How many", "min_value": 1, "max_value": 5},
                {"type": 3, "name": "symbol", "description": "What", "autocomplete": True},
                {"type": 7, "name": "channel", "description": "Where", "channel_types": [0, 5]},
            ],
        }
    ],
}
NOT_SEEN = {"dm_permission"}  # Discord has `contexts` in its place


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to all values that are no dicts or lists of dicts."""
    if isinstance(content, dict):
        return [each for key, value in content.items() for each in places(value, (*path, key))]
    if isinstance(content, list) and content and isinstance(content[0], dict):
        return [each for key, value in enumerate(content) for each in places(value, (*path, key))]
    return [path]


PLACES = [path for path in places(COMMAND) if path[-1] not in NOT_SEEN]


@given(path=st.sampled_from(PLACES), value=st.one_of(st.integers(100, 200), st.just([77])))
def test_commands_that_differ_anywhere_are_not_the_same(path: tuple[Any, ...], value: Any):
    changed = copy.deepcopy(COMMAND)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    assert are_same([COMMAND], [copy.deepcopy(COMMAND)])
    assert not are_same([COMMAND], [changed])
    assert not are_same([changed], [COMMAND])


@pytest.mark.parametrize("known", [[], [COMMAND, COMMAND | {"name": "far"}], [{}], [None], ["near"], [[]]])
def test_commands_of_another_number_or_kind_are_not_the_same(known: list[Any]):
    assert not are_same([COMMAND], known)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    monkeypatch.setattr("bot.interaction.patience._wait", lambda _: 0)
    async with DiscordServer() as server:
        monkeypatch.setattr(discord.http.Route, "BASE", server.api_url)
        yield server


async def start(settings: BotSettings, store: Store) -> None:
    async with new_bot(settings, store) as bot:
        await bot.login(TOKEN)


async def test_commands_are_announced_once_however_often_the_bot_starts(
    server: DiscordServer, settings: BotSettings, store: Store
):
    for _ in range(3):
        await start(settings, store)
    assert server.syncs == 1


async def test_commands_that_are_lost_or_changed_at_discord_are_announced_again(
    server: DiscordServer, settings: BotSettings, store: Store
):
    await start(settings, store)
    whole = server.commands
    changed = copy.deepcopy(whole)
    changed[0]["options"][0]["description"] = "Something else"
    for syncs, commands in enumerate(([], whole[1:], changed, [*whole, whole[0] | {"name": "old"}]), 2):
        server.commands = commands
        await start(settings, store)
        assert server.syncs == syncs
        assert server.commands == whole


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_bot_starts_though_its_commands_cannot_be_announced(
    server: DiscordServer,
    settings: BotSettings,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    method: str,
):
    server.plan(method, "/commands$", *[Fault.UNAVAILABLE] * 5)
    await start(settings, store)
    assert server.syncs == 0
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert record.getMessage().startswith("the commands could not be announced (HTTP 503")
    assert record.exc_info is None
    await start(settings, store)
    assert server.syncs == 1
