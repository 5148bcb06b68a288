"""The one place where errors become replies: one sentence that only the person sees."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import discord

from bot.interaction.patience import UNSENT, AnsweredElsewhere, patiently, respond
from bot.interaction.refusals import refusal
from bot.interaction.state import InteractionState, ReplyKind, set_state, state_of
from liqmap import LiqmapError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from discord import ui

log = logging.getLogger(__name__)


class Answerable(Protocol):
    """What can be answered: an interaction, or one that a killed process left unanswered."""

    @property
    def edit_original_response(self) -> Callable[..., Awaitable[object]]:
        """Edit the reply, or the message with the button."""

    @property
    def delete_original_response(self) -> Callable[[], Awaitable[object]]:
        """Delete the reply."""

    @property
    def followup(self) -> discord.Webhook:
        """Where messages beside the reply go."""


@asynccontextmanager
async def funnel(interaction: discord.Interaction[Any]) -> AsyncIterator[None]:
    """Answer any error that is raised inside with one sentence."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the funnel
        await answer_error(interaction, error)


async def answer_error(interaction: discord.Interaction[Any], error: BaseException) -> bool:
    """Answer with the error's own sentence, or with a number that identifies it in the log.

    Returns False if the answer could not be sent, so that somebody is still waiting.
    """
    sentence = _sentence(error)
    if sentence is None:
        return True
    try:
        await _answer(interaction, sentence)
    except AnsweredElsewhere:
        log.info("an error was not sent: another process of this bot was quicker")
    except UNSENT as failure:
        status, code = getattr(failure, "status", "none"), getattr(failure, "code", "none")
        log.warning("an error could not be sent: HTTP %s, code %s", status, code)
        return False
    return True


def _sentence(error: BaseException) -> str | None:
    if isinstance(error, LiqmapError):
        return str(error)
    number = uuid4().hex[:8]
    expected = refusal(error, number=number)
    if expected is None:
        log.error("command failed, reported as %s", number, exc_info=error)
        return f"Something went wrong in the bot; please report this number to its operator: {number}."
    log.log(expected.level, "an interaction was not answered: %s", expected.reason)
    return expected.sentence


async def say_beside(
    interaction: discord.Interaction[Any], sentence: str, *, view: ui.View = discord.utils.MISSING
) -> None:
    """Send `sentence` privately, beside the message that stays."""
    await _say_beside(interaction, sentence, state=state_of(interaction), view=view)


async def say(place: Answerable, sentence: str, *, state: InteractionState) -> None:
    """Answer an acknowledged interaction with a sentence that only its person sees.

    Raises one of `bot.interaction.patience.UNSENT`.
    """
    if state.reply is ReplyKind.KEPT:
        await _say_beside(place, sentence, state=state)
        return
    await patiently(
        lambda: place.edit_original_response(content=sentence, embeds=[], attachments=[], view=None)
    )
    if state.reply is ReplyKind.PRIVATE:
        return
    # A reply that was deferred as public stays public, so a private one replaces it. It is edited first:
    # a deferred reply is not a message yet and cannot be deleted, and if a later step fails, the person
    # has the sentence anyway.
    await _follow_up(place, sentence)
    await place.delete_original_response()


async def _answer(interaction: discord.Interaction[Any], sentence: str) -> None:
    """Send `sentence` privately, whichever reply has been sent before."""
    if state_of(interaction).reply is None:
        set_state(interaction, replace(state_of(interaction), reply=ReplyKind.PRIVATE))
    if not interaction.response.is_done() and await respond(
        lambda: interaction.response.send_message(sentence, ephemeral=True)
    ):
        return
    await say(interaction, sentence, state=state_of(interaction))


async def _say_beside(
    place: Answerable, sentence: str, *, state: InteractionState, view: ui.View = discord.utils.MISSING
) -> None:
    kept = state.kept
    if kept is not None:
        changes: dict[str, Any] = {"content": kept.content}
        if kept.view is not None:
            changes["view"] = kept.view
        with suppress(*UNSENT):  # the sentence matters more than restoring the message
            await patiently(lambda: place.edit_original_response(**changes))
    await _follow_up(place, sentence, view=view)


async def _follow_up(place: Answerable, sentence: str, *, view: ui.View = discord.utils.MISSING) -> None:
    # A retry may send the private sentence twice; that is better than not at all.
    await patiently(lambda: place.followup.send(sentence, view=view, ephemeral=True))
