"""What Binance's USDⓈ-M futures traded within the last day.

Source: developers.binance.com, USDⓈ-M futures, 24hr Ticker Price Change Statistics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from liqmap.errors import DataError
from liqmap.exchanges.listed import traded_volumes

if TYPE_CHECKING:
    from collections.abc import Mapping


class BinanceVolumes:
    """The statistics of all symbols, which cost 40 without a symbol."""

    weight = 40

    def url(self, base_url: str) -> str:
        """Return the address of the statistics."""
        return f"{base_url}/fapi/v1/ticker/24hr"

    def read(self, answer: object) -> Mapping[str, float]:
        """Return the quote volume of each symbol. Raises DataError if this is no list.

        ::

            [{"symbol":"BTCUSDT","lastPrice":"4.00000200","volume":"8913.30000000",
              "quoteVolume":"15.30000000","openTime":1499783499040,"count":76}]
        """
        match answer:
            case list(rows):
                return traded_volumes(rows, key="quoteVolume")
        raise DataError("Binance's trading volumes cannot be read; try again later.")
