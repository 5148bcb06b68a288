"""The sections of the settings besides the exchanges'."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import platformdirs
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    Field,
    SecretStr,
    model_validator,
)

from liqmap.settings.proxies import NOT_A_PROXY, environment_proxies, is_proxy, is_this_machine
from liqmap.settings.section import Section

_LENGTH = re.compile(r"(\d{1,3}) ?([hd])", re.ASCII)

# A websocket begins as an HTTP request and uses the same proxy.
_PROXIED_AS: Final = {"wss": "https", "ws": "http"}


def _proxy_url(text: SecretStr) -> SecretStr:
    # The address may contain a password, so no message repeats it.
    if text.get_secret_value() and not is_proxy(text.get_secret_value()):
        raise ValueError(NOT_A_PROXY)
    return text


def _length(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _LENGTH.fullmatch(value.strip())
    if found is None:
        raise ValueError("must be a length of time such as 24h or 2d; 0h for none")
    return int(found[1]) * {"h": timedelta(hours=1), "d": timedelta(days=1)}[found[2]]


Length = Annotated[timedelta, BeforeValidator(_length), Field(le=timedelta(days=2))]


class StorageSettings(Section):
    """Where segments are stored and how much space they may take."""

    path: Path = Field(default_factory=lambda: platformdirs.user_cache_path("liqmap"))
    # A busy day of one market takes up to 30 MB: 20 GB hold some 600 of them, and the least size three.
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
        if address.scheme == "tcp" and not (self.dask_insecure or is_this_machine(address.hostname or "")):
            raise ValueError(
                "a plain tcp:// address lets anybody who reaches that port run programs as you; use tls://,"
                " or set dask_insecure = true where only trusted machines reach it"
            )


class NetworkSettings(Section):
    """How other people's servers are reached, and how long to wait for them."""

    proxy: Annotated[SecretStr, AfterValidator(_proxy_url)] = SecretStr("")
    # With the waits below, a server may be away for some seconds before somebody hears of it.
    attempts: int = Field(default=4, ge=1, le=20)
    retry_wait: float = Field(default=1.0, ge=0)
    retry_wait_max: float = Field(default=30.0, ge=0)
    stall_timeout: float = Field(default=30.0, gt=0)
    # An answer that trickles in is never silent, so it has a limit of its own.
    answer_timeout: float = Field(default=60.0, gt=0)
    max_answer_size: ByteSize = Field(default=ByteSize(32_000_000), gt=0)

    def proxy_for(self, url: str) -> str | None:
        """Return the address of the proxy for `url`, None for a direct connection.

        The setting wins over the environment (HTTPS_PROXY, HTTP_PROXY). This machine and the hosts in
        NO_PROXY are reached directly. Raises SettingsError for an unsupported proxy.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        if is_this_machine(host) or proxy_bypass(host):
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
