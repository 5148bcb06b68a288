from __future__ import annotations

import logging
import re
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest
from discord import app_commands
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bot.interaction.refusals import TOO_LARGE, refusal
from tests.bot.conftest import Floor

# An error that has become a sentence still counts as one to the simulation.
EXPECTS_ERRORS = pytest.mark.simcord(check_errors=False)
NUMBER = "0a1b2c3d"
ANSWER, FOLLOW_UP = "/webhooks/*/messages/@original", "/webhooks/*"


def refused(status: int, code: int = 0) -> discord.HTTPException:
    response: Any = SimpleNamespace(status=status, reason="", headers={})
    kinds = {403: discord.Forbidden, 404: discord.NotFound, 503: discord.DiscordServerError}
    return kinds.get(status, discord.HTTPException)(response, {"code": code, "message": "Invalid"})


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (refused(413), TOO_LARGE),
        (refused(413, 40005), TOO_LARGE),
        (refused(400, 40005), TOO_LARGE),
        (refused(400, 50083), "This thread is archived; reopen it, or ask in another channel."),
        (refused(403, 160005), "This thread is locked; ask in another channel."),
        (refused(403, 50013), "I lack a permission in this channel; "),
        (refused(503), "Discord has trouble right now; ask again in a few minutes."),
        (refused(429), "Discord has trouble right now; ask again in a few minutes."),
        # Without a code and JSON, these are answers of a proxy in between.
        (refused(403), "Discord has trouble right now; ask again in a few minutes."),
        (refused(404), "Discord has trouble right now; ask again in a few minutes."),
        (
            refused(400, 50035),
            f"Discord refused the answer; please report this number to the bot's operator: {NUMBER}.",
        ),
        (
            refused(401),
            "Discord no longer accepts the bot's token; its operator has to set the new one.",
        ),
        (ConnectionResetError(104, "reset"), "The connection to Discord broke; ask again in a minute."),
        (aiohttp.ServerDisconnectedError(), "The connection to Discord broke; ask again in a minute."),
        (TimeoutError(), "The connection to Discord broke; ask again in a minute."),
        (
            OperationalError("", {}, OSError()),
            "The bot cannot read or save just now, and nothing was changed;",
        ),
        (PoolTimeout(), "The bot cannot read or save just now, and nothing was changed;"),
        (
            app_commands.CommandNotFound("old", []),
            "This command has changed; reload Discord and use it again.",
        ),
    ],
)
def test_expected_refusal_has_its_sentence(error: Exception, sentence: str):
    found = refusal(error, number=NUMBER)
    assert found is not None
    assert found.sentence is not None
    assert found.sentence.startswith(sentence)


@pytest.mark.parametrize("code", [10003, 10004, 10008, 10015, 10062, 50027])
def test_refusal_that_cannot_be_delivered_is_silent(code: int):
    for status in (401, 404):
        found = refusal(refused(status, code), number=NUMBER)
        assert found is not None
        assert found.sentence is None
        assert found.level == logging.INFO


@pytest.mark.parametrize("error", [ValueError(), KeyError("x"), FileNotFoundError("x"), PermissionError("x")])
def test_fault_of_the_bot_is_not_an_expected_refusal(error: Exception):
    assert refusal(error, number=NUMBER) is None


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log has, in which nothing may have a traceback."""
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    ("status", "code"), [(404, 10008), (404, 10003), (404, 10015), (401, 50027), (404, 10062)]
)
async def test_answer_that_nobody_waits_for_is_dropped_silently(
    floor: Floor, caplog: pytest.LogCaptureFixture, status: int, code: int
):
    floor.env.inject_error("PATCH", ANSWER, status=status, code=code)
    answer = await floor.liqmap()
    assert answer.followups == []
    assert warnings(caplog) == []


@EXPECTS_ERRORS
@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (
            400,
            50035,
            r"Discord refused the answer; please report this number to the bot's operator: (\w{8})\.",
        ),
        (400, 50083, r"This thread is archived; reopen it, or ask in another channel\."),
        (403, 160005, r"This thread is locked; ask in another channel\."),
        (403, 50013, r"I lack a permission in this channel; .*\."),
    ],
)
async def test_answer_that_discord_refuses_becomes_a_private_sentence(
    floor: Floor, caplog: pytest.LogCaptureFixture, status: int, code: int, sentence: str
):
    floor.env.inject_error("PATCH", ANSWER, status=status, code=code)
    (said,) = (await floor.liqmap()).followups
    assert said.ephemeral
    found = re.fullmatch(sentence, said.content)
    assert found
    assert all(group in caplog.text for group in found.groups())
    warnings(caplog)


@EXPECTS_ERRORS
async def test_interaction_that_came_too_late_is_silent(floor: Floor, caplog: pytest.LogCaptureFixture):
    floor.env.inject_error("POST", "/interactions/*/callback", status=404, code=10062)
    await floor.liqmap()
    assert floor.draw.requests == []
    assert warnings(caplog) == []
    assert floor.channel.history() == []


@EXPECTS_ERRORS
async def test_lasting_trouble_at_discord_is_logged_without_traceback(
    floor: Floor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("bot.interaction.patience._wait", lambda _: 0)
    floor.env.inject_error("*", "/webhooks/*", status=503, times=None)
    await floor.liqmap()
    assert warnings(caplog) == [
        "an interaction was not answered: HTTP 503, code 0: 'Internal Server Error (injected by test)'",
        "an error could not be sent: HTTP 503, code 0",
    ]


@EXPECTS_ERRORS
async def test_broken_database_is_a_sentence_and_a_line(
    floor: Floor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    async def broken(*_: object) -> None:
        raise OperationalError("SELECT secret", {}, OSError())

    mona = floor.manager()
    monkeypatch.setattr("bot.store.subscriptions.SubscriptionTable.of_guild", broken)
    answer = (await mona.slash(floor.channel, "subscriptions")).response
    assert answer is not None
    assert answer.content.startswith("The bot cannot read or save just now, and nothing was changed;")
    assert warnings(caplog) == ["an interaction was not answered: the database failed: OperationalError"]
