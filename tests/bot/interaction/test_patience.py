from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

import aiohttp
import discord
import pytest

from bot.interaction import patience as wire
from bot.interaction.patience import ATTEMPTS, AnsweredElsewhere, acknowledge, patiently
from bot.interaction.state import state_of

CLIENT = Mock(waiting=Mock(remember=AsyncMock()))


def refused(status: int, *, code: int = 0, retry_after: str | None = None) -> discord.HTTPException:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    response: Any = SimpleNamespace(status=status, reason="", headers=headers)
    return discord.HTTPException(response, {"code": code, "message": ""})


class Sent:
    """Fails with `errors`, one a try, then answers; and remembers how long was waited in between."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.tries = 0
        self.waits: list[float] = []

    async def send(self, **_: object) -> str:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "there"

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


PASSING = [
    ConnectionResetError(104, "reset"),
    refused(503),
    refused(429),
    aiohttp.ServerDisconnectedError(),
]


async def test_transient_failure_is_retried_with_growing_waits():
    sent = Sent(*PASSING)
    assert await patiently(sent.send, sleep=sent.sleep) == "there"
    assert sent.waits == [0.5, 1.0, 2.0, 4.0]


async def test_wait_is_as_long_as_discord_asks():
    sent = Sent(refused(429, retry_after="7.5"), refused(429, retry_after="soon"))
    await patiently(sent.send, sleep=sent.sleep)
    assert sent.waits == [7.5, 1.0]


@pytest.mark.parametrize(("named", "waited"), [("nan", 0.5), ("inf", 30), ("-inf", 0.5), ("1e300", 30)])
async def test_wait_that_no_clock_has_is_bounded(named: str, waited: float):
    sent = Sent(refused(429, retry_after=named))
    await patiently(sent.send, sleep=sent.sleep)
    assert sent.waits == [waited]


async def test_refusal_by_a_proxy_is_retried():
    sent = Sent(refused(403), refused(404))
    await patiently(sent.send, sleep=sent.sleep)
    assert sent.tries == 3


@pytest.mark.parametrize(
    "error", [refused(403, code=50013), refused(404, code=10003), refused(400), ValueError()]
)
async def test_permanent_failure_is_raised_at_once(error: Exception):
    sent = Sent(error)
    with pytest.raises(type(error)):
        await patiently(sent.send, sleep=sent.sleep)
    assert sent.tries == 1


async def test_patience_ends():
    sent = Sent(*[refused(503)] * 9)
    with pytest.raises(discord.HTTPException):
        await patiently(sent.send, sleep=sent.sleep)
    assert sent.tries == ATTEMPTS


async def test_acknowledgement_given_before_means_another_process_answered():
    sent = Sent(refused(400, code=40060))
    interaction: Any = SimpleNamespace(response=SimpleNamespace(defer=sent.send), extras={}, client=CLIENT)
    with pytest.raises(AnsweredElsewhere):
        await acknowledge(interaction, thinking=True)


@pytest.mark.parametrize("lost", [ConnectionResetError(104, "reset"), TimeoutError(), refused(503)])
async def test_acknowledgement_whose_answer_was_lost_counts(monkeypatch: pytest.MonkeyPatch, lost: Exception):
    monkeypatch.setattr("bot.interaction.patience._wait", lambda _: 0)
    sent = Sent(lost, refused(400, code=40060))
    interaction: Any = SimpleNamespace(response=SimpleNamespace(defer=sent.send), extras={}, client=CLIENT)
    await acknowledge(interaction, ephemeral=True, thinking=True)
    assert state_of(interaction).acknowledged is not None
    sent.errors = [refused(400, code=50035)]
    with pytest.raises(discord.HTTPException):
        await acknowledge(interaction, ephemeral=True, thinking=True)


async def test_hanging_acknowledgement_is_replaced_by_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bot.interaction.patience._FIRST_TRY_SECONDS", 0.0)
    monkeypatch.setattr("bot.interaction.patience._wait", lambda _: 0)
    never, sent = asyncio.Event(), Sent()

    async def defer(**_: object) -> None:
        await sent.send()
        if sent.tries == 1:
            await never.wait()

    interaction: Any = SimpleNamespace(response=SimpleNamespace(defer=defer), extras={}, client=CLIENT)
    await acknowledge(interaction)
    assert sent.tries == 2


async def test_second_try_of_a_first_response_comes_within_discord_s_three_seconds():
    sent = Sent(TimeoutError())
    await patiently(sent.send, sleep=sent.sleep)
    assert 2 * wire._FIRST_TRY_SECONDS + sum(sent.waits) < 3
