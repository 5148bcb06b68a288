"""Failures around an answer that are not the bot's fault: a sentence for each, or silence."""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

import aiohttp
import discord
from discord import app_commands
from sqlalchemy.exc import SQLAlchemyError

from bot.interaction.patience import AnsweredElsewhere, failure_text, may_pass, token_is_refused

TOO_LARGE: Final = (
    "The answer is too large for this server; ask for fewer pictures or trades, or for a shorter window."
)

# A proxy before Discord refuses by HTTP's status alone, Discord itself by a code of its own.
_PAYLOAD_TOO_LARGE: Final = 413
_ENTITY_TOO_LARGE: Final = 40005
_IN_TROUBLE = "Discord has trouble right now; ask again in a few minutes."
_NO_RIGHT = (
    "I lack a permission in this channel; a moderator can grant it to my role under Edit Channel →"
    " Permissions."
)
_NOT_LOGGED_IN = "Discord no longer accepts the bot's token; its operator has to set the new one."
_DATABASE_FAILS = "The bot cannot read or save just now, and nothing was changed; try again in a minute."
_CHANGED = "This command has changed; reload Discord and use it again."
_SENTENCES: Final = {
    _ENTITY_TOO_LARGE: TOO_LARGE,
    # Codes of the list JSON Error Codes in Discord's documentation, as are those below.
    50083: "This thread is archived; reopen it, or ask in another channel.",
    160005: "This thread is locked; ask in another channel.",
}
_OUTDATED: Final = (
    app_commands.CommandNotFound,
    app_commands.CommandSignatureMismatch,
    app_commands.TransformerError,
)
_SILENT: Final = {
    10003: "its channel is gone",
    10004: "its server is gone",
    10008: "its message was deleted",
    10015: "its token has expired",
    10062: "it came too late to be acknowledged",
    50027: "its token has expired",
}
"""Discord's codes for answers that nobody waits for, or that cannot reach anybody."""


class Refusal(NamedTuple):
    """The sentence for the person, if any, and the reason for the log."""

    sentence: str | None
    reason: str
    level: int = logging.WARNING


def is_too_large(error: BaseException) -> bool:
    """Return whether Discord, or a proxy before it, refused a message as too large."""
    return isinstance(error, discord.HTTPException) and (
        error.status == _PAYLOAD_TOO_LARGE or error.code == _ENTITY_TOO_LARGE
    )


def refusal(error: BaseException, *, number: str) -> Refusal | None:
    """Return what to say of `error`; None where it is a fault of the bot.

    `number` is what the person can name to the operator where the log has to say more.
    """
    if isinstance(error, AnsweredElsewhere):
        return Refusal(None, "another process of this bot was quicker", logging.INFO)
    if isinstance(error, discord.HTTPException):
        return _by_discord(error, number)
    if isinstance(error, (aiohttp.ClientError, ConnectionError, TimeoutError)):
        return Refusal("The connection to Discord broke; ask again in a minute.", failure_text(error))
    # Its text may hold a statement with its values, so only its kind is logged.
    if isinstance(error, SQLAlchemyError):
        return Refusal(_DATABASE_FAILS, f"the database failed: {type(error).__name__}")
    if isinstance(error, _OUTDATED):
        return Refusal(_CHANGED, "it is of another version of the bot", logging.INFO)
    return None


def _by_discord(error: discord.HTTPException, number: str) -> Refusal:
    if error.code in _SILENT:
        return Refusal(None, _SILENT[error.code], logging.INFO)
    if is_too_large(error):
        return Refusal(TOO_LARGE, failure_text(error))
    if error.code in _SENTENCES:
        return Refusal(_SENTENCES[error.code], failure_text(error), logging.INFO)
    # Before the status: a 401 is for the operator, whom the log reaches.
    if token_is_refused(error):
        return Refusal(_NOT_LOGGED_IN, failure_text(error), logging.ERROR)
    return _by_status(error, number)


def _by_status(error: discord.HTTPException, number: str) -> Refusal:
    if may_pass(error):  # also a 403 or 404 of a proxy before Discord
        return Refusal(_IN_TROUBLE, failure_text(error))
    if error.status == 403:
        return Refusal(_NO_RIGHT, failure_text(error), logging.INFO)
    sentence = f"Discord refused the answer; please report this number to the bot's operator: {number}."
    return Refusal(sentence, f"reported as {number}: {failure_text(error)}", logging.ERROR)
