from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest

from bot.app import point_at, stay
from bot.ops.login import UNREACHABLE, login_error
from bot.settings import BotSettings, DiscordSettings
from bot.store import Store
from liqmap.errors import LiqmapError, SettingsError
from tests.bot.conftest import new_bot
from tests.bot.discord_server import TOKEN, DiscordServer, Fault


def refused(kind: type[discord.HTTPException], status: int, code: int = 0) -> discord.HTTPException:
    response: Any = SimpleNamespace(status=status, reason="", headers={})
    return kind(response, {"code": code, "message": ""})


def closed(code: int) -> discord.ConnectionClosed:
    socket: Any = SimpleNamespace(close_code=code)
    return discord.ConnectionClosed(socket, shard_id=0)


def unknown_gateway() -> discord.GatewayNotFound:
    error = discord.GatewayNotFound()
    error.__cause__ = refused(discord.DiscordServerError, 502)
    return error


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (discord.LoginFailure(), SettingsError, "Discord refuses the bot's token; copy it again"),
        (closed(4004), SettingsError, "Discord no longer accepts the bot's token; copy the new one"),
        (discord.PrivilegedIntentsRequired(0), SettingsError, "Discord refuses the bot's intents"),
        (closed(4010), SettingsError, "Discord refuses the number of shards; set discord.shards = 0"),
        (closed(4011), SettingsError, "needs more shards; set discord.shards = 0."),
        (closed(4013), SettingsError, "install a newer version"),
        (closed(4012), LiqmapError, "Discord has closed the connection for good (code 4012)."),
        (refused(discord.DiscordServerError, 503), LiqmapError, "Discord has trouble right now (HTTP 503)"),
        (refused(discord.HTTPException, 429), LiqmapError, "Discord has trouble right now (HTTP 429)"),
        (unknown_gateway(), LiqmapError, "Discord has trouble right now (HTTP 502)"),
        (refused(discord.NotFound, 404), LiqmapError, "(HTTP 404, code 0); check the setting"),
        (aiohttp.ServerDisconnectedError(), LiqmapError, UNREACHABLE),
        (ConnectionResetError(104, "reset"), LiqmapError, UNREACHABLE),
        (TimeoutError(), LiqmapError, UNREACHABLE),
    ],
)
def test_reason_is_a_sentence_that_says_what_to_do(error: Exception, kind: type[LiqmapError], sentence: str):
    found = login_error(error)
    assert type(found) is kind
    assert sentence in str(found)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordServer]:
    monkeypatch.setattr(discord.http.Route, "BASE", "")
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", None)
    async with DiscordServer() as server:
        point_at(DiscordSettings(api_url=server.api_url, gateway_url=server.gateway.url))
        yield server


@pytest.mark.parametrize(
    ("code", "sentence"), [(4004, "no longer"), (4014, "intents"), (4011, "more shards")]
)
async def test_bot_that_discord_disconnects_for_good_ends_with_a_sentence(
    server: DiscordServer, settings: BotSettings, store: Store, code: int, sentence: str
):
    server.gateway.rejects = code
    async with new_bot(settings, store) as bot:
        with pytest.raises(SettingsError, match=sentence):
            await stay(bot, TOKEN)


async def test_token_that_is_reset_while_the_bot_runs_ends_it_with_a_sentence(
    server: DiscordServer, settings: BotSettings, store: Store
):
    async with new_bot(settings, store) as bot:

        async def reset(_: object) -> None:
            await server.gateway.drop(4004)

        bot.add_listener(reset, "on_guild_available")
        with pytest.raises(SettingsError, match="no longer accepts the bot's token"):
            await stay(bot, TOKEN)


async def test_discord_that_is_down_is_not_called_unreachable(
    server: DiscordServer, settings: BotSettings, store: Store
):
    server.plan("GET", "/users/@me", Fault.UNAVAILABLE)
    async with new_bot(settings, store) as bot:
        with pytest.raises(LiqmapError, match=r"has trouble right now \(HTTP 503\)"):
            await stay(bot, TOKEN)
