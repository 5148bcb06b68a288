"""Settings of the bot, on top of the engine's: [discord], [limits] and [health], and the token."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, SecretStr

from liqmap import SettingsError
from liqmap.settings import HttpUrl, Section, Settings, WebsocketUrl, build_settings, read_settings_file

TOKEN_VARIABLE = "DISCORD_TOKEN"  # noqa: S105 - its name, not its value
TOKEN_FILE_VARIABLE = "DISCORD_TOKEN_FILE"  # noqa: S105


class DiscordSettings(Section):
    """Where Discord is, and whether commands are announced to it."""

    api_url: HttpUrl = "https://discord.com/api/v10"
    gateway_url: WebsocketUrl = "wss://gateway.discord.gg/"
    sync_commands: bool = True


class LimitsSettings(Section):
    """What one person may ask for."""

    maps_per_user: int = Field(default=2, ge=1)


class HealthSettings(Section):
    """Where the bot says whether it is connected."""

    port: int = Field(default=0, ge=0, le=65535)


class BotSettings(Settings):
    """All settings of the bot and its engine."""

    discord: DiscordSettings = DiscordSettings()
    limits: LimitsSettings = LimitsSettings()
    health: HealthSettings = HealthSettings()


def load_bot_settings(path: Path | None = None) -> BotSettings:
    """Return the settings from `path`, else from the file that `LIQMAP_CONFIG` names, else defaults.

    Raises SettingsError, one line that names the key and what was expected.
    """
    return build_settings(BotSettings, read_settings_file(path))


def read_token() -> SecretStr:
    """Return the bot's token from DISCORD_TOKEN, or from the file that DISCORD_TOKEN_FILE names.

    Raises SettingsError.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    file = os.environ.get(TOKEN_FILE_VARIABLE)
    if not token and file:
        try:
            token = Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"The file that {TOKEN_FILE_VARIABLE} names cannot be read.") from error
    if not token.strip():
        raise SettingsError(
            f"The bot has no token: set {TOKEN_VARIABLE} to the one from Discord's developer portal, or"
            " run `python -m bot playground` to try it without one."
        )
    return SecretStr(token.strip())
