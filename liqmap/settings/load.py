"""Load the settings, and word what is wrong with them as one sentence."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from liqmap.errors import SettingsError
from liqmap.settings.exchanges import ExchangesSettings
from liqmap.settings.proxies import environment_proxies
from liqmap.settings.sections import (
    DownloadSettings,
    EngineSettings,
    LedgerSettings,
    NetworkSettings,
    RecentSettings,
    RecorderSettings,
    StorageSettings,
)

CONFIG_VARIABLE = "LIQMAP_CONFIG"
_PREFIX, _DELIMITER = "LIQMAP__", "__"

# Sections of the same file that only the bot reads; the engine ignores them.
BOT_SECTIONS = frozenset({"discord", "limits", "health", "database", "subscriptions", "alerts", "logging"})

# Settings of earlier versions, whose files get the new name in the sentence.
_MOVED: Final = {
    f"download.{name}": f"network.{name}"
    for name in ("attempts", "stall_timeout", "retry_wait", "retry_wait_max")
}


class Settings(BaseSettings):
    """All settings of the engine. `load_settings` loads them and words errors as one sentence."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_nested_delimiter=_DELIMITER,
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    storage: StorageSettings = Field(default_factory=StorageSettings)
    engine: EngineSettings = EngineSettings()
    network: NetworkSettings = NetworkSettings()
    download: DownloadSettings = DownloadSettings()
    recent: RecentSettings = RecentSettings()
    recorder: RecorderSettings = RecorderSettings()
    ledger: LedgerSettings = LedgerSettings()
    exchanges: ExchangesSettings = ExchangesSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose values come in as arguments."""
        return env_settings, init_settings


AnySettings = TypeVar("AnySettings", bound=Settings)


def load_settings(path: Path | None = None) -> Settings:
    """Return the engine's settings from `path`, else from the file in `LIQMAP_CONFIG`, else the defaults.

    Raises SettingsError, one line that names the key and what was expected.
    """
    values = {key: value for key, value in read_settings_file(path).items() if key not in BOT_SECTIONS}
    return build_settings(Settings, values)


def read_settings_file(path: Path | None) -> dict[str, Any]:
    """Return the tables of the settings file as written; {} if no file is named.

    Raises SettingsError.
    """
    if path is None:
        named = os.environ.get(CONFIG_VARIABLE)
        if not named:
            return {}
        path = Path(named)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"The settings file {path} is not valid TOML: {error}.") from error
    except ValueError as error:  # of the system, for a character that no file's name has
        raise SettingsError("The name of the settings file holds the character NUL.") from error


def build_settings(kind: type[AnySettings], values: dict[str, Any]) -> AnySettings:
    """Return settings of `kind` from `values` and the environment. Raises SettingsError."""
    _check_variables(set(kind.model_fields) | BOT_SECTIONS)
    # Now, so that a proxy that cannot be used ends the start and not the first download.
    environment_proxies()
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            problem = f"it is now {_MOVED[key]}" if key in _MOVED else "unknown key"
        raise SettingsError(f"Setting {key}: {problem[0].lower()}{problem[1:]}.") from None


def _check_variables(sections: set[str]) -> None:
    # pydantic-settings only looks up known variables, so it would not notice a misspelt section.
    for name in os.environ:
        section = name.removeprefix(_PREFIX).partition(_DELIMITER)[0].lower()
        if name.startswith(_PREFIX) and section not in sections:
            known = ", ".join(sorted(sections))
            raise SettingsError(f"Setting {name}: unknown key; sections are {known}.")
