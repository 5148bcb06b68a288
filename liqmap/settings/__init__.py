"""Typed settings of the engine, from a TOML file and the environment (`LIQMAP__SECTION__KEY`)."""

from liqmap.settings.exchanges import (
    BinanceSettings,
    BybitSettings,
    ExchangeSettings,
    ExchangesSettings,
    HttpUrl,
    OkxSettings,
    WebsocketUrl,
)
from liqmap.settings.load import (
    BOT_SECTIONS,
    CONFIG_VARIABLE,
    AnySettings,
    Settings,
    build_settings,
    load_settings,
    read_settings_file,
)
from liqmap.settings.proxies import environment_proxies
from liqmap.settings.section import Section
from liqmap.settings.sections import (
    DownloadSettings,
    EngineSettings,
    LedgerSettings,
    Length,
    NetworkSettings,
    RecentSettings,
    RecorderSettings,
    StorageSettings,
)

__all__ = [
    "BOT_SECTIONS",
    "CONFIG_VARIABLE",
    "AnySettings",
    "BinanceSettings",
    "BybitSettings",
    "DownloadSettings",
    "EngineSettings",
    "ExchangeSettings",
    "ExchangesSettings",
    "HttpUrl",
    "LedgerSettings",
    "Length",
    "NetworkSettings",
    "OkxSettings",
    "RecentSettings",
    "RecorderSettings",
    "Section",
    "Settings",
    "StorageSettings",
    "WebsocketUrl",
    "build_settings",
    "environment_proxies",
    "load_settings",
    "read_settings_file",
]
