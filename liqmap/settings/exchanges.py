"""The settings of each exchange: addresses and limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from liqmap.settings.proxies import is_address
from liqmap.settings.section import Section

if TYPE_CHECKING:
    from liqmap.model import Exchange


def _http_url(text: str) -> str:
    if not is_address(text, ("https", "http")):
        raise ValueError("must start with https:// or http:// and name a host")
    return text.rstrip("/")


def _websocket_url(text: str) -> str:
    if not is_address(text, ("wss", "ws")):
        raise ValueError("must start with wss:// or ws:// and name a host")
    return text


HttpUrl = Annotated[str, AfterValidator(_http_url)]
WebsocketUrl = Annotated[str, AfterValidator(_websocket_url)]


class ExchangeSettings(Section):
    """The addresses of one exchange's files, REST API and streams."""

    archive_url: HttpUrl
    api_url: HttpUrl
    stream_url: WebsocketUrl

    @property
    def budget(self) -> float:
        """Request weight that may be spent in each of the exchange's periods, in its own unit."""
        return math.inf

    def limits(self, *, weight_a_minute: int) -> dict[str, int]:
        """Return the settings for a simulated exchange that grants so much, counted as Binance does."""
        del weight_a_minute
        return {}


class BinanceSettings(ExchangeSettings):
    """Binance's addresses, its limit of request weight a minute, and the share of it to use."""

    archive_url: HttpUrl = "https://data.binance.vision"
    api_url: HttpUrl = "https://fapi.binance.com"
    stream_url: WebsocketUrl = "wss://fstream.binance.com"
    # REQUEST_WEIGHT of an IP address, in the rateLimits of GET /fapi/v1/exchangeInfo. Half of it leaves room
    # for other programs behind the same address, which is banned if it goes on after a 429.
    weight_a_minute: int = Field(default=2400, ge=100)
    weight_share: float = Field(default=0.5, gt=0, le=1)

    @property
    def budget(self) -> float:
        """Request weight that may be spent in a minute."""
        return self.weight_a_minute * self.weight_share

    def limits(self, *, weight_a_minute: int) -> dict[str, int]:
        """Return the settings for a simulated exchange that grants so much."""
        return {"weight_a_minute": weight_a_minute}


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
    # Two short of the limit: what is sent evenly does not arrive evenly.
    requests_in_2_seconds: int = Field(default=18, ge=1)

    @property
    def budget(self) -> float:
        """Requests that may be sent in two seconds."""
        return self.requests_in_2_seconds

    def limits(self, *, weight_a_minute: int) -> dict[str, int]:
        """Return the settings for a simulated exchange that grants so much."""
        # Nine tenths of its 20 in two seconds where Binance grants 2400 a minute, as by default.
        return {"requests_in_2_seconds": max(1, weight_a_minute // 120 * 9 // 10)}


class ExchangesSettings(Section):
    """One section for each exchange, named after it."""

    binance: BinanceSettings = BinanceSettings()
    bybit: BybitSettings = BybitSettings()
    okx: OkxSettings = OkxSettings()
    shared_by: int = Field(default=1, ge=1, le=1000)

    def of(self, exchange: Exchange) -> ExchangeSettings:
        """Return the section of `exchange`."""
        # The fields bear the names of the exchanges' values, which a test checks.
        section: ExchangeSettings = getattr(self, exchange.value)
        return section
