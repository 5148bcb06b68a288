"""Which USDⓈ-M futures Binance lists.

Source: developers.binance.com, USDⓈ-M futures, Exchange Information.
"""

from __future__ import annotations

from liqmap.errors import DataError
from liqmap.exchanges.listed import listed_symbols


class BinanceListing:
    """The one page of USDⓈ-M symbols; COIN-M symbols are listed by an API of their own."""

    lists_inverse = False

    def first_urls(self, base_url: str) -> tuple[str, ...]:
        """Return the address of the list."""
        return (f"{base_url}/fapi/v1/exchangeInfo",)

    def next_url(self, url: str, answer: object) -> str | None:  # noqa: ARG002 - there is one page
        """Return None: the first page is the whole list."""
        return None

    def read(self, answer: object) -> frozenset[str]:
        """Return the symbols that trade now. Raises DataError if this is no list.

        ::

            {"timezone":"UTC","serverTime":1791102056700,"symbols":[{"symbol":"BTCUSDT","pair":"BTCUSDT",
             "contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT"}]}
        """
        match answer:
            case {"symbols": list(rows)}:
                return listed_symbols(rows, status="TRADING", exchange="Binance")
        raise DataError("Binance's list of symbols cannot be read; try again later.")
