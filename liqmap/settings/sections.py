"""Typed settings of the engine, from a TOML file and the environment (`LIQMAP__SECTION__KEY`)."""

from __future__ import annotations

import math
import os
import re
import tomllib
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from liqmap.errors import SettingsError

if TYPE_CHECKING:
    from liqmap.model import Exchange

CONFIG_VARIABLE = "LIQMAP_CONFIG"
_PREFIX, _DELIMITER = "LIQMAP__", "__"
# Sections of the same file that only the bot reads; the engine ignores them.
BOT_SECTIONS = frozenset({"discord", "limits", "health", "database", "subscriptions", "alerts", "logging"})
_MOVED: Final = {
    f"download.{name}": f"network.{name}"
    for name in ("attempts", "stall_timeout", "retry_wait", "retry_wait_max")
}
_LENGTH = re.compile(r"(\d{1,3}) ?([hd])", re.ASCII)
_PROXY_SCHEMES = ("http://", "https://")
# A websocket begins as an HTTP request and uses the same proxy.
_PROXIED_AS: Final = {"wss": "https", "ws": "http"}


def _http_url(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError("must start with https:// or http://")
    return text.rstrip("/")


def _websocket_url(text: str) -> str:
    if not text.startswith(("wss://", "ws://")):
        raise ValueError("must start with wss:// or ws://")
    return text


def _proxy_url(text: SecretStr) -> SecretStr:
    # The address may contain a password, so no message repeats it.
    if text.get_secret_value() and not text.get_secret_value().startswith(_PROXY_SCHEMES):
        raise ValueError("must start with http:// or https://; SOCKS is not supported")
    return text


def _length(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _LENGTH.fullmatch(value.strip())
    if found is None:
        raise ValueError("must be a length of time such as 24h or 2d; 0h for none")
    return int(found[1]) * {"h": timedelta(hours=1), "d": timedelta(days=1)}[found[2]]


Length = Annotated[timedelta, BeforeValidator(_length), Field(le=timedelta(days=2))]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
WebsocketUrl = Annotated[str, AfterValidator(_websocket_url)]


class Section(BaseModel):
    """One table of the settings file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StorageSettings(Section):
    """Where segments are stored and how much space they may take."""

    path: Path = Field(default_factory=lambda: platformdirs.user_cache_path("liqmap"))
    max_size: ByteSize = Field(default=ByteSize(20_000_000_000), ge=100_000_000)
    shared_url: str = ""
    shared_timeout: float = Field(default=15.0, gt=0)


class EngineSettings(Section):
    """Where maps are drawn, how many at once, and how long each may take."""

    executor: Literal["local", "dask"] = "local"
    fallback: Literal["local", "none"] = "local"
    dask_address: str = ""
    dask_tls_ca: str = ""
    dask_tls_cert: str = ""
    dask_tls_key: str = ""
    dask_insecure: bool = False
    workers: int = Field(default=2, ge=1, le=64)
    queue_size: int = Field(default=32, ge=1, le=10_000)
    job_timeout: float = Field(default=120.0, gt=0)
    max_window_days: int = Field(default=90, ge=1, le=1000)
    cached_results: int = Field(default=64, ge=0)

    @model_validator(mode="after")
    def _addressed(self) -> Self:
        if self.executor == "dask":
            self._check_address()
        return self

    def _check_address(self) -> None:
        if not self.dask_address:
            raise ValueError('executor = "dask" needs dask_address, such as tls://scheduler:8786')
        try:
            address = urlsplit(self.dask_address)
            complete = address.hostname and address.port
        except ValueError:
            complete = None
        if not complete or address.scheme not in {"tcp", "tls"}:
            raise ValueError("dask_address must be like tls://scheduler:8786 or tcp://127.0.0.1:8786")
        certificates = (self.dask_tls_ca, self.dask_tls_cert, self.dask_tls_key)
        if address.scheme == "tls" and not all(certificates):
            raise ValueError("a tls:// address needs dask_tls_ca, dask_tls_cert and dask_tls_key")
        if address.scheme == "tcp" and any(certificates):
            raise ValueError("with certificates, dask_address must begin with tls://")
        if address.scheme == "tcp" and not (self.dask_insecure or _is_this_machine(address.hostname or "")):
            raise ValueError(
                "a plain tcp:// address lets anybody who reaches that port run programs as you; use tls://,"
                " or set dask_insecure = true where only trusted machines reach it"
            )


class NetworkSettings(Section):
    """How other people's servers are reached, and how long to wait for them."""

    proxy: Annotated[SecretStr, AfterValidator(_proxy_url)] = SecretStr("")
    attempts: int = Field(default=4, ge=1, le=20)
    retry_wait: float = Field(default=1.0, ge=0)
    retry_wait_max: float = Field(default=30.0, ge=0)
    stall_timeout: float = Field(default=30.0, gt=0)
    answer_timeout: float = Field(default=60.0, gt=0)
    max_answer_size: ByteSize = Field(default=ByteSize(32_000_000), gt=0)

    def proxy_for(self, url: str) -> str | None:
        """Return the address of the proxy for `url`, None for a direct connection.

        The setting wins over the environment (HTTPS_PROXY, HTTP_PROXY). This machine and the hosts in
        NO_PROXY are reached directly. Raises SettingsError for an unsupported proxy.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        if _is_this_machine(host) or proxy_bypass(host):
            return None
        if configured := self.proxy.get_secret_value():
            return configured
        scheme = _PROXIED_AS.get(parts.scheme, parts.scheme)
        return environment_proxies().get(scheme)


class DownloadSettings(Section):
    """How the exchanges' day files are fetched."""

    concurrency: int = Field(default=4, ge=1, le=32)
    least_speed: ByteSize = Field(default=ByteSize(10_000), ge=0)
    longest: float = Field(default=3600.0, gt=0)
    max_file_size: ByteSize = Field(default=ByteSize(2_000_000_000), gt=0)
    max_unpacked_size: ByteSize = Field(default=ByteSize(4_000_000_000), gt=0)


class RecentSettings(Section):
    """How the last hours are fetched, for which no day file exists yet."""

    pages_at_once: int = Field(default=8, ge=1, le=64)
    patience: float = Field(default=15.0, gt=0)
    longest: float = Field(default=720.0, gt=0)


class RecorderSettings(Section):
    """Which symbols' streams are recorded, and when a silent stream is checked."""

    enabled: bool = True
    symbols: tuple[str, ...] = ()
    keep_days: float = Field(default=7.0, ge=0)
    most_symbols: int = Field(default=100, ge=1, le=500)
    most_traded: int = Field(default=3, ge=0, le=200)
    backfill: Length = timedelta(hours=24)
    silence: float = Field(default=30.0, gt=0)
    most_open_trades: int = Field(default=200_000, ge=1000)


class LedgerSettings(Section):
    """Which markets' maps are sealed, and what maps.

    The baseline knows the outcomes in the ledger `prior`, if one is named.
    """

    markets: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    window: str = "24h"
    selection: str = "portion 1%"
    prior: str = ""

    @property
    def prior_path(self) -> Path | None:
        """Where that ledger is, None without one."""
        return Path(self.prior) if self.prior else None


class ExchangeSettings(Section):
    """The addresses of one exchange's files, REST API and streams."""

    archive_url: HttpUrl
    api_url: HttpUrl
    stream_url: WebsocketUrl

    @property
    def budget(self) -> float:
        """Request weight that may be spent in each of the exchange's periods, in its own unit."""
        return math.inf


class BinanceSettings(ExchangeSettings):
    """Binance's addresses, its limit of request weight a minute, and the share of it to use."""

    archive_url: HttpUrl = "https://data.binance.vision"
    api_url: HttpUrl = "https://fapi.binance.com"
    stream_url: WebsocketUrl = "wss://fstream.binance.com"
    weight_a_minute: int = Field(default=2400, ge=100)
    weight_share: float = Field(default=0.5, gt=0, le=1)

    @property
    def budget(self) -> float:
        """Request weight that may be spent in a minute."""
        return self.weight_a_minute * self.weight_share


class BybitSettings(ExchangeSettings):
    """Bybit's addresses."""

    archive_url: HttpUrl = "https://public.bybit.com"
    api_url: HttpUrl = "https://api.bybit.com"
    stream_url: WebsocketUrl = "wss://stream.bybit.com"


class OkxSettings(ExchangeSettings):
    """OKX's addresses, and how many requests of the 20 that it allows in two seconds to use."""

    archive_url: HttpUrl = "https://static.okx.com"
    api_url: HttpUrl = "https://www.okx.com"
    stream_url: WebsocketUrl = "wss://ws.okx.com:8443"
    requests_in_2_seconds: int = Field(default=18, ge=1)

    @property
    def budget(self) -> float:
        """Requests that may be sent in two seconds."""
        return self.requests_in_2_seconds


class ExchangesSettings(Section):
    """One section for each exchange, named after it."""

    binance: BinanceSettings = BinanceSettings()
    bybit: BybitSettings = BybitSettings()
    okx: OkxSettings = OkxSettings()
    shared_by: int = Field(default=1, ge=1, le=1000)

    def of(self, exchange: Exchange) -> ExchangeSettings:
        """Return the section of `exchange`."""
        section: ExchangeSettings = getattr(self, exchange.value)
        return section


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


def build_settings(kind: type[AnySettings], values: dict[str, Any]) -> AnySettings:
    """Return settings of `kind` from `values` and the environment. Raises SettingsError."""
    _check_variables(set(kind.model_fields) | BOT_SECTIONS)
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


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def environment_proxies() -> dict[str, str]:
    """Return the addresses of the proxies in HTTP_PROXY and HTTPS_PROXY, by scheme.

    Raises SettingsError for an unsupported proxy, without repeating its address.
    """
    found = {}
    for scheme, address in getproxies_environment().items():
        if scheme in {"http", "https"}:
            # Like curl, read "proxy:3128" as the address of an HTTP proxy.
            found[scheme] = address if "://" in address else f"http://{address}"
            if not found[scheme].startswith(_PROXY_SCHEMES):
                name = f"{scheme.upper()}_PROXY"
                raise SettingsError(f"{name} must start with http:// or https://; SOCKS is not supported.")
    return found


def _check_variables(sections: set[str]) -> None:
    # pydantic-settings only looks up known variables, so it would not notice a misspelt section.
    for name in os.environ:
        section = name.removeprefix(_PREFIX).partition(_DELIMITER)[0].lower()
        if name.startswith(_PREFIX) and section not in sections:
            known = ", ".join(sorted(sections))
            raise SettingsError(f"Setting {name}: unknown key; sections are {known}.")
