"""Explain to the operator, in one sentence, why the bot cannot connect to Discord or lost its connection."""

from __future__ import annotations

from typing import Final

import discord

from bot.interaction.patience import PORTAL, TOKEN_RESET
from liqmap import LiqmapError, SettingsError

UNREACHABLE: Final = "Discord cannot be reached; check the network, and the setting discord.api_url."

# Source: Discord's documentation of the gateway's close codes after which a client must not reconnect.
_CLOSE_CODES: Final = {
    4004: TOKEN_RESET,
    4010: "Discord refuses the number of shards; set discord.shards = 0 to let Discord choose it.",
    4011: "This bot is in so many servers that it needs more shards; set discord.shards = 0.",
    4013: "Discord does not know the intents of this version of the bot; install a newer version.",
    4014: f"Discord refuses the bot's intents; check that the bot is not disabled at {PORTAL}.",
}


def login_error(error: BaseException) -> LiqmapError:
    """Return an error with a sentence for what discord.py raised while it connected.

    It is a SettingsError if starting again would not help.
    """
    if isinstance(error, discord.GatewayNotFound) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, discord.LoginFailure):
        return SettingsError(f"Discord refuses the bot's token; copy it again from {PORTAL}.")
    if isinstance(error, discord.PrivilegedIntentsRequired):
        return SettingsError(_CLOSE_CODES[4014])
    if isinstance(error, discord.ConnectionClosed):
        sentence = _CLOSE_CODES.get(error.code)
        unknown = f"Discord has closed the connection for good (code {error.code})."
        return LiqmapError(unknown) if sentence is None else SettingsError(sentence)
    return LiqmapError(_refusal(error) if isinstance(error, discord.HTTPException) else UNREACHABLE)


def _refusal(error: discord.HTTPException) -> str:
    if error.status == 429 or error.status >= 500:
        return f"Discord has trouble right now (HTTP {error.status}); start the bot again in a few minutes."
    return (
        f"Discord refuses to let the bot start (HTTP {error.status}, code {error.code}); check the setting"
        " discord.api_url."
    )
