"""Patience with the network: retry the requests that discord.py does not retry itself."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
import discord
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

from bot.interaction.state import KeptMessage, ReplyKind, set_state, state_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import RetryCallState

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

ATTEMPTS: Final = 5
ALREADY_ACKNOWLEDGED: Final = 40060  # Discord's error code
UNSENT: Final = (discord.HTTPException, aiohttp.ClientError, OSError)
"""What sending to Discord raises: it was refused, or the network broke."""

PORTAL: Final = "https://discord.com/developers/applications"
TOKEN_RESET: Final = f"Discord no longer accepts the bot's token; copy the new one from {PORTAL}."

_LONGEST_WAIT = 30.0
_FIRST_TRY_SECONDS = 1.0


class AnsweredElsewhere(Exception):
    """Raised where another process of the same bot has answered an interaction: it is left to that."""


async def patiently(
    send: Callable[[], Awaitable[Answer]], *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Answer:
    """Return what `send` returns, calling it again after resets, 5xx answers and 429 without a `Via`.

    It must be harmless to send twice: an edit, or a message with a nonce. Raises what the last try raised.
    """
    async for attempt in AsyncRetrying(
        retry=retry_if_exception(may_pass),
        stop=stop_after_attempt(ATTEMPTS),
        wait=_wait,
        sleep=sleep,
        reraise=True,
    ):
        with attempt:
            return await send()
    raise AssertionError  # pragma: no cover - the last attempt returns or raises


async def acknowledge(
    interaction: discord.Interaction[Any], *, ephemeral: bool = False, thinking: bool = False
) -> None:
    """Announce the answer to a command or press, once, however often that has to be said.

    The next start knows of it, should this process be killed before it has answered.
    Not `thinking`, a press announces a change of the message that its button is under.
    """
    reply = ReplyKind.KEPT if not thinking else ReplyKind.PRIVATE if ephemeral else ReplyKind.PUBLIC
    # Noted first: it may arrive although its answer is lost.
    set_state(interaction, replace(state_of(interaction), reply=reply))
    await interaction.client.waiting.remember(interaction)
    await respond(lambda: interaction.response.defer(ephemeral=ephemeral, thinking=thinking))
    set_state(interaction, replace(state_of(interaction), acknowledged=time.perf_counter()))


async def acknowledge_redraw(interaction: discord.Interaction[Any]) -> None:
    """Announce that a press draws anew: in place of an answer, but beside a scheduled post, privately."""
    message = interaction.message
    # A scheduled post belongs to everybody, so a press must not change it: the answer is private.
    aside = message is not None and message.interaction_metadata is None
    if not aside:
        # What is shown stays while the next one is drawn; an error only has to remove the progress line.
        set_state(interaction, replace(state_of(interaction), kept=KeptMessage(None)))
    await acknowledge(interaction, ephemeral=aside, thinking=aside)


async def respond(send: Callable[[], Awaitable[object]]) -> bool:
    """Send the first response to a command or press; return False if one has arrived already.

    Discord wants it within three seconds, so the first try is not waited for until a second one would come
    too late; those after it have longer, for it may be this machine that is slow.

    Raises AnsweredElsewhere if the one that has arrived cannot be of this process.
    """
    seconds, may_have_arrived = _FIRST_TRY_SECONDS, False

    async def send_soon() -> None:
        nonlocal seconds, may_have_arrived
        bound, seconds = seconds, 2 * seconds
        try:
            async with asyncio.timeout(bound):
                await send()
        except UNSENT as error:
            if getattr(error, "code", 0) == ALREADY_ACKNOWLEDGED and not may_have_arrived:
                raise AnsweredElsewhere from error
            may_have_arrived = True
            raise

    try:
        await patiently(send_soon)
    except discord.HTTPException as error:
        # An earlier try has arrived after all, and only its answer was lost.
        if error.code != ALREADY_ACKNOWLEDGED:
            raise
        return False
    return True


def may_pass(error: BaseException) -> bool:
    """Return whether sending to Discord may succeed if it is tried again later."""
    if isinstance(error, discord.HTTPException):
        # Discord gives its reason as JSON. A 403 or 404 without JSON comes from a proxy in between.
        by_discord = error.code or "json" in error.response.headers.get("Content-Type", "")
        return error.status == 429 or error.status >= 500 or (error.status in {403, 404} and not by_discord)
    return isinstance(error, UNSENT)


def token_is_refused(error: BaseException | None) -> bool:
    """Return whether Discord refuses the bot's token, which somebody has reset since the bot's start."""
    # With a code, such as 50027, the 401 is about the token of one interaction.
    return isinstance(error, discord.HTTPException) and error.status == 401 and not error.code


def is_refused(error: BaseException) -> bool:
    """Return whether Discord refuses just this, for good. A 401 refuses the bot's token, not this."""
    refused = isinstance(error, discord.HTTPException) and error.status != HTTPStatus.UNAUTHORIZED
    return refused and not may_pass(error)


def failure_text(error: BaseException | None) -> str:
    """Return a short description of a failed request, for the log."""
    if token_is_refused(error):
        return TOKEN_RESET
    if isinstance(error, discord.HTTPException):
        return f"HTTP {error.status}, code {error.code}: {error.text[:200]!r}"
    return type(error).__name__


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    log.info("Discord did not take it (%s), trying again", type(error).__name__)
    headers = getattr(getattr(error, "response", None), "headers", {})
    own = 0.5 * 2.0 ** (state.attempt_number - 1)
    try:
        named = float(headers.get("Retry-After", 0))
    except (TypeError, ValueError):
        named = 0.0
    # Discord's Retry-After counts only if it is longer than our own backoff, which "nan" never is.
    return min(max(own, named), _LONGEST_WAIT)
