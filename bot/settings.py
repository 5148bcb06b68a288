"""Settings of the bot, on top of the engine's, and the token."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from liqmap import PositionModel, SettingsError
from liqmap.settings import HttpUrl, Section, Settings, WebsocketUrl, build_settings, read_settings_file

TOKEN_VARIABLE = "DISCORD_TOKEN"  # noqa: S105 - its name, not its value
TOKEN_FILE_VARIABLE = "DISCORD_TOKEN_FILE"  # noqa: S105
_TOKEN = re.compile(r"[\w.-]+", re.ASCII)


class DiscordSettings(Section):
    """Where Discord is, and whether commands are announced to it."""

    # The version of the API that discord.py speaks.
    api_url: HttpUrl = "https://discord.com/api/v10"
    gateway_url: WebsocketUrl = "wss://gateway.discord.gg/"
    sync_commands: bool = True
    shards: int = Field(default=1, ge=0, le=10_000)
    shard_ids: tuple[Annotated[int, Field(ge=0)], ...] = ()
    heartbeat_timeout: float = Field(default=60.0, gt=0)

    @model_validator(mode="after")
    def _numbered(self) -> Self:
        if len(set(self.shard_ids)) < len(self.shard_ids):
            raise ValueError("shard_ids names a shard twice")
        if self.shard_ids and max(self.shard_ids) >= self.shards:
            raise ValueError(
                "shard_ids are numbers below discord.shards, which is the number of shards of all processes"
            )
        return self

    @property
    def process(self) -> int:
        """The number that distinguishes this process of the bot from its others: the first of its shards."""
        return min(self.shard_ids, default=0)


class DatabaseSettings(Section):
    """Where subscriptions are stored. The URL may contain a password, so no text shows it."""

    url: SecretStr = SecretStr("")


class SubscriptionsSettings(Section):
    """How much is posted on schedule, and how fast."""

    per_guild: int = Field(default=25, ge=1, le=1000)
    # Seconds over which posts that are due together are spread.
    jitter: float = Field(default=20.0, ge=0, le=300)
    posts_at_once: int = Field(default=8, ge=1, le=100)
    # Discord takes 50 requests a second of one account, those for commands included.
    posts_per_second: float = Field(default=10.0, gt=0, le=50)


class AlertsSettings(Section):
    """How many alerts are watched, and what of the trades they take to stand."""

    positions: PositionModel = PositionModel.TRADES
    per_guild: int = Field(default=25, ge=1, le=1000)
    per_person: int = Field(default=10, ge=1, le=1000)


class LimitsSettings(Section):
    """How many maps one person, and one server, may request."""

    maps_per_user: int = Field(default=2, ge=1)
    maps_per_user_a_minute: int = Field(default=10, ge=1)
    maps_per_guild_a_minute: int = Field(default=60, ge=1)


class HealthSettings(Section):
    """The address at which the bot reports its health and metrics."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)


class LoggingSettings(Section):
    """What is logged, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class BotSettings(Settings):
    """All settings of the bot and its engine."""

    discord: DiscordSettings = DiscordSettings()
    limits: LimitsSettings = LimitsSettings()
    database: DatabaseSettings = DatabaseSettings()
    subscriptions: SubscriptionsSettings = SubscriptionsSettings()
    alerts: AlertsSettings = AlertsSettings()
    health: HealthSettings = HealthSettings()
    logging: LoggingSettings = LoggingSettings()


def load_bot_settings(path: Path | None = None) -> BotSettings:
    """Return the settings from `path`, else from the file that `LIQMAP_CONFIG` names, else defaults.

    Raises SettingsError, one line that names the key and what was expected.
    """
    return build_settings(BotSettings, read_settings_file(path))


def read_token() -> SecretStr:
    """Return the bot's token from DISCORD_TOKEN, or from the file that DISCORD_TOKEN_FILE names.

    Raises SettingsError.
    """
    source, token = _given_token()
    if not token:
        raise SettingsError(
            f"The bot has no token: set {TOKEN_VARIABLE} to the one from Discord's developer portal, or"
            " run `python -m bot playground` to try it without one."
        )
    if not _TOKEN.fullmatch(token):
        # It would break the HTTP header that carries it.
        raise SettingsError(
            f"{source} holds more than a token: a space, a line break or a character that no token has; copy"
            " the token again from Discord's developer portal."
        )
    return SecretStr(token)


def _given_token() -> tuple[str, str]:
    """Return what gives the token, in words, and the token, which may be empty."""
    token, file = os.environ.get(TOKEN_VARIABLE, ""), os.environ.get(TOKEN_FILE_VARIABLE)
    if token or not file:
        return TOKEN_VARIABLE, token.strip()
    source = f"The file that {TOKEN_FILE_VARIABLE} names"
    try:
        # Some editors put a byte order mark in front of the text.
        return source, Path(file).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{source} cannot be read.") from error
